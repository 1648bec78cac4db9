// A GPU that is not there, the kernels' side: this text comes before a kernel's, which is then C++. fibers.c is the other
// side and calls what this text exports.
//
// A thread of a block is a fiber. It runs until it waits: at __syncthreads for its block, at an instruction of a warp
// (mma, ldmatrix, a shuffle) for its 32 lanes; the last to come works for all. Blocks run one after another.
//
// Shared memory is made of cells that know whether they were ever written. Faults of a kernel: reading a cell that was
// not, reaching outside of an array, 16-byte accesses that are not aligned, and waiting for threads that wait elsewhere
// or have ended. What copy_async brings lands at the wait; until then its cells count as never written.
#ifndef CALO_EMULATOR_H
#define CALO_EMULATOR_H

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "emulated.h"

extern "C" {
__attribute__((visibility("default"))) emulated_index emulated_thread, emulated_block, emulated_block_size,
    emulated_grid;
__attribute__((visibility("default"))) const emulated_services *emulated_by;
}

#define threadIdx emulated_thread
#define blockIdx emulated_block
#define blockDim emulated_block_size
#define gridDim emulated_grid

namespace emulator {

[[noreturn]] inline void fault(const char *what)
{
    emulated_by->fault(what);
    __builtin_unreachable();
}

// ---- shared memory --------------------------------------------------------------------------------------------------

enum { NEVER = 0, WRITTEN = 1, OUTSIDE = 0xee };

template <class T> struct cell {
    T value;
    unsigned char state;

    T get() const
    {
        if (state == WRITTEN)
            return value;
        fault(state == OUTSIDE ? "reads outside of a shared array" : "reads shared memory that was never written");
    }
    void set(T v)
    {
        if (state == OUTSIDE)
            fault("writes outside of a shared array");
        value = v;
        state = WRITTEN;
    }
    operator T() const { return get(); }
    cell &operator=(T v) { return set(v), *this; }
    cell &operator=(const cell &other) { return set(other.get()), *this; }
    cell &operator+=(T v) { return set(get() + v), *this; }
};

struct array {
    char *cells;
    size_t size, cell_size, value_size; // bytes
    unsigned base;                      // its address in shared memory, a multiple of 1024
    array *next;

    void prepare();
};
inline array *arrays; // of this program's kernels, as their blocks first reach them
inline array *dynamic; // the one whose size a launch says
inline size_t dynamic_bytes;

inline void array::prepare()
{
    const size_t used = this == dynamic ? dynamic_bytes / value_size * cell_size : size;
    memset(cells, NEVER, used);
    memset(cells + used, OUTSIDE, size - used);
}

// An array between guards that nobody may touch. Its cells begin a block as never written.
template <class T, class A> struct guarded {
    unsigned char before[1024];
    A cells;
    unsigned char after[1024];
    array own;

    guarded()
    {
        memset(before, OUTSIDE, sizeof before);
        memset(after, OUTSIDE, sizeof after);
        memset((void *)&cells, NEVER, sizeof cells);
        const unsigned base = arrays ? arrays->base + (unsigned)(arrays->size / arrays->cell_size * arrays->value_size) : 0;
        own = { (char *)&cells, sizeof cells, sizeof(cell<T>), sizeof(T), (base + 1023) / 1024 * 1024, arrays };
        arrays = &own;
        own.prepare();
    }
};

// The 8 cells from `at` on are 16 bytes of one array, and aligned there as on the device.
template <class T> void chunk(const cell<T> *at)
{
    for (const array *a = arrays; a; a = a->next) {
        const ptrdiff_t offset = (const char *)at - a->cells;
        if (offset < 0 || offset >= (ptrdiff_t)a->size)
            continue;
        if (offset / a->cell_size * a->value_size % 16)
            fault("takes 16 bytes of shared memory that are not aligned to 16");
        return;
    }
    fault("reaches outside of its shared arrays");
}

// ---- numbers --------------------------------------------------------------------------------------------------------

inline float f16_value(unsigned short bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
    uint32_t u = sign;
    if (exponent == 31)
        u |= 0x7f800000u | fraction << 13;
    else if (exponent)
        u |= (exponent + 112) << 23 | fraction << 13;
    else {
        const float small = std::ldexp((float)fraction, -24);
        return sign ? -small : small;
    }
    float value;
    memcpy(&value, &u, 4);
    return value;
}

inline const float *f16_values()
{
    static float *table = [] {
        static float values[65536];
        for (int i = 0; i < 65536; i++)
            values[i] = f16_value((unsigned short)i);
        return values;
    }();
    return table;
}

inline unsigned short f16_bits(float value)
{
    uint32_t u;
    memcpy(&u, &value, 4);
    const unsigned short sign = (unsigned short)(u >> 16 & 0x8000);
    const uint32_t magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return sign | 0x7fff;
    if (magnitude >= 0x477ff000u) // from 65520 on
        return sign | 0x7c00;
    if (magnitude < 0x38800000u) // below the least normal number: nearbyint rounds half to even
        return sign | (unsigned short)std::nearbyint(std::ldexp(std::fabs(value), 24));
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1) - 0x38000000u;
    return sign | (unsigned short)(rounded >> 13);
}

