/* Products by cuBLASLt. It counts columns first: y's memory [rows, N] is its matrix N × rows, W's its K × N, x's its
   K × rows, so y = Wᵀ · x with W transposed. */
#include "cuda_blas.h"

calo_status calo_blas_open(calo_blas *blas, int newest, calo_fault *fault)
{
    calo_status status = calo_blas_load(&blas->api, newest, fault);
    if (status)
        return status;
    const int code = blas->api.cublasLtCreate(&blas->handle);
    if (!code)
        return CALO_OK;
    blas->handle = NULL;
    return calo_fail(fault, CALO_EDEVICE, "cuBLASLt does not start (%d)", code);
}

void calo_blas_close(calo_blas *blas)
{
    if (blas->handle)
        blas->api.cublasLtDestroy(blas->handle);
    blas->handle = NULL;
}

static int type_of(calo_type type)
{
    return type == CALO_F16 ? CUDA_TYPE_F16 : type == CALO_BF16 ? CUDA_TYPE_BF16 : CUDA_TYPE_F32;
}

calo_status calo_blas_multiply(calo_blas *blas, const calo_blas_product *p, cu_stream stream, calo_fault *fault)
{
    const calo_blas_api *api = &blas->api;
    const int transpose = BLAS_TRANSPOSE;
    const float one = 1, zero = 0;
    blas_product product = NULL;
    blas_matrix w = NULL, x = NULL, y = NULL;
    blas_preference preference = NULL;
    blas_choice choice;
    int found = 0;
    int code = api->cublasLtMatmulDescCreate(&product, BLAS_COMPUTE_F32, CUDA_TYPE_F32);
    if (!code)
        code = api->cublasLtMatmulDescSetAttribute(product, BLAS_PRODUCT_TRANSPOSE_A, &transpose, sizeof transpose);
    if (!code)
        code = api->cublasLtMatrixLayoutCreate(&w, type_of(p->type), (uint64_t)p->inputs, (uint64_t)p->columns, p->inputs);
    if (!code)
        code = api->cublasLtMatrixLayoutCreate(&x, type_of(p->type), (uint64_t)p->inputs, (uint64_t)p->rows, p->x_stride);
    if (!code)
        code = api->cublasLtMatrixLayoutCreate(&y, type_of(p->result), (uint64_t)p->columns, (uint64_t)p->rows, p->columns);
    if (!code)
        code = api->cublasLtMatmulPreferenceCreate(&preference);
    if (!code)
        code = api->cublasLtMatmulPreferenceSetAttribute(preference, BLAS_PREFERENCE_WORKSPACE, &p->workspace_bytes,
                                                         sizeof p->workspace_bytes);
    if (!code)
        code = api->cublasLtMatmulAlgoGetHeuristic(blas->handle, product, w, x, y, y, preference, 1, &choice, &found);
    if (!code && found)
        code = api->cublasLtMatmul(blas->handle, product, &one, p->w, w, p->x, x, &zero, p->y, y, p->y, y,
                                   &choice.algorithm, p->workspace, p->workspace_bytes, stream);
    if (preference)
        api->cublasLtMatmulPreferenceDestroy(preference);
    if (y)
        api->cublasLtMatrixLayoutDestroy(y);
    if (x)
        api->cublasLtMatrixLayoutDestroy(x);
    if (w)
        api->cublasLtMatrixLayoutDestroy(w);
    if (product)
        api->cublasLtMatmulDescDestroy(product);
    if (code || !found)
        return calo_fail(fault, CALO_EDEVICE, "cuBLASLt does not multiply [%lld,%lld] by [%lld,%lld] (%d)",
                         (long long)p->rows, (long long)p->inputs, (long long)p->columns, (long long)p->inputs, code);
    return CALO_OK;
}
