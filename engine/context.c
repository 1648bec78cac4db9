/* What a context says: devices, failures, log lines. Opening one is pipelines/open.c's. */
#include "context.h"
#include "shim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *calo_version(void)
{
    return CALO_VERSION;
}

void calo_log(const calo_context *context, calo_log_level level, const char *format, ...)
{
    if (!context->on_log)
        return;
    char sentence[CALO_FAULT_TEXT];
    va_list list;
    va_start(list, format);
    vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    context->on_log(context->user, level, sentence);
}

const char *calo_error(const calo_context *context)
{
    return context ? context->fault.text : "no memory for a context";
}

static void fill_record(const calo_device_info *info, calo_device_record *record)
{
    memset(record, 0, sizeof *record);
    calo_device_id(info, record->id);
    snprintf(record->name, sizeof record->name, "%s", info->name);
    snprintf(record->driver, sizeof record->driver, "%s", info->driver);
    record->is_cpu = info->class == CALO_CPU_CLASS;
    record->compute_units = info->compute_units;
    record->max_work_group = info->max_work_group;
    record->memory = info->memory;
    record->max_allocation = info->max_allocation;
    record->local_memory = info->local_memory;
    record->peak_flops = info->peak_flops;
    record->peak_bandwidth = info->peak_bandwidth;
}

calo_status calo_devices(calo_context *context, calo_device_record *list, int capacity, int *count)
{
    calo_device_info found[64];
    char absent[2 * CALO_FAULT_TEXT];
    calo_fault_clear(&context->fault);
    calo_status status = calo_device_list(found, 64, count, absent, sizeof absent, &context->fault);
    for (char *line = absent, *end; status == CALO_OK && (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        calo_log(context, CALO_LOG_INFO, "%s", line);
    }
    for (int i = 0; status == CALO_OK && i < *count && i < capacity && i < 64; i++)
        fill_record(&found[i], &list[i]);
    return status;
}

calo_status calo_context_device(calo_context *context, calo_device_record *record)
{
    calo_fault_clear(&context->fault);
    if (!context->device)
        return calo_fail(&context->fault, CALO_EDEVICE, "this context has no device");
    fill_record(&context->device->info, record);
    return CALO_OK;
}

uint64_t calo_peak_device_bytes(const calo_context *context)
{
    return context->device ? context->device->peak_allocated : 0;
}

void calo_free_text(char **text)
{
    if (!text)
        return;
    calo_free(*text);
    *text = NULL;
}
