/* The first error of a piece of work: a status and one sentence that names the file, tensor, option or shape. */
#ifndef CALO_FAULT_H
#define CALO_FAULT_H

#include "calotype.h"

#include <stdarg.h>
#include <stdbool.h>

#define CALO_FAULT_TEXT 512

typedef struct calo_fault {
    calo_status status; /* CALO_OK until something fails */
    char text[CALO_FAULT_TEXT];
} calo_fault;

/* Records the failure and returns its status, so that `return calo_fail(...)` reads well. The first failure is kept:
 * later ones are mostly its consequences. `fault` may be NULL: then only the status is returned. */
calo_status calo_fail(calo_fault *fault, calo_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
calo_status calo_fail_v(calo_fault *fault, calo_status status, const char *format, va_list list);

void calo_fault_clear(calo_fault *fault);

#endif
