/* CHUNK elements a work-item, then one work-item over the partial results, in order. */
__kernel void reduce_chunk(__global const act *x, ulong x_at, __global float *partial, ulong partial_at, ulong count)
{
    const ulong begin = get_global_id(0) * (ulong)CHUNK, end = min(begin + CHUNK, count);
    float bad = 0, least = INFINITY, largest = -INFINITY;
    for (ulong i = begin; i < end; i++) {
        const float v = load_act(x, x_at + i);
        const int finite = isfinite(v);
        bad += finite ? 0.0f : 1.0f;
        least = finite ? fmin(least, v) : least;
        largest = finite ? fmax(largest, v) : largest;
    }
    vstore4((float4)(bad, least, largest, (float)(end - begin)), get_global_id(0), partial + partial_at);
}

/* Counts are summed as integers: a float would stop at 2^24. */
__kernel void reduce_partial(__global const float *partial, ulong partial_at, __global float *y, ulong y_at, int parts)
{
    ulong bad = 0, count = 0;
    float least = INFINITY, largest = -INFINITY;
    for (int i = 0; i < parts; i++) {
        const float4 p = vload4(i, partial + partial_at);
        bad += (ulong)p.x;
        least = fmin(least, p.y);
        largest = fmax(largest, p.z);
        count += (ulong)p.w;
    }
    vstore4((float4)((float)bad, least, largest, (float)count), 0, y + y_at);
}
