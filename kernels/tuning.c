/* Measured choices. Keys are made on the path of every launch, so without printf. */
#include "tuning.h"
#include "../engine/shim.h"

#include <stdio.h>
#include <string.h>

/* ---- keys ------------------------------------------------------------------------------------------------------- */

/* What does not fit is left out; nine tensors of four 10-digit dims do. */
typedef struct line {
    char *at, *end; /* end: the text's last byte, for its 0 */
} line;

static void add_text(line *l, const char *text)
{
    while (*text && l->at < l->end)
        *l->at++ = *text++;
}

static void add_number(line *l, int64_t value)
{
    char digits[24];
    int count = 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        digits[count++] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        digits[count++] = '-';
    while (count && l->at < l->end)
        *l->at++ = digits[--count];
}

static void add_tensor(line *l, calo_tensor t)
{
    if (!calo_present(t)) {
        add_text(l, " -");
        return;
    }
    add_text(l, " ");
    add_text(l, calo_type_name(t.type));
    if (t.layout != CALO_ROWS)
        add_text(l, t.layout == CALO_PANELS ? "p" : "g");
    if (t.layout != CALO_ROWS && t.by_output)
        add_text(l, "t");
    for (int i = 0; i < t.rank; i++) {
        add_text(l, i ? "x" : ":");
        add_number(l, t.dims[i]);
    }
    if (!calo_tensor_dense(t)) {
        add_text(l, "/");
        add_number(l, t.stride);
    }
}

char *calo_call_key(const calo_call *call, char *text)
{
    line l = { text, text + CALO_KEY_TEXT - 1 };
    int64_t traits[CALO_MAX_TRAITS];
    const int trait_count = call->op->traits ? call->op->traits(call, traits) : 0;
    int inputs = CALO_MAX_INPUTS;
    while (inputs && !calo_present(call->in[inputs - 1]))
        inputs--;
    add_text(&l, call->op->name);
    for (int i = 0; i < inputs; i++)
        add_tensor(&l, call->in[i]);
    add_text(&l, " >");
    add_tensor(&l, call->out);
    for (int i = 0; i < trait_count; i++) {
        add_text(&l, i ? "," : " : ");
        add_number(&l, traits[i]);
    }
    *l.at = '\0';
    return text;
}

const calo_op *calo_key_op(const char *key)
{
    const size_t length = strcspn(key, " ");
    for (int i = 0; i < calo_op_count; i++)
        if (strncmp(calo_ops[i]->name, key, length) == 0 && !calo_ops[i]->name[length])
            return calo_ops[i];
    return NULL;
}

/* ---- choices ---------------------------------------------------------------------------------------------------- */

/* Where the key stands, or belongs; *found says which. */
static int place_of(const calo_tuning *tuning, const char *key, bool *found)
{
    int low = 0, high = tuning->count;
    *found = false;
    while (low < high && !*found) {
        const int middle = low + (high - low) / 2, order = strcmp(key, tuning->choices[middle].key);
        *found = order == 0;
        if (order <= 0)
            high = middle;
        else
            low = middle + 1;
    }
    return high;
}

const calo_choice *calo_tuning_find(const calo_tuning *tuning, const calo_call *call)
{
    char key[CALO_KEY_TEXT];
    bool found;
    const int at = place_of(tuning, calo_call_key(call, key), &found);
    return found ? &tuning->choices[at] : NULL;
}

calo_status calo_tuning_put(calo_tuning *tuning, const calo_choice *choice, calo_fault *fault)
{
    bool found;
    const int at = place_of(tuning, choice->key, &found);
    char *key = found ? tuning->choices[at].key : calo_copy_string(choice->key);
    if (!found && key && tuning->count == tuning->capacity) {
        const int capacity = tuning->capacity ? 2 * tuning->capacity : 64;
        calo_choice *choices = calo_resize(tuning->choices, (size_t)capacity, sizeof *choices);
        if (choices) {
            tuning->choices = choices;
            tuning->capacity = capacity;
        } else {
            calo_free(key);
            key = NULL;
        }
    }
    if (!key)
        return calo_fail(fault, CALO_EMEMORY, "no host memory for %d measured choices", tuning->count + 1);
    if (!found) {
        memmove(tuning->choices + at + 1, tuning->choices + at, (size_t)(tuning->count - at) * sizeof *tuning->choices);
        tuning->count++;
    }
    tuning->choices[at] = *choice;
    tuning->choices[at].key = key;
    return CALO_OK;
}

void calo_tuning_free(calo_tuning *tuning)
{
    for (int i = 0; i < tuning->count; i++)
        calo_free(tuning->choices[i].key);
    calo_free(tuning->choices);
    *tuning = (calo_tuning){ 0 };
}

char *calo_variant_text(const calo_variant *variant, const int *values, char *text)
{
    size_t used = (size_t)snprintf(text, CALO_VARIANT_TEXT, "%s", variant->name);
    for (int i = 0; i < CALO_MAX_TUNABLES && variant->tunables[i].name && used < CALO_VARIANT_TEXT; i++)
        if (variant->tunables[i].values[1]) /* one that can be no other says nothing */
            used +=
                (size_t)snprintf(text + used, CALO_VARIANT_TEXT - used, " %s=%d", variant->tunables[i].name, values[i]);
    return text;
}
