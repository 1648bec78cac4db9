/* The activations that models name in their configurations and kernels apply. */
#ifndef CALO_ACTIVATION_KINDS_H
#define CALO_ACTIVATION_KINDS_H

/* The values are also the kernels' macro ACTIVATION. */
typedef enum calo_activation {
    CALO_LINEAR = 0,
    CALO_SILU = 1,       /* x · sigmoid(x) */
    CALO_GELU = 2,       /* x · (1 + erf(x / √2)) / 2 */
    CALO_GELU_TANH = 3,  /* x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2 */
    CALO_QUICK_GELU = 4  /* x · sigmoid(1.702 x) */
} calo_activation;

#endif
