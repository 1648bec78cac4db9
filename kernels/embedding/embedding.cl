/* Token and timestep embeddings. Bound by memory, and small. */
#ifndef POSITION
#define POSITION WEIGHT
#endif

#if POSITION == TYPE_F32
typedef float position;
#define load_position(p, i) ((p)[i])
#define load_position16(p, i) vload16(0, (p) + (i))
#elif POSITION == TYPE_F16
typedef half position;
#define load_position(p, i) vload_half(0, (p) + (i))
#define load_position16(p, i) vload_half16(0, (p) + (i))
#else
typedef ushort position;
#define load_position(p, i) bf16_load(p, i)
#define load_position16(p, i) bf16_load16(p, i)
#endif

#define EMBED_ARGUMENTS                                                                                                \
    __global const int *ids, ulong ids_at, __global const weight *table, ulong table_at,                               \
        __global const position *positions, ulong positions_at, __global act *y, ulong y_at, int tokens, int rows,     \
        int width

/* Offsets of the row that this work-item writes, and of its two sources. */
#define EMBED_ROW                                                                                                      \
    const ulong row = get_global_id(1), to = y_at + row * width;                                                       \
    const ulong from = table_at + (ulong)clamp(ids[ids_at + row], 0, rows - 1) * width;                                \
    const ulong place = positions_at + row % tokens * width

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void embed_row(EMBED_ARGUMENTS)
{
    EMBED_ROW;
    int d = 0;
    for (; d + 16 <= width; d += 16)
        store_act16(load_weight16(table, from + d) + load_position16(positions, place + d), y, to + d);
    for (; d < width; d++)
        store_act(load_weight(table, from + d) + load_position(positions, place + d), y, to + d);
}

__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void embed_number(EMBED_ARGUMENTS)
{
    EMBED_ROW;
    const int d = get_global_id(0);
    if (d < width)
        store_act(load_weight(table, from + d) + load_position(positions, place + d), y, to + d);
}

/* A work-item writes one sine and its cosine; of an odd width, the last one writes the zero. */
__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void
embed_angle(__global const float *t, ulong t_at, __global const float *frequencies, ulong frequencies_at,
            __global act *y, ulong y_at, int width, int flip)
{
    const int i = get_global_id(0), half_width = width / 2;
    const ulong row = get_global_id(1), to = y_at + row * width;
    if (i == half_width && width % 2)
        store_act(0.0f, y, to + width - 1);
    if (i >= half_width)
        return;
    const float angle = t[t_at + row] * frequencies[frequencies_at + i];
    store_act(sin(angle), y, to + (flip ? half_width : 0) + i);
    store_act(cos(angle), y, to + (flip ? 0 : half_width) + i);
}
