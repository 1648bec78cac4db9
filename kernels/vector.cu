/* 8 numbers side by side: 16 bytes of a 16-bit type, 32 of floats, read and written whole; addresses are multiples of 16
   bytes. And pairs. */
typedef struct ALIGN(16) words4 {
    uint w[4];
} words4;

typedef struct ALIGN(8) pair {
    float x, y;
} pair;

INLINE void load8_floats(const float *from, float *v)
{
    UNROLL
    for (int i = 0; i < 2; i++) {
        const words4 four = ((const words4 *)from)[i];
        UNROLL
        for (int j = 0; j < 4; j++)
            v[4 * i + j] = bits_to_float(four.w[j]);
    }
}

#if ACT == TYPE_F32
#define load8(from, v) load8_floats(from, v)

INLINE void store8(const float *v, act *to)
{
    UNROLL
    for (int i = 0; i < 2; i++) {
        words4 four;
        UNROLL
        for (int j = 0; j < 4; j++)
            four.w[j] = float_to_bits(v[4 * i + j]);
        ((words4 *)to)[i] = four;
    }
}

INLINE void store_pair(float low, float high, act *to)
{
    const pair two = { low, high };
    *(pair *)to = two;
}
#else
#if ACT == TYPE_F16
#define pack_act(low, high) pack_f16(low, high)
#else
#define pack_act(low, high) pack_bf16(low, high)
#endif

INLINE void load8(const act *from, float *v)
{
    const words4 all = *(const words4 *)from;
    UNROLL
    for (int i = 0; i < 4; i++) {
        v[2 * i] = from_act((ushort)all.w[i]);
        v[2 * i + 1] = from_act((ushort)(all.w[i] >> 16));
    }
}

INLINE void store8(const float *v, act *to)
{
    words4 all;
    UNROLL
    for (int i = 0; i < 4; i++)
        all.w[i] = pack_act(v[2 * i], v[2 * i + 1]);
    *(words4 *)to = all;
}

INLINE void store_pair(float low, float high, act *to)
{
    *(uint *)to = pack_act(low, high);
}
#endif
