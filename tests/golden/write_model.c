/* Writes a model's weights from its configuration alone, so that goldens need no weights in the repository:

       write_model CONFIGS TOKENIZER OUT [f16|f8|f8s] [single] [ckpt|bin] [hollow] [mark:NAME …]

   CONFIGS holds the JSON files of a diffusers folder, or is layout:NAME. Every parameter is calo_random_parameter of its diffusers name, so
   the same folder comes out wherever this runs. `single` writes one file under the names of the original files instead:
   CompVis' for UNet and VAE, OpenCLIP's (with what it has and nobody reads) for encoders with gelu. A mark is an empty
   tensor that says something, as v_pred. `ckpt` writes that file
   as torch would. `bin` writes a folder's parts in that way. `f8` rounds
   matrices to e4m3, and `f8s` to e4m3 times a factor that stands beside each. `hollow` leaves the numbers out: the file is as long, but takes no space. */
#include "../../engine/number.h"
#include "../../engine/shim.h"
#include "../../engine/weights/names.h"
#include "../../engine/weights/safetensors.h"
#include "../../pipelines/config_json.h"
#include "../../pipelines/model.h"

#include "archive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORDS = 8192 };

/* A stored tensor and the parameters that it is made of, one under the other. */
typedef struct piece {
    char *names[3]; /* diffusers'; none: zeros */
    int count;
    calo_parameter_kind kind;
    int64_t each, fan_in; /* numbers of a parameter */
    bool transposed;
    const double *values; /* given, not drawn; or NULL */
    bool is_scale;        /* the factor of the tensor before, an f8 one */
} piece;

typedef struct list {
    calo_tensor_record records[RECORDS];
    piece pieces[RECORDS];
    int64_t count;
    const calo_checkpoint *checkpoint;
    calo_part part;
    calo_stored type;
    bool hollow, ckpt, scaled;
} list;

static int64_t find(const list *l, const char *name)
{
    int64_t i = 0;
    while (i < l->count && strcmp(l->records[i].name, name) != 0)
        i++;
    return i;
}

static void note_scale(list *l, const char *name)
{
    char full[CALO_NAME_SIZE];
    snprintf(full, sizeof full, "%.*s.scale_weight", (int)(strlen(name) - strlen(".weight")), name);
    l->records[l->count] = (calo_tensor_record){ .name = calo_copy_string(full), .type = CALO_STORED_F32, .rank = 0 };
    l->pieces[l->count++] = (piece){ .count = 1, .each = 1, .is_scale = true };
}

static void note(void *user, const char *name, int rank, const int64_t *dims, calo_parameter_kind kind)
{
    list *l = user;
    calo_candidates candidates;
    calo_candidate_names(l->checkpoint, l->part, name, &candidates);
    const calo_candidate *own = &candidates.list[0];
    const int64_t at = find(l, own->name);
    calo_tensor_record *r = &l->records[at];
    piece *p = &l->pieces[at];
    if (at == l->count) {
        *r = (calo_tensor_record){ .name = calo_copy_string(own->name), .type = l->type, .rank = rank };
        memcpy(r->dims, dims, (size_t)rank * sizeof *dims);
        *p = (piece){ .kind = kind, .each = 1, .fan_in = 1, .transposed = own->transposed };
        for (int d = 0; d < rank; d++) {
            p->each *= dims[d];
            p->fan_in *= d ? dims[d] : 1;
        }
        if (own->slices > 1)
            r->dims[0] *= own->slices;
        if (own->transposed) {
            r->dims[0] = dims[1];
            r->dims[1] = dims[0];
        }
        /* The single files keep the VAE's attention as 1×1 convolutions. */
        if (strstr(own->name, ".attn_1.") && rank == 2) {
            r->rank = 4;
            r->dims[2] = r->dims[3] = 1;
        }
        if (l->type == CALO_STORED_F8_E4M3 && rank < 2)
            r->type = CALO_STORED_F32;
        l->count++;
        if (l->scaled && r->type == CALO_STORED_F8_E4M3 && strstr(own->name, ".weight"))
            note_scale(l, own->name);
    }
    p->names[own->slice] = calo_copy_string(name);
    p->count = own->slice + 1 > p->count ? own->slice + 1 : p->count;
}

