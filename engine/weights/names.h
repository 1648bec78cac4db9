/* One model, several namings. The engine asks for diffusers' names; these functions say under which names a file may
   have them. */
#ifndef CALO_NAMES_H
#define CALO_NAMES_H

#include "checkpoint.h"

enum { CALO_NAME_SIZE = 256, CALO_NAME_CANDIDATES = 6 };

typedef struct calo_candidates {
    char names[CALO_NAME_CANDIDATES][CALO_NAME_SIZE];
    int count;
} calo_candidates;

/* Every name that `name` of that part may have in the checkpoint's form, the likeliest first. */
void calo_candidate_names(const calo_checkpoint *checkpoint, calo_part part, const char *name,
                          calo_candidates *candidates);

#endif
