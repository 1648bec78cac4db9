/* The `parameters` text. AUTOMATIC1111's names where it has one, ours otherwise; a value with a comma, colon, quote or
   line break is a JSON string, as there. Its reader takes the last line for settings, and the others, each without the
   spaces around it, for the prompt, from a line "Negative prompt:" on for the negative one. A prompt that does not come
   back from that as it was is given once more among the settings, exactly. */
#include "metadata.h"
#include "../engine/image.h"
#include "../engine/shim.h"
#include "../engine/text/unicode.h"
#include "../engine/weights/json.h"
#include "../engine/weights/variants.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text that grows; NULL once there was no memory. */
typedef struct text {
    char *bytes;
    size_t used, room;
    bool failed;
} text;

static void add_bytes(text *t, const char *bytes, size_t size)
{
    if (t->failed)
        return;
    if (t->used + size + 1 > t->room) {
        const size_t room = 2 * (t->used + size) + 256;
        char *grown = calo_resize(t->bytes, room, 1);
        t->failed = !grown;
        if (!grown)
            return;
        t->bytes = grown;
        t->room = room;
    }
    memcpy(t->bytes + t->used, bytes, size);
    t->used += size;
    t->bytes[t->used] = '\0';
}

static void add_string(text *t, const char *string)
{
    add_bytes(t, string, strlen(string));
}

