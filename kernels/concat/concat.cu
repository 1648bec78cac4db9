/* Concatenation along channels: a thread copies one number, as an integer whatever its type. Bound by memory. */
#if ACT == TYPE_F32
typedef uint raw;
#else
typedef ushort raw;
#endif

KERNEL(256) concat_number(const raw *a, ulong a_at, const raw *b, ulong b_at, raw *y, ulong y_at, int a_columns,
                          int b_columns, int a_stride, int b_stride, ulong rows)
{
    const ulong i = global_id(x);
    const int columns = a_columns + b_columns;
    if (i >= rows * columns)
        return;
    const ulong row = i / columns;
    const int c = (int)(i % columns);
    y[y_at + i] = c < a_columns ? a[a_at + row * a_stride + c] : b[b_at + row * b_stride + c - a_columns];
}
