/* Cutting, blending and joining, on the host, where a picture ends anyway. */
#include "tiles.h"
#include "../engine/shim.h"

#include <string.h>

/* Numbers of a rectangle, [height][width][channels]. */
typedef struct patch {
    int height, width, channels;
    float *values;
} patch;

static bool patch_make(patch *p, int height, int width, int channels, calo_fault *fault)
{
    *p = (patch){ height, width, channels, calo_alloc((size_t)height * (size_t)width, (size_t)channels * sizeof(float)) };
    if (!p->values)
        calo_fail(fault, CALO_EMEMORY, "no host memory for a tile of %d × %d", width, height);
    return p->values != NULL;
}

static float *at(const patch *p, int y, int x)
{
    return p->values + ((size_t)y * (size_t)p->width + (size_t)x) * (size_t)p->channels;
}

static void copy_rectangle(const patch *to, int to_y, int to_x, const patch *from, int y, int x, int height, int width)
{
    for (int i = 0; i < height; i++)
        memcpy(at(to, to_y + i, to_x), at(from, y + i, x), (size_t)width * (size_t)to->channels * sizeof(float));
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* The first `extent` rows (or columns) of b fade in over the last ones of a. */
static void fade(const patch *a, const patch *b, int extent, bool rows)
{
    extent = least(extent, rows ? least(a->height, b->height) : least(a->width, b->width));
    const int height = rows ? extent : b->height, width = rows ? b->width : extent;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const int k = rows ? y : x;
            const float share = (float)k / (float)extent;
            const float *old = rows ? at(a, a->height - extent + y, x) : at(a, y, a->width - extent + x);
            float *new = at(b, y, x);
            for (int c = 0; c < b->channels; c++)
                new[c] = old[c] * (1 - share) + new[c] * share;
        }
}

/* One tile through the device. */
static bool convert(calo_run *run, const calo_tiles *t, calo_type type, const patch *source, int y, int x, patch *out)
{
    const int height = least(t->from, source->height - y), width = least(t->from, source->width - x);
    patch part;
    if (!patch_make(&part, height, width, source->channels, run->fault))
        return false;
    copy_rectangle(&part, 0, 0, source, y, x, height, width);
    calo_tensor in = calo_new(run, type, 4, (int64_t[]){ 1, height, width, source->channels });
    calo_upload(run, in, part.values);
    calo_tensor made = t->convert(t->user, run, in);
    calo_drop(run, &in);
    if (!calo_failed(run) && patch_make(out, (int)made.dims[1], (int)made.dims[2], t->channels, run->fault))
        calo_download(run, made, out->values);
    calo_drop(run, &made);
    calo_free(part.values);
    return !calo_failed(run);
}

static void free_row(patch *row, int count)
{
    for (int i = 0; i < count; i++) {
        calo_free(row[i].values);
        row[i].values = NULL;
    }
}

/* Rows of tiles from top to bottom, each blended with the one above and the one to its left. */
static void join(calo_run *run, const calo_tiles *t, calo_type type, const patch *source, const patch *canvas)
{
    const int step = t->from / 4 * 3, blend = t->to / 4, keep = t->to - blend;
    const int across = (source->width + step - 1) / step;
    patch *above = calo_alloc((size_t)across, sizeof *above), *row = calo_alloc((size_t)across, sizeof *row);
    if (!above || !row)
        calo_fail(run->fault, CALO_EMEMORY, "no host memory for a row of tiles");
    for (int i = 0; i * step < source->height && !calo_failed(run); i++) {
        for (int j = 0; j < across && convert(run, t, type, source, i * step, j * step, &row[j]); j++) {
            if (i > 0)
                fade(&above[j], &row[j], blend, true);
            if (j > 0)
                fade(&row[j - 1], &row[j], blend, false);
            const int height = least(least(keep, row[j].height), canvas->height - i * keep);
            const int width = least(least(keep, row[j].width), canvas->width - j * keep);
            if (height > 0 && width > 0)
                copy_rectangle(canvas, i * keep, j * keep, &row[j], 0, 0, height, width);
        }
        free_row(above, across);
        patch *kept = above;
        above = row;
        row = kept;
    }
    if (above)
        free_row(above, across);
    if (row)
        free_row(row, across);
    calo_free(above);
    calo_free(row);
}

calo_tensor calo_in_tiles(calo_run *run, const calo_tiles *t, calo_tensor x)
{
    calo_tensor result = { 0 };
    patch source = { .values = NULL }, canvas = { .values = NULL };
    if (calo_failed(run))
        return result;
    const int height = (int)(x.dims[1] * t->to / t->from), width = (int)(x.dims[2] * t->to / t->from);
    result = calo_new(run, CALO_F32, 4, (int64_t[]){ 1, height, width, t->channels });
    if (!calo_failed(run) && patch_make(&source, (int)x.dims[1], (int)x.dims[2], (int)x.dims[3], run->fault) &&
        patch_make(&canvas, height, width, t->channels, run->fault)) {
        calo_download(run, x, source.values);
        join(run, t, x.type, &source, &canvas);
        calo_upload(run, result, canvas.values);
    }
    calo_free(source.values);
    calo_free(canvas.values);
    return result;
}
