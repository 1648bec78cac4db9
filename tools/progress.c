/* Progress on standard error: a bar on a terminal, plain lines elsewhere; and Ctrl-C. */
#include "commands.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;
static bool silent, terminal, drawn;
static int cell, cells; /* of a grid */

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void progress_begin(bool quiet)
{
    /* A second Ctrl-C ends the process at once. Calls go on: a driver that compiles is not to fail half-way. */
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)(SA_RESETHAND | SA_RESTART) };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    silent = quiet;
    terminal = isatty(STDERR_FILENO);
}

bool progress_cancelled(void)
{
    return interrupted;
}

int progress_stops(void *user)
{
    (void)user;
    return interrupted;
}

static void draw(const char *what, double share, const char *tail)
{
    enum { WIDTH = 30 };
    char bar[WIDTH + 1];
    int full = (int)(share * WIDTH + 0.5);
    memset(bar, '-', WIDTH);
    memset(bar, '#', (size_t)(full < 0 ? 0 : full > WIDTH ? WIDTH : full));
    bar[WIDTH] = '\0';
    fprintf(stderr, "\r%s [%s] %s\033[K", what, bar, tail);
    fflush(stderr);
    drawn = true;
}

int progress_load(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    if (!silent && terminal && total) {
        char tail[64];
        snprintf(tail, sizeof tail, "%.0f of %.0f MB", (double)done / 1e6, (double)total / 1e6);
        draw("loading", (double)done / (double)total, tail);
    }
    return interrupted;
}

int progress_read(void *user, uint64_t done, uint64_t total)
{
    if (!silent && terminal && total) {
        char tail[192];
        snprintf(tail, sizeof tail, "%.0f of %.0f MB  %.128s", (double)done / 1e6, (double)total / 1e6, (const char *)user);
        draw("hashing", (double)done / (double)total, tail);
    }
    return interrupted;
}

int progress_call(void *user, int done, int total, const char *call)
{
    (void)user;
    if (!silent && terminal && total) {
        char tail[96];
        snprintf(tail, sizeof tail, "%d/%d  %.48s", done, total, call);
        draw("tuning", (double)done / total, tail);
    } else if (!silent && done < total) {
        fprintf(stderr, "tuning %d/%d  %s\n", done + 1, total, call);
    }
    return interrupted;
}

void progress_cell(int done, int of)
{
    cell = done;
    cells = of;
}

void progress_step(const calo_progress *p, int pictures)
{
    const double left = p->step_s * (p->steps - p->step);
    char what[48] = "step", tail[96];
    if (silent)
        return;
    if (cells)
        snprintf(what, sizeof what, "picture %d of %d, step", cell + 1, cells);
    else if (pictures > 1)
        snprintf(what, sizeof what, "picture %d of %d, step", p->image + 1, pictures);
    if (terminal) {
        snprintf(tail, sizeof tail, "%d/%d  %.2f s/step  %.0f s left", p->step, p->steps, p->step_s, left);
        draw(what, (double)p->step / p->steps, tail);
    } else {
        fprintf(stderr, "%s %d/%d  %.2f s/step  %.0f s left\n", what, p->step, p->steps, p->step_s, left);
    }
}

double progress_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_end(void)
{
    if (drawn)
        fprintf(stderr, "\r\033[K");
    drawn = false;
}
