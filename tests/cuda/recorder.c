/* The recording device, and the calls. */
#include "recorder.h"

#include "../../engine/shim.h"
#include "../../kernels/activation/activation.h"
#include "../../kernels/attention/attention.h"
#include "../../kernels/concat/concat.h"
#include "../../kernels/conv2d/conv2d.h"
#include "../../kernels/elementwise/elementwise.h"
#include "../../kernels/embedding/embedding.h"
#include "../../kernels/group_norm/group_norm.h"
#include "../../kernels/layer_norm/layer_norm.h"
#include "../../kernels/linear/linear.h"
#include "../../kernels/reduce/reduce.h"
#include "../../kernels/resample/resample.h"
#include "../../kernels/rescale/rescale.h"

#include <stdio.h>
#include <string.h>

/* ---- the device ------------------------------------------------------------------------------------------------- */

static calo_status record_kernel(calo_device *device, const calo_kernel_key *key, calo_kernel **kernel, calo_fault *fault)
{
    recorder *r = (recorder *)device;
    *kernel = NULL;
    for (r->launching = 0; r->launching < r->count; r->launching++) {
        const recorded *k = &r->kernels[r->launching];
        if (k->source == key->source && strcmp(k->entry, key->entry) == 0 && strcmp(k->options, key->options) == 0)
            return CALO_OK;
    }
    if (r->count == r->capacity) {
        r->capacity += 256;
        r->kernels = calo_resize(r->kernels, (size_t)r->capacity, sizeof *r->kernels);
    }
    if (!r->kernels)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a list of kernels");
    r->kernels[r->count++] = (recorded){ .source_name = key->source_name,
                                         .source = key->source,
                                         .capability = r->capability,
                                         .options = calo_copy_string(key->options),
                                         .entry = calo_copy_string(key->entry) };
    return CALO_OK;
}

static calo_status record_launch(calo_device *device, calo_kernel *kernel, const calo_argument *arguments, int count,
                                 const size_t global[3], const size_t local[3], calo_fault *fault)
{
    recorder *r = (recorder *)device;
    recorded *k = &r->kernels[r->launching];
    const int threads = (int)(local[0] * local[1] * local[2]);
    (void)kernel;
    if (threads < 1 || global[0] % local[0] || global[1] % local[1] || global[2] % local[2])
        return calo_fail(fault, CALO_EUSAGE, "%s: blocks of %d threads", k->entry, threads);
    if (threads > k->threads)
        k->threads = threads;
    for (int i = 0; i < count; i++)
        if (arguments[i].kind == CALO_ARG_LOCAL && (int)arguments[i].size > k->dynamic_shared)
            k->dynamic_shared = (int)arguments[i].size;
    return CALO_OK;
}

static calo_status ignore_write(calo_device *device, calo_buffer *buffer, uint64_t offset, const void *from,
                                uint64_t bytes, calo_fault *fault)
{
    (void)device, (void)buffer, (void)offset, (void)from, (void)bytes, (void)fault;
    return CALO_OK;
}

void recorder_init(recorder *r)
{
    static const calo_device_api functions = { .kernel = record_kernel, .launch = record_launch, .write = ignore_write };
    memset(r, 0, sizeof *r);
    r->device.api = &functions;
    calo_device_nominal(&r->device.info);
    r->device.info.backend = CALO_CUDA;
    r->device.info.class = CALO_GPU_CLASS;
    r->device.info.capability = 90;
    r->device.info.compute_units = 132;
    r->device.info.max_work_group = 1024;
    r->device.info.local_memory = 232448;
}

void recorder_free(recorder *r)
{
    for (int i = 0; i < r->count; i++) {
        calo_free(r->kernels[i].options);
        calo_free(r->kernels[i].entry);
    }
    calo_free(r->kernels);
    r->kernels = NULL;
    r->count = 0;
}

/* ---- the calls -------------------------------------------------------------------------------------------------- */

static calo_tensor shaped(calo_type type, int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return calo_shape(type, rank, (int64_t[]){ a, b, c, d });
}

