/* Which words of a prompt hold at which step, in A1111's grammar of schedules:

       prompt  = { "(" prompt ")" | "(" prompt ":" prompt ")" | "[" prompt "]" | schedule | alternation | text }
       schedule = "[" [ prompt ":" ] prompt ":" NUMBER "]"          alternation = "[" prompt { "|" prompt } "]", one "|"
   or more text = anything but \ [ ] ( ) : |, and \ with whatever follows but a new line

   A whole prompt may also have ( ) [ ] : that belong to none of these. If a "|" does, or a \ has nothing to escape, all
   of it is text, without any schedule. Since brackets in a prompt are balanced, an opening one has at most one partner,
   and one pass with a stack decides for each pair what it is. Source: stable-diffusion-webui, modules/prompt_parser.py.
 */
#include "prompt_parts.h"
#include "../shim.h"

enum form { TEXT, PAIR, SCHEDULE, ALTERNATION };

/* A mark ( ) [ ] : | or the text between two of them. */
struct node {
    size_t from, to; /* code points */
    char mark;       /* 0: text */
    uint8_t form;    /* of an opening bracket */
    int step;        /* of a schedule: the last step before the change, ≤ 0: it has always been */
    size_t close;    /* of an opening bracket that is no text: its partner */
    size_t next;     /* the next : or | of the same pair, or the partner; from the opening bracket on */
    size_t options;  /* of an alternation */
};

/* An opening bracket that waits for its partner, and what lies between so far. */
struct open {
    size_t node, last; /* the bracket, and the last : or | (or the bracket) */
    size_t colons, bars;
    bool broken; /* something inside is in no pair, so that this cannot be a pair */
};

struct schedule {
    calo_codes codes;
    struct node *nodes;
    struct open *stack;
    size_t count, depth;
    int steps;
    bool *ends;   /* [steps + 1]: a span ends there */
    bool literal; /* all is text */
    char *text;   /* room for the text at one step */
    struct jump {
        size_t end, resume;
    } * jumps;
};

static bool is_mark(uint32_t code)
{
    return code == '(' || code == ')' || code == '[' || code == ']' || code == ':' || code == '|';
}

static void cut_nodes(struct schedule *schedule)
{
    const uint32_t *codes = schedule->codes.at;
    const size_t count = schedule->codes.count;
    for (size_t i = 0; i < count && !schedule->literal;) {
        struct node *node = &schedule->nodes[schedule->count++];
        node->from = i;
        if (is_mark(codes[i])) {
            node->mark = (char)codes[i++];
        } else {
            while (i < count && !is_mark(codes[i])) {
                if (codes[i] == '\\' && (++i == count || codes[i] == '\n'))
                    schedule->literal = true;
                i++;
            }
        }
        node->to = i < count ? i : count;
    }
}

static bool ascii_digits(const uint32_t *codes, size_t end, size_t *at)
{
    size_t from = *at;
    while (*at < end && codes[*at] >= '0' && codes[*at] <= '9')
        ++*at;
    return *at > from;
}

/* A number between white space, as lark's SIGNED_NUMBER has it: 3, 3., .5, 1e3; its step of 0 … steps. */
static bool read_step(const struct schedule *schedule, const struct node *node, int *step)
{
    const uint32_t *codes = schedule->codes.at;
    size_t at = node->from, end = node->to;
    while (at < end && calo_prompt_space(codes[at]))
        at++;
    while (end > at && calo_prompt_space(codes[end - 1]))
        end--;
    size_t from = at;
    at += at < end && (codes[at] == '+' || codes[at] == '-');
    bool digits = ascii_digits(codes, end, &at), point = at < end && codes[at] == '.';
    at += point;
    digits = (point && ascii_digits(codes, end, &at)) || digits;
    if (digits && at < end && (codes[at] == 'e' || codes[at] == 'E')) {
        at++;
        at += at < end && (codes[at] == '+' || codes[at] == '-');
        digits = ascii_digits(codes, end, &at);
    }
    double value;
    if (!digits || at != end || !calo_prompt_number(codes + from, end - from, &value))
        return false;
    if (point)
        value *= schedule->steps;
    *step = value >= schedule->steps ? schedule->steps : value < 1.0 ? 0 : (int)value;
    return true;
}

