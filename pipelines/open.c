/* Opening and closing a context: the device, and what was measured on it. */
#include "../engine/shim.h"
#include "tuning_file.h"

#include <stdio.h>
#include <string.h>

/* Where the device's measured choices are, or are to be. */
static calo_status take_path(calo_context *context, const char *given)
{
    if (!given)
        calo_tuning_path(&context->device->info, context->tuning_path, sizeof context->tuning_path);
    else if (strlen(given) >= sizeof context->tuning_path)
        return calo_fail(&context->fault, CALO_EUSAGE,
                         "calo_open: the tuning file's path has %zu bytes, at most %zu do", strlen(given),
                         sizeof context->tuning_path - 1);
    else
        snprintf(context->tuning_path, sizeof context->tuning_path, "%s", given);
    return CALO_OK;
}

calo_status calo_open(calo_context **context, const calo_open_options *options)
{
    calo_context *made = calo_alloc(1, sizeof *made);
    *context = made;
    if (!made)
        return CALO_EMEMORY;
    if (options && options->size != sizeof *options)
        return calo_fail(&made->fault, CALO_EUSAGE,
                         "calo_open: the options' size is %zu, this library expects %zu; use CALO_OPEN_OPTIONS_INIT",
                         options->size, sizeof *options);
    if (options) {
        made->on_log = options->on_log;
        made->user = options->user;
    }
    const char *device = options ? options->device : NULL;
    if (device && strcmp(device, "none") == 0)
        return CALO_OK;
    const calo_adopted adopted = { options ? options->cuda_context : NULL, options ? options->cuda_stream : NULL };
    char id[16];
    if (calo_device_open(device, &adopted, &made->device, &made->fault))
        return made->fault.status;
    calo_log(made, CALO_LOG_INFO, "device %s, %s, %d compute units", calo_device_id(&made->device->info, id),
             made->device->info.name, made->device->info.compute_units);
    return take_path(made, options ? options->tuning : NULL) ? made->fault.status
                                                             : calo_tuning_open(made, &made->fault);
}

void calo_close(calo_context **context)
{
    if (!context || !*context)
        return;
    calo_context *c = *context;
    if (c->device)
        c->device->api->close(c->device);
    if (c->tuning)
        calo_tuning_free(c->tuning);
    calo_free(c->tuning);
    calo_free(c);
    *context = NULL;
}
