/* y = act(x), a thread a number. Bound by memory. */
KERNEL(256) activation_element(const act *x, ulong x_at, act *y, ulong y_at, ulong count)
{
    const ulong i = global_id(x);
    if (i < count)
        store_act(apply_activation(load_act(x, x_at + i)), y, y_at + i);
}
