/* The books of a run: one row per op, shape and variant, in the order of first use, for plan and profile. */
#ifndef CALO_LEDGER_H
#define CALO_LEDGER_H

#include "op.h"

typedef struct calo_ledger_row {
    const char *label, *op, *variant; /* "unet", "conv2d", "tile_12x32" */
    char shape[96];
    int64_t calls;
    double flops, bytes;    /* of all calls */
    double roofline_s;      /* the larger of arithmetic and traffic time, summed over the calls */
    double seconds;         /* measured; 0 while planning */
} calo_ledger_row;

struct calo_ledger {
    calo_ledger_row *entries;
    int count, capacity;
    bool incomplete; /* no host memory for a row: totals would be wrong */
};

void calo_ledger_book(calo_ledger *ledger, const calo_run *run, const calo_call *call, const calo_variant *variant,
                      calo_cost cost, double seconds);
calo_ledger_row calo_ledger_total(const calo_ledger *ledger, const char *label); /* label NULL: all */
void calo_ledger_free(calo_ledger *ledger);

/* The call's shapes: "[2,64,64,320] × [320,3,3,320] → [2,64,64,320]". */
char *calo_call_text(const calo_call *call, char *text, size_t size);

#endif
