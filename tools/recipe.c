/* From settings to options: ours, whose names mean exactly what they say, and AUTOMATIC1111's. */
#include "recipe.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char *keep(recipe *r, const char *text)
{
    char *copy = malloc(strlen(text) + 1);
    if (copy)
        strcpy(copy, text);
    else
        r->no_memory = true;
    return copy;
}

void recipe_add(recipe *r, const char *option, const char *value)
{
    char *name = r->word_count + 2 <= RECIPE_WORDS ? keep(r, option) : NULL, *copy = value && name ? keep(r, value) : NULL;
    if (!name || (value && !copy)) {
        free(name);
        return;
    }
    r->words[r->word_count++] = name;
    if (copy)
        r->words[r->word_count++] = copy;
}

void recipe_note(recipe *r, bool shapes, const char *format, ...)
{
    char line[512];
    va_list list;
    if (r->note_count == RECIPE_NOTES)
        return;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    for (char *p = line; *p; p++) /* one note is one line, whatever the text holds */
        if (iscntrl((unsigned char)*p))
            *p = ' ';
    r->shapes[r->note_count] = shapes;
    r->notes[r->note_count] = keep(r, line);
    r->note_count += r->notes[r->note_count] != NULL;
}

/* A setting that is an option's value as it stands. */
static const char *pass(recipe *r, const char *key, const char *option)
{
    const char *value = parameters_take(&r->text, key);
    if (value)
        recipe_add(r, option, value);
    return value;
}

static bool is(const char *value, const char *word)
{
    return value && strcasecmp(value, word) == 0;
}

/* ---- samplers --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *label, *name;
    const char *karras;  /* the same with "Schedule type: Karras"; NULL: there is none here */
    const char *spacing; /* A1111 spreads the timesteps of k-diffusion's samplers over the whole table */
    bool draws;          /* noise in each step */
} samplers[] = {
    { "DDIM", "ddim", NULL, NULL, false },
    { "DDPM", "ddpm", NULL, NULL, true },
    { "PLMS", "pndm", NULL, NULL, false },
    { "Euler", "euler", NULL, "linspace", false },
    { "Euler a", "euler_a", NULL, "linspace", true },
    { "DPM++ 2M", "dpmpp_2m", "dpmpp_2m_karras", "linspace", false },
    { "DPM++ 2M Karras", "dpmpp_2m_karras", "dpmpp_2m_karras", NULL, false },
    { "UniPC", "unipc", "unipc_karras", NULL, false },
    { "UniPC Karras", "unipc_karras", "unipc_karras", NULL, false },
    { "LCM", "lcm", NULL, NULL, true },
    { "EDM Euler", "edm_euler", NULL, NULL, false },
    { "EDM DPM++ 2M", "edm_dpmpp_2m", NULL, NULL, false },
    /* as other programs write them */
    { "k_euler", "euler", NULL, "linspace", false },
    { "k_euler_a", "euler_a", NULL, "linspace", true },
    { "k_euler_ancestral", "euler_a", NULL, "linspace", true },
    { "k_dpmpp_2m", "dpmpp_2m", "dpmpp_2m_karras", "linspace", false },
    { "k_dpmpp_2m_ka", "dpmpp_2m_karras", "dpmpp_2m_karras", NULL, false },
};

/* Row of a sampler's name; −1: it is unknown. */
static int find_sampler(const char *label)
{
    for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++)
        if (strcasecmp(samplers[i].label, label) == 0)
            return (int)i;
    return -1;
}

