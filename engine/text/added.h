/* Added tokens: strings that are cut out of a text before anything else looks at it, such as <|endoftext|>.

   The rules are those of the package `tokenizers` (AddedVocabulary): tokens that are not `normalized` are sought in the
   text as it is, then what lies between them is normalised and the others are sought there in their normal form. In
   both passes the leftmost match counts, of those the longest. */
#ifndef CALO_ADDED_H
#define CALO_ADDED_H

#include "unicode.h"

enum { CALO_ADDED_MOST = 16384, CALO_ADDED_LONGEST = 1024 }; /* tokens; bytes of one */

typedef struct calo_added_token {
    char *content; /* UTF-8 */
    int32_t id;
    bool single_word;    /* only where no \w touches it */
    bool lstrip, rstrip; /* takes the white space before, after */
    bool normalized;
    bool special;
    calo_codes pattern; /* what is sought */
} calo_added_token;

/* All zero is empty. Put, prepare once, then seek. */
typedef struct calo_added {
    calo_added_token *tokens;
    size_t count, capacity;
    uint32_t *order;      /* tokens by pattern: first those sought as they are, then the normalized */
    size_t plain;         /* how many of the first kind */
    bool ignores_special; /* special tokens are split like any text */
} calo_added;

/* Copies the token, its pattern aside. It replaces the one with the same id. `name` is the file in sentences. */
calo_status calo_added_put(calo_added *added, const calo_added_token *token, const char *name, calo_fault *fault);
calo_status calo_added_prepare(calo_added *added, const char *name, calo_fault *fault);
/* The id of a content, or −1. */
int32_t calo_added_find(const calo_added *added, const char *content);
void calo_added_free(calo_added *added);

/* A pass over a text. Begin with { .codes, .count, .normalized }. */
typedef struct calo_added_pass {
    const uint32_t *codes;
    size_t count;
    bool normalized; /* which tokens are sought */
    size_t next;     /* where the search goes on */
    size_t given;    /* everything before it was returned */
} calo_added_pass;

/* The next token: true, its id and the text before it, codes[*start … *end). Afterwards false and the rest. */
bool calo_added_next(const calo_added *added, calo_added_pass *pass, size_t *start, size_t *end, int32_t *id);

#endif
