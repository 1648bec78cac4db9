/* The device's peaks. `multiply_add` keeps 12 independent chains of multiply-adds in flight a thread; `copy` streams a
   buffer larger than any cache. */
KERNEL(256) multiply_add(float *out, ulong out_at, int rounds)
{
    float a[12];
    const float m = 0.999f, c = 1e-3f * (float)(threadIdx.x + 1);
    UNROLL
    for (int i = 0; i < 12; i++)
        a[i] = 0.1f * (float)(i + 1);
    for (int r = 0; r < rounds; r++)
        UNROLL
        for (int i = 0; i < 12; i++)
            a[i] = fmaf(a[i], m, c);
    float sum = 0.0f;
    UNROLL
    for (int i = 0; i < 12; i++)
        sum += a[i];
    out[out_at + global_id(x)] = sum;
}

KERNEL(256) copy(const float *from, ulong from_at, float *to, ulong to_at, ulong count)
{
    for (ulong i = global_id(x); i < count; i += (ulong)gridDim.x * 256)
        to[to_at + i] = from[from_at + i];
}