static calo_tensor weights(calo_type type, calo_layout layout, int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    calo_tensor t = shaped(type, rank, a, b, c, d);
    t.layout = layout;
    t.by_output = true;
    return t;
}

/* After a call that the forced variant may not support: leaves it aside. */
static void forgive(calo_run *run)
{
    if (run->fault->status == CALO_EUSAGE && strstr(run->fault->text, "no kernel for"))
        calo_fault_clear(run->fault);
}

/* The weight's types that are worth a compilation: the activations' own, and the widest that a file has beside f32. */
static bool is_worth(const calo_run *run, int weight)
{
    return weight == (int)run->dtype || (run->dtype == CALO_F32 && weight == CALO_F16);
}

/* K long and few rows, so that the tensor-core variants also ask for their sum of splits; with the whole epilogue, and
   gated. */
static void call_linear(calo_run *run)
{
    for (int weight = CALO_F32; weight <= CALO_BF16; weight++) {
        calo_tensor x = shaped(run->dtype, 3, 2, 64, 4096, 0), bias = shaped(CALO_F32, 1, 128, 0, 0, 0);
        calo_linear_weights w = { weights((calo_type)weight, CALO_PANELS, 2, 128, 4096, 0, 0), bias };
        calo_linear_weights gated = { weights((calo_type)weight, CALO_PANELS_GATED, 2, 128, 4096, 0, 0), bias };
        calo_epilogue all = { .activation = CALO_GELU, .channel_bias = shaped(CALO_F32, 2, 2, 128, 0, 0),
                              .residual = shaped(run->dtype, 3, 2, 64, 128, 0) };
        calo_linear_weights narrow = { weights((calo_type)weight, CALO_PANELS, 2, 36, 4096, 0, 0), { 0 } };
        if (is_worth(run, weight)) {
            calo_linear(run, x, &w, &all);
            calo_linear(run, x, &gated, NULL);
            calo_linear(run, x, &narrow, NULL); /* not in whole eights */
        }
        forgive(run);
    }
}

static void call_conv2d(calo_run *run)
{
    static const int forms[][3] = { { 3, 1, 1 }, { 3, 2, 1 }, { 3, 1, 2 }, { 1, 1, 1 } }; /* kernel, stride, upsample */
    for (int weight = CALO_F32; weight <= CALO_BF16; weight++)
        for (int i = 0; i < 4; i++) {
            const int size = forms[i][0], pad = size / 2;
            calo_conv2d_weights w = { .weight = weights((calo_type)weight, CALO_PANELS, 4, 128, size, size, 640),
                                      .bias = shaped(CALO_F32, 1, 128, 0, 0, 0), .stride = forms[i][1],
                                      .pad_top = pad, .pad_left = pad, .pad_bottom = pad, .pad_right = pad,
                                      .upsample = forms[i][2] };
            const int64_t out = 8 * forms[i][2] / forms[i][1];
            calo_epilogue all = { .activation = CALO_SILU, .channel_bias = shaped(CALO_F32, 2, 2, 128, 0, 0),
                                  .residual = shaped(run->dtype, 4, 2, out, out, 128) };
            if (is_worth(run, weight))
                calo_conv2d(run, shaped(run->dtype, 4, 2, 8, 8, 640), &w, i ? NULL : &all);
            forgive(run);
        }
}

static void call_attention(calo_run *run)
{
    static const int dims[] = { 64, 40, 80, 128, 160, 512 }; /* causal: only the first, as CLIP has it */
    for (int i = 0; i < 6; i++)
        for (int causal = 0; causal <= (i == 0); causal++) {
            const calo_attention_args args = { .heads = 2, .causal = causal };
            calo_tensor x = shaped(run->dtype, 3, 2, 96, 2 * dims[i], 0);
            calo_attention(run, x, x, x, &args);
            forgive(run);
        }
}

