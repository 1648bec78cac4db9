/* cuDNN 9, found at run time: convolutions and attention on a CUDA device by NVIDIA's own kernels, through its graph API,
   to be measured against ours. The declarations are what its ABI has; a test holds them to the header. */
#ifndef CALO_CUDA_DNN_H
#define CALO_CUDA_DNN_H

#include "cuda_api.h"
#include "tensor.h"

typedef struct dnn_handle_record *dnn_handle;
typedef void *dnn_descriptor;

/* Of cudnn_graph.h, by the names that it has there: kinds of descriptors, types of values, values, attributes. */
#define CALO_DNN_NUMBERS(X)                                                                                            \
    X(DNN_POINTWISE, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, 0)                                                            \
    X(DNN_CONVOLUTION, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, 1)                                                        \
    X(DNN_ENGINE_CONFIG, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, 3)                                                        \
    X(DNN_HEURISTICS, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, 4)                                                          \
    X(DNN_PLAN, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, 5)                                                            \
    X(DNN_CONVOLUTION_FORWARD, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, 10)                             \
    X(DNN_POINTWISE_OPERATION, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, 13)                                       \
    X(DNN_GRAPH, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, 15)                                                          \
    X(DNN_PACK, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, 16)                                                             \
    X(DNN_TENSOR, CUDNN_BACKEND_TENSOR_DESCRIPTOR, 17)                                                                 \
    X(DNN_ATTENTION_FORWARD, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, 41)                                          \
    X(DNN_OF_HANDLE, CUDNN_TYPE_HANDLE, 0)                                                                             \
    X(DNN_OF_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1)                                                                       \
    X(DNN_OF_BOOLEAN, CUDNN_TYPE_BOOLEAN, 2)                                                                           \
    X(DNN_OF_INT64, CUDNN_TYPE_INT64, 3)                                                                               \
    X(DNN_OF_FLOAT, CUDNN_TYPE_FLOAT, 4)                                                                               \
    X(DNN_OF_POINTER, CUDNN_TYPE_VOID_PTR, 6)                                                                          \
    X(DNN_OF_CONVOLUTION_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 7)                                                         \
    X(DNN_OF_HEURISTICS_MODE, CUDNN_TYPE_HEUR_MODE, 8)                                                                 \
    X(DNN_OF_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 14)                                                            \
    X(DNN_OF_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 15)                                                            \
    X(DNN_FLOAT, CUDNN_DATA_FLOAT, 0)                                                                                  \
    X(DNN_HALF, CUDNN_DATA_HALF, 2)                                                                                    \
    X(DNN_BFLOAT16, CUDNN_DATA_BFLOAT16, 9)                                                                            \
    X(DNN_CROSS_CORRELATION, CUDNN_CROSS_CORRELATION, 1)                                                               \
    X(DNN_ADD, CUDNN_POINTWISE_ADD, 0)                                                                                 \
    X(DNN_HEURISTICS_A, CUDNN_HEUR_MODE_A, 3)                                                                          \
    X(DNN_POINTWISE_MODE, CUDNN_ATTR_POINTWISE_MODE, 0)                                                                \
    X(DNN_POINTWISE_PRECISION, CUDNN_ATTR_POINTWISE_MATH_PREC, 1)                                                      \
    X(DNN_CONVOLUTION_TYPE, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, 100)                                                     \
    X(DNN_CONVOLUTION_MODE, CUDNN_ATTR_CONVOLUTION_CONV_MODE, 101)                                                     \
    X(DNN_CONVOLUTION_DILATIONS, CUDNN_ATTR_CONVOLUTION_DILATIONS, 102)                                                \
    X(DNN_CONVOLUTION_STRIDES, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 103)                                             \
    X(DNN_CONVOLUTION_AFTER, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 104)                                                \
    X(DNN_CONVOLUTION_BEFORE, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 105)                                                \
    X(DNN_CONVOLUTION_SPATIAL, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 106)                                               \
    X(DNN_HEURISTICS_MODE, CUDNN_ATTR_ENGINEHEUR_MODE, 200)                                                            \
    X(DNN_HEURISTICS_GRAPH, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 201)                                                \
    X(DNN_HEURISTICS_RESULTS, CUDNN_ATTR_ENGINEHEUR_RESULTS, 202)                                                      \
    X(DNN_PLAN_HANDLE, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, 400)                                                          \
    X(DNN_PLAN_CONFIG, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 401)                                                   \
    X(DNN_PLAN_WORKSPACE, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 402)                                               \
    X(DNN_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 700)                                          \
    X(DNN_FORWARD_BETA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 701)                                            \
    X(DNN_FORWARD_CONVOLUTION, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 702)                                \
    X(DNN_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, 703)                                                  \
    X(DNN_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, 704)                                                  \
    X(DNN_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, 705)                                                  \
    X(DNN_OPERATION_POINTWISE, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 750)                                      \
    X(DNN_OPERATION_X, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, 751)                                                      \
    X(DNN_OPERATION_B, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, 752)                                                      \
    X(DNN_OPERATION_Y, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, 753)                                                      \
    X(DNN_GRAPH_HANDLE, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, 800)                                                         \
    X(DNN_GRAPH_OPERATIONS, CUDNN_ATTR_OPERATIONGRAPH_OPS, 801)                                                        \
    X(DNN_TENSOR_ALIGNMENT, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 900)                                                     \
    X(DNN_TENSOR_TYPE, CUDNN_ATTR_TENSOR_DATA_TYPE, 901)                                                               \
    X(DNN_TENSOR_DIMS, CUDNN_ATTR_TENSOR_DIMENSIONS, 902)                                                              \
    X(DNN_TENSOR_STRIDES, CUDNN_ATTR_TENSOR_STRIDES, 903)                                                              \
    X(DNN_TENSOR_ID, CUDNN_ATTR_TENSOR_UNIQUE_ID, 906)                                                                 \
    X(DNN_TENSOR_VIRTUAL, CUDNN_ATTR_TENSOR_IS_VIRTUAL, 907)                                                           \
    X(DNN_TENSOR_BY_VALUE, CUDNN_ATTR_TENSOR_IS_BY_VALUE, 908)                                                         \
    X(DNN_PACK_IDS, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, 1000)                                                          \
    X(DNN_PACK_POINTERS, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, 1001)                                                  \
    X(DNN_PACK_WORKSPACE, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, 1003)                                                     \
    X(DNN_ATTENTION_Q, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, 2800)                                                      \
    X(DNN_ATTENTION_K, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, 2801)                                                      \
    X(DNN_ATTENTION_V, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, 2802)                                                      \
    X(DNN_ATTENTION_Y, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, 2803)                                                      \
    X(DNN_ATTENTION_SCALE, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, 2805)
