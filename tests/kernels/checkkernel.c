/* Options, the loop over devices and ops, and the books. */
#include "checkkernel.h"

#include "../../engine/shim.h"
#include "../cuda/emulated_driver.h"
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

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "checkkernel: every variant of every op against the op's reference\n"
    "  --op NAME        only this op                 --case PATTERN  only cases that match\n"
    "  --variant NAME   only this variant            --type A[:W]    only these types, \"f16\" or \"f32:bf16\"\n"
    "  --tuning TEXT    only this one, \"ROWS=8\"      --device NAME   only this one, \"opencl:0\" (cuda-emulated: CUDA on the CPU)\n"
    "  --seed N         of the data, 1 by default    --full          real models' shapes, too\n"
    "  --bench          then time the same cases     --list          say what there is to check\n"
    "  --kernels DIR    sources from a folder        --verbose       a line for every trial\n";

static const op_check op_checks[] = {
    { &calo_op_activation, check_activation }, { &calo_op_attention, check_attention },
    { &calo_op_blend, check_blend },           { &calo_op_combine, check_combine },
    { &calo_op_concat, check_concat },         { &calo_op_conv2d, check_conv2d },
    { &calo_op_group_norm, check_group_norm }, { &calo_op_layer_norm, check_layer_norm },
    { &calo_op_linear, check_linear },         { &calo_op_reduce, check_reduce },
    { &calo_op_resample, check_resample },     { &calo_op_rescale, check_rescale },
    { &calo_op_timesteps, check_timesteps },   { &calo_op_tokens, check_tokens },
};

/* ---- cases ------------------------------------------------------------------------------------------------------ */

int check_tunings(const calo_variant *variant)
{
    int count = 1;
    for (int i = 0; i < CALO_MAX_TUNABLES && variant->tunables[i].name; i++) {
        int values = 0;
        while (values < 6 && variant->tunables[i].values[values])
            values++;
        count *= values;
    }
    return count;
}

int check_pairs(type_pair pairs[9], bool weights, type_choice choice, int row)
{
    static const calo_type types[] = { CALO_F32, CALO_F16, CALO_BF16 };
    const int choices = weights ? 9 : 3;
    int count = 0;
    for (int i = 0; i < choices; i++)
        if (choice == HALVES ? i == 1 || i == 2 : choice == ALL || i == 0 || i == 1 + row % (choices - 1))
            pairs[count++] = (type_pair){ types[i % 3], weights ? types[(i % 3 + i / 3) % 3] : CALO_F32 };
    return count;
}

bool check_case(check *c, type_pair types, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(c->name, sizeof c->name, format, list);
    va_end(list);
    snprintf(c->types, sizeof c->types, "%s:%s", calo_type_name(types.act), calo_type_name(types.weight));
    if (c->filter.name && fnmatch(c->filter.name, c->name, 0) != 0)
        return false;
    if (c->filter.type && strncmp(c->filter.type, c->types, strlen(c->filter.type)) != 0)
        return false;
    if (c->list) {
        printf("  %s %s\n", c->name, c->types);
        return false;
    }
    c->act = types.act;
    c->weight = types.weight;
    c->run.dtype = types.act;
    c->random = check_hash(check_hash(check_hash(c->seed, c->op->name), c->name), c->types);
    c->misaligned = c->random >> 32 & 1;
    c->magnitude = 0;
    c->exact = false;
    c->batched = 0;
    c->every_tuning = c->full;
    return true;
}

void check_end(check *c)
{
    if (c->fault.status) {
        printf("FAIL %s, case %s, types %s, on %s: %s\n", c->op->name, c->name, c->types, c->device_name,
               c->fault.text);
        c->failed++;
        calo_fault_clear(&c->fault);
    }
    check_free_blocks(c);
}

