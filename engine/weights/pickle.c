/* The stack machine. Work and memory are bounded by the pickle's length: an opcode makes at most one value, and values
   are shared by number, never copied, so that no memo can blow up. */
#include "pickle.h"
#include "pickle_globals.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_LIMIT = 32 << 20, STACK_LIMIT = 1 << 22 };

/* ---- the machine ------------------------------------------------------------------------------------------------ */

typedef struct machine {
    calo_pickle *p;
    const char *path;
    calo_fault *fault;
    size_t at;
    uint32_t *stack; /* of value numbers */
    uint32_t depth, room;
    uint32_t *memo;  /* value number + 1, by memo index */
    uint32_t memo_room, memo_count;
} machine;

static bool bad(machine *m, const char *what)
{
    calo_fail(m->fault, CALO_EFILE, "%s: pickle byte %zu: %s", m->path, m->at, what);
    return false;
}

/* Room for one element more; *list may move. */
static bool grow(machine *m, void **list, uint32_t count, uint32_t *room, size_t size)
{
    if (count < *room)
        return true;
    const uint32_t wanted = *room ? 2 * *room : 256;
    void *grown = wanted < UINT32_MAX / 2 ? calo_resize(*list, wanted, size) : NULL;
    if (!grown) {
        calo_fail(m->fault, CALO_EMEMORY, "%s: no host memory for its pickle", m->path);
        return false;
    }
    *list = grown;
    *room = wanted;
    return true;
}

static calo_pickle_value *value_at(const machine *m, uint32_t number)
{
    return &m->p->values[number];
}

static bool push_number(machine *m, uint32_t number)
{
    void *stack = m->stack;
    if (m->depth == STACK_LIMIT)
        return bad(m, "the stack is too deep");
    if (!grow(m, &stack, m->depth, &m->room, sizeof *m->stack))
        return false;
    m->stack = stack;
    m->stack[m->depth++] = number;
    return true;
}

static bool make(machine *m, calo_pickle_value value, uint32_t *number)
{
    void *values = m->p->values;
    if (!grow(m, &values, m->p->value_count, &m->p->value_room, sizeof value))
        return false;
    m->p->values = values;
    *number = m->p->value_count++;
    m->p->values[*number] = value;
    return true;
}

static bool push(machine *m, calo_pickle_value value)
{
    uint32_t number;
    return make(m, value, &number) && push_number(m, number);
}

static bool push_kind(machine *m, calo_pickle_kind kind)
{
    return push(m, (calo_pickle_value){ .kind = kind });
}

/* The top of the stack, which must not be a mark. */
static bool pop(machine *m, uint32_t *number)
{
    if (m->depth == 0 || value_at(m, m->stack[m->depth - 1])->kind == CALO_PICKLE_MARK)
        return bad(m, "nothing is on the stack");
    *number = m->stack[--m->depth];
    return true;
}

static bool top(machine *m, uint32_t *number)
{
    if (!pop(m, number))
        return false;
    m->depth++;
    return true;
}

/* Where the values above the last mark begin. */
static bool find_mark(machine *m, uint32_t *first)
{
    for (uint32_t i = m->depth; i > 0; i--)
        if (value_at(m, m->stack[i - 1])->kind == CALO_PICKLE_MARK) {
            *first = i;
            return true;
        }
    return bad(m, "there is no mark on the stack");
}

static bool add_item(machine *m, uint32_t container, uint32_t item)
{
    void *cells = m->p->cells;
    if (!grow(m, &cells, m->p->cell_count, &m->p->cell_room, sizeof *m->p->cells))
        return false;
    m->p->cells = cells;
    const uint32_t cell = m->p->cell_count++;
    calo_pickle_value *v = value_at(m, container);
    m->p->cells[cell] = (calo_pickle_cell){ item, 0 };
    if (v->count++)
        m->p->cells[v->last].next = cell;
    else
        v->first = cell;
    v->last = cell;
    return true;
}

/* The values from `first` up become the items of a new container; `also` more below it (a mark) are dropped. */
static bool gather(machine *m, calo_pickle_kind kind, uint32_t first, uint32_t also)
{
    uint32_t made;
    if (kind == CALO_PICKLE_DICT && (m->depth - first) % 2)
        return bad(m, "a dictionary has a key without a value");
    if (!make(m, (calo_pickle_value){ .kind = kind }, &made))
        return false;
    for (uint32_t i = first; i < m->depth; i++) {
        if (value_at(m, m->stack[i])->kind == CALO_PICKLE_MARK)
            return bad(m, "nothing is on the stack");
        if (!add_item(m, made, m->stack[i]))
            return false;
    }
    m->depth = first - also;
    return push_number(m, made);
}

