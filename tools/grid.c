/* calotype grid: a picture for each value of one setting, or each pair of two, on one contact sheet. */
#include "commands.h"
#include "sheet.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_LIMIT = 64, CELL_LIMIT = 400, SHEET_PIXELS = 16000000 };
enum { PAPER = 0xf4efe6, INK = 0x2e2620, SOFT = 0x85776a, FRAME = 0xcfc4b4, MARGIN = 28, GAP = 14 };

typedef struct axis {
    const option *option; /* NULL: the axis is not there, and has one value */
    char *values[VALUE_LIMIT];
    int count;
} axis;

typedef struct grid {
    axis axes[2];
    int columns, rows;                                         /* of the sheet */
    int cell_width, cell_height, gutter, header, caption, top; /* pixels */
    int scale;                                                 /* pixels a dot of the small text */
    double *seconds;                                           /* of each cell */
    sheet sheet;
} grid;

/* ---- axes ------------------------------------------------------------------------------------------------------- */

static int open_axis(axis *a, char *word, const char *name, const options *o)
{
    static const char *const known[] = { "scheduler", "steps", "guidance", "seed", "prompt", "strength" };
    char *equals = word ? strchr(word, '=') : NULL, option_name[32], why[OPTION_SENTENCE];
    options trial = *o;
    *a = (axis){ .count = 1 };
    if (!word)
        return 0;
    for (size_t i = 0; equals && i < sizeof known / sizeof *known; i++)
        if (strlen(known[i]) == (size_t)(equals - word) && strncmp(known[i], word, strlen(known[i])) == 0) {
            snprintf(option_name, sizeof option_name, "--%s", known[i]);
            a->option = option_find(option_name, strlen(option_name));
        }
    if (!a->option)
        return complain(2, "%s takes scheduler, steps, guidance, seed, prompt or strength, '=' and values, not '%s'",
                        name, word);
    const char between = strcmp(a->option->name, "--prompt") == 0 ? '|' : ',';
    a->count = 0;
    for (char *at = equals + 1; at;) {
        char *end = strchr(at, between);
        if (a->count == VALUE_LIMIT)
            return complain(2, "%s: an axis has at most %d values", name, VALUE_LIMIT);
        if (end)
            *end = '\0';
        at += strspn(at, " ");
        for (char *last = at + strlen(at); last > at && last[-1] == ' ';)
            *--last = '\0';
        if (option_set(&trial, a->option, at, why))
            return complain(2, "%s: %s", name, why);
        if (trial.random_seed)
            return complain(2, "%s: a grid's seeds are numbers, not random", name);
        a->values[a->count++] = at;
        at = end ? end + 1 : NULL;
    }
    if (strcmp(a->option->name, "--strength") == 0 && !o->init)
        return complain(2, "%s: strength does nothing without --init", name);
    return 0;
}

/* What stands beside or above a picture: numbers with the name of what they are. */
static void label_of(const axis *a, int i, char *text, size_t size)
{
    const option *option = a->option;
    const bool speaks = option && (option->kind == OPTION_NAME || option->kind == OPTION_TEXT);
    snprintf(text, size, "%s%s%s", !option || speaks ? "" : option->name + 2, !option || speaks ? "" : " ",
             option ? a->values[i] : "");
}

static bool sweeps(const grid *g, const char *name)
{
    for (int i = 0; i < 2; i++)
        if (g->axes[i].option && strcmp(g->axes[i].option->name, name) == 0)
            return true;
    return false;
}

/* ---- the sheet -------------------------------------------------------------------------------------------------- */

/* One axis in lines of pictures, near a square without a hole where there is such a shape. */
static int columns_for(int count)
{
    int side = 1;
    while (side * side < count)
        side++;
    if (count <= 4)
        return count;
    for (int c = side; c < 2 * side; c++)
        if (count % c == 0)
            return c;
    return side;
}

static void describe(const grid *g, const session *s, const options *o, char *text, size_t size)
{
    const calo_request *r = &s->request;
    const char *slash = strrchr(o->model, '/');
    size_t used = (size_t)snprintf(text, size, "%s", slash && slash[1] ? slash + 1 : o->model);
#define ADD(...) used += used < size ? (size_t)snprintf(text + used, size - used, __VA_ARGS__) : 0
    if (r->scheduler && !sweeps(g, "--scheduler"))
        ADD(", %s", r->scheduler);
    if (!sweeps(g, "--steps"))
        ADD(", %d step%s", r->steps, r->steps == 1 ? "" : "s");
    if (!sweeps(g, "--guidance"))
        ADD(", guidance %.4g", r->guidance);
    if (!sweeps(g, "--seed"))
        ADD(", seed %llu", (unsigned long long)r->seed);
    if (o->init && r->strength >= 0 && !sweeps(g, "--strength"))
        ADD(", strength %.4g", r->strength);
#undef ADD
}

