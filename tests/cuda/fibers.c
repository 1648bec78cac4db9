/* Fibers. A fiber begins with makecontext; after that, switches are _setjmp and _longjmp, without a system call.

   Passes over the fibers alternate between forward and backward, so that a kernel that counts on one order of its
   threads, for want of a barrier, meets the other one. */
#define _GNU_SOURCE
#include "fibers.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { MAX_THREADS = 1024, STACK = 128 << 10, WARP = 32, MAX_GROUP = 128, MAX_COPIES = 1024, MAX_GROUPS = 64 };

typedef enum state { READY, AT_BARRIER, AT_RENDEZVOUS, POLLS, ENDED } state;

typedef struct copy {
    void *to;
    const void *from;
    void (*land)(void *to, const void *from);
} copy;

typedef struct fiber {
    state state;
    bool begun;
    jmp_buf registers;
    ucontext_t first;
    int kind; /* of the rendezvous */
    void *own;
    bool (*ready)(void *what); /* what it polls */
    void *what;
    copy *copies; /* [MAX_COPIES], those of groups that have not landed and of the open one */
    int groups[MAX_GROUPS], group_count, open; /* copies of each committed group, and of the open one */
} fiber;

static struct {
    const emulated_program *program;
    const emulated_entry *entry;
    void **parameters;
    emulated_index grid, block, size;
    fiber fibers[MAX_THREADS];
    char *stacks;
    int count, now;
    size_t dynamic_shared;
    jmp_buf scheduler, ending;
    char report[512];
} run;

/* ---- a thread's services ---------------------------------------------------------------------------------------- */

static emulated_index position(int thread)
{
    const unsigned t = (unsigned)thread, plane = run.size.x * run.size.y;
    return (emulated_index){ t % run.size.x, t % plane / run.size.x, t / plane };
}

static void fault(const char *what)
{
    const emulated_index t = position(run.now);
    snprintf(run.report, sizeof run.report, "%s: thread (%u,%u,%u) of block (%u,%u,%u) %s", run.entry->name, t.x, t.y,
             t.z, run.block.x, run.block.y, run.block.z, what);
    _longjmp(run.ending, 1);
}

/* Lets others run until this fiber's state is READY again. */
static void give_way(void)
{
    if (!_setjmp(run.fibers[run.now].registers))
        _longjmp(run.scheduler, 1);
}

static void barrier(void)
{
    int waiting = 1;
    for (int i = 0; i < run.count; i++)
        waiting += run.fibers[i].state == AT_BARRIER;
    if (waiting == run.count)
        for (int i = 0; i < run.count; i++)
            run.fibers[i].state = READY;
    else
        run.fibers[run.now].state = AT_BARRIER;
    give_way();
}

static void rendezvous(int size, int kind, void *own, void (*work)(void **lanes))
{
    const int first = run.now / size * size;
    fiber *me = &run.fibers[run.now];
    void *lanes[MAX_GROUP];
    int here = 0;
    if (first + size > run.count)
        fault("uses an instruction of a warp or warpgroup that has too few threads");
    me->own = own;
    me->kind = kind;
    me->state = AT_RENDEZVOUS;
    for (int i = 0; i < size; i++) {
        const fiber *other = &run.fibers[first + i];
        const bool waits = other->state == AT_RENDEZVOUS, same_warp = (first + i) / WARP == run.now / WARP;
        if (waits && other->kind != kind && same_warp)
            fault("is at another instruction of its warp than others of it");
        here += waits && other->kind == kind;
        lanes[i] = other->own;
    }
    if (here < size) {
        give_way();
        return;
    }
    work(lanes);
    for (int i = 0; i < size; i++)
        run.fibers[first + i].state = READY;
}

static void poll(bool (*ready)(void *what), void *what)
{
    fiber *me = &run.fibers[run.now];
    if (ready(what))
        return;
    me->ready = ready;
    me->what = what;
    me->state = POLLS;
    give_way();
}

static void add_copy(void *to, const void *from, void (*land)(void *to, const void *from))
{
    fiber *me = &run.fibers[run.now];
    int used = me->open;
    for (int i = 0; i < me->group_count; i++)
        used += me->groups[i];
    if (used == MAX_COPIES)
        fault("has more copies under way than the emulator holds");
    me->copies[used] = (copy){ to, from, land };
    me->open++;
}

static void commit(void)
{
    fiber *me = &run.fibers[run.now];
    if (me->group_count == MAX_GROUPS)
        fault("has more groups of copies under way than the emulator holds");
    me->groups[me->group_count++] = me->open;
    me->open = 0;
}