/* Whether each step draws noise. */
static bool read_sampler(recipe *r)
{
    const char *label = parameters_take(&r->text, "Sampler"), *type = parameters_take(&r->text, "Schedule type");
    const char *spacing = pass(r, "Spacing", "--spacing");
    const int row = label ? find_sampler(label) : -1;
    if (!label) {
        recipe_note(r, true, "the sampler is not said; the model's own is taken");
        return false;
    }
    if (row < 0) {
        recipe_note(r, true, "the sampler '%s' is unknown", label);
        return false;
    }
    const char *name = samplers[row].name;
    /* "Automatic" is what A1111 ships a sampler with: Karras for DPM++ 2M. */
    if (is(type, "Karras") || (is(type, "Automatic") && strcmp(name, "dpmpp_2m") == 0)) {
        if (samplers[row].karras)
            name = samplers[row].karras;
        else
            recipe_note(r, true, "%s with the schedule type Karras is unknown", label);
    } else if (is(type, "SGM Uniform")) {
        spacing = "trailing";
        recipe_add(r, "--spacing", spacing);
    } else if (type && !is(type, "Automatic") && !is(type, "Uniform")) {
        recipe_note(r, true, "the schedule type '%s' is unknown", type);
    }
    if (!is(parameters_take(&r->text, "Scheduler"), "the model's own"))
        recipe_add(r, "--scheduler", name);
    if (!r->ours && !spacing && samplers[row].spacing && name == samplers[row].name)
        recipe_add(r, "--spacing", samplers[row].spacing);
    return samplers[row].draws;
}

/* ---- prompts ---------------------------------------------------------------------------------------------------- */

/* <lora:name:0.8> and its like, which A1111 takes out of the prompt. */
static void note_networks(recipe *r, const char *prompt)
{
    static const char *const kinds[] = { "<lora:", "<lyco:", "<hypernet:" };
    for (size_t k = 0; prompt && k < sizeof kinds / sizeof *kinds; k++)
        for (const char *at = strstr(prompt, kinds[k]); at; at = strstr(at + 1, kinds[k]))
            recipe_note(r, true, "%.*s is not applied", (int)strcspn(at, ">") + 1, at);
}

static void read_prompts(recipe *r)
{
    parameters *p = &r->text;
    const char *style = parameters_take(p, "Prompt style"), *exact = parameters_take(p, "Exact prompt");
    recipe_add(r, "--prompt", exact ? exact : p->prompt);
    exact = parameters_take(p, "Exact negative prompt");
    if (exact || p->negative)
        recipe_add(r, "--negative", exact ? exact : p->negative);
    if (!r->ours || style)
        recipe_add(r, "--prompt-style", style ? style : "a1111");
    pass(r, "Prompt 2", "--prompt-2");
    pass(r, "Negative prompt 2", "--negative-2");
    pass(r, "Negative scale", "--negative-scale");
    if (!is(style, "plain")) {
        note_networks(r, p->prompt);
        note_networks(r, p->negative);
    }
    if (p->rest)
        recipe_note(r, false, "lines after the settings are left out: %.80s", p->rest);
}

static void read_regions(recipe *r)
{
    for (int i = 1; i <= 8; i++) {
        char key[48];
        int width, height, x, y;
        snprintf(key, sizeof key, "Region %d", i);
        const char *place = parameters_take(&r->text, key);
        if (!place)
            return;
        snprintf(key, sizeof key, "Region %d prompt", i);
        const char *prompt = parameters_take(&r->text, key);
        snprintf(key, sizeof key, "Region %d strength", i);
        const char *strength = parameters_take(&r->text, key);
        snprintf(key, sizeof key, "Region %d negative prompt", i);
        const char *negative = parameters_take(&r->text, key);
        if (!prompt || sscanf(place, "%7dx%7d at %7d %7d", &width, &height, &x, &y) != 4) {
            recipe_note(r, true, "region %d is incomplete", i);
            continue;
        }
        const size_t size = strlen(prompt) + (strength ? strlen(strength) : 0) + 80;
        char *word = malloc(size);
        r->no_memory = r->no_memory || !word;
        if (word) {
            snprintf(word, size, "%d,%d,%d,%d:%s:%s", x, y, width, height, prompt, strength ? strength : "1");
            recipe_add(r, "--region", word);
        }
        free(word);
        if (negative)
            recipe_add(r, "--region-negative", negative);
    }
}

/* ---- pictures and sizes ----------------------------------------------------------------------------------------- */

