/* A context: a device with its measured choices, the sentence of the last failure, and where log lines go. */
#ifndef CALO_CONTEXT_H
#define CALO_CONTEXT_H

#include "calotype.h"
#include "device.h"
#include "fault.h"

struct calo_context {
    calo_device *device; /* NULL when it could not be opened */
    calo_fault fault;    /* of the last call */
    void (*on_log)(void *user, calo_log_level level, const char *sentence);
    void *user;
    struct calo_tuning *tuning; /* the device's measured choices, or NULL: device->info.tuning */
    char tuning_path[1024];     /* their file; "": none */
};

void calo_log(const calo_context *context, calo_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
