/* Drawing a contact sheet. Letters are dots, doubled three times by Scale2x (Mazzoleni 2001), which keeps corners and
   rounds diagonals, then averaged down to their size, so that they look drawn and not built of bricks. */
#include "sheet.h"

#include <stdlib.h>
#include <string.h>

bool sheet_open(sheet *s, int width, int height, uint32_t paper)
{
    s->width = width;
    s->height = height;
    s->pixels = malloc((size_t)width * (size_t)height * 3);
    if (s->pixels)
        sheet_fill(s, 0, 0, width, height, paper);
    return s->pixels != NULL;
}

void sheet_close(sheet *s)
{
    free(s->pixels);
    *s = (sheet){ 0 };
}

/* Mixes a colour, 0xRRGGBB, into a pixel: `share` of 255. Outside the sheet nothing happens. */
static void mix(sheet *s, int x, int y, uint32_t colour, int share)
{
    if (x < 0 || y < 0 || x >= s->width || y >= s->height)
        return;
    uint8_t *p = s->pixels + 3 * ((size_t)y * (size_t)s->width + (size_t)x);
    for (int k = 0; k < 3; k++) {
        const int c = (int)(colour >> (16 - 8 * k) & 0xff);
        p[k] = (uint8_t)((p[k] * (255 - share) + c * share + 127) / 255);
    }
}

void sheet_fill(sheet *s, int x, int y, int width, int height, uint32_t colour)
{
    for (int j = 0; j < height; j++)
        for (int i = 0; i < width; i++)
            mix(s, x + i, y + j, colour, 255);
}

void sheet_picture(sheet *s, int x, int y, int width, int height, const uint8_t *pixels, int from_width,
                   int from_height)
{
    for (int j = 0; j < height; j++)
        for (int i = 0; i < width; i++) {
            const int left = (int)((int64_t)i * from_width / width), top = (int)((int64_t)j * from_height / height);
            int right = (int)((int64_t)(i + 1) * from_width / width),
                bottom = (int)((int64_t)(j + 1) * from_height / height);
            int sum[3] = { 0, 0, 0 };
            right = right > left ? right : left + 1;
            bottom = bottom > top ? bottom : top + 1;
            for (int v = top; v < bottom; v++)
                for (int u = left; u < right; u++)
                    for (int k = 0; k < 3; k++)
                        sum[k] += pixels[3 * ((size_t)v * (size_t)from_width + (size_t)u) + (size_t)k];
            const int count = (right - left) * (bottom - top);
            uint32_t colour = 0;
            for (int k = 0; k < 3; k++)
                colour = colour << 8 | (uint32_t)((sum[k] + count / 2) / count);
            mix(s, x + i, y + j, colour, 255);
        }
}

/* ---- letters ---------------------------------------------------------------------------------------------------- */

enum { FINE = 8 /* finest dots a dot */, CELL = 24 /* a third of those: 1, 2, 3, 4 and 6 pixels divide it */ };

/* One doubling of dots [height, width]: a corner takes the colour that its two sides share, where the other two have
 * not the same. Outside there is no ink. */
static void double_dots(const uint8_t *from, int width, int height, uint8_t *to)
{
    for (int y = 0; y < 2 * height; y++)
        for (int x = 0; x < 2 * width; x++) {
            const int cx = x / 2, cy = y / 2;
            const int own = from[cy * width + cx], up = cy ? from[(cy - 1) * width + cx] : 0;
            const int down = cy + 1 < height ? from[(cy + 1) * width + cx] : 0,
                      left = cx ? from[cy * width + cx - 1] : 0;
            const int right = cx + 1 < width ? from[cy * width + cx + 1] : 0;
            const int vertical = y % 2 ? down : up, horizontal = x % 2 ? right : left;
            to[y * 2 * width + x] = (uint8_t)(up != down && left != right && vertical == horizontal ? vertical : own);
        }
}