static void read_size(recipe *r)
{
    const char *said = parameters_take(&r->text, "Size"), *asked = parameters_take(&r->text, "Asked size");
    const char *size = r->ours && r->init ? asked : said;
    char word[64];
    if (!size && !r->init)
        recipe_note(r, true, "the size is not said; the model's own is taken");
    if (!size)
        return;
    const size_t width = strcspn(size, "x");
    snprintf(word, sizeof word, "%.*s", (int)(width < 40 ? width : 40), size);
    recipe_add(r, "--width", word);
    recipe_add(r, "--height", size[width] ? size + width + 1 : "");
}

static void read_init(recipe *r)
{
    static const struct {
        const char *theirs, *name;
    } fills[] = { { "original", "original" }, { "latent noise", "noise" }, { "latent nothing", "blank" } };
    parameters *p = &r->text;
    const char *flow = parameters_take(p, "Flow"), *strength = parameters_take(p, "Denoising strength");
    const char *blur = parameters_take(p, "Mask blur"), *area = parameters_take(p, "Inpaint area");
    const char *padding = parameters_take(p, "Masked area padding"), *content = parameters_take(p, "Masked content");
    const char *init = parameters_take(p, "Init picture"), *mask = parameters_take(p, "Mask picture");
    const bool hires = parameters_take(p, "Hires upscale") || parameters_take(p, "Hires resize");
    const bool from_picture = init || (!r->ours && !hires && strength && strtod(strength, NULL) > 0);
    if (!from_picture) {
        if (strength && hires)
            recipe_add(r, "--hires-strength", strength);
        return;
    }
    r->flow = is(flow, "inpaint") || (!flow && (blur || area || content)) ? "inpaint" : "img2img";
    r->init = init ? init : "";
    if (strength)
        recipe_add(r, "--strength", strength);
    if (!pass(r, "Fit", "--fit") && !r->ours) /* "just resize" */
        recipe_add(r, "--fit", "stretch");
    if (strcmp(r->flow, "inpaint") != 0)
        return;
    if (mask || !r->ours)
        r->mask = mask ? mask : "";
    if (blur)
        recipe_add(r, "--mask-blur", blur);
    if (is(area, "Only masked"))
        recipe_add(r, "--mask-padding", padding ? padding : "32");
    for (size_t i = 0; i < sizeof fills / sizeof *fills; i++)
        if (is(content, fills[i].theirs)) {
            recipe_add(r, "--fill", fills[i].name);
            content = NULL;
        }
    if (content)
        recipe_note(r, true, "the masked content '%s' is unknown", content);
    const char *extend = parameters_take(p, "Extend");
    int borders[4];
    if (extend && sscanf(extend, "%7d %7d %7d %7d", borders, borders + 1, borders + 2, borders + 3) == 4) {
        char word[64];
        snprintf(word, sizeof word, "%d,%d,%d,%d", borders[0], borders[1], borders[2], borders[3]);
        recipe_add(r, "--extend", word);
    }
}

static void read_second_pass(recipe *r)
{
    parameters *p = &r->text;
    const char *scale = pass(r, "Hires upscale", "--hires"), *resize = parameters_take(p, "Hires resize");
    const char *upscaler = parameters_take(p, "Hires upscaler"), *steps = parameters_take(p, "Hires steps");
    const char *size = parameters_take(p, "Size");
    int width, height, to_width, to_height;
    pass(r, "Hires strength", "--hires-strength");
    if (!scale && resize && size && sscanf(size, "%7dx%7d", &width, &height) == 2 &&
        sscanf(resize, "%7dx%7d", &to_width, &to_height) == 2) {
        char word[40];
        snprintf(word, sizeof word, "%.10g", width > 0 ? (double)to_width / width : 0);
        recipe_add(r, "--hires", word);
        if ((double)to_width * height != (double)to_height * width)
            recipe_note(r, true, "the second pass changes the shape, to %s", resize);
    } else if (!scale) {
        return;
    }
    if (is(upscaler, "Pixels"))
        recipe_add(r, "--hires-mode", "pixel");
    else if (is(upscaler, "Lanczos") || is(upscaler, "None")) {
        recipe_add(r, "--hires-mode", "pixel");
        recipe_note(r, false, "the second pass enlarges pixels in its own way, not by %s", upscaler);
    } else if (upscaler && !is(upscaler, "Latent"))
        recipe_note(r, true, "the upscaler '%s' is unknown", upscaler);
    const char *first = parameters_take(p, "Steps");
    if (steps && strcmp(steps, "0") != 0 && first && strcmp(steps, first) != 0)
        recipe_note(r, true, "a second pass of other steps (%s) is unknown", steps);
}