static void note_mark(list *l, const char *name)
{
    l->records[l->count] = (calo_tensor_record){ .name = name, .type = l->type, .rank = 0 };
    l->pieces[l->count++] = (piece){ .count = 1, .each = 1 };
}

/* Four numbers that the configuration states. */
static void note_values(list *l, const char *name, const double *values)
{
    l->records[l->count] = (calo_tensor_record){ .name = name, .type = CALO_STORED_F32, .rank = 4, .dims = { 1, 4, 1, 1 } };
    l->pieces[l->count++] = (piece){ .count = 1, .each = 4, .values = values };
}

static void visit(calo_model *model, calo_part part, list *l, calo_fault *fault)
{
    calo_parameters p = { .checkpoint = &model->checkpoint, .part = part, .arena = &model->weights[part], .fault = fault,
                          .visit = note, .user = l };
    l->part = part;
    calo_model_part(&p, model, part);
}

/* The e4m3 number nearest to x, to even between two; 448 is the largest. */
static uint8_t to_f8(float x)
{
    const float size = fabsf(x);
    uint8_t best = 0;
    double least = INFINITY;
    for (int code = 0; code < 127; code++) {
        const int exponent = code >> 3, mantissa = code & 7;
        const double value = exponent ? ldexp(8 + mantissa, exponent - 10) : ldexp(mantissa, -9);
        const double away = fabs(value - size);
        if (away < least || (away == least && code % 2 == 0)) {
            least = away;
            best = (uint8_t)code;
        }
    }
    return (uint8_t)(best | (signbit(x) ? 128 : 0));
}

/* The factor that brings a tensor's largest number to 448. */
static float scale_of(const float *values, int64_t count)
{
    float most = 0;
    for (int64_t i = 0; i < count; i++)
        most = fmaxf(most, fabsf(values[i]));
    return most / 448;
}

static float *draw(const calo_tensor_record *r, const piece *p);

static void *make_f8(const list *l, int64_t at)
{
    const int64_t count = l->pieces[at].each * l->pieces[at].count;
    float *values = draw(&l->records[at], &l->pieces[at]);
    uint8_t *codes = calo_alloc((size_t)count, 1);
    const float scale = at + 1 < l->count && l->pieces[at + 1].is_scale ? scale_of(values, count) : 1;
    for (int64_t i = 0; i < count; i++)
        codes[i] = to_f8(values[i] / scale);
    calo_free(values);
    return codes;
}

static void *make_scale(const list *l, int64_t at)
{
    const piece *p = &l->pieces[at - 1];
    float *values = draw(&l->records[at - 1], p), *scale = calo_alloc(1, sizeof *scale);
    *scale = scale_of(values, p->each * p->count);
    calo_free(values);
    return scale;
}

static float *draw(const calo_tensor_record *r, const piece *p)
{
    const int64_t count = p->each * p->count;
    float *values = calo_alloc((size_t)count, sizeof *values), *turned = calo_alloc((size_t)count, sizeof *turned);
    for (int i = 0; i < p->count && p->names[i]; i++)
        calo_random_parameter(p->names[i], p->kind, p->fan_in, 0, p->each, values + i * p->each);
    for (int64_t i = 0; p->values && i < count; i++)
        values[i] = (float)p->values[i];
    for (int64_t i = 0; p->transposed && i < count; i++)
        turned[i] = values[i % r->dims[1] * r->dims[0] + i / r->dims[1]];
    calo_free(p->transposed ? values : turned);
    return p->transposed ? turned : values;
}

/* The tensor's bytes as they are stored; the caller frees them. */
static void *make_tensor(const list *l, int64_t at)
{
    const calo_tensor_record *r = &l->records[at];
    const piece *p = &l->pieces[at];
    if (p->is_scale)
        return make_scale(l, at);
    if (r->type == CALO_STORED_F8_E4M3)
        return make_f8(l, at);
    float *values = draw(r, p);
    if (r->type != CALO_STORED_F16)
        return values;
    const int64_t count = p->each * p->count;
    uint16_t *halves = calo_alloc((size_t)count, sizeof *halves);
    for (int64_t k = 0; k < count; k++)
        halves[k] = calo_to_f16(values[k]);
    calo_free(values);
    return halves;
}

static size_t bytes_of(const list *l, int64_t i)
{
    return (size_t)(l->pieces[i].each * l->pieces[i].count) * calo_stored_size(l->records[i].type);
}

