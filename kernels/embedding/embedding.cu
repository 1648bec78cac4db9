/* Token and timestep embeddings. Bound by memory, and small. */
#ifndef POSITION
#define POSITION WEIGHT
#endif
#if POSITION == TYPE_F32
typedef float position;
#define load_position(p, i) ((p)[i])
#elif POSITION == TYPE_F16
typedef ushort position;
#define load_position(p, i) from_f16((p)[i])
#else
typedef ushort position;
#define load_position(p, i) from_bf16((p)[i])
#endif

/* A thread a number: blockIdx.y is the token. */
KERNEL(64) embed_number(const int *ids, ulong ids_at, const weight *table, ulong table_at, const position *positions,
                        ulong positions_at, act *y, ulong y_at, int tokens, int rows, int width)
{
    const ulong row = global_id(y);
    const int d = (int)global_id(x), id = ids[ids_at + row];
    if (d >= width)
        return;
    const ulong from = table_at + (ulong)(id < 0 ? 0 : id < rows ? id : rows - 1) * width;
    store_act(load_weight(table, from + d) + load_position(positions, positions_at + row % tokens * width + d), y,
              y_at + row * width + d);
}

/* A thread writes one sine and its cosine; of an odd width, the last one writes the zero. */
KERNEL(64) embed_angle(const float *t, ulong t_at, const float *frequencies, ulong frequencies_at, act *y, ulong y_at,
                       int width, int flip)
{
    const int i = (int)global_id(x), half_width = width / 2;
    const ulong row = global_id(y), to = y_at + row * width;
    if (i == half_width && width % 2)
        store_act(0.0f, y, to + width - 1);
    if (i >= half_width)
        return;
    const float angle = t[t_at + row] * frequencies[frequencies_at + i];
    store_act(sinf(angle), y, to + (flip ? half_width : 0) + i);
    store_act(cosf(angle), y, to + (flip ? 0 : half_width) + i);
}
