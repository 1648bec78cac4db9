/* The device's peaks. `multiply_add` keeps 12 independent chains of float16 multiply-adds in flight, enough to hide
   their latency; `copy` streams a buffer larger than any cache. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void multiply_add(__global float *out, ulong out_at, int rounds)
{
    float16 a0 = (float16)(0.1f), a1 = (float16)(0.2f), a2 = (float16)(0.3f), a3 = (float16)(0.4f);
    float16 a4 = (float16)(0.5f), a5 = (float16)(0.6f), a6 = (float16)(0.7f), a7 = (float16)(0.8f);
    float16 a8 = (float16)(0.9f), a9 = (float16)(1.1f), a10 = (float16)(1.2f), a11 = (float16)(1.3f);
    /* Not 0, so that no chain sinks to denormals; contracted, because PoCL's fma() of vectors is a slow call. */
    const float16 m = (float16)(0.999f), c = (float16)(1e-3f * (float)(get_global_id(0) + 1));
    for (int r = 0; r < rounds; r++) {
        a0 = a0 * m + c, a1 = a1 * m + c, a2 = a2 * m + c, a3 = a3 * m + c;
        a4 = a4 * m + c, a5 = a5 * m + c, a6 = a6 * m + c, a7 = a7 * m + c;
        a8 = a8 * m + c, a9 = a9 * m + c, a10 = a10 * m + c, a11 = a11 * m + c;
    }
    vstore16(a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11, get_global_id(0), out + out_at);
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void copy(__global const float *from, ulong from_at,
                                                                  __global float *to, ulong to_at, int vectors)
{
    const ulong at = get_global_id(0) * (ulong)vectors * 16;
    for (int i = 0; i < vectors; i++)
        vstore16(vload16(i, from + from_at + at), i, to + to_at + at);
}
