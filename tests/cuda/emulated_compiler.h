/* NVRTC that is not there: the C++ compiler makes a shared library of a kernel's text. */
#ifndef EMULATED_COMPILER_H
#define EMULATED_COMPILER_H

#include "../../engine/cuda_api.h"

#include <stdbool.h>
#include <stdint.h>

#define EMULATED_MAGIC "emulated cubin 1"

/* What a "cubin" begins with; the library's bytes follow. */
typedef struct emulated_image {
    char magic[16];
    uint64_t size;
} emulated_image;

/* Gives calo_nvrtc_load this table, or the real one again. Programs are counted in *objects; `arrive` counts a call and
 * says what it is to return instead of being done. */
void emulated_compiler_enable(bool on, long *objects, cu_result (*arrive)(void));

#endif
