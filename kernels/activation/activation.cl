/* y = act(x). Bound by memory: two bytes moved per byte of x. */
__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void
activation_element(__global const act *x, ulong x_at, __global act *y, ulong y_at, ulong count)
{
    const ulong i = get_global_id(0);
    if (i < count)
        store_act(apply_activation(load_act(x, x_at + i)), y, y_at + i);
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
activation_vector16(__global const act *x, ulong x_at, __global act *y, ulong y_at, ulong count)
{
    ulong i = get_global_id(0) * (ulong)CHUNK;
    const ulong end = min(i + CHUNK, count);
    for (; i + 16 <= end; i += 16)
        store_act16(apply_activation16(load_act16(x, x_at + i)), y, y_at + i);
    for (; i < end; i++)
        store_act(apply_activation(load_act(x, x_at + i)), y, y_at + i);
}
