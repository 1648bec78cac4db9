/* One row a work-item. A token id outside the table reads its last row instead of foreign memory. */
__kernel void tokens_row(__global const int *ids, ulong ids_at, __global const weight *table, ulong table_at,
                         __global const weight *positions, ulong positions_at, __global act *y, ulong y_at, int rows,
                         int length, int width)
{
    const ulong r = get_global_id(0);
    const ulong token = (ulong)clamp(ids[ids_at + r], 0, rows - 1) * width, position = r % length * width;
    for (int c = 0; c < width; c++)
        store_act(load_weight(table, table_at + token + c) + load_weight(positions, positions_at + position + c), y,
                  y_at + r * width + c);
}

__kernel void timesteps_row(__global const float *t, ulong t_at, __global act *y, ulong y_at, int columns, int flip,
                            float shift)
{
    const ulong n = get_global_id(0);
    const int half_columns = columns / 2;
    y += y_at + n * columns;
    if (columns & 1)
        store_act(0.0f, y, columns - 1);
    for (int i = 0; i < half_columns; i++) {
        const float angle = t[t_at + n] * exp(-9.210340371976184f * (float)i / ((float)half_columns - shift));
        store_act(sin(angle), y, flip ? half_columns + i : i);
        store_act(cos(angle), y, flip ? i : half_columns + i);
    }
}
