/* A short name for a model's numbers, to tell in a picture's text which file made it. */
#ifndef CALO_HASH_H
#define CALO_HASH_H

#include "shim.h"

/* SHA-256 (FIPS 180-4) of `size` bytes. */
void calo_sha256(const uint8_t *bytes, size_t size, uint8_t digest[32]);

/* A quick hash of `size` bytes after those that gave `digest` (0: none): eight at a time, multiplied and folded. It tells
 * contents apart that differ by mistake; it is no defence against a forger. */
uint64_t calo_digest(uint64_t digest, const uint8_t *bytes, size_t size);
/* Of a whole file, a few MB at a time. on_read, or NULL, hears of bytes read and of all; non-zero stops: CALO_ECANCELLED. */
calo_status calo_sha256_file(const calo_file *file, int (*on_read)(void *user, uint64_t done, uint64_t total), void *user,
                             uint8_t digest[32], calo_fault *fault);

/* AUTOMATIC1111's first "model hash": 8 hexadecimal digits of the SHA-256 of the 64 KiB at 1 MiB, or of what a smaller
 * file has there. It reads little, so that a picture does not wait for gigabytes. */
calo_status calo_model_hash(const calo_file *file, char text[9], calo_fault *fault);

#endif