/* What the pair of brackets is that closes at node `close`: TEXT for none. */
static enum form judge(const struct schedule *schedule, const struct open *open, size_t close, int *step)
{
    const struct node *nodes = schedule->nodes;
    if (open->broken)
        return TEXT;
    if (nodes[open->node].mark == '(')
        return open->bars == 0 && open->colons <= 1 ? PAIR : TEXT;
    if (open->bars)
        return open->colons ? TEXT : ALTERNATION;
    if (!open->colons)
        return PAIR;
    bool number = open->last + 2 == close && !nodes[open->last + 1].mark;
    return open->colons <= 2 && number && read_step(schedule, &nodes[open->last + 1], step) ? SCHEDULE : TEXT;
}

/* A bracket without a partner, or with one of no use, is text: so is every | beside it. */
static void drop(struct schedule *schedule)
{
    struct open *open = &schedule->stack[--schedule->depth];
    schedule->literal = schedule->literal || open->bars;
    if (schedule->depth)
        schedule->stack[schedule->depth - 1].broken = true;
}

static void close_pair(struct schedule *schedule, size_t close)
{
    struct open *open = schedule->depth ? &schedule->stack[schedule->depth - 1] : NULL;
    if (!open || (schedule->nodes[open->node].mark == '(') != (schedule->nodes[close].mark == ')')) {
        while (schedule->depth)
            drop(schedule);
        return;
    }
    struct node *node = &schedule->nodes[open->node];
    node->form = (uint8_t)judge(schedule, open, close, &node->step);
    if (node->form == TEXT) {
        drop(schedule);
        return;
    }
    schedule->nodes[open->last].next = close;
    node->close = close;
    node->options = open->bars + 1;
    schedule->depth--;
    if (node->form == SCHEDULE && node->step > 0)
        schedule->ends[node->step] = true;
    for (int i = 1; node->form == ALTERNATION && i <= schedule->steps; i++)
        schedule->ends[i] = true;
}

static void pair_brackets(struct schedule *schedule)
{
    for (size_t i = 0; i < schedule->count; i++) {
        char mark = schedule->nodes[i].mark;
        struct open *top = schedule->depth ? &schedule->stack[schedule->depth - 1] : NULL;
        if (mark == '(' || mark == '[') {
            schedule->stack[schedule->depth++] = (struct open){ .node = i, .last = i };
        } else if (mark == ')' || mark == ']') {
            close_pair(schedule, i);
        } else if (mark && top) {
            schedule->nodes[top->last].next = i;
            top->last = i;
            top->colons += mark == ':';
            top->bars += mark == '|';
        } else if (mark == '|') {
            schedule->literal = true;
        }
    }
    while (schedule->depth)
        drop(schedule);
}

/* The nodes *from … *to of a schedule or an alternation that hold at the step. */
static void choose(const struct schedule *schedule, size_t open, int step, size_t *from, size_t *to)
{
    const struct node *nodes = schedule->nodes, *node = &nodes[open];
    size_t first = open, last = node->next; /* separators around the choice */
    if (node->form == SCHEDULE) {
        bool two = nodes[last].next != node->close;
        if (step > node->step && two) {
            first = last;
            last = nodes[last].next;
        } else if (step <= node->step && !two) {
            last = first + 1;
        }
    } else {
        for (size_t option = (size_t)(step - 1) % node->options; option; option--) {
            first = last;
            last = nodes[last].next;
        }
    }
    *from = first + 1;
    *to = last;
}

