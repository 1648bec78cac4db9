/* The start of every OpenCL kernel: storage types and their loads. Each source is compiled after this text.

   Storage is f32, f16 or bf16, arithmetic is always float. ACT is the activations' type, WEIGHT the weights', each one
   of TYPE_F32, TYPE_F16, TYPE_BF16. A `half *` may be stored to and loaded from without the fp16 extension.

     act *x;      load_act(x, i)  load_act4 …8 …16(x, i)      store_act(v, x, i) … store_act16(v, x, i)
     weight *w;   load_weight(w, i) … load_weight16(w, i)

   i counts elements and needs no alignment beyond one element. A tensor arrives as a slab and an offset in elements:
     __global const act *x, ulong x_at      →  x += x_at; */
#define TYPE_F32 1
#define TYPE_F16 2
#define TYPE_BF16 3

#ifndef ACT
#define ACT TYPE_F32
#endif
#ifndef WEIGHT
#define WEIGHT TYPE_F32
#endif

/* bf16 is the upper half of an f32; rounding is to nearest even, and a NaN stays a NaN. */
#define BF16_LOAD(N)                                                                                                   \
    float##N bf16_load##N(__global const ushort *p, ulong i)                                                           \
    {                                                                                                                  \
        return as_float##N(convert_uint##N(vload##N(0, p + i)) << 16);                                                 \
    }
#define BF16_STORE(N)                                                                                                  \
    void bf16_store##N(float##N v, __global ushort *p, ulong i)                                                        \
    {                                                                                                                  \
        const uint##N u = as_uint##N(v);                                                                               \
        const uint##N r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;                                                      \
        vstore##N(convert_ushort##N(select((u >> 16) | 0x40u, r, isequal(v, v))), 0, p + i);                           \
    }

inline float bf16_load(__global const ushort *p, ulong i)
{
    return as_float((uint)p[i] << 16);
}
inline void bf16_store(float v, __global ushort *p, ulong i)
{
    const uint u = as_uint(v);
    p[i] = (ushort)(v == v ? (u + 0x7fffu + ((u >> 16) & 1u)) >> 16 : (u >> 16) | 0x40u);
}
inline BF16_LOAD(4) inline BF16_LOAD(8) inline BF16_LOAD(16) inline BF16_STORE(4) inline BF16_STORE(8)
    inline BF16_STORE(16)

#if ACT == TYPE_F32
typedef float act;
#define load_act(p, i) ((p)[i])
#define load_act4(p, i) vload4(0, (p) + (i))
#define load_act8(p, i) vload8(0, (p) + (i))
#define load_act16(p, i) vload16(0, (p) + (i))
#define store_act(v, p, i) ((p)[i] = (v))
#define store_act4(v, p, i) vstore4(v, 0, (p) + (i))
#define store_act8(v, p, i) vstore8(v, 0, (p) + (i))
#define store_act16(v, p, i) vstore16(v, 0, (p) + (i))
#elif ACT == TYPE_F16
typedef half act;
#define load_act(p, i) vload_half(0, (p) + (i))
#define load_act4(p, i) vload_half4(0, (p) + (i))
#define load_act8(p, i) vload_half8(0, (p) + (i))
#define load_act16(p, i) vload_half16(0, (p) + (i))
#define store_act(v, p, i) vstore_half_rte(v, 0, (p) + (i))
#define store_act4(v, p, i) vstore_half4_rte(v, 0, (p) + (i))
#define store_act8(v, p, i) vstore_half8_rte(v, 0, (p) + (i))
#define store_act16(v, p, i) vstore_half16_rte(v, 0, (p) + (i))
#else
typedef ushort act;
#define load_act(p, i) bf16_load(p, i)
#define load_act4(p, i) bf16_load4(p, i)
#define load_act8(p, i) bf16_load8(p, i)
#define load_act16(p, i) bf16_load16(p, i)
#define store_act(v, p, i) bf16_store(v, p, i)
#define store_act4(v, p, i) bf16_store4(v, p, i)
#define store_act8(v, p, i) bf16_store8(v, p, i)
#define store_act16(v, p, i) bf16_store16(v, p, i)
#endif

#if WEIGHT == TYPE_F32
typedef float weight;
#define load_weight(p, i) ((p)[i])
#define load_weight4(p, i) vload4(0, (p) + (i))
#define load_weight8(p, i) vload8(0, (p) + (i))
#define load_weight16(p, i) vload16(0, (p) + (i))
#elif WEIGHT == TYPE_F16
typedef half weight;
#define load_weight(p, i) vload_half(0, (p) + (i))
#define load_weight4(p, i) vload_half4(0, (p) + (i))
#define load_weight8(p, i) vload_half8(0, (p) + (i))
#define load_weight16(p, i) vload_half16(0, (p) + (i))
#else
typedef ushort weight;
#define load_weight(p, i) bf16_load(p, i)
#define load_weight4(p, i) bf16_load4(p, i)
#define load_weight8(p, i) bf16_load8(p, i)
#define load_weight16(p, i) bf16_load16(p, i)
#endif
