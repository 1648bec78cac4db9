/* Which texts guide which calls of the denoiser, and how its outputs are put together.

   A call's batch is one row for each text that counts then. Rows form groups: the request's own, which covers the
   picture, and one for each region. Of a group

       G = u + g Σ w_k (c_k − u)          c_k the parts that AND joins, u the unconditional row
       G = Σ w_k c_k / Σ w_k              where there is no guidance

   and the prediction is E = G_0, then E ← E + m_r (G_r − E) for each region r in turn, m_r its rectangle times its
   strength. Masking the guided output, and not cross-attention, works for every model and needs no mask at every
   resolution; a region costs one row more, two with a negative prompt of its own. */
#ifndef CALO_CONDITIONS_H
#define CALO_CONDITIONS_H

#include "text.h"

enum { CALO_MAX_REGIONS = 8, CALO_MAX_CONDITIONS = 24, CALO_MAX_PARTS = 7 };

typedef struct calo_group {
    int uncond;  /* a row; −1: no guidance */
    int count;   /* parts */
    int rows[CALO_MAX_PARTS];
    double weights[CALO_MAX_PARTS];
    int region;  /* of the request; −1: the whole picture */
} calo_group;

/* Calls [begin, end) with the same texts. */
typedef struct calo_phase {
    int begin, end;
    int row_count, group_count;
    int rows[CALO_MAX_CONDITIONS]; /* passages, unconditional ones first */
    calo_group groups[1 + CALO_MAX_REGIONS];
} calo_phase;

typedef struct calo_conditions {
    calo_phase *phases;
    int count, capacity;
} calo_conditions;

/* For a program of `calls` calls; `guided`: there is an unconditional half. Makes the text's passages. */
calo_status calo_conditions_open(calo_conditions *conditions, calo_text *text, const calo_request *request, bool guided,
                                 int calls, calo_fault *fault);
void calo_conditions_close(calo_conditions *conditions);

#endif
