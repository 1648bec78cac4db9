/* What CUDA C has no words for: thin wrappers of PTX instructions, nothing else in the kernels is assembly. The emulator
   of the tests has a twin of each (tests/cuda/emulator.h), which says what it does in C++.

   Fragments (PTX ISA, m16n8k16; lane l, g = l / 4, t = l % 4), 16-bit pairs with the lower column in the lower half:
     a[0] row g, columns 2t 2t+1    a[1] row g+8    a[2] row g, columns 2t+8 2t+9    a[3] row g+8
     b[0] rows 2t 2t+1 of column g  b[1] rows 2t+8 2t+9
     d[0] d[1] row g, columns 2t 2t+1                d[2] d[3] row g+8 */

#ifndef CALO_EMULATED

INLINE float from_f16(ushort bits)
{
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

INLINE ushort to_f16(float value)
{
    ushort bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

/* Two floats as 16-bit numbers, the first in the lower half. */
INLINE uint pack_f16(float low, float high)
{
    uint pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

INLINE uint pack_bf16(float low, float high)
{
    uint pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

/* 2^x, to 2 ulp; results below 2^-126 are 0. */
INLINE float fast_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* 1/x, to 1 ulp. */
INLINE float fast_reciprocal(float x)
{
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* d += a · b: a 16×16 times 16×8. */
INLINE void mma_f16(float *d, const uint *a, const uint *b)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

INLINE void mma_bf16(float *d, const uint *a, const uint *b)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* The same for the first 8 columns of a and rows of b: a[0], a[1], b[0]. */
INLINE void mma_f16_k8(float *d, const uint *a, const uint *b)
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(b[0]));
}

INLINE void mma_bf16_k8(float *d, const uint *a, const uint *b)
{
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(b[0]));
}

/* Four 8×8 matrices of 16-bit numbers from shared memory: lane l brings the address of row l % 8 of matrix l / 8 (16
   bytes, aligned to 16), and gets of matrix i the pair at row l / 4, columns 2(l % 4) and the next; _trans: transposed. */
INLINE void ldmatrix4(uint *r, const ushort *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((uint)__cvta_generic_to_shared(row))
                 : "memory");
}

INLINE void ldmatrix4_trans(uint *r, const ushort *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((uint)__cvta_generic_to_shared(row))
                 : "memory");
}

/* The first two matrices alone: lanes 0 to 15 bring the addresses. */
INLINE void ldmatrix2(uint *r, const ushort *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"((uint)__cvta_generic_to_shared(row))
                 : "memory");
}

INLINE void ldmatrix2_trans(uint *r, const ushort *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"((uint)__cvta_generic_to_shared(row))
                 : "memory");
}

/* Begins to copy 8 numbers (16 bytes, both ends aligned to 16) to shared memory, or zeros where `valid` is false. They
   are there after commit, a wait that covers their group, and a barrier. */
INLINE void copy_async(ushort *to, const ushort *from, bool valid)
{
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;"
                 :
                 : "r"((uint)__cvta_generic_to_shared(to)), "l"(from), "r"(valid ? 16 : 0)
                 : "memory");
}

INLINE void copy_commit(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* At most `pending` (0 … 3, a constant) of this thread's latest groups are still under way. */
INLINE void copy_wait(int pending)
{
    if (pending == 0)
        asm volatile("cp.async.wait_group 0;" ::: "memory");
    else if (pending == 1)
        asm volatile("cp.async.wait_group 1;" ::: "memory");
    else if (pending == 2)
        asm volatile("cp.async.wait_group 2;" ::: "memory");
    else
        asm volatile("cp.async.wait_group 3;" ::: "memory");
}

/* The value of lane `from`, and of lane (own ^ mask), for a whole warp. */
INLINE float shuffle_from(float value, int from)
{
    return __shfl_sync(0xffffffffu, value, from);
}

INLINE float shuffle_xor(float value, int mask)
{
    return __shfl_xor_sync(0xffffffffu, value, mask);
}

/* Whether it is so in any lane of the warp. */
INLINE bool any_of_warp(bool so)
{
    return __any_sync(0xffffffffu, so);
}

#endif
