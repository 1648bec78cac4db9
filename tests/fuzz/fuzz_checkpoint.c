/* What a single file is taken for: the input is lines "NAME DIM DIM …", and the file has those tensors, of zeros. So that the
   names and shapes are what changes, and the file around them is sound. */
#include "../../engine/weights/checkpoint.h"
#include "input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 18, MAX_TENSORS = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

typedef struct composer {
    char text[MAX_BYTES];
    size_t used;
    uint64_t data; /* bytes of numbers so far, one each */
    int count;
} composer;

/* One tensor; false when the file would be too long. */
static bool add(composer *c, char *line)
{
    char *rest, *name = strtok_r(line, " ", &rest), *dim;
    uint64_t count = 1;
    if (!name || c->count == MAX_TENSORS || c->used + 512 > sizeof c->text)
        return c->used + 512 <= sizeof c->text;
    for (char *at = name; *at; at++) /* a name, not more JSON */
        if (*at == '"' || *at == '\\' || (unsigned char)*at < 32 || (unsigned char)*at > 126)
            return true;
    c->used += (size_t)sprintf(c->text + c->used, "%s\"%.200s\":{\"dtype\":\"F8_E4M3\",\"shape\":[", c->count++ ? "," : "", name);
    for (int i = 0; (dim = strtok_r(NULL, " ", &rest)) && i < 8; i++) {
        const unsigned long n = strtoul(dim, NULL, 10) % 100000;
        count *= n;
        if (count > MAX_BYTES)
            return false;
        c->used += (size_t)sprintf(c->text + c->used, "%s%lu", i ? "," : "", n);
    }
    c->used += (size_t)sprintf(c->text + c->used, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)c->data,
                               (unsigned long long)(c->data + count));
    c->data += count;
    return c->data <= MAX_BYTES;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static composer c;
    static uint8_t file[8 + 2 * MAX_BYTES];
    char *lines = malloc(size + 1), *rest;
    bool fits = lines != NULL;
    if (!lines)
        return 0;
    memcpy(lines, bytes, size);
    lines[size] = '\0';
    c.used = c.data = 0;
    c.count = 0;
    c.text[c.used++] = '{';
    for (char *line = strtok_r(lines, "\n", &rest); fits && line; line = strtok_r(NULL, "\n", &rest))
        fits = add(&c, line);
    free(lines);
    c.text[c.used++] = '}';
    if (!fits)
        return 0;
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)c.used >> 8 * i);
    memcpy(file + 8, c.text, c.used);
    memset(file + 8 + c.used, 0, c.data);

    const calo_checkpoint_options options = { .decide = true };
    calo_checkpoint checkpoint;
    calo_fault fault = { 0 };
    calo_entry entry;
    if (calo_checkpoint_open(fuzz_file(file, 8 + c.used + c.data), &options, &checkpoint, &fault))
        return 0;
    for (int part = 0; part < CALO_PARTS; part++) /* some of the names that loading asks for */
        if (checkpoint.has[part]) {
            calo_checkpoint_find(&checkpoint, (calo_part)part, "conv_in.weight", &entry, &fault);
            calo_fault_clear(&fault);
            calo_checkpoint_find(&checkpoint, (calo_part)part, "text_model.encoder.layers.0.self_attn.k_proj.weight", &entry, &fault);
            calo_fault_clear(&fault);
            calo_checkpoint_find(&checkpoint, (calo_part)part, "mid_block.attentions.0.to_q.weight", &entry, &fault);
            calo_fault_clear(&fault);
        }
    calo_checkpoint_close(&checkpoint);
    return 0;
}