/* Sizes, from those of a picture, and the paper with all text but the times. */
static int open_sheet(grid *g, const session *s, const options *o, int width, int height)
{
    const axis *x = &g->axes[0], *y = &g->axes[1];
    const bool table = y->option != NULL;
    char text[4096], size[96], label[512];
    calo_device_record record = { 0 };
    calo_context_device(s->context, &record);
    g->columns = table ? x->count : columns_for(x->count);
    g->rows = table ? y->count : (x->count + g->columns - 1) / g->columns;
    double zoom = width < 160 ? (160 + width - 1) / width : 1;
    const double area = zoom * zoom * width * height * g->columns * g->rows;
    if (area > SHEET_PIXELS)
        zoom *= sqrt(SHEET_PIXELS / area);
    g->cell_width = (int)(width * zoom) > 16 ? (int)(width * zoom) : 16;
    g->cell_height = (int)(height * zoom) > 16 ? (int)(height * zoom) : 16;
    g->scale = g->cell_width >= 640 ? 4 : g->cell_width >= 400 ? 3 : 2;
    const int line = FONT_LINE * g->scale, title = g->scale == 4 ? 6 : g->scale + 1;
    const int longest = g->cell_width > 240 ? g->cell_width * 2 / 3 : 160;
    int header_lines = 0, caption_lines = 1;
    for (int i = 0; table && i < y->count; i++) {
        label_of(y, i, label, sizeof label);
        const int wide = sheet_text_width(label, g->scale);
        g->gutter = wide > g->gutter ? wide : g->gutter;
    }
    g->gutter = g->gutter > longest ? longest : g->gutter;
    for (int i = 0; i < x->count; i++) {
        label_of(x, i, label, sizeof label);
        const int lines = sheet_text(NULL, 0, 0, g->cell_width, 4, g->scale, SHEET_LEFT, INK, label);
        header_lines = table && lines > header_lines ? lines : header_lines;
        caption_lines = !table && lines + 1 > caption_lines ? lines + 1 : caption_lines;
    }
    g->header = header_lines * line + (table ? GAP / 2 : 0);
    g->caption = caption_lines * line + GAP / 2;
    const int left = MARGIN + g->gutter + (g->gutter ? GAP : 0);
    int paper_width = left + g->columns * (g->cell_width + GAP) - GAP + MARGIN;
    const int least = 2 * MARGIN + 360; /* for the title */
    const int shift = paper_width < least ? (least - paper_width) / 2 : 0;
    paper_width += 2 * shift;
    const int room = paper_width - 2 * MARGIN;
    const char *prompt = sweeps(g, "--prompt") ? "prompts compared" : s->request.prompt ? s->request.prompt : "";
    describe(g, s, o, text, sizeof text);
    snprintf(size, sizeof size, "%d x %d pixels, %s, %.60s", width, height, calo_model_dtype(s->model), record.name);
    const int title_lines = sheet_text(NULL, 0, 0, room, 3, title, SHEET_LEFT, INK, prompt);
    const int about_lines = sheet_text(NULL, 0, 0, room, 2, g->scale, SHEET_LEFT, SOFT, text);
    g->top = MARGIN + title_lines * FONT_LINE * title + GAP / 2 + about_lines * line + GAP;
    const int paper_height = g->top + g->header + g->rows * (g->cell_height + g->caption + GAP) + line + MARGIN;
    if (!sheet_open(&g->sheet, paper_width, paper_height, PAPER))
        return complain(4, "no memory for a sheet of %d × %d pixels", paper_width, paper_height);
    sheet_text(&g->sheet, MARGIN, MARGIN, room, 3, title, SHEET_LEFT, INK, prompt);
    sheet_text(&g->sheet, MARGIN, MARGIN + title_lines * FONT_LINE * title + GAP / 2, room, 2, g->scale, SHEET_LEFT,
               SOFT, text);
    sheet_text(&g->sheet, MARGIN, paper_height - MARGIN - line + 2 * g->scale, room * 3 / 4, 1, g->scale, SHEET_LEFT,
               SOFT, size);
    sheet_text(&g->sheet, MARGIN + room * 3 / 4, paper_height - MARGIN - line + 2 * g->scale, room - room * 3 / 4, 1,
               g->scale, SHEET_RIGHT, SOFT, "calotype");
    g->gutter = left + shift; /* from here on: where pictures begin */
    for (int i = 0; table && i < x->count; i++) {
        label_of(x, i, label, sizeof label);
        const int lines = sheet_text(NULL, 0, 0, g->cell_width, 4, g->scale, SHEET_LEFT, INK, label);
        sheet_text(&g->sheet, g->gutter + i * (g->cell_width + GAP), g->top + (header_lines - lines) * line,
                   g->cell_width, 4, g->scale, SHEET_CENTRE, INK, label);
    }
    for (int i = 0; table && i < y->count; i++) {
        const int room_lines = g->cell_height / line > 1 ? g->cell_height / line : 1, wide = left - GAP - MARGIN;
        label_of(y, i, label, sizeof label);
        const int lines = sheet_text(NULL, 0, 0, wide, room_lines, g->scale, SHEET_LEFT, INK, label);
        sheet_text(&g->sheet, MARGIN + shift,
                   g->top + g->header + i * (g->cell_height + g->caption + GAP) + (g->cell_height - lines * line) / 2,
                   wide, room_lines, g->scale, SHEET_RIGHT, INK, label);
    }
    return 0;
}

