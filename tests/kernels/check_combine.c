/* combine: 1 to 8 inputs, a clamp, a constant, another type of result, writing onto an input, guidance of 8. */
#include "checkkernel.h"

#include "../../kernels/elementwise/elementwise.h"

static const int64_t sizes[][3] = { { 1, 1, 1 },   { 1, 3, 5 },    { 1, 1, 16 },   { 2, 31, 33 },
                                    { 1, 64, 64 }, { 3, 17, 241 }, { 1, 9, 1367 }, { 2, 1, 1024 } };

static const calo_type types[] = { CALO_F32, CALO_F16, CALO_BF16 };

static void inputs(check *c, calo_tensor *in, double *coefficients, int count, data_kind data, const int64_t *dims)
{
    const double scale = data == LIMITS ? 1.0 / count : 1;
    for (int k = 0; k < count; k++) {
        coefficients[k] = data == LIMITS ? (k % 2 ? -1 : 0.75) : 2 * check_uniform(c) - 1;
        in[k] = check_activations(c, data, scale, 3, dims);
    }
    c->magnitude = check_size(c, data) * scale * count;
}

static void sums(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(sizes); i++)
        for (int count = 1; count <= CALO_MAX_INPUTS; count++)
            for (int p = check_pairs(pairs, false, count == 2 || count == 5, i + count); p-- > 0;) {
                const data_kind data = (data_kind)((i + count) % 5);
                const calo_type out = types[(i + count + p) % 3];
                const double clamp = (i + count) % 3 == 0 ? 0.7 * check_size(c, NORMAL) : 0;
                calo_tensor in[CALO_MAX_INPUTS];
                double coefficients[CALO_MAX_INPUTS];
                if ((count + i) % 2 && count > 2)
                    continue;
                if (!check_case(c, pairs[p], "%dof%dx%dx%d-to-%s%s-%s", count, (int)sizes[i][0], (int)sizes[i][1],
                                (int)sizes[i][2], calo_type_name(out), clamp > 0 ? "-clamped" : "",
                                data_kind_names[data]))
                    continue;
                if (data == LIMITS && out == CALO_F16 && pairs[p].act != CALO_F16) { /* it would overflow */
                    check_end(c);
                    continue;
                }
                inputs(c, in, coefficients, count, data, sizes[i]);
                c->batched = (1u << count) - 1;
                calo_combine(&c->run, in, coefficients, count, clamp, out);
                check_end(c);
            }
}

/* A scheduler's register is both input and result. */
static void onto_input(check *c)
{
    type_pair pairs[9];
    for (int i = 0; i < COUNT(sizes); i++)
        for (int target = 0; target < 2; target++)
            for (int p = check_pairs(pairs, false, true, i); p-- > 0;) {
                calo_tensor in[3];
                double coefficients[3];
                if (!check_case(c, pairs[p], "onto%d-3of%dx%dx%d", target, (int)sizes[i][0], (int)sizes[i][1],
                                (int)sizes[i][2]))
                    continue;
                inputs(c, in, coefficients, 3, NORMAL, sizes[i]);
                calo_combine_into(&c->run, in[target], in, coefficients, 3, 0);
                check_end(c);
            }
}

/* Guidance: u + Σ s_i (c_i − u) of denoiser outputs in the run's type, into the sampler's f32. */
static void guidance(check *c)
{
    static const int64_t latents[][3] = { { 1, 1, 1 }, { 1, 9 * 13, 4 }, { 1, 64 * 64, 4 }, { 2, 128 * 128, 4 } };
    for (int i = 0; i < COUNT(latents); i++)
        for (int type = 0; type < COUNT(types); type++) {
            calo_tensor in[CALO_MAX_INPUTS];
            double coefficients[CALO_MAX_INPUTS] = { 1 };
            if (!check_case(c, (type_pair){ types[type], CALO_F32 }, "guidance-%dx%dx%d", (int)latents[i][0],
                            (int)latents[i][1], (int)latents[i][2]))
                continue;
            for (int k = 0; k < CALO_MAX_INPUTS; k++) {
                in[k] = check_activations(c, NORMAL, 1, 3, latents[i]);
                if (k) {
                    coefficients[k] = 7.5 / k - 1.25; /* two are negative, none is 0 */
                    coefficients[0] -= coefficients[k];
                }
            }
            c->magnitude = 8;
            c->batched = 0xff;
            calo_combine(&c->run, in, coefficients, CALO_MAX_INPUTS, 0, CALO_F32);
            check_end(c);
        }
}