/* ---- the rest --------------------------------------------------------------------------------------------------- */

static void read_noise(recipe *r, bool draws)
{
    parameters *p = &r->text;
    const char *rng = parameters_take(p, "RNG"), *delta = parameters_take(p, "ENSD");
    const char *resize = parameters_take(p, "Seed resize from");
    if (!pass(r, "Seed", "--seed"))
        recipe_note(r, true, "the seed is not said");
    if (is(rng, "CPU"))
        recipe_add(r, "--rng", "cpu");
    else if (!r->ours || is(rng, "NV")) /* A1111's standard is the GPU's own generator */
        recipe_add(r, "--rng", "philox");
    if (rng && !is(rng, "CPU") && !is(rng, "NV") && !is(rng, "GPU"))
        recipe_note(r, true, "the RNG '%s' is unknown", rng);
    if (delta && draws && strtol(delta, NULL, 10) != 0)
        recipe_note(r, true, "ENSD %s: noise between the steps comes from another seed", delta);
    else if (draws && !r->ours)
        recipe_note(r, false, "the sampler draws noise between the steps, in another order than A1111's");
    const char *seed = parameters_take(p, "Variation seed"), *strength = parameters_take(p, "Variation seed strength");
    if (strength && strtod(strength, NULL) != 0) {
        recipe_add(r, "--variation-strength", strength);
        if (seed)
            recipe_add(r, "--variation-seed", seed);
    }
    if (resize && resize[0] != '-' && strncmp(resize, "0x", 2) != 0)
        recipe_note(r, true, "noise of another size (Seed resize from %s) is unknown", resize);
}

static void read_model(recipe *r)
{
    parameters *p = &r->text;
    const char *skip = parameters_take(p, "Clip skip");
    char *refiner_hash = NULL;
    r->model = parameters_take(p, "Model");
    r->hash = parameters_take(p, "Model hash");
    r->variant = parameters_take(p, "Variant");
    r->vae = parameters_take(p, "VAE");
    r->text_encoder = parameters_take(p, "Text encoder");
    r->dtype = parameters_take(p, "Precision");
    r->refiner = parameters_take(p, "Refiner");
    r->refiner_hash = parameters_take(p, "Refiner hash");
    if (is(r->vae, "None") || is(r->vae, "Automatic"))
        r->vae = NULL;
    /* A1111 writes "name [hash]". */
    if (r->refiner && !r->ours && r->refiner[0] && (refiner_hash = strrchr((char *)r->refiner, '['))) {
        refiner_hash[strcspn(refiner_hash, "]")] = '\0';
        r->refiner_hash = refiner_hash + 1;
        while (refiner_hash > r->refiner && refiner_hash[-1] == ' ')
            refiner_hash--;
        *refiner_hash = '\0';
    }
    r->refiner_start = parameters_take(p, "Refiner switch at");
    if (r->refiner && !*r->refiner)
        r->refiner = NULL;
    pass(r, "Prediction", "--prediction");
    if (parameters_take(p, "Zero SNR") || is(parameters_take(p, "Noise Schedule"), "Zero Terminal SNR"))
        recipe_add(r, "--zsnr", NULL);
    r->clip_skip = skip ? (int)strtol(skip, NULL, 10) : 0;
    if (r->clip_skip < 1 || r->clip_skip > 64)
        r->clip_skip = 0;
    pass(r, "Tile", "--tile");
}

