/* The first error of a piece of work. */
#include "fault.h"

#include <stdio.h>
#include <string.h>

calo_status calo_fail_v(calo_fault *fault, calo_status status, const char *format, va_list list)
{
    if (fault && fault->status == CALO_OK) {
        fault->status = status;
        vsnprintf(fault->text, sizeof fault->text, format, list);
        /* A sentence is one line, whatever a file name or a tensor name holds. */
        for (char *c = fault->text; *c; c++)
            if ((unsigned char)*c < ' ' || *c == 127)
                *c = '?';
    }
    return status;
}

calo_status calo_fail(calo_fault *fault, calo_status status, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    calo_fail_v(fault, status, format, list);
    va_end(list);
    return status;
}

void calo_fault_clear(calo_fault *fault)
{
    fault->status = CALO_OK;
    fault->text[0] = '\0';
}
