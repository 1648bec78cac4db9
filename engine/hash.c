/* SHA-256 and the model hash. */
#include "hash.h"

#include <stdio.h>
#include <string.h>

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

static uint32_t turn(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void add_block(uint32_t h[8], const uint8_t *block)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 |
               block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        const uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] + (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
    memcpy(v, h, sizeof v);
    for (int i = 0; i < 64; i++) {
        const uint32_t e = v[4], a = v[0];
        const uint32_t t1 = v[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + constants[i] + w[i];
        const uint32_t t2 = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        h[i] += v[i];
}

static const uint32_t start[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

/* The last part, which need not fill blocks, of `total` bytes in all. */
static void finish(uint32_t h[8], const uint8_t *bytes, size_t size, uint64_t total, uint8_t digest[32])
{
    uint8_t last[128] = { 0 };
    size_t at = 0;
    for (; at + 64 <= size; at += 64)
        add_block(h, bytes + at);
    const size_t rest = size - at, padded = rest < 56 ? 64 : 128;
    if (rest)
        memcpy(last, bytes + at, rest);
    last[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        last[padded - 1 - i] = (uint8_t)(total * 8 >> 8 * i);
    for (size_t i = 0; i < padded; i += 64)
        add_block(h, last + i);
    for (int i = 0; i < 32; i++)
        digest[i] = (uint8_t)(h[i / 4] >> (24 - i % 4 * 8));
}

uint64_t calo_digest(uint64_t digest, const uint8_t *bytes, size_t size)
{
    enum { LANES = 4, WORD = 8 };
    static const uint64_t odd[LANES] = { UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xc2b2ae3d27d4eb4f),
                                         UINT64_C(0x165667b19e3779f9), UINT64_C(0xd6e8feb86659fd93) };
    uint64_t lanes[LANES], word;
    size_t at = 0;
    for (int k = 0; k < LANES; k++)
        lanes[k] = digest ^ odd[k];
    for (; size - at >= LANES * WORD; at += LANES * WORD)
        for (int k = 0; k < LANES; k++) {
            memcpy(&word, bytes + at + (size_t)k * WORD, WORD);
            lanes[k] = (lanes[k] ^ word) * odd[k];
            lanes[k] ^= lanes[k] >> 29;
        }
    for (; at < size; at++)
        lanes[at % LANES] = (lanes[at % LANES] ^ bytes[at]) * odd[0];
    digest = size;
    for (int k = 0; k < LANES; k++) {
        digest = (digest ^ lanes[k]) * odd[1];
        digest ^= digest >> 31;
    }
    return digest;
}

void calo_sha256(const uint8_t *bytes, size_t size, uint8_t digest[32])
{
    uint32_t h[8];
    memcpy(h, start, sizeof h);
    finish(h, bytes, size, size, digest);
}

calo_status calo_sha256_file(const calo_file *file, int (*on_read)(void *, uint64_t, uint64_t), void *user, uint8_t digest[32],
                             calo_fault *fault)
{
    enum { SIZE = 4 << 20 }; /* whole blocks */
    uint32_t h[8];
    uint64_t at = 0;
    uint8_t *part = calo_alloc(SIZE, 1);
    calo_status status = part ? CALO_OK : calo_fail(fault, CALO_EMEMORY, "no host memory to hash %s", file->path);
    memcpy(h, start, sizeof h);
    for (; !status && file->size - at >= SIZE; at += SIZE) {
        if (on_read && on_read(user, at, file->size)) {
            status = calo_fail(fault, CALO_ECANCELLED, "stopped while hashing %s", file->path);
            break;
        }
        status = calo_file_read(file, at, part, SIZE, fault);
        for (size_t i = 0; i < SIZE && !status; i += 64)
            add_block(h, part + i);
    }
    if (!status)
        status = calo_file_read(file, at, part, (size_t)(file->size - at), fault);
    if (!status)
        finish(h, part, (size_t)(file->size - at), file->size, digest);
    calo_free(part);
    return status;
}

calo_status calo_model_hash(const calo_file *file, char text[9], calo_fault *fault)
{
    enum { BEGIN = 1 << 20, SIZE = 1 << 16 };
    uint8_t digest[32], *block = calo_alloc(SIZE, 1);
    const uint64_t behind = file->size > BEGIN ? file->size - BEGIN : 0;
    const size_t size = behind < SIZE ? (size_t)behind : SIZE;
    if (!block)
        return calo_fail(fault, CALO_EMEMORY, "no host memory to name %s", file->path);
    calo_status status = calo_file_read(file, BEGIN, block, size, fault);
    if (!status) {
        calo_sha256(block, size, digest);
        for (int i = 0; i < 4; i++)
            snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    calo_free(block);
    return status;
}