/* ---- torch's archive -------------------------------------------------------------------------------------------- */

/* A pickle of protocol 2 that grows. */
typedef struct script {
    unsigned char *bytes;
    size_t size;
} script;

static void say(script *s, const void *bytes, size_t size)
{
    memcpy(s->bytes + s->size, bytes, size);
    s->size += size;
}

static void say_number(script *s, char opcode, uint32_t value)
{
    say(s, &opcode, 1);
    for (int i = 0; i < 4; i++)
        s->bytes[s->size++] = (unsigned char)(value >> 8 * i & 255);
}

static void say_text(script *s, const char *text)
{
    say_number(s, 'X', (uint32_t)strlen(text));
    say(s, text, strlen(text));
}

static void say_global(script *s, const char *lines)
{
    say(s, lines, strlen(lines));
}

/* name: _rebuild_tensor_v2(("storage", class, key, "cpu", count), 0, dims, strides, False, OrderedDict()) */
static void say_tensor(script *s, const calo_tensor_record *r, const piece *p, const char *key)
{
    int64_t stride = p->each * p->count;
    say_text(s, r->name);
    say_global(s, "ctorch._utils\n_rebuild_tensor_v2\n((");
    say_text(s, "storage");
    say_global(s, r->type == CALO_STORED_F16 ? "ctorch\nHalfStorage\n" : "ctorch\nFloatStorage\n");
    say_text(s, key);
    say_text(s, "cpu");
    say_number(s, 'J', (uint32_t)stride);
    say_global(s, "tQK");
    say(s, "\0(", 2);
    for (int d = 0; d < r->rank; d++)
        say_number(s, 'J', (uint32_t)r->dims[d]);
    say(s, "t(", 2);
    for (int d = 0; d < r->rank; d++) {
        stride /= r->dims[d];
        say_number(s, 'J', (uint32_t)stride);
    }
    say_global(s, "t\x89" "ccollections\nOrderedDict\n)RtR");
}

static void write_ckpt(const list *l, const char *path, calo_fault *fault)
{
    archive *a = calloc(1, sizeof *a);
    script s = { calloc((size_t)l->count + 1, 1024), 0 };
    char key[48];
    if (!a || !s.bytes || !archive_open(a, path)) {
        calo_fail(fault, CALO_EFILE, "%s cannot be written", path);
        return;
    }
    say(&s, "\x80\2}", 3);
    say_text(&s, "state_dict");
    say(&s, "}(", 2);
    for (int64_t i = 0; i < l->count; i++) {
        snprintf(key, sizeof key, "%d", (int)i);
        say_tensor(&s, &l->records[i], &l->pieces[i], key);
    }
    say(&s, "us.", 3);
    archive_put(a, "archive/data.pkl", s.bytes, s.size);
    for (int64_t i = 0; i < l->count; i++) {
        void *bytes = make_tensor(l, i);
        snprintf(key, sizeof key, "archive/data/%d", (int)i);
        archive_put(a, key, bytes, bytes_of(l, i));
        calo_free(bytes);
    }
    archive_put(a, "archive/version", "3\n", 2);
    archive_close(a);
    free(a);
    free(s.bytes);
}

static void write_list(const list *l, const char *path, calo_fault *fault)
{
    calo_writer *writer = NULL;
    calo_safetensors_begin(path, l->records, l->count, &writer, fault);
    off_t numbers = 0;
    for (int64_t i = 0; i < l->count && !fault->status; i++) {
        void *bytes = l->hollow ? NULL : make_tensor(l, i);
        if (bytes)
            calo_writer_put(writer, bytes, bytes_of(l, i), fault);
        calo_free(bytes);
        numbers += (off_t)bytes_of(l, i);
    }
    if (!fault->status)
        calo_writer_commit(&writer, fault);
    struct stat header;
    if (l->hollow && !fault->status && (stat(path, &header) || truncate(path, header.st_size + numbers)))
        calo_fail(fault, CALO_EFILE, "%s cannot be made longer", path);
}

