/* A request as JSON, for the files that suspended jobs are. */
#ifndef CALO_STATE_H
#define CALO_STATE_H

#include "job.h"

/* Where a job is. */
typedef struct calo_position {
    int stage, frame;
    int calls; /* −1: the frame has not begun */
    int begun; /* the call of the stage that was its solver's first: not 0 after a fork to another scheduler */
    char weights[2][20]; /* hexadecimal digests of the models; "": no refiner */
    char dtype[8];
} calo_position;

/* The text is the caller's. NULL without memory. */
char *calo_state_write(const calo_request *request, const calo_position *position);
/* Fills both; strings and regions belong to *request, to be freed with calo_request_free. CALO_EFILE names the field. */
calo_status calo_state_read(const char *text, const char *path, calo_request *request, calo_position *position,
                            calo_fault *fault);

#endif