static bool gather_marked(machine *m, calo_pickle_kind kind)
{
    uint32_t first;
    return find_mark(m, &first) && gather(m, kind, first, 1);
}

static bool gather_last(machine *m, uint32_t count)
{
    return m->depth < count ? bad(m, "nothing is on the stack") : gather(m, CALO_PICKLE_TUPLE, m->depth - count, 0);
}

/* Puts the values from `first` up into the container below them (and below `also` values more). */
static bool extend(machine *m, calo_pickle_kind kind, uint32_t first, uint32_t also)
{
    if (first < also + 1)
        return bad(m, "nothing is on the stack");
    const uint32_t container = m->stack[first - also - 1];
    const calo_pickle_kind is = value_at(m, container)->kind;
    if (is != kind && is != CALO_PICKLE_INERT)
        return bad(m, "items are put into what is no container of their kind");
    if (kind == CALO_PICKLE_DICT && (m->depth - first) % 2)
        return bad(m, "a dictionary has a key without a value");
    for (uint32_t i = first; i < m->depth; i++) {
        if (value_at(m, m->stack[i])->kind == CALO_PICKLE_MARK)
            return bad(m, "nothing is on the stack");
        if (is == kind && !add_item(m, container, m->stack[i]))
            return false;
    }
    m->depth = first - also;
    return true;
}

