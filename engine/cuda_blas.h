/* cuBLASLt, found at run time like the driver: products of matrices on a CUDA device by NVIDIA's own kernels, to be
   measured against ours. The declarations are what its ABI has (CUDA 12 and 13); a test holds them to the header. */
#ifndef CALO_CUDA_BLAS_H
#define CALO_CUDA_BLAS_H

#include "cuda_api.h"
#include "tensor.h"

#include <stdbool.h>

typedef struct blas_handle_record *blas_handle;
typedef struct blas_product_record *blas_product;
typedef struct blas_matrix_record *blas_matrix;
typedef struct blas_preference_record *blas_preference;

enum {
    BLAS_TRANSPOSE = 1,
    BLAS_COMPUTE_F32 = 68,
    BLAS_PRODUCT_TRANSPOSE_A = 3, /* attribute of a product */
    BLAS_PREFERENCE_WORKSPACE = 1,
    CUDA_TYPE_F32 = 0,
    CUDA_TYPE_F16 = 2,
    CUDA_TYPE_BF16 = 14,
};

typedef struct blas_algorithm {
    uint64_t data[8];
} blas_algorithm;

typedef struct blas_choice {
    blas_algorithm algorithm;
    size_t workspace;
    int status;
    float waves;
    int reserved[4];
} blas_choice;

#define CALO_BLAS_FUNCTIONS(X)                                                                                         \
    X(cublasLtCreate, (blas_handle * handle))                                                                          \
    X(cublasLtDestroy, (blas_handle handle))                                                                           \
    X(cublasLtMatmulDescCreate, (blas_product * product, int compute, int scale))                                      \
    X(cublasLtMatmulDescDestroy, (blas_product product))                                                               \
    X(cublasLtMatmulDescSetAttribute, (blas_product product, int attribute, const void *value, size_t size))           \
    X(cublasLtMatrixLayoutCreate, (blas_matrix * matrix, int type, uint64_t rows, uint64_t columns, int64_t lead))     \
    X(cublasLtMatrixLayoutDestroy, (blas_matrix matrix))                                                               \
    X(cublasLtMatmulPreferenceCreate, (blas_preference * preference))                                                  \
    X(cublasLtMatmulPreferenceDestroy, (blas_preference preference))                                                   \
    X(cublasLtMatmulPreferenceSetAttribute, (blas_preference preference, int attribute, const void *value, size_t size)) \
    X(cublasLtMatmulAlgoGetHeuristic,                                                                                  \
      (blas_handle handle, blas_product product, blas_matrix a, blas_matrix b, blas_matrix c, blas_matrix d,           \
       blas_preference preference, int wanted, blas_choice *choices, int *found))                                      \
    X(cublasLtMatmul, (blas_handle handle, blas_product product, const void *alpha, cu_pointer a, blas_matrix a_matrix, \
                       cu_pointer b, blas_matrix b_matrix, const void *beta, cu_pointer c, blas_matrix c_matrix,       \
                       cu_pointer d, blas_matrix d_matrix, const blas_algorithm *algorithm, cu_pointer workspace,      \
                       size_t workspace_bytes, cu_stream stream))

#define CALO_FIELD(name, parameters) int(*name) parameters;
typedef struct calo_blas_api {
    CALO_BLAS_FUNCTIONS(CALO_FIELD)
    void *library; /* stays open for the life of the process */
} calo_blas_api;
#undef CALO_FIELD

typedef struct calo_blas {
    calo_blas_api api;
    blas_handle handle; /* NULL: not open */
} calo_blas;

/* Finds the library of the driver's major version. CALO_EDEVICE when it is not there. */
calo_status calo_blas_load(calo_blas_api *api, int newest, calo_fault *fault);

/* Opens it in the current context; closes it, also when it is not open. */
calo_status calo_blas_open(calo_blas *blas, int newest, calo_fault *fault);
void calo_blas_close(calo_blas *blas);

/* Puts y [rows, N] = x [rows, K] · Wᵀ into the stream: x and W, N rows of K or more, of one type, y of that type or f32.
 * Addresses are those of the numbers; `columns` is N. */
typedef struct calo_blas_product {
    calo_type type, result;
    cu_pointer x, w, y, workspace;
    int64_t rows, columns, inputs, x_stride;
    size_t workspace_bytes;
} calo_blas_product;
calo_status calo_blas_multiply(calo_blas *blas, const calo_blas_product *product, cu_stream stream, calo_fault *fault);

#endif
