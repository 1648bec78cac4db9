/* The published models at full size, by names and shapes alone:

       compare_layouts WRITE_MODEL GOLDEN WORK

   For each of golden/layouts: the layout's parameters are exactly the tensors that diffusers makes; a hollow folder and a
   hollow single file of it are taken for what they are, and plan as much memory as the layout. */
#include "../../engine/shim.h"
#include "../../engine/weights/variants.h"
#include "../../pipelines/model.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

extern char **environ;

enum { LINE = 256, LINES = 4096, PATH = 4096 };

typedef struct listing {
    char lines[LINES][LINE];
    int count;
} listing;

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool fail(const char *name, const char *what, const char *more)
{
    printf("FAIL %s: %s %s\n", name, what, more);
    return false;
}

/* ---- names and shapes ------------------------------------------------------------------------------------------- */

static bool read_listing(const char *golden, const char *name, listing *l)
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/layouts/%s.txt.gz", golden, name);
    gzFile file = gzopen(path, "rb");
    l->count = 0;
    while (file && l->count < LINES && gzgets(file, l->lines[l->count], LINE)) {
        char *line = l->lines[l->count++];
        line[strcspn(line, "\n")] = '\0';
        for (size_t length; (length = strlen(line)) > 2 && strchr(line, ',') && strcmp(line + length - 2, ",1") == 0;)
            line[length - 2] = '\0'; /* a 1×1 convolution is a linear */
    }
    if (file)
        gzclose(file);
    qsort(l->lines, (size_t)l->count, LINE, by_text);
    return l->count > 0;
}

typedef struct visitor {
    listing *l;
    calo_part part;
} visitor;

static void note(void *user, const char *name, int rank, const int64_t *dims, calo_parameter_kind kind)
{
    visitor *v = user;
    char *line = v->l->lines[v->l->count++];
    (void)kind;
    while (rank > 1 && dims[rank - 1] == 1)
        rank--;
    int used = snprintf(line, LINE, "%s %s ", calo_part_name(v->part), strncmp(name, "text_model.", 11) ? name : name + 11);
    for (int i = 0; i < rank; i++)
        used += snprintf(line + used, (size_t)(LINE - used), "%s%lld", i ? "," : "", (long long)dims[i]);
}

static bool lists_as(const char *name, const listing *expected, listing *own)
{
    calo_fault fault = { 0 };
    calo_model model = { .context = NULL, .with_encoder = true };
    char path[64];
    visitor v = { .l = own };
    snprintf(path, sizeof path, "layout:%s", name);
    own->count = 0;
    if (calo_checkpoint_open(path, NULL, &model.checkpoint, &fault))
        return fail(name, fault.text, "");
    calo_parameters p = { .checkpoint = &model.checkpoint, .arena = model.weights, .fault = &fault, .visit = note, .user = &v };
    for (int part = 0; part < CALO_PARTS; part++)
        if (model.checkpoint.has[part]) {
            v.part = (calo_part)part;
            calo_model_part(&p, &model, (calo_part)part);
        }
    calo_unet_free(&model.unet);
    calo_vae_free(&model.vae);
    calo_clip_free(&model.clip[0]);
    calo_clip_free(&model.clip[1]);
    calo_checkpoint_close(&model.checkpoint);
    qsort(own->lines, (size_t)own->count, LINE, by_text);
    for (int i = 0; i < expected->count || i < own->count; i++) {
        const char *ours = i < own->count ? own->lines[i] : "nothing";
        if (i >= expected->count || strcmp(expected->lines[i], ours) != 0)
            return fail(name, "differs from diffusers at", ours);
    }
    return true;
}

/* ---- detection and plan ----------------------------------------------------------------------------------------- */

static bool same_configs(const char *name, const calo_checkpoint *a, const calo_checkpoint *b)
{
    const calo_unet_config *u = &a->unet, *v = &b->unet;
    const bool unet = u->in_channels == v->in_channels && u->out_channels == v->out_channels && u->levels == v->levels &&
                      memcmp(u->block_out_channels, v->block_out_channels, (size_t)u->levels * sizeof(int)) == 0 &&
                      memcmp(u->layers_per_block, v->layers_per_block, (size_t)u->levels * sizeof(int)) == 0 &&
                      memcmp(u->heads, v->heads, (size_t)u->levels * sizeof(int)) == 0 &&
                      memcmp(u->down_depths, v->down_depths, (size_t)u->levels * sizeof *u->down_depths) == 0 &&
                      memcmp(u->up_depths, v->up_depths, (size_t)u->levels * sizeof *u->up_depths) == 0 &&
                      u->mid == v->mid && u->mid_depth == v->mid_depth && u->cross_attention_dim == v->cross_attention_dim &&
                      u->norm_num_groups == v->norm_num_groups && u->use_linear_projection == v->use_linear_projection &&
                      u->text_time == v->text_time && u->addition_time_embed_dim == v->addition_time_embed_dim &&
                      u->time_cond_proj_dim == v->time_cond_proj_dim && u->sample_size == v->sample_size;
    if (!unet)
        return fail(name, "its UNet is taken for another", "");
    if (memcmp(a->has, b->has, sizeof a->has) != 0)
        return fail(name, "its parts are taken for others", "");
    for (int i = 0; i < 2; i++) {
        const calo_clip_config *c = &a->clip[i], *d = &b->clip[i];
        if (a->has[CALO_TEXT + i] &&
            !(c->hidden_size == d->hidden_size && c->intermediate_size == d->intermediate_size &&
              c->num_hidden_layers == d->num_hidden_layers && c->num_attention_heads == d->num_attention_heads &&
              c->hidden_act == d->hidden_act && c->projects == d->projects && c->vocab_size == d->vocab_size))
            return fail(name, "a text encoder is taken for another", "");
    }
    return a->vae.levels == b->vae.levels && a->vae.scaling_factor == b->vae.scaling_factor ? true
                                                                                             : fail(name, "its VAE is taken for another", "");
}

