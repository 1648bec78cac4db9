/* NVIDIA's own libraries as a device's functions: opened when asked for, used by the variants that are named after them. */
#include "cuda_device.h"

static cu_pointer address(calo_tensor t)
{
    return calo_present(t) ? t.buffer->memory + t.offset : 0;
}

void calo_cuda_open_vendor(calo_device *device)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    calo_fault unused = { 0 };
    if (calo_cuda_enter(d, &unused))
        return;
    if (!d->blas.handle && !calo_blas_open(&d->blas, d->compiler.driver_major, &unused))
        device->info.vendor |= CALO_VENDOR_BLAS;
    calo_fault_clear(&unused);
    if (!d->dnn.handle && !calo_dnn_open(&d->dnn, &unused))
        device->info.vendor |= CALO_VENDOR_DNN;
}

calo_status calo_cuda_product(calo_device *device, calo_tensor x, calo_tensor w, calo_tensor y, calo_tensor workspace,
                              calo_fault *fault)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    const calo_blas_product product = { .type = x.type, .result = y.type, .x = address(x), .w = address(w),
                                        .y = address(y), .workspace = address(workspace),
                                        .rows = calo_tensor_rows(x), .columns = calo_tensor_columns(y),
                                        .inputs = calo_tensor_columns(x), .x_stride = x.stride,
                                        .workspace_bytes = (size_t)calo_tensor_bytes(workspace) };
    calo_status status = calo_cuda_enter(d, fault);
    return status ? status : calo_blas_multiply(&d->blas, &product, d->stream, fault);
}

calo_status calo_cuda_convolve(calo_device *device, calo_tensor x, calo_tensor w, calo_tensor bias, calo_tensor y,
                               const calo_padding *padding, calo_tensor workspace, calo_fault *fault)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    calo_dnn_convolution c = { .type = x.type, .stride = padding->stride,
                               .before = { padding->top, padding->left }, .after = { padding->bottom, padding->right },
                               .x_at = address(x), .w_at = address(w), .bias_at = address(bias), .y_at = address(y) };
    for (int i = 0; i < 4; i++) {
        c.x[i] = x.dims[i];
        c.w[i] = w.dims[i];
        c.y[i] = y.dims[i];
    }
    calo_status status = calo_cuda_enter(d, fault);
    return status ? status
                  : calo_dnn_convolve(&d->dnn, &c, address(workspace), (size_t)calo_tensor_bytes(workspace), d->stream,
                                      fault);
}

calo_status calo_cuda_attend(calo_device *device, calo_tensor q, calo_tensor k, calo_tensor v, calo_tensor y, int heads,
                             double scale, calo_tensor workspace, calo_fault *fault)
{
    calo_cuda_device *d = (calo_cuda_device *)device;
    const calo_dnn_attention a = { .type = q.type, .batch = q.dims[0], .queries = q.dims[1], .keys = k.dims[1],
                                   .heads = heads, .dim = q.dims[2] / heads, .q_stride = q.stride, .k_stride = k.stride,
                                   .v_stride = v.stride, .scale = (float)scale, .q_at = address(q), .k_at = address(k),
                                   .v_at = address(v), .y_at = address(y) };
    calo_status status = calo_cuda_enter(d, fault);
    return status ? status
                  : calo_dnn_attend(&d->dnn, &a, address(workspace), (size_t)calo_tensor_bytes(workspace), d->stream,
                                    fault);
}