inline float bf16_value(unsigned short bits)
{
    const uint32_t u = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &u, 4);
    return value;
}

inline unsigned short bf16_bits(float value)
{
    uint32_t u;
    memcpy(&u, &value, 4);
    return value == value ? (unsigned short)((u + 0x7fffu + (u >> 16 & 1)) >> 16) : 0x7fff;
}

// ---- instructions of a warp -----------------------------------------------------------------------------------------

enum kind { MMA, LDMATRIX, SHUFFLE, SYNC_WARP };

struct mma_lane {
    float *d;
    const unsigned *a, *b;
};

// d += a · b by the fragments that ptx.cu describes; a sum runs over k upwards in float.
template <int K, bool F16> void mma_warp(void **lanes)
{
    float a[16][K], b[K][8];
    const float *f16 = f16_values();
    for (int l = 0; l < 32; l++) {
        const mma_lane *lane = (const mma_lane *)lanes[l];
        const int g = l / 4, t = l % 4;
        for (int i = 0; i < K / 4; i++)
            for (int h = 0; h < 2; h++) {
                const unsigned short bits = (unsigned short)(lane->a[i] >> 16 * h);
                a[g + i % 2 * 8][2 * t + h + i / 2 * 8] = F16 ? f16[bits] : bf16_value(bits);
            }
        for (int i = 0; i < K / 8; i++)
            for (int h = 0; h < 2; h++) {
                const unsigned short bits = (unsigned short)(lane->b[i] >> 16 * h);
                b[2 * t + h + i * 8][g] = F16 ? f16[bits] : bf16_value(bits);
            }
    }
    for (int l = 0; l < 32; l++) {
        float *d = ((const mma_lane *)lanes[l])->d;
        for (int e = 0; e < 4; e++) {
            const int row = l / 4 + e / 2 * 8, column = l % 4 * 2 + e % 2;
            float sum = d[e];
            for (int k = 0; k < K; k++)
                sum += a[row][k] * b[k][column];
            d[e] = sum;
        }
    }
}

template <int K, bool F16> void mma(float *d, const unsigned *a, const unsigned *b)
{
    mma_lane own = { d, a, b };
    emulated_by->rendezvous(32, MMA + 16 * K + F16, &own, mma_warp<K, F16>);
}

struct ldmatrix_lane {
    unsigned *r;
    const cell<unsigned short> *row;
};

template <int COUNT, bool TRANS> void ldmatrix_warp(void **lanes)
{
    unsigned short m[COUNT][8][8];
    for (int l = 0; l < 8 * COUNT; l++) {
        const cell<unsigned short> *row = ((const ldmatrix_lane *)lanes[l])->row;
        chunk(row);
        for (int c = 0; c < 8; c++)
            m[l / 8][l % 8][c] = row[c].get();
    }
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < COUNT; i++) {
            const int g = l / 4, t = l % 4 * 2;
            const unsigned low = TRANS ? m[i][t][g] : m[i][g][t], high = TRANS ? m[i][t + 1][g] : m[i][g][t + 1];
            ((const ldmatrix_lane *)lanes[l])->r[i] = low | high << 16;
        }
}

template <int COUNT, bool TRANS> void ldmatrix(unsigned *r, const cell<unsigned short> *row)
{
    ldmatrix_lane own = { r, row };
    emulated_by->rendezvous(32, LDMATRIX + 16 * COUNT + TRANS, &own, ldmatrix_warp<COUNT, TRANS>);
}

struct shuffle_lane {
    float value, result;
    int from;
};

inline void shuffle_warp(void **lanes)
{
    for (int l = 0; l < 32; l++)
        ((shuffle_lane *)lanes[l])->result = ((shuffle_lane *)lanes[((shuffle_lane *)lanes[l])->from & 31])->value;
}

inline float shuffle(float value, int from)
{
    shuffle_lane own = { value, 0, from };
    emulated_by->rendezvous(32, SHUFFLE, &own, shuffle_warp);
    return own.result;
}

// ---- asynchronous copies --------------------------------------------------------------------------------------------

inline void land(void *to, const void *from)
{
    unsigned short values[8] = { 0 };
    if (from)
        memcpy(values, from, 16);
    for (int i = 0; i < 8; i++)
        ((cell<unsigned short> *)to)[i].set(values[i]);
}

inline void copy(cell<unsigned short> *to, const unsigned short *from, bool valid)
{
    chunk(to);
    if ((uintptr_t)from % 16)
        fault("copies 16 bytes of global memory that are not aligned to 16");
    for (int i = 0; i < 8; i++) {
        to[i].set(0);
        to[i].state = NEVER;
    }
    emulated_by->copy(to, valid ? from : nullptr, land);
}

