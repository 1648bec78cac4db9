/* Measured choices: for a call of an op, the variant and the tunables that were the fastest on a device.

   A call is known by its key, a text of all that decides how much work it is:

       linear f32:2x4096x320 f16p:960x320 f32:960 > f32:2x4096x960 : 0

   the op; its inputs, "-" for one that is not given, with type, p or g for panels or gated panels, t where these are by
   output, dims, and /stride where rows lie apart; the result; the args' traits. Calls with one key share a choice. */
#ifndef CALO_TUNING_H
#define CALO_TUNING_H

#include "op.h"

enum { CALO_KEY_TEXT = 1024 }; /* bytes: nine tensors of four dims, and the traits */

typedef struct calo_choice {
    char *key;
    const calo_variant *variant;
    int values[CALO_MAX_TUNABLES]; /* of its tunables */
    double seconds, standard_s;    /* medians of one call: by this choice, and by the table's own order */
} calo_choice;

struct calo_tuning {
    calo_choice *choices; /* ascending by key */
    int count, capacity;
};

/* The call's key. Every input and the output are known: after infer. `text` holds CALO_KEY_TEXT bytes. Returns text. */
char *calo_call_key(const calo_call *call, char *text);

/* NULL when there is none for such a call. Whether the variant can do this very call is the door's to ask. */
const calo_choice *calo_tuning_find(const calo_tuning *tuning, const calo_call *call);

/* Adds the choice, with a copy of its key, in place of the one that has the same key. CALO_EMEMORY. */
calo_status calo_tuning_put(calo_tuning *tuning, const calo_choice *choice, calo_fault *fault);
void calo_tuning_free(calo_tuning *tuning);

/* The op that a key begins with; NULL: there is none of that name. */
const calo_op *calo_key_op(const char *key);

/* "tile ROWS=12"; `text` holds CALO_VARIANT_TEXT bytes. Returns text. */
enum { CALO_VARIANT_TEXT = 64 };
char *calo_variant_text(const calo_variant *variant, const int *values, char *text);

#endif
