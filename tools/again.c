/* calotype again: reads how a picture was made, and makes it. */
#include "commands.h"
#include "find_model.h"
#include "recipe.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the model -------------------------------------------------------------------------------------------------- */

/* The value of an option in the command line so far; NULL: it is not there. */
static const char *value_of(const recipe *r, const char *option)
{
    for (int i = 0; i + 1 < r->word_count; i++)
        if (strcmp(r->words[i], option) == 0)
            return r->words[i + 1];
    return NULL;
}

/* Finds one of the picture's models and adds it to the command line. */
static void find_one(recipe *r, const model_list *list, calo_context *context, const char *what, const char *option,
                     const char *hash, const char *name)
{
    bool by_hash;
    char seen[65];
    const char *said = name ? name : hash ? hash : "", *path;
    if (name && strncmp(name, "layout:", 7) == 0) {
        recipe_add(r, option, name);
        return;
    }
    if (!name && !hash) {
        recipe_note(r, true, "the text does not say which %s; give it with %s", what, option);
        return;
    }
    path = model_list_find(list, context, hash, name, &by_hash, seen);
    if (!path) {
        recipe_note(r, true, "the %s %s%s%s%s is not in the folders given; say where with --models, or %s", what, said,
                    name && hash ? " (" : "", name && hash ? hash : "", name && hash ? ")" : "", option);
        return;
    }
    recipe_add(r, option, path);
    if (hash && !by_hash && seen[0])
        recipe_note(r, true, "the %s %s has the hash %s, not %s", what, path, seen, hash);
    else if (hash && !by_hash)
        recipe_note(r, true, "the %s %s has the right name, but its hash could not be compared with %s", what, path,
                    hash);
    else if (!hash)
        recipe_note(r, false, "the %s was found by its name: %s", what, path);
}

static void find_part(recipe *r, const model_list *list, const char *what, const char *option, const char *name)
{
    const char *path = name ? model_list_name(list, name) : NULL;
    if (path)
        recipe_add(r, option, path);
    else if (name)
        recipe_note(r, true, "the %s %s is not in the folders given; give it with %s", what, name, option);
}

static void find_models(recipe *r, const options *o, calo_context *context)
{
    model_list list = { 0 };
    for (int i = 0; i < o->folder_count; i++)
        model_list_add(&list, o->folders[i]);
    if (!o->folder_count)
        model_list_add(&list, ".");
    if (o->model)
        recipe_add(r, "--model", o->model);
    else
        find_one(r, &list, context, "model", "--model", r->hash, r->model);
    if (o->refiner)
        recipe_add(r, "--refiner", o->refiner);
    else if (r->refiner)
        find_one(r, &list, context, "refiner", "--refiner", r->refiner_hash, r->refiner);
    if (r->refiner_start && value_of(r, "--refiner"))
        recipe_add(r, "--refiner-start", r->refiner_start);
    if (o->vae)
        recipe_add(r, "--vae", o->vae);
    else
        find_part(r, &list, "VAE", "--vae", r->vae);
    if (o->text_encoder)
        recipe_add(r, "--text-encoder", o->text_encoder);
    else
        find_part(r, &list, "text encoder", "--text-encoder", r->text_encoder);
    r->no_memory = r->no_memory || list.no_memory;
    model_list_free(&list);
}

/* A1111's clip skip moves nothing in models whose layer is fixed: 2.x and XL. */
static void add_clip_skip(recipe *r, calo_context *context)
{
    const char *path = value_of(r, "--model");
    char word[16], *json = NULL;
    if (r->clip_skip <= 1)
        return;
    const bool obeyed = r->ours || !path || calo_inspect(context, path, &json) || strstr(json, "\"variant\":\t\"sd1");
    calo_free_text(&json);
    snprintf(word, sizeof word, "%d", r->clip_skip - 1);
    if (obeyed)
        recipe_add(r, "--clip-skip", word);
}

/* ---- the pictures it began with --------------------------------------------------------------------------------- */

/* What metadata.c of the library tells pictures apart by: FNV-1a of size, pixels and opacity. */
static void name_picture(const calo_image *image, char *text, size_t size)
{
    const int width = calo_image_width(image), height = calo_image_height(image);
    const uint8_t *planes[] = { calo_image_pixels(image), calo_image_alpha(image) };
    uint64_t h = UINT64_C(14695981039346656037);
    for (int p = 0; p < 2; p++)
        for (size_t i = 0; planes[p] && i < (size_t)width * (size_t)height * (p ? 1 : 3); i++)
            h = (h ^ planes[p][i]) * UINT64_C(1099511628211);
    snprintf(text, size, "%dx%d %016llx", width, height, (unsigned long long)h);
}