static void copy_file(const char *from, const char *to, const char *name, calo_fault *fault)
{
    char source[4096], target[4096], *text;
    size_t size;
    calo_writer *writer = NULL;
    snprintf(source, sizeof source, "%s/%s", from, name);
    snprintf(target, sizeof target, "%s/%s", to, name);
    if (!calo_is_file(source) || calo_read_file(source, 64 << 20, &text, &size, fault))
        return;
    if (!calo_writer_open(target, &writer, fault)) {
        calo_writer_put(writer, text, size, fault);
        calo_writer_commit(&writer, fault);
    }
    calo_free(text);
}

static void read_configs(const char *folder, calo_checkpoint *c, calo_fault *fault)
{
    for (int part = 0; part < CALO_PARTS && !fault->status; part++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, calo_part_name(part));
        c->has[part] = calo_is_directory(path);
        c->parts[part].prefix = "";
        if (c->has[part])
            calo_checkpoint_read_config(c, part, path, fault);
    }
}

static void open_layout(const char *name, calo_checkpoint *c, calo_fault *fault)
{
    calo_checkpoint_open(name, NULL, c, fault);
    for (int part = 0; part < CALO_PARTS; part++)
        c->parts[part].prefix = "";
}

/* The names of the published single files. */
static void take_original_names(calo_checkpoint *c)
{
    static const char *const prefixes[] = { "model.diffusion_model.", "first_stage_model." };
    for (int part = CALO_UNET; part <= CALO_VAE; part++) {
        c->parts[part].naming = CALO_NAMES_ORIGINAL;
        c->parts[part].prefix = prefixes[part];
    }
    const bool xl = c->unet.text_time, openclip = !xl && c->clip[0].hidden_act == CALO_GELU;
    c->parts[CALO_TEXT].naming = openclip ? CALO_NAMES_ORIGINAL : CALO_NAMES_DIFFUSERS;
    c->parts[CALO_TEXT].prefix = xl ? "conditioner.embedders.0.transformer."
                                 : openclip ? "cond_stage_model.model."
                                            : "cond_stage_model.transformer.";
    c->parts[CALO_TEXT_2].naming = CALO_NAMES_ORIGINAL;
    c->parts[CALO_TEXT_2].prefix = c->has[CALO_TEXT] ? "conditioner.embedders.1.model." : "conditioner.embedders.0.model.";
    if (openclip) { /* a layer that is never run, and a projection that is never asked for */
        c->clip[0].num_hidden_layers++;
        c->clip[0].projects = true;
    }
}

static void write_single(calo_model *model, list *l, const char *path, int count, char **words, calo_fault *fault)
{
    take_original_names(&model->checkpoint);
    for (int part = 0; part < CALO_PARTS && !fault->status; part++)
        if (model->checkpoint.has[part])
            visit(model, part, l, fault);
    note_mark(l, "model_ema.decay");
    const calo_vae_config *vae = &model->checkpoint.vae;
    if (vae->has_statistics) {
        note_values(l, "edm_mean", vae->latents_mean);
        note_values(l, "edm_std", vae->latents_std);
    }
    for (int i = 0; i < count; i++)
        if (strncmp(words[i], "mark:", 5) == 0)
            note_mark(l, words[i] + 5);
    if (!fault->status && l->ckpt)
        write_ckpt(l, path, fault);
    else if (!fault->status)
        write_list(l, path, fault);
}

static void write_tokenizer(const calo_checkpoint *c, int encoder, const char *configs, const char *tokenizer,
                            const char *out, calo_fault *fault)
{
    static const char *const files[] = { "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
                                         "tokenizer.json" };
    static const char *const names[] = { "tokenizer", "tokenizer_2" };
    char path[4096], settings[4096];
    const bool own = c->clip[encoder].vocab_size == calo_clip_config_sd1().vocab_size;
    snprintf(path, sizeof path, "%s/%s", out, names[encoder]);
    calo_make_directory(path, fault);
    for (size_t i = own ? 2 : 0; i < (own ? 4 : sizeof files / sizeof *files); i++)
        copy_file(tokenizer, path, files[i], fault);
    if (own) /* CLIP's whole vocabulary; the settings and special tokens are the same */
        calo_tokenizer_write_builtin(path, fault);
    snprintf(settings, sizeof settings, "%s/%s", configs, names[encoder]); /* settings of the model's own, over those */
    copy_file(settings, path, "tokenizer_config.json", fault);
    copy_file(settings, path, "special_tokens_map.json", fault);
}

