/* One model, several namings. The engine asks for diffusers' names; these functions say under which names a file may
   have them. */
#ifndef CALO_NAMES_H
#define CALO_NAMES_H

#include "checkpoint.h"

enum { CALO_NAME_SIZE = 256, CALO_NAME_CANDIDATES = 3 };

typedef struct calo_candidate {
    char name[CALO_NAME_SIZE];
    int slice, slices; /* of the stored rows, slice number `slice` of `slices` equal ones; 0, 0: all of them */
    bool transposed;
} calo_candidate;

typedef struct calo_candidates {
    calo_candidate list[CALO_NAME_CANDIDATES];
    int count;
} calo_candidates;

/* Every name that `name` of that part may have in the part's naming, the likeliest first. */
void calo_candidate_names(const calo_checkpoint *checkpoint, calo_part part, const char *name,
                          calo_candidates *candidates);

#endif