static void draw_letter(sheet *s, int x, int y, int scale, uint32_t colour, int letter)
{
    uint8_t dots[FONT_HEIGHT * FONT_WIDTH], twice[4 * sizeof dots], four[16 * sizeof dots], fine[64 * sizeof dots];
    const int part = CELL / scale; /* thirds of finest dots a pixel */
    for (int i = 0; i < FONT_HEIGHT * FONT_WIDTH; i++)
        dots[i] = font_dot(letter, i % FONT_WIDTH, i / FONT_WIDTH);
    double_dots(dots, FONT_WIDTH, FONT_HEIGHT, twice);
    double_dots(twice, 2 * FONT_WIDTH, 2 * FONT_HEIGHT, four);
    double_dots(four, 4 * FONT_WIDTH, 4 * FONT_HEIGHT, fine);
    for (int j = 0; j < FONT_HEIGHT * scale; j++)
        for (int i = 0; i < FONT_WIDTH * scale; i++) {
            int sum = 0;
            for (int v = 0; v < part; v++)
                for (int u = 0; u < part; u++)
                    sum += fine[(j * part + v) / 3 * FINE * FONT_WIDTH + (i * part + u) / 3];
            mix(s, x + i, y + j, colour, 255 * sum / (part * part));
        }
}

/* The next character: ASCII as it is, an accented Latin letter without its accent, typographers' signs as typists',
 * others 127. */
static int next_letter(const char **text)
{
    static const char latin[] = "AAAAAAACEEEEIIIIDNOOOOOxOUUUUYPsaaaaaaaceeeeiiiidnooooo/ouuuuypy";
    const unsigned char *p = (const unsigned char *)*text;
    if (*p < 0x80) {
        *text += 1;
        return *p < 32 ? ' ' : *p;
    }
    const int bytes = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
    unsigned code = *p & (0xffu >> (bytes + 1));
    int used = 1;
    while (used < bytes && (p[used] & 0xc0) == 0x80)
        code = code << 6 | (p[used++] & 0x3f);
    *text += used;
    if (code >= 0xc0 && code <= 0xff)
        return latin[code - 0xc0];
    switch (code) {
    case 0x2018:
    case 0x2019:
        return '\'';
    case 0x201c:
    case 0x201d:
        return '"';
    case 0x2013:
    case 0x2014:
    case 0x2212:
        return '-';
    case 0xd7:
        return 'x';
    default:
        return 127;
    }
}

static int count_letters(const char *text, const char *end)
{
    int count = 0;
    while (text < end) {
        next_letter(&text);
        count++;
    }
    return count;
}

int sheet_text_width(const char *text, int scale)
{
    return count_letters(text, text + strlen(text)) * FONT_ADVANCE * scale;
}

/* The end of what fits on a line of `room` letters: at a space where there is one, else in the word. */
static const char *break_line(const char *text, int room)
{
    const char *at = text, *space = NULL;
    for (int i = 0; i <= room; i++) {
        if (!*at)
            return at;
        if (*at == ' ' || *at == '\n')
            space = at;
        if (*at == '\n')
            return at;
        if (i < room)
            next_letter(&at);
    }
    return space && space > text ? space : at;
}

int sheet_text(sheet *s, int x, int y, int width, int lines, int scale, sheet_align align, uint32_t colour,
               const char *text)
{
    const int room = width / (FONT_ADVANCE * scale) > 1 ? width / (FONT_ADVANCE * scale) : 1;
    int line = 0;
    while (*text && line < lines) {
        const char *end = break_line(text, room);
        int count = count_letters(text, end), dots = 0;
        if (line + 1 == lines && *end) { /* … in the place of what does not fit */
            const char *stop = text;
            dots = 3;
            while (count + dots > room && count > 0)
                count--;
            for (int i = 0; i < count; i++)
                next_letter(&stop);
            end = stop;
        }
        const int free_pixels = width - (count + dots) * FONT_ADVANCE * scale;
        int at = x + (align == SHEET_CENTRE ? free_pixels / 2 : align == SHEET_RIGHT ? free_pixels : 0);
        while (text < end) {
            const int letter = next_letter(&text);
            if (s)
                draw_letter(s, at, y + line * FONT_LINE * scale, scale, colour, letter);
            at += FONT_ADVANCE * scale;
        }
        for (int i = 0; i < dots; i++, at += FONT_ADVANCE * scale / 2) /* closer than full stops */
            if (s)
                draw_letter(s, at, y + line * FONT_LINE * scale, scale, colour, '.');
        while (*text == ' ' || *text == '\n')
            text++;
        line++;
    }
    return line;
}