static void put_cell(grid *g, int number, const calo_image *image)
{
    const axis *x = &g->axes[0];
    const bool table = g->axes[1].option != NULL;
    const int left = g->gutter + number % g->columns * (g->cell_width + GAP), line = FONT_LINE * g->scale;
    const int top = g->top + g->header + number / g->columns * (g->cell_height + g->caption + GAP);
    char label[512], time[32];
    int lines = 0;
    sheet_fill(&g->sheet, left - 1, top - 1, g->cell_width + 2, g->cell_height + 2, FRAME);
    sheet_picture(&g->sheet, left, top, g->cell_width, g->cell_height, calo_image_pixels(image),
                  calo_image_width(image), calo_image_height(image));
    const int under = top + g->cell_height + GAP / 2;
    if (!table)
        label_of(x, number, label, sizeof label);
    if (!table)
        lines = sheet_text(&g->sheet, left, under, g->cell_width, 4, g->scale, SHEET_CENTRE, INK, label);
    snprintf(time, sizeof time, "%.2f s", g->seconds[number]);
    sheet_text(&g->sheet, left, under + lines * line, g->cell_width, 1, g->scale, SHEET_CENTRE, SOFT, time);
}

/* ---- the pictures ----------------------------------------------------------------------------------------------- */

static int on_step(void *user, const calo_progress *progress)
{
    (void)user;
    progress_step(progress, 1);
    return progress_cancelled();
}

/* One step beforehand: what compiles, compiles now, so that no picture's time holds it. */
static int warm_up(session *s)
{
    calo_image *image = NULL;
    calo_request request = s->request;
    request.steps = 1;
    request.strength = request.init ? 1 : -1;
    request.hires = 0;
    request.refiner = NULL;
    const calo_status status = calo_generate(s->model, &request, &image);
    calo_free_image(&image);
    return status ? session_fail(s, status) : 0;
}

static int make_cells(grid *g, session *s, const options *o)
{
    const int count = g->axes[0].count * g->axes[1].count;
    const calo_request base = s->request;
    int status = warm_up(s);
    for (int i = 0; i < count && !status; i++) {
        const int at[2] = { i % g->axes[0].count, i / g->axes[0].count };
        char why[OPTION_SENTENCE];
        options cell = *o;
        calo_image *image = NULL;
        cell.request = base;
        for (int k = 0; k < 2; k++)
            if (g->axes[k].option)
                option_set(&cell, g->axes[k].option, g->axes[k].values[at[k]], why);
        progress_cell(i, count);
        const calo_status made = calo_generate(s->model, &cell.request, &image);
        g->seconds[i] = s->timing.total_s;
        status = made ? session_fail(s, made) : 0;
        if (!status && i == 0)
            status = open_sheet(g, s, o, calo_image_width(image), calo_image_height(image));
        if (!status)
            put_cell(g, i, image);
        calo_free_image(&image);
    }
    progress_cell(0, 0);
    progress_end();
    return status;
}

/* ---- what it says ----------------------------------------------------------------------------------------------- */

