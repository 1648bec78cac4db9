/* The device's peaks. `multiply_add` keeps 16 independent chains of float16 multiply-adds in flight, enough to hide
   their latency; `copy` streams a buffer larger than any cache. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void multiply_add(__global float *out, ulong out_at, int rounds)
{
    float16 a[16];
    const float16 m = (float16)(0.999f), c = (float16)(1e-3f * (float)(get_global_id(0) + 1)); /* no denormals */
    for (int i = 0; i < 16; i++)
        a[i] = (float16)((float)i);
    for (int r = 0; r < rounds; r++) {
#pragma unroll
        for (int i = 0; i < 16; i++)
            a[i] = a[i] * m + c; /* contracted; PoCL's fma() of vectors is a slow call */
    }
    float16 sum = (float16)(0);
    for (int i = 0; i < 16; i++)
        sum += a[i];
    vstore16(sum, get_global_id(0), out + out_at);
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void copy(__global const float *from, ulong from_at,
                                                                  __global float *to, ulong to_at, int vectors)
{
    const ulong at = get_global_id(0) * (ulong)vectors * 16;
    for (int i = 0; i < vectors; i++)
        vstore16(vload16(i, from + from_at + at), i, to + to_at + at);
}
