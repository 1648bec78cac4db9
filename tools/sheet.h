/* A contact sheet: pictures and text on paper. */
#ifndef SHEET_H
#define SHEET_H

#include <stdbool.h>
#include <stdint.h>

enum { FONT_WIDTH = 5, FONT_HEIGHT = 9, FONT_ADVANCE = 6, FONT_LINE = 11 }; /* dots */

/* Whether a dot of a letter (ASCII; others are a box) is ink; outside of it none is. */
bool font_dot(int letter, int x, int y);

typedef struct sheet {
    int width, height;
    uint8_t *pixels; /* RGB, [height, width, 3] */
} sheet;

/* False: no memory. */
bool sheet_open(sheet *s, int width, int height, uint32_t paper);
void sheet_close(sheet *s);
void sheet_fill(sheet *s, int x, int y, int width, int height, uint32_t colour);
/* A picture [from_height, from_width, 3] brought to width × height: averaged where it shrinks, repeated where it grows.
 */
void sheet_picture(sheet *s, int x, int y, int width, int height, const uint8_t *pixels, int from_width,
                   int from_height);

typedef enum sheet_align { SHEET_LEFT, SHEET_CENTRE, SHEET_RIGHT } sheet_align;

/* Text in a box of `width` pixels, broken at spaces into at most `lines` lines, the last cut with … where there is
 * more. `scale`: pixels a dot. Returns how many lines it takes; `s` may be NULL: nothing is drawn. */
int sheet_text(sheet *s, int x, int y, int width, int lines, int scale, sheet_align align, uint32_t colour,
               const char *text);
/* Pixels of the longest line, were it not broken. */
int sheet_text_width(const char *text, int scale);

#endif