static char *text_at(struct schedule *schedule, int step)
{
    size_t depth = 0, size = 0, end = schedule->count, i = 0;
    uint8_t *text = (uint8_t *)schedule->text;
    for (;;) {
        if (i == end) {
            if (!depth)
                break;
            i = schedule->jumps[--depth].resume;
            end = schedule->jumps[depth].end;
            continue;
        }
        const struct node *node = &schedule->nodes[i];
        if (node->form == SCHEDULE || node->form == ALTERNATION) {
            schedule->jumps[depth++] = (struct jump){ end, node->close + 1 };
            choose(schedule, i, step, &i, &end);
            continue;
        }
        for (size_t at = node->from; at < node->to; at++)
            size += (size_t)calo_unicode_encode(schedule->codes.at[at], text + size);
        i++;
    }
    text[size] = 0;
    return calo_copy_string(schedule->text);
}

static calo_status write_spans(struct schedule *schedule, calo_prompt_span **spans, int *count, calo_fault *fault)
{
    int expected = 1;
    for (int step = 1; step < schedule->steps && !schedule->literal; step++)
        expected += schedule->ends[step];
    *spans = calo_alloc((size_t)expected, sizeof **spans);
    for (int step = 1; *spans && step <= schedule->steps; step++) {
        if (step < schedule->steps && (schedule->literal || !schedule->ends[step]))
            continue;
        calo_prompt_span *span = &(*spans)[(*count)++];
        span->end_step = step;
        span->text =
            schedule->literal ? calo_prompt_string(schedule->codes.at, schedule->codes.count) : text_at(schedule, step);
        if (!span->text)
            return calo_fail(fault, CALO_EMEMORY, "no memory for a prompt's text at step %d", step);
    }
    return *spans ? CALO_OK : calo_fail(fault, CALO_EMEMORY, "no memory for %d texts of a prompt", expected);
}

static calo_status read_schedule(struct schedule *schedule, const char *text, calo_prompt_span **spans, int *count,
                                 calo_fault *fault)
{
    calo_status status = calo_prompt_decode(text, &schedule->codes, fault);
    if (status)
        return status;
    const size_t size = schedule->codes.count + 1;
    schedule->nodes = calo_alloc(size, sizeof *schedule->nodes);
    schedule->stack = calo_alloc(size, sizeof *schedule->stack);
    schedule->jumps = calo_alloc(size, sizeof *schedule->jumps);
    schedule->text = calo_alloc(size, 4);
    schedule->ends = calo_alloc((size_t)schedule->steps + 1, sizeof *schedule->ends);
    if (!schedule->nodes || !schedule->stack || !schedule->jumps || !schedule->text || !schedule->ends)
        return calo_fail(fault, CALO_EMEMORY, "no memory for a prompt of %zu characters", size - 1);
    cut_nodes(schedule);
    if (!schedule->literal)
        pair_brackets(schedule);
    return write_spans(schedule, spans, count, fault);
}

calo_status calo_prompt_schedule(calo_prompt_style style, const char *text, int steps, calo_prompt_span **spans,
                                 int *count, calo_fault *fault)
{
    struct schedule schedule = { .steps = steps };
    calo_status status = CALO_OK;
    *spans = NULL;
    *count = 0;
    if (steps < 1)
        return calo_fail(fault, CALO_EUSAGE, "a prompt cannot be scheduled over %d steps", steps);
    if (style == CALO_PROMPT_A1111) {
        status = read_schedule(&schedule, text, spans, count, fault);
    } else if (!(*spans = calo_alloc(1, sizeof **spans)) || !((*spans)->text = calo_copy_string(text ? text : ""))) {
        status = calo_fail(fault, CALO_EMEMORY, "no memory for a prompt");
    } else {
        (*spans)->end_step = steps;
        *count = 1;
    }
    calo_codes_free(&schedule.codes);
    calo_free(schedule.nodes);
    calo_free(schedule.stack);
    calo_free(schedule.jumps);
    calo_free(schedule.text);
    calo_free(schedule.ends);
    if (status) {
        calo_prompt_spans_free(spans, *count);
        *count = 0;
    }
    return status;
}

void calo_prompt_spans_free(calo_prompt_span **spans, int count)
{
    for (int i = 0; *spans && i < count; i++)
        calo_free((*spans)[i].text);
    calo_free(*spans);
    *spans = NULL;
}