#define CALO_NUMBER(name, theirs, value) name = value,
enum { CALO_DNN_NUMBERS(CALO_NUMBER) };
#undef CALO_NUMBER

#define CALO_DNN_FUNCTIONS(X)                                                                                          \
    X(cudnnCreate, (dnn_handle * handle))                                                                              \
    X(cudnnDestroy, (dnn_handle handle))                                                                               \
    X(cudnnSetStream, (dnn_handle handle, cu_stream stream))                                                           \
    X(cudnnBackendCreateDescriptor, (int kind, dnn_descriptor *descriptor))                                            \
    X(cudnnBackendDestroyDescriptor, (dnn_descriptor descriptor))                                                      \
    X(cudnnBackendFinalize, (dnn_descriptor descriptor))                                                               \
    X(cudnnBackendSetAttribute,                                                                                        \
      (dnn_descriptor descriptor, int attribute, int type, int64_t count, const void *values))                         \
    X(cudnnBackendGetAttribute,                                                                                        \
      (dnn_descriptor descriptor, int attribute, int type, int64_t room, int64_t *count, void *values))                \
    X(cudnnBackendExecute, (dnn_handle handle, dnn_descriptor plan, dnn_descriptor pack))

#define CALO_FIELD(name, parameters) int(*name) parameters;
typedef struct calo_dnn_api {
    CALO_DNN_FUNCTIONS(CALO_FIELD)
    void *library; /* stays open for the life of the process */
} calo_dnn_api;
#undef CALO_FIELD

typedef struct calo_dnn_plan calo_dnn_plan; /* a graph that cuDNN found an engine for */

typedef struct calo_dnn {
    calo_dnn_api api;
    dnn_handle handle; /* NULL: not open */
    calo_dnn_plan *plans;
} calo_dnn;

calo_status calo_dnn_load(calo_dnn_api *api, calo_fault *fault);

/* Opens it in the current context; closes it, also when it is not open. */
calo_status calo_dnn_open(calo_dnn *dnn, calo_fault *fault);
void calo_dnn_close(calo_dnn *dnn);

/* What to do, all channels-last: y [N, P, Q, K] = x [N, H, W, C] ∗ w [K, R, S, C] + bias [K] (f32; address 0: none). */
typedef struct calo_dnn_convolution {
    calo_type type;
    int64_t x[4], w[4], y[4]; /* dims */
    int64_t stride, before[2], after[2]; /* padding: rows, columns */
    cu_pointer x_at, w_at, bias_at, y_at;
} calo_dnn_convolution;

/* y [B, T, heads · D] = softmax(scale · q kᵀ) v, of the same batches; strides are elements from one row to the next. */
typedef struct calo_dnn_attention {
    calo_type type;
    int64_t batch, queries, keys, heads, dim;
    int64_t q_stride, k_stride, v_stride;
    float scale;
    cu_pointer q_at, k_at, v_at, y_at;
} calo_dnn_attention;

/* Put the work into the stream. A graph's engine is sought once (which takes its time) and kept. */
calo_status calo_dnn_convolve(calo_dnn *dnn, const calo_dnn_convolution *c, cu_pointer workspace, size_t bytes,
                              cu_stream stream, calo_fault *fault);
calo_status calo_dnn_attend(calo_dnn *dnn, const calo_dnn_attention *a, cu_pointer workspace, size_t bytes,
                            cu_stream stream, calo_fault *fault);

#endif
