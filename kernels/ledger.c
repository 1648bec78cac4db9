/* The books of a run. */
#include "ledger.h"
#include "../engine/shim.h"

#include <stdio.h>
#include <string.h>

char *calo_call_text(const calo_call *call, char *text, size_t size)
{
    char a[64], b[64] = "", c[64];
    calo_shape_text(call->in[0], a, sizeof a);
    if (calo_present(call->in[1]))
        calo_shape_text(call->in[1], b, sizeof b);
    calo_shape_text(call->out, c, sizeof c);
    snprintf(text, size, "%s%s%s → %s", a, *b ? " × " : "", b, c);
    return text;
}

static double roofline(const calo_device_info *info, calo_cost cost)
{
    double arithmetic = info->peak_flops > 0 ? cost.flops / info->peak_flops : 0;
    double traffic = info->peak_bandwidth > 0 ? cost.bytes / info->peak_bandwidth : 0;
    return arithmetic > traffic ? arithmetic : traffic;
}

void calo_ledger_book(calo_ledger *ledger, const calo_run *run, const calo_call *call, const calo_variant *variant,
                      calo_cost cost, double seconds)
{
    calo_ledger_row entry = { .label = run->label ? run->label : "", .op = call->op->name, .variant = variant->name };
    calo_call_text(call, entry.shape, sizeof entry.shape);
    calo_ledger_row *row = NULL;
    for (int i = 0; i < ledger->count && !row; i++) {
        calo_ledger_row *e = &ledger->entries[i];
        if (strcmp(e->label, entry.label) == 0 && e->op == entry.op && e->variant == entry.variant &&
            strcmp(e->shape, entry.shape) == 0)
            row = e;
    }
    if (!row && ledger->count == ledger->capacity) {
        int capacity = ledger->capacity ? 2 * ledger->capacity : 64;
        calo_ledger_row *entries = calo_resize(ledger->entries, (size_t)capacity, sizeof *entries);
        if (!entries) {
            ledger->incomplete = true;
            return;
        }
        ledger->entries = entries;
        ledger->capacity = capacity;
    }
    if (!row) {
        row = &ledger->entries[ledger->count++];
        *row = entry;
    }
    row->calls++;
    row->flops += cost.flops;
    row->bytes += cost.bytes;
    row->roofline_s += roofline(&run->info, cost);
    row->seconds += seconds;
}

calo_ledger_row calo_ledger_total(const calo_ledger *ledger, const char *label)
{
    calo_ledger_row total = { .label = label ? label : "all", .op = "all", .variant = "" };
    for (int i = 0; i < ledger->count; i++) {
        const calo_ledger_row *e = &ledger->entries[i];
        if (label && strcmp(e->label, label) != 0)
            continue;
        total.calls += e->calls;
        total.flops += e->flops;
        total.bytes += e->bytes;
        total.roofline_s += e->roofline_s;
        total.seconds += e->seconds;
    }
    return total;
}

void calo_ledger_free(calo_ledger *ledger)
{
    calo_free(ledger->entries);
    memset(ledger, 0, sizeof *ledger);
}