static void wrappers(check *c)
{
    type_pair pairs[9];
    for (int p = check_pairs(pairs, false, true, 0); p-- > 0;)
        for (int which = 0; which < 4; which++) {
            static const char *const names[] = { "add", "scale", "cast", "affine" };
            if (!check_case(c, pairs[p], "%s", names[which]))
                continue;
            const calo_tensor a = check_activations(c, NORMAL, 1, 3, sizes[3]);
            const calo_tensor b = check_activations(c, NORMAL, 1, 3, sizes[3]);
            c->magnitude = 2;
            c->exact = which == 2 && pairs[p].act != CALO_F32;
            if (which == 0)
                calo_add(&c->run, a, b);
            else if (which == 1)
                calo_scale(&c->run, a, 0.18215);
            else if (which == 2)
                calo_cast(&c->run, a, CALO_F32);
            else
                calo_affine(&c->run, a, 0.5, 0.5, CALO_F32);
            check_end(c);
        }
}

/* Casts are exact: ties to even, both ends of the subnormal numbers, the largest before infinity. */
static void casts(check *c)
{
    static const float numbers[] = {
        0,          0x1p-24f,    0x1.8p-24f, 0x1p-25f,  0x1.000002p-25f,  0x1.ffcp-15f, 0x1.ffep-15f,
        0x1.002p0f, 0x1.006p0f,  0x1.001p0f, 0x1.01p0f, 0x1.03p0f,        0x1.008p0f,   65504,
        65519.996f, -0x1.002p3f, -0x1.01p9f, 0x1p-126f, 0x1.fffffep-127f, 0x1.01p-127f, 1.0f / 3
    };
    const int64_t dims[] = { 3, COUNT(numbers) };
    float values[3 * COUNT(numbers)];
    for (int to = 0; to < COUNT(types); to++) {
        if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "cast-to-%s", calo_type_name(types[to])))
            continue;
        for (int i = 0; i < COUNT(values); i++)
            values[i] = (i / COUNT(numbers) == 1 ? -1 : 1) * numbers[i % COUNT(numbers)];
        c->exact = true;
        calo_cast(&c->run, check_given(c, CALO_F32, 2, dims, values), types[to]);
        check_end(c);
    }
}

static void refusals(check *c)
{
    if (!check_case(c, (type_pair){ CALO_F32, CALO_F32 }, "refusals"))
        return;
    calo_tensor in[2] = { check_activations(c, NORMAL, 1, 3, sizes[1]), check_activations(c, NORMAL, 1, 3, sizes[2]) };
    calo_combine(&c->run, in, (double[]){ 1, 1 }, 2, 0, CALO_AUTO);
    check_refused(c, "inputs of different shapes");
    calo_tensor same = check_activations(c, NORMAL, 1, 3, sizes[1]);
    calo_combine(&c->run, (calo_tensor[]){ same, same, same, same, same, same, same, same, same },
                 (double[]){ 1, 1, 1, 1, 1, 1, 1, 1, 1 }, 9, 0, CALO_AUTO);
    check_refused(c, "nine inputs");
    same = check_columns(c, NORMAL, 1, 3, sizes[1], 1, 9);
    calo_scale(&c->run, same, 2);
    check_refused(c, "rows that lie apart");
}

void check_combine(check *c)
{
    sums(c);
    onto_input(c);
    guidance(c);
    wrappers(c);
    casts(c);
    refusals(c);
}