/* Takes --init or --mask to the command line, after comparing it with what the text says. Returns the exit status. */
static int add_picture(recipe *r, session *s, const char *what, const char *option, const char *path, const char *said)
{
    calo_image *image = NULL;
    char name[64];
    if (!said && path)
        return complain(2, "%s does nothing here: the picture began without one", option);
    if (!said)
        return 0;
    if (!path) {
        recipe_note(r, true, "the %s that it began with is not in the file; give it with %s", what, option);
        return 0;
    }
    const calo_status status = calo_load_image(s->context, path, &image);
    if (status)
        return session_fail(s, status);
    name_picture(image, name, sizeof name);
    if (*said && strcmp(name, said) != 0)
        recipe_note(r, true, "%s is another %s than the one that it began with (%s, not %s)", path, what, name, said);
    calo_free_image(&image);
    recipe_add(r, option, path);
    return 0;
}

/* ---- the command line ------------------------------------------------------------------------------------------- */

/* A word as a shell takes it; what a terminal would obey stands as $'\033'. */
static void print_word(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:,";
    bool control = false;
    for (const char *p = word; *p; p++)
        control = control || (iscntrl((unsigned char)*p) && *p != '\n');
    putchar(' ');
    if (*word && strspn(word, plain) == strlen(word)) {
        fputs(word, stdout);
        return;
    }
    fputs(control ? "$'" : "'", stdout);
    for (const char *p = word; *p; p++)
        if (*p == '\'')
            fputs(control ? "\\'" : "'\\''", stdout);
        else if (control && (iscntrl((unsigned char)*p) || *p == '\\'))
            printf("\\%03o", (unsigned char)*p);
        else
            putchar(*p);
    putchar('\'');
}

static void print_command(const recipe *r)
{
    printf("calotype %s", r->flow);
    for (int i = 0; i < r->word_count; i++)
        print_word(r->words[i]);
    putchar('\n');
}

/* What is the user's to say: where, on what, and what the text cannot know. */
static void take_over(options *to, const options *o)
{
    to->output = o->output;
    to->device = o->device;
    to->threads = o->threads;
    to->memory_limit = o->memory_limit;
    to->quiet = o->quiet;
    to->json = o->json;
    to->zero_snr = to->zero_snr || o->zero_snr;
    if (option_given(o, "--dtype"))
        to->dtype = o->dtype;
    if (o->prediction)
        to->prediction = o->prediction;
    if (o->variant)
        to->variant = o->variant;
}

/* Reads the picture, finds what it needs, says what is missing. Returns the exit status. */
static int prepare(recipe *r, session *s, const options *o)
{
    calo_image *image = NULL;
    const char *path = o->words[0];
    int shaping = 0;
    calo_status loaded = calo_load_image(s->context, path, &image);
    if (loaded)
        return session_fail(s, loaded);
    const char *text = calo_image_parameters(image);
    int status = *text ? recipe_read(text, r)
                       : complain(3, "%s does not say how it was made: it has no `parameters` text", path);
    if (*text && status == 3)
        complain(3, "%s: its `parameters` text has no line of settings, as 'Steps: 20, Sampler: …, Seed: …'", path);
    calo_free_image(&image);
    if (status)
        return status == 4 ? complain(4, "no memory for the text of %s", path) : status;
    find_models(r, o, s->context);
    if (progress_cancelled())
        return complain(130, "stopped");
    add_clip_skip(r, s->context);
    if (r->dtype && !option_given(o, "--dtype"))
        recipe_add(r, "--dtype", r->dtype);
    const char *model = value_of(r, "--model");
    if (r->variant && !o->variant && model && (strstr(model, ".safetensors") || strstr(model, ".ckpt")))
        recipe_add(r, "--variant", r->variant);
    status = add_picture(r, s, "picture", "--init", o->init, r->init);
    if (!status)
        status = add_picture(r, s, "mask", "--mask", o->mask, r->mask);
    if (!status && r->no_memory)
        status = complain(4, "no memory for the text of %s", path);
    if (status)
        return status;
    for (int i = 0; i < r->note_count; i++) {
        complain(0, "%s: %s%s", path, r->shapes[i] ? "" : "note: ", r->notes[i]);
        shaping += r->shapes[i];
    }
    if (o->show)
        print_command(r);
    if (shaping && !o->force)
        return complain(3, "%s cannot be made again as it was; --force makes what can be made", path);
    return 0;
}

int command_again(options *o)
{
    session s = { 0 };
    recipe r = { 0 };
    options drawn;
    char why[OPTION_SENTENCE];
    if (!o->words[0])
        return complain(2, "again needs a picture: calotype again IMAGE");
    progress_begin(o->quiet);
    int status = session_open_device(&s, o, "none");
    if (!status)
        status = prepare(&r, &s, o);
    session_close(&s);
    if (!status && options_parse(&drawn, command_find(r.flow), r.word_count, r.words, why)) {
        for (char *p = why; *p; p++)
            if (iscntrl((unsigned char)*p))
                *p = ' ';
        status = complain(3, "%s cannot be made again: %s", o->words[0], why);
    }
    if (!status && !drawn.model)
        status = complain(3, "%s cannot be made again without its model", o->words[0]);
    if (!status && !o->show) {
        take_over(&drawn, o);
        status = session_check(&drawn, r.flow);
        if (!status)
            status = session_finish(&s, &drawn, session_open(&s, &drawn, drawn.device));
    }
    recipe_free(&r);
    return status;
}
