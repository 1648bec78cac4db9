/* Concatenation along channels: numbers are copied as integers, whatever their type. Bound by memory. */
#ifndef ROWS
#define ROWS 1
#endif
#if ACT == TYPE_F32
typedef uint raw;
#else
typedef ushort raw;
#endif

#define CONCAT_ARGUMENTS                                                                                               \
    __global const raw *a, ulong a_at, __global const raw *b, ulong b_at, __global raw *y, ulong y_at, int a_columns,  \
        int b_columns, int a_stride, int b_stride, ulong rows

void copy_columns(__global const raw *x, __global raw *y, int columns)
{
    int c = 0;
    for (; c + 16 <= columns; c += 16)
        vstore16(vload16(0, x + c), 0, y + c);
    for (; c < columns; c++)
        y[c] = x[c];
}

/* ROWS rows a work-item. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void concat_rows(CONCAT_ARGUMENTS)
{
    const ulong begin = get_global_id(0) * ROWS, end = min(begin + ROWS, rows);
    for (ulong row = begin; row < end; row++) {
        __global raw *to = y + y_at + row * (a_columns + b_columns);
        copy_columns(a + a_at + row * a_stride, to, a_columns);
        copy_columns(b + b_at + row * b_stride, to + a_columns, b_columns);
    }
}

__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void concat_number(CONCAT_ARGUMENTS)
{
    const int c = get_global_id(0), columns = a_columns + b_columns;
    const ulong row = get_global_id(1);
    if (c < columns)
        y[y_at + row * columns + c] =
            c < a_columns ? a[a_at + row * a_stride + c] : b[b_at + row * b_stride + c - a_columns];
}