/* A label in `width` columns, cut with … where it is longer. */
static void print_label(const char *label, int width)
{
    int count = 0;
    const char *end = label;
    for (; *end && count < width; count++)
        for (end++; ((unsigned char)*end & 0xc0) == 0x80;)
            end++;
    if (*end && count > 1) {
        for (end--; ((unsigned char)*end & 0xc0) == 0x80;)
            end--;
        printf("%.*s…", (int)(end - label), label);
    } else {
        printf("%.*s%*s", (int)(end - label), label, width - count, "");
    }
}

static void print_table(const grid *g)
{
    enum { LONGEST = 48 };
    const axis *x = &g->axes[0], *y = &g->axes[1];
    char label[512];
    int width = 0;
    for (int i = 0; i < x->count; i++) {
        label_of(x, i, label, sizeof label);
        const int letters = sheet_text_width(label, 1) / FONT_ADVANCE;
        width = letters > width ? letters : width;
    }
    width = width > LONGEST ? LONGEST : width;
    for (int i = 0; i < x->count * y->count; i++) {
        if (y->option && i % x->count == 0) {
            label_of(y, i / x->count, label, sizeof label);
            print_label(label, LONGEST);
            putchar('\n');
        }
        fputs(y->option ? "  " : "", stdout);
        label_of(x, i % x->count, label, sizeof label);
        print_label(label, width);
        printf("  %8.2f s\n", g->seconds[i]);
    }
}

static void print_json(const grid *g, const session *s, const options *o)
{
    calo_device_record record = { 0 };
    calo_context_device(s->context, &record);
    cJSON *object = cJSON_CreateObject(), *cells;
    cJSON_AddStringToObject(object, "sheet", o->output);
    cells = cJSON_AddArrayToObject(object, "cells");
    for (int i = 0; i < g->axes[0].count * g->axes[1].count; i++) {
        const int at[2] = { i % g->axes[0].count, i / g->axes[0].count };
        cJSON *cell = cJSON_CreateObject();
        for (int k = 0; k < 2; k++)
            if (g->axes[k].option)
                cJSON_AddStringToObject(cell, g->axes[k].option->name + 2, g->axes[k].values[at[k]]);
        cJSON_AddNumberToObject(cell, "total_s", g->seconds[i]);
        cJSON_AddItemToArray(cells, cell);
    }
    cJSON_AddNumberToObject(object, "load_s", s->load_s);
    cJSON_AddStringToObject(object, "device", record.id);
    cJSON_AddStringToObject(object, "dtype", calo_model_dtype(s->model));
    char *text = cJSON_Print(object);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}

int command_grid(options *o)
{
    session s = { 0 };
    grid g = { 0 };
    calo_image *paper = NULL;
    int status = session_check(o, "txt2img");
    if (!status && !o->axes[0])
        status = complain(2, "grid needs --x, as --x scheduler=ddim,euler,unipc");
    if (!status)
        status = open_axis(&g.axes[0], o->axes[0], "--x", o);
    if (!status)
        status = open_axis(&g.axes[1], o->axes[1], "--y", o);
    if (!status && g.axes[0].option == g.axes[1].option)
        status = complain(2, "--x and --y sweep the same setting");
    if (!status && g.axes[0].count * g.axes[1].count > CELL_LIMIT)
        status = complain(2, "a grid has at most %d pictures, not %d", CELL_LIMIT, g.axes[0].count * g.axes[1].count);
    if (!status && !o->request.prompt && !sweeps(&g, "--prompt"))
        status = complain(2, "--prompt is missing");
    if (status)
        return status;
    progress_begin(o->quiet);
    status = session_open(&s, o, o->device);
    g.seconds = calloc((size_t)(g.axes[0].count * g.axes[1].count), sizeof *g.seconds);
    if (!status && !g.seconds)
        status = complain(4, "no memory for the times of a grid");
    s.request.on_step = on_step;
    s.request.should_stop = progress_stops;
    if (!status)
        status = make_cells(&g, &s, o);
    if (!status) {
        calo_status saved = calo_make_image(s.context, g.sheet.width, g.sheet.height, 3, g.sheet.pixels, &paper);
        if (!saved)
            saved = calo_save_png(paper, o->output);
        status = saved ? session_fail(&s, saved) : 0;
    }
    if (!status && o->json)
        print_json(&g, &s, o);
    else if (!status) {
        print_table(&g);
        if (o->random_seed)
            printf("seed %llu\n", (unsigned long long)s.request.seed);
    }
    if (!status && !o->quiet)
        fprintf(stderr, "%s  %d × %d pixels\n", o->output, g.sheet.width, g.sheet.height);
    calo_free_image(&paper);
    sheet_close(&g.sheet);
    free(g.seconds);
    session_close(&s);
    return status;
}
