/* calotype manual: the manual page in roff (man(7)), from the tables. */
#include "commands.h"

#include <string.h>

/* Text as roff reads it: its own characters escaped, others by their number, so that any locale renders them. `fill`:
 * lines may be broken at spaces, as roff does not mind and people who read the source like. */
static void put(const char *text, bool fill)
{
    int column = 0;
    bool begin = true;
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        if (fill && *p == ' ' && column + (int)strcspn((const char *)p + 1, " ") > 60) {
            putchar('\n');
            column = 0;
            begin = true;
            p++;
            continue;
        }
        column++;
        if (*p < 0x80) {
            const char *escaped = *p == '\\'   ? "\\e"
                                  : *p == '-'  ? "\\-"
                                  : *p == '\'' ? "\\(aq"
                                  : *p == '`'  ? "\\(ga"
                                  : *p == '^'  ? "\\(ha"
                                  : *p == '~'  ? "\\(ti"
                                               : NULL;
            if (begin && *p == '.')
                printf("\\&");
            if (escaped)
                printf("%s", escaped);
            else
                putchar(*p);
            begin = false;
            p++;
            continue;
        }
        const int bytes = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
        unsigned code = *p & (0xffu >> (bytes + 1));
        for (int i = 1; i < bytes; i++)
            code = code << 6 | (p[i] & 0x3f);
        printf("\\[u%04X]", code);
        column += 7;
        begin = false;
        p += bytes;
    }
}

static void put_line(const char *text)
{
    put(text, true);
    putchar('\n');
}

static void put_command(const command *c)
{
    printf(".SS ");
    put_line(c->name);
    printf(".B calotype\n.B ");
    put_line(c->name);
    if (*c->synopsis)
        put_line(c->synopsis);
    printf(".PP\n");
    put_line(c->about);
    printf(".PP\n.RS\n.EX\ncalotype ");
    put(c->example, false);
    printf("\n.EE\n.RE\n");
}

static void put_option(const option *option)
{
    char takes[64], text[640], which[160] = "";
    size_t used = 0;
    option_takes(option, takes, sizeof takes);
    option_explain(option, text, sizeof text);
    printf(".TP\n\\fB");
    put(option->name, false);
    printf("\\fR");
    if (*takes) {
        printf(" \\fI");
        put(takes, false);
        printf("\\fR");
    }
    putchar('\n');
    put(text, true);
    printf(".\n");
    if (option->commands == ALL_COMMANDS)
        return;
    for (int i = 0; command_at(i); i++)
        if (option->commands & command_at(i)->bit && used < sizeof which)
            used += (size_t)snprintf(which + used, sizeof which - used, "%s%s", used ? ", " : "", command_at(i)->name);
    printf("For\n");
    put(which, true);
    printf(".\n");
}

int command_manual(options *o)
{
    const char *heading = "";
    (void)o;
    printf(".\\\" Made by calotype manual.\n.TH CALOTYPE 1 2026-11-25 \"calotype %s\" \"User Commands\"\n",
           calo_version());
    printf(".SH NAME\ncalotype \\- Stable Diffusion on hand\\-written GPU kernels\n"
           ".SH SYNOPSIS\n.B calotype\n.I command\n.RI [ options ]\n"
           ".SH DESCRIPTION\ncalotype runs Stable Diffusion 1, 2 and XL on its own CUDA and OpenCL\n"
           "kernels, without a framework.\nThe same seed makes the same picture as diffusers.\n"
           ".SH COMMANDS\n");
    for (int i = 0; command_at(i); i++)
        put_command(command_at(i));
    printf(".SH OPTIONS\nAn option is written\n.BI \\-\\-name \" value\"\nor\n.BI \\-\\-name= value\\fR.\n"
           "An option that would do nothing is an error.\n");
    for (int i = 0; option_at(i); i++) {
        if (strcmp(heading, option_at(i)->heading) != 0) {
            printf(".SS ");
            put_line(option_at(i)->heading);
        }
        heading = option_at(i)->heading;
        put_option(option_at(i));
    }
    printf(".SH \"EXIT STATUS\"\n");
    static const struct {
        int status;
        const char *what;
    } statuses[] = { { 0, "done" },
                     { 2, "wrong use: an option, a value outside its range, an unknown name" },
                     { 3,
                       "a bad, missing or unsupported file; an output that cannot be written; a picture that cannot be "
                       "made again as it was" },
                     { 4, "not enough memory" },
                     { 5, "the device failed, or there is none" },
                     { 6, "numbers became NaN or infinite" },
                     { 130, "interrupted" } };
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        printf(".TP\n.B %d\n", statuses[i].status);
        put(statuses[i].what, true);
        printf(".\n");
    }
    printf(".SH FILES\n.TP\n.I ~/.cache/calotype\ncompiled kernels, 256 MB at most; it may be removed at any time.\n");
    return 0;
}
