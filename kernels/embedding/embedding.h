/* Rows of a table, and angles of a time.

       tokens:    y[b,t] = table[id[b,t]] + positions[t]        ids i32 [B,T], table [V,D], positions [P ≥ T, D] →
   [B,T,D] timesteps: y[n] = [ sin(t_n f) | cos(t_n f) ],  f_i = 10000^(−i / (D/2 − shift)),  i = 0 … D/2 − 1   t f32
   [N] → [N,D]

   An id outside of the table reads its nearest row; callers check ids on the host. `flip` puts the cosines first, an
   odd D ends with a zero. Source of the second: Ho et al. 2020, as diffusers' get_timestep_embedding computes it: f_i
   and t · f_i are f32 numbers by definition, because an angle near 1000 shows the last bit of a frequency in the fifth
   decimal of its sine. The frequencies are therefore computed on the host. */
#ifndef CALO_EMBEDDING_H
#define CALO_EMBEDDING_H

#include "../op.h"

extern const calo_op calo_op_tokens;
extern const calo_op calo_op_timesteps;

typedef struct calo_tokens_args {
    calo_type type; /* of the result */
} calo_tokens_args;

typedef struct calo_timesteps_args {
    int dim;
    bool flip;
    double shift;
    calo_type type; /* of the result */
} calo_timesteps_args;

/* `table` and `positions` are rows of f32, f16 or bf16, each its own. The results have the run's dtype. */
calo_tensor calo_embed_tokens(calo_run *run, calo_tensor ids, calo_tensor table, calo_tensor positions);
calo_tensor calo_embed_timesteps(calo_run *run, calo_tensor t, int dim, bool flip_sin_to_cos, double freq_shift);

/* f_i of an embedding of `dim` numbers, rounded as diffusers does. */
float calo_timestep_frequency(int i, int dim, double shift);

#endif