/* ", Key: value". */
static void add(text *t, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void add(text *t, const char *key, const char *format, ...)
{
    char value[160];
    va_list list;
    va_start(list, format);
    vsnprintf(value, sizeof value, format, list);
    va_end(list);
    add_string(t, ", ");
    add_string(t, key);
    add_string(t, ": ");
    add_string(t, value);
}

/* The shortest digits that read back as the same number. */
static void add_number(text *t, const char *key, double value)
{
    char digits[40];
    snprintf(digits, sizeof digits, "%.10g", value);
    if (strtod(digits, NULL) != value)
        snprintf(digits, sizeof digits, "%.17g", value);
    for (char *c = digits; *c; c++)
        *c = *c == ',' ? '.' : *c; /* whatever the locale's point is */
    add(t, key, "%s", digits);
}

/* `always`: as a JSON string, whatever it holds. */
static void add_text(text *t, const char *key, const char *value, bool always)
{
    add(t, key, "%s", "");
    if (!always && *value && !strpbrk(value, ",:\"\n\r") && value[0] != ' ' && value[strlen(value) - 1] != ' ') {
        add_string(t, value);
        return;
    }
    cJSON *item = cJSON_CreateStringReference(value);
    char *quoted = item ? cJSON_PrintUnformatted(item) : NULL;
    t->failed = t->failed || !quoted;
    if (quoted)
        add_string(t, quoted);
    cJSON_free(quoted);
    cJSON_Delete(item);
}

/* What pictures are told apart by: FNV-1a of their size, pixels and opacity. */
static void add_picture(text *t, const char *key, const calo_image *image)
{
    const int width = calo_image_width(image), height = calo_image_height(image);
    const uint8_t *planes[] = { calo_image_pixels(image), calo_image_alpha(image) };
    uint64_t h = UINT64_C(14695981039346656037);
    for (int p = 0; p < 2; p++)
        for (size_t i = 0; planes[p] && i < (size_t)width * (size_t)height * (p ? 1 : 3); i++)
            h = (h ^ planes[p][i]) * UINT64_C(1099511628211);
    add(t, key, "%dx%d %016" PRIx64, width, height, h);
}

/* ---- prompts ---------------------------------------------------------------------------------------------------- */

/* Whether A1111's reader finds the prompt as it was: lines without spaces around them, none that looks like the
 * negative one's first. */
static bool reads_back(const char *prompt)
{
    const size_t length = strlen(prompt);
    if (length && (strchr(" \t\n", prompt[0]) || strchr(" \t\n", prompt[length - 1])))
        return false;
    if (strpbrk(prompt, "\r\v\f"))
        return false;
    for (const char *line = prompt; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (*line == ' ' || *line == '\t' || strncmp(line, "Negative prompt:", 16) == 0 ||
            (line > prompt + 1 && (line[-2] == ' ' || line[-2] == '\t')))
            return false;
    return true;
}

static void add_prompts(text *t, const calo_request *r)
{
    const char *prompt = r->prompt ? r->prompt : "";
    add_string(t, prompt);
    add_string(t, "\n");
    if (r->negative && *r->negative) {
        add_string(t, "Negative prompt: ");
        add_string(t, r->negative);
        add_string(t, "\n");
    }
}

static void add_prompt_settings(text *t, const calo_request *r)
{
    static const char *const styles[] = { "plain", "a1111", "comfy" };
    if (r->prompt && !reads_back(r->prompt))
        add_text(t, "Exact prompt", r->prompt, true);
    if (r->negative && (!*r->negative || !reads_back(r->negative)))
        add_text(t, "Exact negative prompt", r->negative, true);
    add(t, "Prompt style", "%s", styles[r->prompt_style]);
    if (r->prompt_2)
        add_text(t, "Prompt 2", r->prompt_2, true);
    if (r->negative_2)
        add_text(t, "Negative prompt 2", r->negative_2, true);
    if (r->negative_scale != 1)
        add_number(t, "Negative scale", r->negative_scale);
    for (int i = 0; i < r->region_count; i++) {
        const calo_region *region = &r->regions[i];
        char key[40];
        snprintf(key, sizeof key, "Region %d", i + 1);
        add(t, key, "%dx%d at %d %d", region->width, region->height, region->x, region->y);
        snprintf(key, sizeof key, "Region %d prompt", i + 1);
        add_text(t, key, region->prompt ? region->prompt : "", true);
        snprintf(key, sizeof key, "Region %d negative prompt", i + 1);
        if (region->negative)
            add_text(t, key, region->negative, true);
        snprintf(key, sizeof key, "Region %d strength", i + 1);
        add_number(t, key, region->strength);
    }
}

/* ---- the rest --------------------------------------------------------------------------------------------------- */

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* A part that was taken from elsewhere lies outside the model. */
static void add_part(text *t, const char *key, const calo_checkpoint *c, calo_part part)
{
    const calo_source *source = &c->parts[part];
    if (source->count && source->files && strncmp(source->files[0].file.path, c->path, strlen(c->path)) != 0)
        add_text(t, key, file_name(source->files[0].file.path), false);
}

static void add_model(text *t, const calo_request *r, const calo_model *model)
{
    const calo_checkpoint *c = &model->checkpoint;
    if (c->hash[0])
        add(t, "Model hash", "%s", c->hash);
    add_text(t, "Model", c->name, false);
    add_part(t, "VAE", c, CALO_VAE);
    add_part(t, "Text encoder", c, CALO_TEXT);
    if (c->form == CALO_FORM_SINGLE)
        add_text(t, "Variant", c->variant->name, false);
    if (model->prediction)
        add_text(t, "Prediction", model->prediction, false);
    if (model->zero_snr)
        add(t, "Zero SNR", "yes");
    add(t, "Precision", "%s", calo_model_dtype(model));
    if (r->clip_skip)
        add(t, "Clip skip", "%d", r->clip_skip + 1);
    if (r->refiner) {
        add_text(t, "Refiner", r->refiner->checkpoint.name, false);
        if (r->refiner->checkpoint.hash[0])
            add(t, "Refiner hash", "%s", r->refiner->checkpoint.hash);
        add_number(t, "Refiner switch at", r->refiner_start);
    }
    if (r->tile)
        add(t, "Tile", "%d", r->tile);
}

static void add_sampling(text *t, const calo_request *r)
{
    if (!r->scheduler)
        add(t, "Scheduler", "the model's own");
    if (r->spacing)
        add_text(t, "Spacing", r->spacing, false);
    if (r->eta != 0)
        add_number(t, "Eta DDIM", r->eta);
    if (r->guidance_rescale != 0)
        add_number(t, "Guidance rescale", r->guidance_rescale);
    if (r->guidance_start != 0)
        add_number(t, "Guidance start", r->guidance_start);
    if (r->guidance_end != 1)
        add_number(t, "Guidance end", r->guidance_end);
    add(t, "RNG", "%s", r->random == CALO_RANDOM_PHILOX ? "NV" : "CPU");
    if (r->variation_strength != 0) {
        add(t, "Variation seed", "%" PRIu64, r->variation_seed);
        add_number(t, "Variation seed strength", r->variation_strength);
    }
}

static void add_init(text *t, const calo_request *r)
{
    static const char *const fits[] = { "none", "crop", "pad", "stretch" };
    static const char *const fills[] = { "original", "latent noise", "latent nothing" };
    if (!r->init)
        return;
    add_number(t, "Denoising strength", r->strength >= 0 ? r->strength : r->inpaint ? 1.0 : 0.8);
    add(t, "Flow", "%s", r->inpaint ? "inpaint" : "img2img");
    add_picture(t, "Init picture", r->init);
    add(t, "Fit", "%s", fits[r->fit]);
    if (r->width || r->height)
        add(t, "Asked size", "%dx%d", r->width, r->height);
    if (!r->inpaint)
        return;
    if (r->mask)
        add_picture(t, "Mask picture", r->mask);
    add_number(t, "Mask blur", r->mask_blur);
    add(t, "Masked content", "%s", fills[r->fill]);
    if (r->mask_padding >= 0) {
        add(t, "Inpaint area", "Only masked");
        add(t, "Masked area padding", "%d", r->mask_padding);
    }
    if (r->extend[0] || r->extend[1] || r->extend[2] || r->extend[3])
        add(t, "Extend", "%d %d %d %d", r->extend[0], r->extend[1], r->extend[2], r->extend[3]);
}

static void add_second_pass(text *t, const calo_request *r)
{
    if (!(r->hires > 1))
        return;
    add_number(t, "Hires upscale", r->hires);
    add_number(t, r->init ? "Hires strength" : "Denoising strength", r->hires_strength);
    add(t, "Hires upscaler", "%s", r->hires_pixels ? "Pixels" : "Latent");
}

/* The text with U+FFFD for what is not UTF-8, which no reader would take. Takes `bytes`; NULL without memory. */
static char *make_valid(char *bytes)
{
    calo_codes codes = { 0 };
    calo_fault fault = { 0 };
    char *valid = NULL;
    if (!calo_unicode_decode(bytes, strlen(bytes), &codes, &fault))
        valid = calo_alloc(codes.count + 1, 4);
    size_t used = 0;
    for (size_t i = 0; valid && i < codes.count; i++)
        used += (size_t)calo_unicode_encode(codes.at[i], (uint8_t *)valid + used);
    calo_codes_free(&codes);
    calo_free(bytes);
    return valid;
}

char *calo_parameters_text(const calo_request *request, const calo_model *model, const calo_scheduler *scheduler,
                           int width, int height, uint64_t seed)
{
    text t = { 0 };
    char steps[32];
    add_prompts(&t, request);
    snprintf(steps, sizeof steps, "Steps: %d", request->steps);
    add_string(&t, steps);
    add_text(&t, "Sampler", scheduler->label, false);
    add_number(&t, "CFG scale", request->guidance);
    add(&t, "Seed", "%" PRIu64, seed);
    add(&t, "Size", "%dx%d", width, height);
    add_model(&t, request, model);
    add_sampling(&t, request);
    add_init(&t, request);
    add_second_pass(&t, request);
    add_prompt_settings(&t, request);
    add(&t, "Version", "calotype %s", CALO_VERSION);
    if (t.failed) {
        calo_free(t.bytes);
        return NULL;
    }
    return make_valid(t.bytes);
}
