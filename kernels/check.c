/* Check mode: an op's result against its reference. */
#include "check.h"
#include "../engine/shim.h"
#include "ledger.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Half the distance between neighbours at 1: what one rounding to the type may cost, relative. */
static double unit_roundoff(calo_type type)
{
    return type == CALO_F16 ? 0x1p-11 : type == CALO_BF16 ? 0x1p-8 : 0x1p-24;
}

calo_verdict calo_judge(const double *expected, const float *naive, const double *got, int64_t count, calo_type type)
{
    double roundoff = unit_roundoff(type), largest = 0, naive_error = 0;
    calo_verdict verdict = { .passed = true, .at = -1 };
    for (int64_t i = 0; i < count; i++) {
        double size = fabs(expected[i]), error = fabs((double)naive[i] - expected[i]);
        if (size > largest)
            largest = size;
        if (error > naive_error)
            naive_error = error;
    }
    /* The naive result would have been rounded to the type as well; four roundings of the largest value are the floor. */
    verdict.bound = 2 * (naive_error + roundoff * largest) + 4 * 0x1p-24 * largest + 1e-30;
    for (int64_t i = 0; i < count; i++) {
        double error = fabs(got[i] - expected[i]);
        if (!(error <= verdict.error) && !isnan(verdict.error)) {
            verdict.error = error;
            verdict.at = i;
        }
    }
    if (verdict.at >= 0) {
        verdict.got = got[verdict.at];
        verdict.expected = expected[verdict.at];
    }
    verdict.passed = verdict.error <= verdict.bound;
    return verdict;
}

/* Memory index of logical element (n, k) of a packed weight of N outputs and K inputs. */
static int64_t panel_index(calo_tensor t, int64_t n, int64_t k, int64_t outputs, int64_t inputs)
{
    int64_t panel = n / CALO_PANEL, column = n % CALO_PANEL;
    if (t.layout == CALO_PANELS_GATED) {
        const int64_t half = CALO_PANEL / 2, features = outputs / 2, gate = n >= features, f = n - gate * features;
        panel = f / half;
        column = gate * half + f % half;
    }
    return panel * inputs * CALO_PANEL + (t.by_output ? column * inputs + k : k * CALO_PANEL + column);
}

/* A strided tensor is read as the whole span from its first to its last element. */
double *calo_tensor_doubles(calo_run *run, calo_tensor t)
{
    int64_t count = calo_tensor_count(t), rows = calo_tensor_rows(t), columns = calo_tensor_columns(t);
    calo_tensor span = t;
    if (t.layout == CALO_ROWS)
        span = calo_shape(t.type, 1, (int64_t[]){ (rows - 1) * t.stride + columns });
    else
        span = calo_shape(t.type, 1, (int64_t[]){ (int64_t)(calo_tensor_bytes(t) / calo_type_size(t.type)) });
    span.buffer = t.buffer;
    span.offset = t.offset;

    int64_t span_count = span.dims[0];
    float *raw = calo_alloc((size_t)span_count, sizeof *raw);
    double *values = calo_alloc((size_t)count, sizeof *values);
    if (!raw || !values) {
        calo_fail(run->fault, CALO_EMEMORY, "check: no host memory for %" PRId64 " numbers", span_count);
        goto failed;
    }
    calo_download(run, span, raw);
    if (calo_failed(run))
        goto failed;
    if (t.layout == CALO_ROWS) {
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < columns; c++) {
                int32_t integer;
                memcpy(&integer, &raw[r * t.stride + c], sizeof integer);
                values[r * columns + c] = t.type == CALO_I32 ? integer : raw[r * t.stride + c];
            }
    } else {
        int64_t outputs = t.dims[0], inputs = count / outputs;
        for (int64_t n = 0; n < outputs; n++)
            for (int64_t k = 0; k < inputs; k++)
                values[n * inputs + k] = raw[panel_index(t, n, k, outputs, inputs)];
    }
    calo_free(raw);
    return values;

failed:
    calo_free(raw);
    calo_free(values);
    return NULL;
}

void calo_witness_inputs(calo_run *run, const calo_call *call, calo_witness *witness)
{
    for (int i = 0; i < CALO_MAX_INPUTS; i++)
        if (calo_present(call->in[i]))
            witness->in[i] = calo_tensor_doubles(run, call->in[i]);
}

static void compare(calo_run *run, const calo_call *call, const calo_variant *variant, const calo_witness *witness)
{
    int64_t count = calo_tensor_count(call->out);
    float *naive_in[CALO_MAX_INPUTS] = { NULL };
    float *naive = calo_alloc((size_t)count, sizeof *naive);
    double *expected = calo_alloc((size_t)count, sizeof *expected);
    double *got = calo_tensor_doubles(run, call->out);
    bool memory = naive && expected && got;
    for (int i = 0; i < CALO_MAX_INPUTS && memory; i++)
        if (witness->in[i]) {
            int64_t size = calo_tensor_count(call->in[i]);
            naive_in[i] = calo_alloc((size_t)size, sizeof **naive_in);
            memory = naive_in[i] != NULL;
            for (int64_t k = 0; k < size && memory; k++)
                naive_in[i][k] = (float)witness->in[i][k];
        }
    if (!memory) {
        calo_fail(run->fault, CALO_EMEMORY, "check: no host memory for %" PRId64 " numbers", count);
        goto done;
    }

    call->op->reference(call, (const double *const *)witness->in, expected);
    call->op->naive(call, (const float *const *)naive_in, naive);
    calo_verdict verdict = calo_judge(expected, naive, got, count, call->out.type);
    char shapes[160];
    if (!verdict.passed)
        calo_fail(run->fault, CALO_ENONFINITE,
                  "check: %s: %s %s, variant %s, departs from its reference at element %" PRId64
                  ": %.9g instead of %.9g (error %.3g, allowed %.3g)",
                  run->label ? run->label : "", call->op->name, calo_call_text(call, shapes, sizeof shapes),
                  variant->name, verdict.at, verdict.got, verdict.expected, verdict.error, verdict.bound);

done:
    for (int i = 0; i < CALO_MAX_INPUTS; i++)
        calo_free(naive_in[i]);
    calo_free(naive);
    calo_free(expected);
    calo_free(got);
}

void calo_check_output(calo_run *run, const calo_call *call, const calo_variant *variant, calo_witness *witness)
{
    if (!calo_failed(run))
        compare(run, call, variant, witness);
    for (int i = 0; i < CALO_MAX_INPUTS; i++) {
        calo_free(witness->in[i]);
        witness->in[i] = NULL;
    }
}