static void put_text(const char *out, const char *name, const char *text, calo_fault *fault)
{
    char path[4096];
    calo_writer *writer = NULL;
    snprintf(path, sizeof path, "%s/%s", out, name);
    if (!calo_writer_open(path, &writer, fault)) {
        calo_writer_put(writer, text, strlen(text), fault);
        calo_writer_commit(&writer, fault);
    }
}

/* A layout's configurations are written by the library, a golden model's copied; that of a part, or the index. */
static void put_config(const calo_checkpoint *c, int part, const char *configs, const char *out, calo_fault *fault)
{
    char name[64] = "model_index.json";
    if (part < CALO_PARTS)
        snprintf(name, sizeof name, "%s/config.json", calo_part_name((calo_part)part));
    if (c->form != CALO_FORM_LAYOUT) {
        copy_file(configs, out, name, fault);
        return;
    }
    char *text = part < CALO_PARTS ? calo_part_json(c, (calo_part)part) : calo_index_json(c);
    put_text(out, name, text, fault);
    calo_free(text);
}

static void write_folder(calo_model *model, list *l, char **words, calo_fault *fault)
{
    const char *configs = words[1], *out = words[3];
    char path[4096];
    calo_make_directory(out, fault);
    snprintf(path, sizeof path, "%s/scheduler", out);
    calo_make_directory(path, fault);
    put_config(&model->checkpoint, CALO_PARTS, configs, out, fault);
    copy_file(configs, out, "scheduler/scheduler_config.json", fault);
    if (model->checkpoint.form == CALO_FORM_LAYOUT)
        put_text(out, "scheduler/scheduler_config.json", model->checkpoint.scheduler_json, fault);
    for (int part = 0; part < CALO_PARTS && !fault->status; part++) {
        if (!model->checkpoint.has[part])
            continue;
        snprintf(path, sizeof path, "%s/%s", out, calo_part_name(part));
        calo_make_directory(path, fault);
        put_config(&model->checkpoint, part, configs, out, fault);
        if (part >= CALO_TEXT)
            write_tokenizer(&model->checkpoint, part - CALO_TEXT, configs, words[2], out, fault);
        l->count = 0;
        visit(model, part, l, fault);
        const char *file = l->ckpt && part >= CALO_TEXT ? "pytorch_model" : calo_part_file(part);
        snprintf(path, sizeof path, "%s/%s/%s.%s", out, calo_part_name(part), file, l->ckpt ? "bin" : "safetensors");
        if (!fault->status && l->ckpt)
            write_ckpt(l, path, fault);
        else if (!fault->status)
            write_list(l, path, fault);
    }
}

int main(int count, char **words)
{
    calo_fault fault = { 0 };
    bool single = false;
    if (count < 4)
        return fprintf(stderr, "usage: write_model CONFIGS TOKENIZER OUT [f16|f8|f8s] [single] [ckpt|bin] [hollow] [mark:NAME …]\n"), 2;
    calo_model *model = calo_alloc(1, sizeof *model);
    model->with_encoder = true;
    list *l = calo_alloc(1, sizeof *l);
    l->type = CALO_STORED_F32;
    for (int i = 4; i < count; i++) {
        const char *word = words[i];
        l->hollow = l->hollow || strcmp(word, "hollow") == 0;
        l->ckpt = l->ckpt || strcmp(word, "ckpt") == 0 || strcmp(word, "bin") == 0;
        l->scaled = l->scaled || strcmp(word, "f8s") == 0;
        single = single || strcmp(word, "ckpt") == 0 || strcmp(word, "single") == 0;
        if (strcmp(word, "f16") == 0)
            l->type = CALO_STORED_F16;
        if (strncmp(word, "f8", 2) == 0) { /* such files are single ones */
            l->type = CALO_STORED_F8_E4M3;
            single = true;
        }
    }
    if (strncmp(words[1], "layout:", 7) == 0)
        open_layout(words[1], &model->checkpoint, &fault);
    else
        read_configs(words[1], &model->checkpoint, &fault);
    l->checkpoint = &model->checkpoint;
    if (single && !fault.status)
        write_single(model, l, words[3], count - 4, words + 4, &fault);
    else if (!fault.status)
        write_folder(model, l, words, &fault);
    if (fault.status)
        fprintf(stderr, "write_model: %s\n", fault.text);
    return fault.status;
}