static void wait_copies(int pending)
{
    fiber *me = &run.fibers[run.now];
    int landed = 0, groups = me->group_count > pending ? me->group_count - pending : 0, left = me->open;
    for (int i = 0; i < groups; i++)
        landed += me->groups[i];
    for (int i = 0; i < landed; i++)
        me->copies[i].land(me->copies[i].to, me->copies[i].from);
    for (int i = groups; i < me->group_count; i++) {
        left += me->groups[i];
        me->groups[i - groups] = me->groups[i];
    }
    me->group_count -= groups;
    memmove(me->copies, me->copies + landed, (size_t)left * sizeof *me->copies);
}

static const emulated_services services = { barrier, rendezvous, poll, fault, add_copy, commit, wait_copies };

/* ---- a block ---------------------------------------------------------------------------------------------------- */

static void body(void)
{
    run.entry->enter(run.parameters);
    run.fibers[run.now].state = ENDED;
    _longjmp(run.scheduler, 1);
}

static void begin(fiber *f)
{
    f->begun = true;
    getcontext(&f->first);
    f->first.uc_stack.ss_sp = run.stacks + (size_t)run.now * STACK;
    f->first.uc_stack.ss_size = STACK;
    f->first.uc_link = NULL;
    makecontext(&f->first, body, 0);
    setcontext(&f->first);
}

static void resume(int thread)
{
    run.now = thread;
    *run.program->thread = position(thread);
    if (_setjmp(run.scheduler))
        return;
    if (run.fibers[thread].begun)
        _longjmp(run.fibers[thread].registers, 1);
    begin(&run.fibers[thread]);
}

/* Nobody can go on: says whom the first thread that waits is waiting for. */
static void deadlock(void)
{
    static const char *const states[] = { "runs", "is at a barrier", "is at an instruction of its warp",
                                         "waits at an mbarrier", "has ended" };
    char what[160];
    int waits = 0, other = 0;
    while (run.fibers[waits].state == ENDED)
        waits++;
    while (other < run.count - 1 && run.fibers[other].state == run.fibers[waits].state)
        other++;
    run.now = waits;
    snprintf(what, sizeof what, "%s for ever, while thread %d %s", states[run.fibers[waits].state], other,
             states[run.fibers[other].state]);
    fault(what);
}

static void run_block(void)
{
    int ended = 0;
    *run.program->block = run.block;
    run.program->prepare(run.dynamic_shared);
    for (int i = 0; i < run.count; i++) {
        fiber *f = &run.fibers[i];
        f->state = READY;
        f->begun = false;
        f->group_count = f->open = 0;
    }
    for (bool forward = true; ended < run.count; forward = !forward) {
        bool moved = false;
        ended = 0;
        for (int i = 0; i < run.count; i++) {
            const int thread = forward ? i : run.count - 1 - i;
            fiber *f = &run.fibers[thread];
            if (f->state == POLLS && f->ready(f->what))
                f->state = READY;
            if (f->state == READY) {
                resume(thread);
                moved = true;
            }
            ended += run.fibers[thread].state == ENDED;
        }
        if (!moved && ended < run.count)
            deadlock();
    }
}

const char *fibers_run(const emulated_program *program, const emulated_entry *entry, emulated_index grid,
                       emulated_index block, size_t dynamic_shared, void **parameters)
{
    run.dynamic_shared = dynamic_shared;
    run.program = program;
    run.entry = entry;
    run.parameters = parameters;
    run.grid = grid;
    run.size = block;
    run.count = (int)(block.x * block.y * block.z);
    if (!run.stacks) { /* for the life of the process, as are the lists of copies */
        run.stacks = mmap(NULL, (size_t)MAX_THREADS * STACK, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        copy *copies = calloc((size_t)MAX_THREADS * MAX_COPIES, sizeof *copies);
        if (run.stacks == MAP_FAILED || !copies) {
            fprintf(stderr, "the emulator has no memory for its threads\n");
            exit(1);
        }
        for (int i = 0; i < MAX_THREADS; i++)
            run.fibers[i].copies = copies + (size_t)i * MAX_COPIES;
    }
    *program->services = &services;
    *program->block_size = block;
    *program->grid = grid;
    if (_setjmp(run.ending))
        return run.report;
    for (run.block.z = 0; run.block.z < grid.z; run.block.z++)
        for (run.block.y = 0; run.block.y < grid.y; run.block.y++)
            for (run.block.x = 0; run.block.x < grid.x; run.block.x++)
                run_block();
    return NULL;
}
