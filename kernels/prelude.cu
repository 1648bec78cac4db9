/* The start of every CUDA kernel: storage types and their loads. Each source is compiled after this text, by NVRTC for a
   device, and as C++ by the emulator of the tests, which brings its own ptx.cu.

   The dialect is C with a few words of ours: SHARED(type, name, [dims]) declares shared memory, SHARED_POINTER(type)
   points into it, KERNEL(threads) begins a kernel of that many threads a block, UNROLL unrolls the loop that follows,
   ALIGN(bytes) aligns a struct.
   Shared memory is only touched element by element or through ptx.cu, so that the emulator can watch it.

   Storage is f32, f16 or bf16, arithmetic is always float. ACT is the activations' type, WEIGHT the weights', each one
   of TYPE_F32, TYPE_F16, TYPE_BF16; both 16-bit types are held as their bits. A tensor arrives as a slab and an offset
   in elements, as in prelude.cl:
     const act *x, ulong x_at      →  x += x_at; */
#define TYPE_F32 1
#define TYPE_F16 2
#define TYPE_BF16 3

#ifndef ACT
#define ACT TYPE_F32
#endif
#ifndef WEIGHT
#define WEIGHT TYPE_F32
#endif

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;

#ifndef CALO_EMULATED
#define SHARED(type, name, dims) __shared__ __align__(16) type name dims
#define SHARED_POINTER(type) type *
#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads, 1)
#define INLINE static __device__ __forceinline__
#define ALIGN(bytes) __align__(bytes)
#endif
#define UNROLL _Pragma("unroll")

#define global_id(axis) ((ulong)blockIdx.axis * blockDim.axis + threadIdx.axis)

INLINE float bits_to_float(uint bits)
{
    return __uint_as_float(bits);
}

INLINE uint float_to_bits(float value)
{
    return __float_as_uint(value);
}

/* bf16 is the upper half of an f32; rounding is to nearest even, and a NaN stays a NaN. */
INLINE float from_bf16(ushort bits)
{
    return bits_to_float((uint)bits << 16);
}

INLINE ushort to_bf16(float value)
{
    const uint bits = float_to_bits(value);
    return (ushort)(value == value ? (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16 : (bits >> 16) | 0x40u);
}

#if ACT == TYPE_F32
typedef float act;
#define from_act(v) (v)
#define to_act(v) (v)
#elif ACT == TYPE_F16
typedef ushort act;
#define from_act(v) from_f16(v)
#define to_act(v) to_f16(v)
#else
typedef ushort act;
#define from_act(v) from_bf16(v)
#define to_act(v) to_bf16(v)
#endif
#define load_act(p, i) from_act((p)[i])
#define store_act(v, p, i) ((p)[i] = to_act(v))

#if WEIGHT == TYPE_F32
typedef float weight;
#define load_weight(p, i) ((p)[i])
#elif WEIGHT == TYPE_F16
typedef ushort weight;
#define load_weight(p, i) from_f16((p)[i])
#else
typedef ushort weight;
#define load_weight(p, i) from_bf16((p)[i])
#endif