static void read_sampling(recipe *r)
{
    parameters *p = &r->text;
    if (!pass(r, "Steps", "--steps"))
        recipe_note(r, true, "the number of steps is not said");
    if (!pass(r, "CFG scale", "--guidance"))
        recipe_note(r, true, "the guidance scale is not said");
    const bool draws = read_sampler(r);
    pass(r, "Eta DDIM", "--eta");
    pass(r, "Guidance rescale", "--guidance-rescale");
    pass(r, "Guidance start", "--guidance-start");
    pass(r, "Guidance end", "--guidance-end");
    const char *eta = parameters_take(p, "Eta");
    if (eta && draws && strtod(eta, NULL) != 1)
        recipe_note(r, true, "Eta %s: another amount of noise between the steps is unknown", eta);
    read_noise(r, draws);
}

/* Settings that shape no picture, or only with a value that is not the usual one. */
static const struct {
    const char *key, *usual; /* NULL: whatever it is */
} harmless[] = {
    { "Version", NULL },
    { "Hashes", NULL },
    { "VAE hash", NULL },
    { "Batch size", NULL },
    { "Batch pos", NULL },
    { "User", NULL },
    { "Template", NULL },
    { "Negative Template", NULL },
    { "Downcast alphas_cumprod", NULL },
    { "Pad conds", NULL },
    { "Created Date", NULL },
    { "Civitai resources", NULL },
    { "Civitai metadata", NULL },
    { "Parser", NULL },
    { "App", NULL },
    { "Lora hashes", NULL },
    { "Cond concat", NULL },
    { "Pipeline", NULL },
    { "Tiling", "False" },
    { "Noise multiplier", "1.0" },
    { "Noise multiplier", "1" },
    { "Emphasis", "Original" },
    { "Token merging ratio", "0" },
    { "NGMS", "0" },
    { "Image CFG scale", "" },
    { "First pass size", "0x0" },
    { "Hypernet", "None" },
    { "Conditional mask weight", "1.0" },
    { "Conditional mask weight", "1" },
    { "Discard penultimate sigma", "False" },
    { "Schedule rho", "0" },
};

static bool is_harmless(const setting *s)
{
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (strcmp(s->key, harmless[i].key) == 0 && (!harmless[i].usual || is(s->value, harmless[i].usual)))
            return true;
    return false;
}

/* What nobody asked for, those of one extension, whose first word they share, in one line. */
static void note_unknown(recipe *r)
{
    parameters *p = &r->text;
    for (int i = 0; i < p->count; i++) {
        setting *s = &p->settings[i];
        int others = 0;
        if (s->used || is_harmless(s))
            continue;
        const size_t word = strcspn(s->key, " ");
        for (int k = i + 1; k < p->count; k++)
            if (!p->settings[k].used && strncmp(p->settings[k].key, s->key, word) == 0 &&
                (p->settings[k].key[word] == ' ' || !p->settings[k].key[word])) {
                p->settings[k].used = true;
                others++;
            }
        if (others)
            recipe_note(r, true, "%.*s (%d settings, %s: %.60s) is unknown", (int)word, s->key, others + 1, s->key,
                        s->value);
        else
            recipe_note(r, true, "%s: %.100s is unknown", s->key, s->value);
    }
}

int recipe_read(const char *text, recipe *r)
{
    *r = (recipe){ .flow = "txt2img" };
    const int status = parameters_parse(text, &r->text);
    if (status)
        return status;
    const char *version = parameters_take(&r->text, "Version");
    r->ours = version && strncmp(version, "calotype", 8) == 0;
    read_prompts(r);
    read_regions(r);
    read_sampling(r);
    read_init(r);
    read_size(r);
    read_second_pass(r);
    read_model(r);
    note_unknown(r);
    return r->no_memory ? 4 : 0;
}

void recipe_free(recipe *r)
{
    for (int i = 0; i < r->word_count; i++)
        free(r->words[i]);
    for (int i = 0; i < r->note_count; i++)
        free(r->notes[i]);
    parameters_free(&r->text);
}