static void call_norms(calo_run *run)
{
    static const int sides[] = { 16, 256 }; /* a group that shared memory holds, and one that it does not */
    calo_norm_weights w = { .gamma = shaped(CALO_F32, 1, 320, 0, 0, 0), .beta = shaped(CALO_F32, 1, 320, 0, 0, 0),
                            .groups = 32, .eps = 1e-5 };
    for (int i = 0; i < 2; i++) {
        calo_group_norm(run, shaped(run->dtype, 4, 2, sides[i], sides[i], 320), &w, CALO_LINEAR);
        calo_group_norm(run, shaped(run->dtype, 4, 2, sides[i], sides[i], 320), &w, CALO_SILU);
        forgive(run);
    }
    calo_layer_norm(run, shaped(run->dtype, 3, 2, 64, 320, 0), &w);
    forgive(run);
}

static void call_small(calo_run *run)
{
    calo_tensor x = shaped(run->dtype, 4, 2, 8, 8, 20), mask = shaped(run->dtype, 4, 1, 8, 8, 1);
    for (int a = CALO_LINEAR; a <= CALO_QUICK_GELU; a++)
        calo_activate(run, x, (calo_activation)a);
    for (int type = CALO_F32; type <= CALO_BF16; type++) {
        calo_cast(run, x, (calo_type)type);
        calo_embed_tokens(run, shaped(CALO_I32, 2, 2, 77, 0, 0), shaped((calo_type)type, 2, 1000, 64, 0, 0),
                          shaped((calo_type)type, 2, 77, 64, 0, 0));
    }
    calo_blend(run, x, x, mask);
    calo_rescale(run, x, x, 0.7);
    calo_embed_timesteps(run, shaped(CALO_F32, 1, 4, 0, 0, 0), 320, true, 0);
    calo_resample_nearest(run, x, 16, 16);
    calo_resample_bilinear(run, x, 16, 16);
    calo_concat(run, x, x);
    calo_concat(run, shaped(run->dtype, 4, 2, 8, 8, 64), shaped(run->dtype, 4, 2, 8, 8, 64));
    calo_reduce_finite(run, x);
}

static bool call(calo_run *run, void (*calls)(calo_run *run))
{
    calls(run);
    if (run->fault->status)
        printf("%s\n", run->fault->text);
    return run->fault->status == CALO_OK;
}

/* The forced variant in every tuning. */
static bool tune(calo_run *run, void (*calls)(calo_run *run))
{
    int tuning[CALO_MAX_TUNABLES] = { 0 };
    run->forced_tuning = tuning;
    for (;;) {
        if (!call(run, calls))
            return false;
        int i = 0;
        for (; i < CALO_MAX_TUNABLES && run->forced->tunables[i].name; i++) {
            tuning[i]++;
            if (tuning[i] < 6 && run->forced->tunables[i].values[tuning[i]])
                break;
            tuning[i] = 0;
        }
        if (i == CALO_MAX_TUNABLES || !run->forced->tunables[i].name)
            return true;
    }
}

bool record_everything(recorder *r)
{
    static const struct {
        const calo_op *op; /* NULL: all variants by the door's choice */
        void (*calls)(calo_run *run);
    } rows[] = { { &calo_op_linear, call_linear },         { &calo_op_conv2d, call_conv2d },
                 { &calo_op_attention, call_attention },   { &calo_op_group_norm, call_norms },
                 { &calo_op_layer_norm, call_norms },      { NULL, call_small } };
    calo_fault fault = { 0 };
    calo_arena arena;
    bool good = true;
    calo_arena_init(&arena, NULL, &r->device.info);
    for (int type = CALO_F32; type <= CALO_BF16; type++)
        for (size_t row = 0; row < sizeof rows / sizeof *rows && good; row++) {
            calo_run run = { .device = &r->device, .info = r->device.info, .arena = &arena, .dtype = (calo_type)type,
                             .fault = &fault, .forced_op = rows[row].op };
            r->capability = 0;
            if (!rows[row].op) {
                good = call(&run, rows[row].calls);
                continue;
            }
            for (int v = 0; v < rows[row].op->variant_count && good; v++) {
                run.forced = &rows[row].op->variants[v];
                r->capability = run.forced->capability;
                good = run.forced->backend != CALO_CUDA || tune(&run, rows[row].calls);
            }
        }
    calo_arena_free(&arena);
    return good;
}
