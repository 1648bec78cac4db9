/* Help for people, from the tables. */
#include "options.h"

#include <stdio.h>
#include <string.h>

enum { COLUMN = 30, WIDTH = 100, JOINED = 32 /* values that are named beside the option, not in its text */ };

void option_takes(const option *option, char *text, size_t size)
{
    const bool joined = option->values && strlen(option->values) <= JOINED;
    snprintf(text, size, "%s", joined ? option->values : option->takes ? option->takes : "");
    for (char *p = text; joined && *p; p++)
        if (*p == ' ')
            *p = '|';
}

/* Behind what is in the buffer; cut where it is full. */
static void append(char *text, size_t size, const char *before, const char *more, const char *after)
{
    const size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s%s", before, more, after);
}

void option_explain(const option *option, char *text, size_t size)
{
    snprintf(text, size, "%s", option->what);
    if (option->values && strlen(option->values) > JOINED)
        append(text, size, ": ", option->values, "");
    if (option->range && option->standard)
        append(text, size, " (", option->range, "; ");
    else if (option->range || option->standard)
        append(text, size, " (", option->range ? option->range : "", "");
    if (option->standard)
        append(text, size, "default: ", option->standard, "");
    if (option->range || option->standard)
        append(text, size, "", ")", "");
}

/* Columns that UTF-8 takes: every character here is one wide. */
static int width_of(const char *text, size_t bytes)
{
    int width = 0;
    for (size_t i = 0; i < bytes; i++)
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

/* Words from column `at` on, the following lines indented by `indent`. */
static void print_wrapped(FILE *out, const char *text, int at, int indent)
{
    bool first = true;
    while (*text) {
        const size_t bytes = strcspn(text, " ");
        const int width = width_of(text, bytes);
        if (!first && at + 1 + width > WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
        } else if (!first) {
            fputc(' ', out);
            at++;
        }
        fprintf(out, "%.*s", (int)bytes, text);
        at += width;
        text += bytes + (text[bytes] == ' ');
        first = false;
    }
    fputc('\n', out);
}

static void print_option(const option *option)
{
    char takes[64], left[128], text[640];
    option_takes(option, takes, sizeof takes);
    option_explain(option, text, sizeof text);
    snprintf(left, sizeof left, "  %s%s%s", option->name, *takes ? " " : "", takes);
    const int width = width_of(left, strlen(left));
    if (width + 2 > COLUMN)
        printf("%s\n%*s", left, COLUMN, "");
    else
        printf("%s%*s", left, COLUMN - width, "");
    print_wrapped(stdout, text, COLUMN, COLUMN);
}

void help_command(const command *c)
{
    const char *heading = "";
    printf("usage: calotype %s%s%s\n\n", c->name, *c->synopsis ? " " : "", c->synopsis);
    print_wrapped(stdout, c->about, 0, 0);
    printf("\nexample: calotype %s\n", c->example);
    for (int i = 0; option_at(i); i++)
        if (command_takes(c, NULL, option_at(i))) {
            if (strcmp(heading, option_at(i)->heading) != 0)
                printf("\n%s\n", option_at(i)->heading);
            heading = option_at(i)->heading;
            print_option(option_at(i));
        }
}

void help_all(FILE *out)
{
    fprintf(out, "calotype %s: Stable Diffusion on hand-written GPU kernels\n\nusage: calotype COMMAND [options]\n\n",
            calo_version());
    for (int i = 0; command_at(i); i++)
        fprintf(out, "  %-12s %s\n", command_at(i)->name, command_at(i)->what);
    fprintf(out, "\nExamples\n");
    for (int i = 0; command_at(i) && i < 6; i++)
        fprintf(out, "  calotype %s\n", command_at(i)->example);
    fprintf(out, "\ncalotype COMMAND --help lists a command's options, man calotype has them all.\n"
                 "Exit status: 0 done, 2 wrong use, 3 a bad file, 4 memory, 5 the device, 6 numbers not finite, 130 "
                 "interrupted.\n");
}
