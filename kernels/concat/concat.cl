/* One row a work-item. Bound by memory. */
inline void copy_row(__global const act *from, __global act *to, int count)
{
    int c = 0;
    for (; c + 16 <= count; c += 16)
        store_act16(load_act16(from, c), to, c);
    for (; c < count; c++)
        to[c] = from[c];
}

__kernel void concat_row(__global const act *a, ulong a_at, __global const act *b, ulong b_at, __global act *y,
                         ulong y_at, int a_columns, int b_columns)
{
    const ulong r = get_global_id(0);
    y += y_at + r * (a_columns + b_columns);
    copy_row(a + a_at + r * a_columns, y, a_columns);
    copy_row(b + b_at + r * b_columns, y + a_columns, b_columns);
}
