/* The declarations of cuBLASLt and cuDNN against their headers, where the machine that compiles has them; and cuDNN's
   opinion of our graphs, where the machine that runs has its library: tensors, convolutions and attention are described
   to it for real. What needs a GPU from there on (graph, engine, plan) is answered here.

       check_vendor        ends with a count; 77 when there is neither */
#include "../../engine/cuda_blas.h"
#include "../../engine/cuda_dnn.h"

#include <stdio.h>
#include <string.h>

#ifdef CALO_VENDOR_HEADERS
#include <cublasLt.h>
#include <cudnn_graph.h>

#define EQUAL(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs);
#define SAME(ours, theirs, value) EQUAL(value, theirs)
CALO_DNN_NUMBERS(SAME)
EQUAL(BLAS_TRANSPOSE, CUBLAS_OP_T)
EQUAL(BLAS_COMPUTE_F32, CUBLAS_COMPUTE_32F)
EQUAL(BLAS_PRODUCT_TRANSPOSE_A, CUBLASLT_MATMUL_DESC_TRANSA)
EQUAL(BLAS_PREFERENCE_WORKSPACE, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
EQUAL(CUDA_TYPE_F32, CUDA_R_32F)
EQUAL(CUDA_TYPE_F16, CUDA_R_16F)
EQUAL(CUDA_TYPE_BF16, CUDA_R_16BF)
EQUAL(sizeof(blas_algorithm), sizeof(cublasLtMatmulAlgo_t))
EQUAL(sizeof(blas_choice), sizeof(cublasLtMatmulHeuristicResult_t))
EQUAL(offsetof(blas_choice, status), offsetof(cublasLtMatmulHeuristicResult_t, state))
enum { HEADERS = 1 };
#else
enum { HEADERS = 0 };
#endif

static calo_dnn_api real;
static char fake; /* the address of what is not cuDNN's */
static int described, refused;

static int create(int kind, dnn_descriptor *made)
{
    *made = &fake;
    return kind == DNN_GRAPH || kind == DNN_HEURISTICS || kind == DNN_ENGINE_CONFIG || kind == DNN_PLAN || kind == DNN_PACK
               ? 0
               : real.cudnnBackendCreateDescriptor(kind, made);
}

static int destroy(dnn_descriptor which)
{
    return which == &fake ? 0 : real.cudnnBackendDestroyDescriptor(which);
}

static int set(dnn_descriptor which, int attribute, int type, int64_t count, const void *values)
{
    const int code = which == &fake ? 0 : real.cudnnBackendSetAttribute(which, attribute, type, count, values);
    if (code)
        printf("cuDNN refuses attribute %d: %d\n", attribute, code);
    return code;
}

static int finish(dnn_descriptor which)
{
    if (which == &fake)
        return 0;
    const int code = real.cudnnBackendFinalize(which);
    described += code == 0;
    refused += code != 0;
    if (code)
        printf("cuDNN refuses a description: %d\n", code);
    return code;
}

static int get(dnn_descriptor which, int attribute, int type, int64_t room, int64_t *count, void *values)
{
    (void)which, (void)type, (void)room;
    *count = 1;
    if (attribute == DNN_PLAN_WORKSPACE)
        *(int64_t *)values = 0;
    return 0;
}

static int set_stream(dnn_handle handle, cu_stream stream)
{
    (void)handle, (void)stream;
    return 0;
}

static int execute(dnn_handle handle, dnn_descriptor plan, dnn_descriptor pack)
{
    (void)handle, (void)plan, (void)pack;
    return 0;
}

int main(void)
{
    static const calo_dnn_convolution convolutions[] = {
        { CALO_BF16, { 2, 64, 64, 320 }, { 320, 3, 3, 320 }, { 2, 64, 64, 320 }, 1, { 1, 1 }, { 1, 1 }, 16, 16, 16, 16 },
        { CALO_F16, { 1, 65, 64, 128 }, { 256, 3, 3, 128 }, { 1, 32, 32, 256 }, 2, { 0, 0 }, { 0, 1 }, 16, 16, 0, 16 },
        { CALO_F16, { 2, 8, 8, 1280 }, { 640, 1, 1, 1280 }, { 2, 8, 8, 640 }, 1, { 0, 0 }, { 0, 0 }, 16, 16, 16, 16 },
    };
    static const calo_dnn_attention attentions[] = {
        { CALO_BF16, 2, 4096, 4096, 8, 40, 960, 960, 960, 0.158f, 16, 16, 16, 16 },
        { CALO_F16, 2, 1024, 77, 10, 64, 640, 1280, 1280, 0.125f, 16, 16, 16, 16 },
    };
    calo_fault fault = { 0 };
    calo_dnn dnn = { 0 };
    int passed = HEADERS, failed = 0;
    if (!HEADERS)
        printf("SKIP the headers of cuBLASLt and cuDNN are not on the machine that compiled this\n");
    if (calo_dnn_load(&real, &fault)) {
        printf("SKIP %s\n%d passed, 0 failed, %d skipped\n", fault.text, passed, 6 - passed);
        return passed ? 0 : 77;
    }
    dnn.api = (calo_dnn_api){ real.cudnnCreate, real.cudnnDestroy, set_stream, create, destroy, finish, set, get, execute,
                              NULL };
    for (size_t i = 0; i < sizeof convolutions / sizeof *convolutions; i++) {
        const bool good = calo_dnn_convolve(&dnn, &convolutions[i], 16, 1 << 20, NULL, &fault) == CALO_OK && !refused;
        passed += good;
        failed += !good;
    }
    for (size_t i = 0; i < sizeof attentions / sizeof *attentions; i++) {
        const bool good = calo_dnn_attend(&dnn, &attentions[i], 16, 1 << 20, NULL, &fault) == CALO_OK && !refused;
        passed += good;
        failed += !good;
    }
    if (failed)
        printf("%s\n", fault.text);
    calo_dnn_close(&dnn);
    printf("%d descriptions taken\n%d passed, %d failed, %d skipped\n", described, passed, failed, 1 - HEADERS);
    return failed || described < 20;
}
