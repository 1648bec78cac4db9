/* Concatenation along channels. Bound by memory.

   concat_words    a thread copies 16 bytes: numbers of columns, strides and places are multiples of that
   concat_number   a thread copies one number, as an integer whatever its type */
#if ACT == TYPE_F32
typedef uint raw;
#define IN_WORDS 4
#else
typedef ushort raw;
#define IN_WORDS 8
#endif

KERNEL(256) concat_words(const raw *a, ulong a_at, const raw *b, ulong b_at, raw *y, ulong y_at, int a_columns,
                         int b_columns, int a_stride, int b_stride, ulong rows)
{
    const uint in_row = (a_columns + b_columns) / IN_WORDS, row = (uint)global_id(x) / in_row;
    const int c = (int)((uint)global_id(x) % in_row) * IN_WORDS;
    if (row >= rows)
        return;
    const raw *from = c < a_columns ? a + a_at + (ulong)row * a_stride + c : b + b_at + (ulong)row * b_stride + (c - a_columns);
    *(words4 *)(y + y_at + (ulong)row * (a_columns + b_columns) + c) = *(const words4 *)from;
}

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
