/* Reports, probes, and what else the public header asks of a model. */
#include "report.h"
#include "../engine/shim.h"
#include "../kernels/probe/probe.h"

#include <stdio.h>
#include <string.h>

calo_status calo_report_make(const calo_ledger *ledger, uint64_t weight_bytes, uint64_t activation_bytes, bool takes_turns,
                             const calo_device_info *info, calo_report **report, calo_fault *fault)
{
    calo_report *made = calo_alloc(1, sizeof *made);
    *report = NULL;
    if (made)
        made->rows = calo_alloc((size_t)ledger->count, sizeof *made->rows);
    if (!made || !made->rows || ledger->incomplete) {
        calo_free_report(&made);
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a report of %d rows", ledger->count);
    }
    made->row_count = ledger->count;
    for (int i = 0; i < ledger->count; i++) {
        const calo_ledger_row *e = &ledger->entries[i];
        calo_report_row *row = &made->rows[i];
        *row = (calo_report_row){ .part = e->label, .op = e->op, .variant = e->variant, .calls = e->calls,
                                  .flops = e->flops, .bytes = e->bytes, .roofline_s = e->roofline_s,
                                  .seconds = e->seconds };
        snprintf(row->shape, sizeof row->shape, "%s", e->shape);
    }
    made->weight_bytes = weight_bytes;
    made->takes_turns = takes_turns;
    made->activation_bytes = activation_bytes;
    made->peak_flops = info->peak_flops;
    made->peak_bandwidth = info->peak_bandwidth;
    *report = made;
    return CALO_OK;
}

void calo_free_report(calo_report **report)
{
    if (!report || !*report)
        return;
    calo_free((*report)->rows);
    calo_free(*report);
    *report = NULL;
}

calo_status calo_probe(calo_context *context, calo_device_record *record)
{
    calo_fault_clear(&context->fault);
    if (!context->device)
        return calo_fail(&context->fault, CALO_EDEVICE, "this context has no device to measure");
    calo_status status = calo_device_probe(context->device, &context->fault);
    return status ? status : calo_context_device(context, record);
}
