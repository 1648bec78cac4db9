/* y = act(x), element by element; x of any shape, dense. */
#ifndef CALO_ACTIVATION_H
#define CALO_ACTIVATION_H

#include "../epilogue.h"
#include "../op.h"

extern const calo_op calo_op_activation;

calo_tensor calo_activate(calo_run *run, calo_tensor x, calo_activation kind);

#endif
