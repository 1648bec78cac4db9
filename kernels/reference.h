/* What the reference.c files share: they are compiled with REAL double (the definition) and REAL float (the naive
   implementation), and this picks libm's function of that type. */
#ifndef CALO_REFERENCE_H
#define CALO_REFERENCE_H

#include "epilogue.h"
#include "op.h"

#include <math.h>
#include <stddef.h>
#include <tgmath.h>

/* An activation of kernels/epilogue.h. */
static inline REAL reference_activation(calo_activation kind, REAL x)
{
    switch (kind) {
    case CALO_LINEAR:
        break;
    case CALO_SILU:
        return x / (1 + exp(-x));
    case CALO_GELU:
        return x / 2 * (1 + erf(x * (REAL)0.70710678118654752440));
    case CALO_GELU_TANH:
        return x / 2 * (1 + tanh((REAL)0.79788456080286535588 * (x + (REAL)0.044715 * x * x * x)));
    case CALO_QUICK_GELU:
        return x / (1 + exp((REAL)-1.702 * x));
    }
    return x;
}

#endif