static uint64_t planned(calo_context *context, const char *name, const char *path, const char *variant)
{
    calo_load_options options = CALO_LOAD_OPTIONS_INIT;
    calo_request request = CALO_REQUEST_INIT;
    calo_model *model;
    calo_report *report = NULL;
    uint64_t bytes = 0;
    options.dtype = CALO_F16;
    options.variant = variant;
    request.prompt = "a red house";
    request.steps = 2;
    if (!calo_load(context, path, &options, &model) && !calo_plan(model, &request, &report))
        bytes = report->weight_bytes + report->activation_bytes;
    else
        fail(name, calo_error(context), "");
    calo_free_report(&report);
    calo_unload(&model);
    return bytes;
}

static int run(char *const *words)
{
    pid_t child;
    int status;
    if (posix_spawn(&child, words[0], NULL, NULL, words, environ) != 0 || waitpid(child, &status, 0) < 0)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool is_taken_for(calo_context *context, char *write_model, const char *name, const char *work, bool single,
                         const char *variant)
{
    char layout[64], path[PATH];
    calo_checkpoint own = { 0 }, found = { 0 };
    calo_fault fault = { 0 };
    const calo_checkpoint_options options = { .variant = variant };
    snprintf(layout, sizeof layout, "layout:%s", name);
    snprintf(path, sizeof path, "%s/%s%s", work, name, single ? ".safetensors" : "");
    char *words[] = { write_model, layout, "-", path, "f16", "hollow", single ? "single" : NULL, NULL };
    if (run(words) != 0)
        return fail(name, "cannot be written", "");
    bool right = !calo_checkpoint_open(layout, NULL, &own, &fault) && !calo_checkpoint_open(path, &options, &found, &fault);
    if (!right)
        fail(name, fault.text, "");
    if (right && strcmp(found.variant->name, name) != 0)
        right = fail(name, "is taken for", found.variant->name);
    right = right && same_configs(name, &own, &found);
    calo_checkpoint_close(&own);
    calo_checkpoint_close(&found);
    if (right) {
        const uint64_t a = planned(context, name, layout, NULL), b = planned(context, name, path, variant);
        right = a && a == b ? true : fail(name, "plans other memory than its layout", "");
    }
    return right;
}

int main(int count, char **words)
{
    /* The spread that tells sd21 from its base is a number, and a hollow file has none. */
    static const struct {
        const char *name, *variant;
    } cases[] = { { "sd15", NULL },         { "sd15-inpaint", NULL }, { "sd15-lcm", NULL },     { "sd21", "sd21" },
                  { "sd2-inpaint", NULL },  { "sdxl", NULL },         { "sdxl-inpaint", NULL }, { "sdxl-refiner", NULL },
                  { "ssd-1b", NULL },       { "vega", NULL } };
    int passed = 0, failed = 0;
    if (count < 4)
        return fprintf(stderr, "usage: compare_layouts WRITE_MODEL GOLDEN WORK\n"), 2;
    calo_context *context = NULL;
    calo_open_options none = CALO_OPEN_OPTIONS_INIT;
    none.device = "none";
    listing *lists = calloc(2, sizeof *lists);
    mkdir(words[3], 0777);
    if (!lists || calo_open(&context, &none))
        return 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *name = cases[i].name;
        const bool right = (read_listing(words[2], name, &lists[0]) || fail(name, "has no list", "")) &&
                           lists_as(name, &lists[0], &lists[1]) &&
                           is_taken_for(context, words[1], name, words[3], false, NULL) &&
                           is_taken_for(context, words[1], name, words[3], true, cases[i].variant);
        if (right)
            printf("ok   %-14s %d tensors\n", name, lists[0].count);
        passed += right;
        failed += !right;
    }
    calo_close(&context);
    free(lists);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
