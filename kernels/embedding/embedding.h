/* Looking up tokens, and turning timesteps into sinusoids.

       tokens:    y[b,t] = table[ids[b,t]] + positions[t]
       timesteps: y[n] = [sin(t_n ω) | cos(t_n ω)] or the halves swapped, ω_i = 10000^(−i / (half − shift)), half = D/2;
                  an odd D ends with a 0  (diffusers' get_timestep_embedding) */
#ifndef CALO_EMBEDDING_H
#define CALO_EMBEDDING_H

#include "../op.h"

extern const calo_op calo_op_tokens;
extern const calo_op calo_op_timesteps;

typedef struct calo_timesteps_args {
    int columns;
    bool flip;     /* cosines first */
    double shift;
    calo_type type; /* of the result */
} calo_timesteps_args;

/* ids I32 [B, T], 0 ≤ id < V; table [V, D], positions [P ≥ T, D] as rows of one type → [B, T, D] of the run's type. */
calo_tensor calo_embed_tokens(calo_run *run, calo_tensor ids, calo_tensor table, calo_tensor positions);

/* t F32 [N] → [N, columns] of the run's type. */
calo_tensor calo_embed_timesteps(calo_run *run, calo_tensor t, int64_t columns, bool flip, double shift);

#endif