static bool extend_marked(machine *m, calo_pickle_kind kind)
{
    uint32_t first;
    return find_mark(m, &first) && extend(m, kind, first, 1);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

static bool take(machine *m, uint64_t count, const unsigned char **bytes)
{
    if (count > m->p->size - m->at)
        return bad(m, "the pickle ends too early");
    *bytes = m->p->bytes + m->at;
    m->at += (size_t)count;
    return true;
}

static bool take_number(machine *m, int size, uint64_t *value)
{
    const unsigned char *bytes;
    if (!take(m, (uint64_t)size, &bytes))
        return false;
    *value = 0;
    for (int i = size - 1; i >= 0; i--)
        *value = *value << 8 | bytes[i];
    return true;
}

/* A line without its end. */
static bool take_line(machine *m, const char **line, size_t *length)
{
    const unsigned char *begin = m->p->bytes + m->at;
    const unsigned char *end = m->at < m->p->size ? memchr(begin, '\n', m->p->size - m->at) : NULL;
    if (!end)
        return bad(m, "a line does not end");
    *line = (const char *)begin;
    *length = (size_t)(end - begin);
    m->at += *length + 1;
    return true;
}

static bool push_text(machine *m, int length_size)
{
    uint64_t length;
    const unsigned char *bytes;
    return take_number(m, length_size, &length) && take(m, length, &bytes) &&
           push(m, (calo_pickle_value){ .kind = CALO_PICKLE_TEXT, .text = (const char *)bytes, .number = (int64_t)length });
}

/* Texts of protocol 0, as they stand between quotes or before the line's end: escapes are left as they are. */
static bool push_line(machine *m)
{
    const char *line;
    size_t length;
    if (!take_line(m, &line, &length))
        return false;
    if (length >= 2 && (*line == '\'' || *line == '"') && line[length - 1] == *line) {
        line++;
        length -= 2;
    }
    return push(m, (calo_pickle_value){ .kind = CALO_PICKLE_TEXT, .text = line, .number = (int64_t)length });
}

static bool push_int(machine *m, int64_t value)
{
    return push(m, (calo_pickle_value){ .kind = CALO_PICKLE_NUMBER, .number = value });
}

static bool push_sized_int(machine *m, int size)
{
    uint64_t value;
    return take_number(m, size, &value) && push_int(m, size == 4 ? (int64_t)(int32_t)value : (int64_t)value);
}

/* Two's complement of any length; beyond 64 bits it is of no use here. */
static bool push_long(machine *m, int length_size)
{
    uint64_t length, value = 0;
    const unsigned char *bytes;
    if (!take_number(m, length_size, &length) || !take(m, length, &bytes))
        return false;
    if (length > 8)
        return push_kind(m, CALO_PICKLE_INERT);
    for (uint64_t i = length; i > 0; i--)
        value = value << 8 | bytes[i - 1];
    if (length && length < 8 && bytes[length - 1] & 0x80)
        value |= ~UINT64_C(0) << 8 * length;
    return push_int(m, (int64_t)value);
}

static bool push_decimal(machine *m)
{
    const char *line;
    size_t length;
    char text[32];
    if (!take_line(m, &line, &length))
        return false;
    if (length >= sizeof text)
        return push_kind(m, CALO_PICKLE_INERT);
    memcpy(text, line, length);
    text[length] = '\0';
    char *end;
    const long long value = strtoll(text, &end, 10);
    if (end == text || (*end && strcmp(end, "L") != 0))
        return bad(m, "a number is missing");
    return push_int(m, value);
}

/* ---- memo ------------------------------------------------------------------------------------------------------- */

static bool put(machine *m, uint64_t index)
{
    uint32_t number;
    if (index > m->p->size) /* no honest pickle has more entries than bytes */
        return bad(m, "a memo index is too large");
    while (index >= m->memo_room) {
        void *memo = m->memo;
        const uint32_t before = m->memo_room;
        if (!grow(m, &memo, m->memo_room, &m->memo_room, sizeof *m->memo))
            return false;
        m->memo = memo;
        memset(m->memo + before, 0, (size_t)(m->memo_room - before) * sizeof *m->memo);
    }
    if (!top(m, &number))
        return false;
    m->memo_count += m->memo[index] == 0;
    m->memo[index] = number + 1;
    return true;
}

static bool get(machine *m, uint64_t index)
{
    if (index >= m->memo_room || !m->memo[index])
        return bad(m, "a memo entry was never made");
    return push_number(m, m->memo[index] - 1);
}

static bool take_index(machine *m, uint64_t *index)
{
    const char *line;
    size_t length;
    if (!take_line(m, &line, &length) || length == 0 || length > 9)
        return bad(m, "a memo index is missing");
    *index = 0;
    for (size_t i = 0; i < length; i++) {
        if (line[i] < '0' || line[i] > '9')
            return bad(m, "a memo index is missing");
        *index = *index * 10 + (uint64_t)(line[i] - '0');
    }
    return true;
}

/* ---- globals and what is built from them ------------------------------------------------------------------------ */

/* Printable, for a sentence. */
static void copy_name(char *to, size_t size, const char *from, size_t length)
{
    size_t i = 0;
    for (; i < length && i + 1 < size; i++)
        to[i] = from[i] >= ' ' && from[i] < 127 ? from[i] : '?';
    to[i] = '\0';
}

static bool push_global(machine *m, const char *module, size_t module_length, const char *name, size_t name_length)
{
    char shown_module[64], shown_name[64];
    const int found = calo_pickle_global_find(module, module_length, name, name_length);
    if (found >= 0)
        return push(m, (calo_pickle_value){ .kind = CALO_PICKLE_GLOBAL, .number = found });
    copy_name(shown_module, sizeof shown_module, module, module_length);
    copy_name(shown_name, sizeof shown_name, name, name_length);
    calo_fail(m->fault, CALO_EFILE, "%s: its pickle asks for %s.%s, which no checkpoint needs; nothing of it was executed. "
              "Convert the file to safetensors where you trust it", m->path, shown_module, shown_name);
    return false;
}

static bool global_from_lines(machine *m)
{
    const char *module, *name;
    size_t module_length, name_length;
    return take_line(m, &module, &module_length) && take_line(m, &name, &name_length) &&
           push_global(m, module, module_length, name, name_length);
}

static bool global_from_stack(machine *m)
{
    uint32_t name, module;
    if (!pop(m, &name) || !pop(m, &module))
        return false;
    const calo_pickle_value *n = value_at(m, name), *o = value_at(m, module);
    if (n->kind != CALO_PICKLE_TEXT || o->kind != CALO_PICKLE_TEXT)
        return bad(m, "a global is not named by texts");
    return push_global(m, o->text, (size_t)o->number, n->text, (size_t)n->number);
}

/* What the callable makes of its arguments. */
static bool build(machine *m, uint32_t callable, uint32_t arguments)
{
    const calo_pickle_value *c = value_at(m, callable), *a = value_at(m, arguments);
    if (c->kind != CALO_PICKLE_GLOBAL || a->kind != CALO_PICKLE_TUPLE)
        return bad(m, "what is no global is called");
    switch (calo_pickle_globals[c->number].meaning) {
    case CALO_MEANS_INERT:
        return push_kind(m, CALO_PICKLE_INERT);
    case CALO_MEANS_ORDERED_DICT:
        return a->count ? bad(m, "an OrderedDict is made of arguments") : push_kind(m, CALO_PICKLE_DICT);
    case CALO_MEANS_TENSOR:
        return push(m, (calo_pickle_value){ .kind = CALO_PICKLE_TENSOR, .first = arguments });
    case CALO_MEANS_PARAMETER:
        return a->count ? push_number(m, m->p->cells[a->first].value) : bad(m, "a parameter has no tensor");
    case CALO_MEANS_STORAGE:
        return bad(m, "a storage is called");
    case CALO_MEANS_TYPE:
        break;
    }
    return bad(m, "a type is called");
}

static bool reduce(machine *m)
{
    uint32_t arguments, callable;
    return pop(m, &arguments) && pop(m, &callable) && build(m, callable, arguments);
}

/* (class, arguments, keywords) */
static bool reduce_with_keywords(machine *m)
{
    uint32_t keywords;
    return pop(m, &keywords) && reduce(m);
}

/* MARK class arguments … */
static bool object_from_stack(machine *m)
{
    uint32_t first, arguments;
    if (!find_mark(m, &first))
        return false;
    if (first == m->depth)
        return bad(m, "an object has no class");
    const uint32_t class = m->stack[first];
    if (!gather(m, CALO_PICKLE_TUPLE, first + 1, 2))
        return false;
    return pop(m, &arguments) && build(m, class, arguments);
}

/* MARK arguments …, the class in lines */
static bool object_from_lines(machine *m)
{
    uint32_t class, arguments;
    if (!gather_marked(m, CALO_PICKLE_TUPLE) || !global_from_lines(m))
        return false;
    return pop(m, &class) && pop(m, &arguments) && build(m, class, arguments);
}

/* A state is given to what has no use for it: an inert object, or a dictionary's attributes. */
static bool set_state(machine *m)
{
    uint32_t state, object;
    if (!pop(m, &state) || !top(m, &object))
        return false;
    const calo_pickle_kind kind = value_at(m, object)->kind;
    return kind == CALO_PICKLE_INERT || kind == CALO_PICKLE_DICT || bad(m, "a state is given to what takes none");
}

/* torch's persistent ids: ("storage", class, key, location, count). */
static bool push_storage(machine *m)
{
    uint32_t id;
    if (!pop(m, &id))
        return false;
    const calo_pickle_value *tuple = value_at(m, id);
    if (tuple->kind != CALO_PICKLE_TUPLE || tuple->count < 3)
        return bad(m, "a persistent id is no storage");
    const calo_pickle_value *tag = calo_pickle_item(m->p, tuple, 0), *class = calo_pickle_item(m->p, tuple, 1);
    const calo_pickle_value *key = calo_pickle_item(m->p, tuple, 2);
    if (tag->kind != CALO_PICKLE_TEXT || !calo_text_is("storage", tag->text, (size_t)tag->number) ||
        class->kind != CALO_PICKLE_GLOBAL || calo_pickle_globals[class->number].meaning != CALO_MEANS_STORAGE || key->kind != CALO_PICKLE_TEXT)
        return bad(m, "a persistent id is no storage");
    return push(m, (calo_pickle_value){ .kind = CALO_PICKLE_STORAGE, .number = (int64_t)calo_pickle_globals[class->number].type,
                                        .text = key->text, .number2 = key->number });
}

/* ---- opcodes ---------------------------------------------------------------------------------------------------- */

static bool skip(machine *m, uint64_t count)
{
    const unsigned char *bytes;
    return take(m, count, &bytes);
}

static bool drop(machine *m)
{
    if (m->depth == 0)
        return bad(m, "nothing is on the stack");
    m->depth--;
    return true;
}

static bool drop_marked(machine *m)
{
    uint32_t first;
    if (!find_mark(m, &first))
        return false;
    m->depth = first - 1;
    return true;
}

static bool duplicate(machine *m)
{
    uint32_t number;
    return top(m, &number) && push_number(m, number);
}

static bool put_or_get(machine *m, unsigned char opcode)
{
    uint64_t index;
    switch (opcode) {
    case 'p': return take_index(m, &index) && put(m, index);
    case 'q': return take_number(m, 1, &index) && put(m, index);
    case 'r': return take_number(m, 4, &index) && put(m, index);
    case 'g': return take_index(m, &index) && get(m, index);
    case 'h': return take_number(m, 1, &index) && get(m, index);
    default: return take_number(m, 4, &index) && get(m, index);
    }
}

static bool step(machine *m, unsigned char opcode)
{
    const char *line;
    size_t length;
    switch (opcode) {
    case 0x80: return skip(m, 1);                                    /* PROTO */
    case 0x95: return skip(m, 8);                                    /* FRAME */
    case '(': return push_kind(m, CALO_PICKLE_MARK);
    case '0': return drop(m);
    case '1': return drop_marked(m);
    case '2': return duplicate(m);
    case 'N': return push_kind(m, CALO_PICKLE_NONE);
    case 0x88: return push_int(m, 1);                                /* NEWTRUE */
    case 0x89: return push_int(m, 0);                                /* NEWFALSE */
    case 'I': case 'L': return push_decimal(m);
    case 'J': return push_sized_int(m, 4);
    case 'K': return push_sized_int(m, 1);
    case 'M': return push_sized_int(m, 2);
    case 0x8a: return push_long(m, 1);
    case 0x8b: return push_long(m, 4);
    case 'F': return take_line(m, &line, &length) && push_kind(m, CALO_PICKLE_INERT);
    case 'G': return skip(m, 8) && push_kind(m, CALO_PICKLE_INERT);
    case 'S': case 'V': return push_line(m);
    case 'U': case 'C': case 0x8c: return push_text(m, 1);           /* bytes serve as texts */
    case 'T': case 'B': case 'X': return push_text(m, 4);
    case 0x8d: case 0x8e: case 0x96: return push_text(m, 8);
    case '}': return push_kind(m, CALO_PICKLE_DICT);
    case ']': case ')': case 0x8f: return push_kind(m, CALO_PICKLE_TUPLE);
    case 't': case 'l': case 0x91: return gather_marked(m, CALO_PICKLE_TUPLE);
    case 'd': return gather_marked(m, CALO_PICKLE_DICT);
    case 0x85: return gather_last(m, 1);
    case 0x86: return gather_last(m, 2);
    case 0x87: return gather_last(m, 3);
    case 'a': return m->depth < 1 ? bad(m, "nothing is on the stack") : extend(m, CALO_PICKLE_TUPLE, m->depth - 1, 0);
    case 's': return m->depth < 2 ? bad(m, "nothing is on the stack") : extend(m, CALO_PICKLE_DICT, m->depth - 2, 0);
    case 'e': case 0x90: return extend_marked(m, CALO_PICKLE_TUPLE);
    case 'u': return extend_marked(m, CALO_PICKLE_DICT);
    case 'p': case 'q': case 'r': case 'g': case 'h': case 'j': return put_or_get(m, opcode);
    case 0x94: return put(m, m->memo_count);                         /* MEMOIZE */
    case 'c': return global_from_lines(m);
    case 0x93: return global_from_stack(m);
    case 'R': case 0x81: return reduce(m);                           /* NEWOBJ makes what REDUCE makes */
    case 0x92: return reduce_with_keywords(m);
    case 'o': return object_from_stack(m);
    case 'i': return object_from_lines(m);
    case 'b': return set_state(m);
    case 'Q': return push_storage(m);
    case 'P': return bad(m, "a persistent id of protocol 0, which torch does not write");
    case 0x82: case 0x83: case 0x84: return bad(m, "an extension code stands for a global that is not named");
    case 0x97: case 0x98: return bad(m, "a buffer outside of the file");
    default: return bad(m, "an unknown opcode");
    }
}

calo_status calo_pickle_read(const unsigned char *bytes, size_t size, const char *path, calo_pickle *pickle,
                             calo_fault *fault)
{
    machine m = { .p = pickle, .path = path, .fault = fault };
    bool stopped = false;
    *pickle = (calo_pickle){ .bytes = bytes, .size = size, .cell_count = 1 };
    if (size > SIZE_LIMIT)
        return calo_fail(fault, CALO_EFILE, "%s: its pickle has %zu bytes, more than %d", path, size, SIZE_LIMIT);
    while (!stopped && !fault->status) {
        if (m.at == size) {
            bad(&m, "the pickle does not stop");
        } else if (bytes[m.at] == '.') {
            stopped = pop(&m, &pickle->root);
        } else {
            m.at++;
            step(&m, bytes[m.at - 1]);
        }
    }
    calo_free(m.stack);
    calo_free(m.memo);
    return fault->status;
}

void calo_pickle_free(calo_pickle *pickle)
{
    calo_free(pickle->values);
    calo_free(pickle->cells);
    memset(pickle, 0, sizeof *pickle);
}

const calo_pickle_value *calo_pickle_item(const calo_pickle *pickle, const calo_pickle_value *tuple, uint32_t at)
{
    if (tuple->kind != CALO_PICKLE_TUPLE || at >= tuple->count)
        return NULL;
    uint32_t cell = tuple->first;
    while (at-- > 0)
        cell = pickle->cells[cell].next;
    return &pickle->values[pickle->cells[cell].value];
}
