/* Runs a launch of an emulated kernel: its blocks one after another, the threads of a block as fibers. */
#ifndef FIBERS_H
#define FIBERS_H

#include "emulated.h"

#include <stddef.h>

/* A loaded program's exports. */
typedef struct emulated_program {
    const emulated_entry *entries; /* ends with a row without a name */
    void (*prepare)(size_t dynamic_shared); /* before a block */
    const emulated_services **services;
    emulated_index *thread, *block, *block_size, *grid;
} emulated_program;

/* NULL when all went well, else what the kernel did wrong; the text holds until the next launch. */
const char *fibers_run(const emulated_program *program, const emulated_entry *entry, emulated_index grid,
                       emulated_index block, size_t dynamic_shared, void **parameters);

#endif