// ---- a launch -------------------------------------------------------------------------------------------------------

template <class... A, size_t... I>
void call(void (*kernel)(A...), void **parameters, std::index_sequence<I...>)
{
    kernel(*(A *)parameters[I]...);
}

template <class... A> void enter(void (*kernel)(A...), void **parameters)
{
    call(kernel, parameters, std::index_sequence_for<A...>());
}

template <class... A> const int *sizes(void (*)(A...))
{
    static const int values[] = { (int)sizeof(A)... };
    return values;
}

template <class... A> constexpr int parameters(void (*)(A...))
{
    return (int)sizeof...(A);
}

} // namespace emulator

#define INLINE static inline
#define ALIGN(bytes) alignas(bytes)

#include "emulated_hopper.h"

// A new block finds shared memory as nobody wrote it.
extern "C" __attribute__((visibility("default"))) void emulated_prepare(size_t dynamic_shared)
{
    emulator::dynamic_bytes = dynamic_shared;
    for (emulator::array *a = emulator::arrays; a; a = a->next)
        a->prepare();
    emulator::prepare_hopper();
}

// ---- the dialect of prelude.cu, and the twins of ptx.cu ---------------------------------------------------------------

#define SHARED(type, name, dims)                                                                                       \
    static emulator::guarded<type, emulator::cell<type> dims> name##_guarded;                                          \
    auto &name = name##_guarded.cells
#define SHARED_POINTER(type) emulator::cell<type> *
// The emulated compiler finds the kernels of a preprocessed text by this attribute.
#define KERNEL(threads) extern "C" __attribute__((calo_kernel(threads))) void

INLINE void __syncthreads(void) { emulated_by->barrier(); }
INLINE unsigned __float_as_uint(float value)
{
    unsigned bits;
    memcpy(&bits, &value, 4);
    return bits;
}
INLINE float __uint_as_float(unsigned bits)
{
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
INLINE int min(int a, int b) { return a < b ? a : b; }
INLINE int max(int a, int b) { return a > b ? a : b; }
INLINE float rsqrtf(float x) { return 1.0f / sqrtf(x); }

INLINE float from_f16(unsigned short bits) { return emulator::f16_values()[bits]; }
INLINE unsigned short to_f16(float value) { return emulator::f16_bits(value); }
INLINE unsigned pack_f16(float low, float high)
{
    return emulator::f16_bits(low) | (unsigned)emulator::f16_bits(high) << 16;
}
INLINE unsigned pack_bf16(float low, float high)
{
    return emulator::bf16_bits(low) | (unsigned)emulator::bf16_bits(high) << 16;
}
INLINE float fast_reciprocal(float x) { return 1.0f / x; }
INLINE float fast_exp2(float x)
{
    const float y = exp2f(x);
    return y < 1.17549435e-38f ? 0.0f : y;
}
INLINE void mma_f16(float *d, const unsigned *a, const unsigned *b) { emulator::mma<16, true>(d, a, b); }
INLINE void mma_bf16(float *d, const unsigned *a, const unsigned *b) { emulator::mma<16, false>(d, a, b); }
INLINE void mma_f16_k8(float *d, const unsigned *a, const unsigned *b) { emulator::mma<8, true>(d, a, b); }
INLINE void mma_bf16_k8(float *d, const unsigned *a, const unsigned *b) { emulator::mma<8, false>(d, a, b); }
INLINE void ldmatrix4(unsigned *r, const emulator::cell<unsigned short> *row) { emulator::ldmatrix<4, false>(r, row); }
INLINE void ldmatrix4_trans(unsigned *r, const emulator::cell<unsigned short> *row)
{
    emulator::ldmatrix<4, true>(r, row);
}
INLINE void ldmatrix2(unsigned *r, const emulator::cell<unsigned short> *row) { emulator::ldmatrix<2, false>(r, row); }
INLINE void ldmatrix2_trans(unsigned *r, const emulator::cell<unsigned short> *row)
{
    emulator::ldmatrix<2, true>(r, row);
}
INLINE void copy_async(emulator::cell<unsigned short> *to, const unsigned short *from, bool valid)
{
    emulator::copy(to, from, valid);
}
INLINE void copy_commit(void) { emulated_by->commit(); }
INLINE void copy_wait(int pending) { emulated_by->wait(pending); }
INLINE float shuffle_from(float value, int from) { return emulator::shuffle(value, from); }
INLINE float shuffle_xor(float value, int mask)
{
    return emulator::shuffle(value, (int)(threadIdx.x % 32) ^ mask);
}

INLINE bool any_of_warp(bool so)
{
    float any = so;
    for (int mask = 16; mask; mask /= 2)
        any = fmaxf(any, shuffle_xor(any, mask));
    return any > 0;
}

#endif