void check_refused(check *c, const char *what)
{
    const bool refused = c->fault.status != CALO_OK && c->fault.text[0];
    calo_fault_clear(&c->fault);
    check_free_blocks(c);
    if (c->timing)
        return;
    if (!refused)
        printf("FAIL %s took %s, which it has to refuse\n", c->op->name, what);
    c->passed += refused;
    c->failed += !refused;
}

/* ---- ops -------------------------------------------------------------------------------------------------------- */

static void list_op(check *c, const op_check *o)
{
    printf("%s\n", o->op->name);
    for (int i = 0; i < o->op->variant_count; i++) {
        const calo_variant *variant = &o->op->variants[i];
        printf("  variant %s", variant->name);
        for (int k = 0; k < CALO_MAX_TUNABLES && variant->tunables[k].name; k++) {
            printf(" %s", variant->tunables[k].name);
            for (int v = 0; v < 6 && variant->tunables[k].values[v]; v++)
                printf("%c%d", v ? ',' : '=', variant->tunables[k].values[v]);
        }
        printf("\n");
    }
    o->cases(c);
}

/* A tuning that no case reached is untested, which is a failure: unless filters kept the cases from it. */
static void expect_reached(check *c)
{
    const filter *f = &c->filter;
    if (f->variant || f->tuning || f->name || f->type || c->timing || !c->device)
        return;
    for (int i = 0; i < c->op->variant_count; i++) {
        const calo_variant *variant = &c->op->variants[i];
        for (int k = 0; k < check_tunings(variant) && variant->backend == c->run.info.backend; k++)
            if (!c->reached[i][k]) {
                printf("FAIL %s %s: no case reaches its tuning %d on %s\n", c->op->name, variant->name, k,
                       c->device_name);
                c->failed++;
            }
    }
}

static void check_op(check *c, const op_check *o)
{
    const int64_t passed = c->passed, failed = c->failed, skipped = c->skipped;
    const double begin = calo_seconds();
    c->op = o->op;
    memset(c->reached, 0, sizeof c->reached);
    if (c->list) {
        list_op(c, o);
        return;
    }
    o->cases(c);
    expect_reached(c);
    if (c->timing)
        return;
    printf("%-10s %-11s %5" PRId64 " passed, %" PRId64 " failed, %" PRId64 " skipped, %.1f s\n", c->device_name,
           o->op->name, c->passed - passed, c->failed - failed, c->skipped - skipped, calo_seconds() - begin);
    fflush(stdout);
}

static void check_ops(check *c)
{
    for (int i = 0; i < COUNT(op_checks); i++)
        if (!c->filter.op || strcmp(c->filter.op, op_checks[i].op->name) == 0)
            check_op(c, &op_checks[i]);
}

/* Every op of the registry has a file here. */
static void expect_registered(check *c)
{
    for (int i = 0; i < calo_op_count; i++) {
        bool found = false;
        for (int k = 0; k < COUNT(op_checks); k++)
            found = found || op_checks[k].op == calo_ops[i];
        if (!found) {
            printf("FAIL %s: no cases for this op\n", calo_ops[i]->name);
            c->failed++;
        }
    }
}

/* ---- devices ---------------------------------------------------------------------------------------------------- */

static void check_device(check *c)
{
    calo_arena arena; /* plans only; trials bring their own */
    calo_arena_init(&arena, NULL, &c->run.info);
    c->run.device = c->device;
    c->run.arena = &arena;
    c->run.fault = &c->fault;
    check_ops(c);
    if (c->bench && c->failed == 0) {
        c->timing = true;
        check_ops(c);
        c->timing = false;
    }
    calo_arena_free(&arena);
}

