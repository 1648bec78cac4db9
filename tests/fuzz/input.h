/* A fuzzer's input as a file, for the readers that take a path. */
#ifndef CALO_FUZZ_INPUT_H
#define CALO_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

/* A path that holds the bytes until the next call; memory only. */
const char *fuzz_file(const uint8_t *bytes, size_t size);

#endif