/* Without a device all trials of a nominal one are skipped, and counted. */
static void check_devices(check *c)
{
    calo_device_info infos[16];
    calo_fault fault = { 0 };
    int count = 0;
    const bool emulated = c->filter.device && strcmp(c->filter.device, "cuda-emulated") == 0;
    if (emulated)
        emulate(90);
    if (calo_device_list(infos, COUNT(infos), &count, NULL, 0, &fault))
        printf("SKIP all devices: %s\n", fault.text);
    for (int i = 0; i < count && i < COUNT(infos); i++)
        c->found[infos[i].backend] = true;
    for (int i = 0; i < count && i < COUNT(infos); i++) {
        char id[16];
        calo_device_id(&infos[i], id);
        snprintf(c->device_name, sizeof c->device_name, "%s",
                 emulated && infos[i].backend == CALO_CUDA ? "cuda-emulated" : id);
        if (c->filter.device && strcmp(c->filter.device, c->device_name) != 0)
            continue;
        calo_fault_clear(&fault);
        if (calo_device_open(id, NULL, &c->device, &fault)) {
            printf("FAIL %s: %s\n", c->device_name, fault.text);
            c->failed++;
            continue;
        }
        if (c->device->api->open_vendor)
            c->device->api->open_vendor(c->device);
        c->run.info = c->device->info;
        printf("%s: %s, driver %s; seed %" PRIu64 "\n", c->device_name, infos[i].name, infos[i].driver, c->seed);
        check_device(c);
        c->device->api->close(c->device);
        c->device = NULL;
    }
    if (c->run.info.name[0])
        return;
    if (count)
        printf("SKIP %s: there is no such device\n", c->filter.device);
    snprintf(c->device_name, sizeof c->device_name, "none");
    calo_device_nominal(&c->run.info);
    c->bench = false;
    check_device(c);
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

static bool parse(check *c, int argc, char **argv)
{
    const struct {
        const char *name;
        const char **text;
        bool *flag;
    } options[] = {
        { "--op", &c->filter.op, NULL },         { "--variant", &c->filter.variant, NULL },
        { "--tuning", &c->filter.tuning, NULL }, { "--case", &c->filter.name, NULL },
        { "--type", &c->filter.type, NULL },     { "--device", &c->filter.device, NULL },
        { "--kernels", &c->kernels, NULL },      { "--full", NULL, &c->full },
        { "--bench", NULL, &c->bench },          { "--list", NULL, &c->list },
        { "--verbose", NULL, &c->verbose },
    };
    for (int i = 1; i < argc; i++) {
        int found = -1;
        for (int k = 0; k < COUNT(options); k++)
            if (strcmp(argv[i], options[k].name) == 0)
                found = k;
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (found >= 0 && options[found].flag)
            *options[found].flag = true;
        else if (found >= 0 && value) {
            *options[found].text = value;
            i++;
        } else if (strcmp(argv[i], "--seed") == 0 && value && value[0] >= '0' && value[0] <= '9') {
            char *end;
            errno = 0;
            c->seed = strtoull(value, &end, 10);
            if (*end || errno)
                return false;
            i++;
        } else
            return false;
    }
    return true;
}

static bool known_op(const check *c)
{
    for (int i = 0; i < COUNT(op_checks); i++)
        if (!c->filter.op || strcmp(c->filter.op, op_checks[i].op->name) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    static check c;
    c.seed = 1;
    if (!parse(&c, argc, argv) || !known_op(&c)) {
        fputs(usage, stderr);
        return 2;
    }
    if (c.kernels && !sources_override(c.kernels))
        return 2;
    if (c.list) {
        check_ops(&c);
        return 0;
    }
    if (!c.filter.op)
        expect_registered(&c);
    check_devices(&c);
    sources_free();
    if (c.bench && c.failed)
        printf("nothing was timed: kernels that fail have no speed\n");
    if (c.passed + c.failed + c.skipped == 0)
        printf("nothing matches\n");
    printf("%" PRId64 " passed, %" PRId64 " failed, %" PRId64 " skipped\n", c.passed, c.failed, c.skipped);
    if (c.failed == 0 && strcmp(c.device_name, "none") == 0)
        return 77; /* ctest's SKIP_RETURN_CODE: no kernel was run */
    return c.failed || c.passed == 0;
}
