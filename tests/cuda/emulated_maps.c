/* The emulated driver's tensor maps, and the limits that cuda.h and its users know of. */
#include "emulated.h"
#include "emulated_state.h"

#include <string.h>

enum { SPAN = 128 }; /* bytes of a box's row: the swizzle's */

static bool is_sound(int type, unsigned rank, cu_pointer base, const uint64_t *dims, const uint64_t *strides,
                     const unsigned *steps, int interleave, int swizzle, int outside)
{
    bool sound = (type == CU_MAP_F16 || type == CU_MAP_BF16) && rank >= 2 && rank <= 4 && base % 16 == 0 && !interleave &&
                 swizzle == CU_MAP_SWIZZLE_128 && !outside && steps[0] == 1;
    for (unsigned d = 0; d < rank && sound; d++) {
        sound = dims[d] >= 1 && dims[d] <= UINT64_C(1) << 32 && steps[d] >= 1 && steps[d] <= 8;
        if (d)
            sound = sound && strides[d - 1] % 16 == 0 && strides[d - 1] < UINT64_C(1) << 40;
    }
    return sound;
}

static void fill(emulated_map *map, unsigned rank, cu_pointer base, const uint64_t *dims, const uint64_t *strides)
{
    *map = (emulated_map){ .magic = EMULATED_MAP, .rank = rank, .base = base };
    for (unsigned d = 0; d < rank; d++) {
        map->dims[d] = dims[d];
        map->strides[d] = d ? strides[d - 1] : 0;
    }
}

cu_result encode_tiled(void *to, int type, unsigned rank, cu_pointer base, const uint64_t *dims, const uint64_t *strides,
                       const unsigned *box, const unsigned *steps, int interleave, int swizzle, int l2, int outside)
{
    emulated_map map;
    _Static_assert(sizeof map == 128, "as the driver's");
    ARRIVE();
    (void)l2;
    if (!is_sound(type, rank, base, dims, strides, steps, interleave, swizzle, outside) || box[0] * 2 != SPAN)
        return INVALID_VALUE;
    fill(&map, rank, base, dims, strides);
    for (unsigned d = 0; d < rank; d++) {
        if (box[d] < 1 || box[d] > 256 || steps[d] != 1)
            return INVALID_VALUE;
        map.box[d] = (unsigned short)box[d];
    }
    memcpy(to, &map, sizeof map);
    return SUCCESS;
}

cu_result encode_im2col(void *to, int type, unsigned rank, cu_pointer base, const uint64_t *dims, const uint64_t *strides,
                        const int *lower, const int *upper, unsigned channels, unsigned pixels, const unsigned *steps,
                        int interleave, int swizzle, int l2, int outside)
{
    emulated_map map;
    ARRIVE();
    (void)l2;
    if (!is_sound(type, rank, base, dims, strides, steps, interleave, swizzle, outside) || rank != 4 ||
        channels * 2 != SPAN || pixels < 1 || pixels > 1024 || steps[1] != steps[2] || steps[3] != 1)
        return INVALID_VALUE;
    fill(&map, rank, base, dims, strides);
    for (int i = 0; i < 2; i++) {
        if (lower[i] < -128 || lower[i] > 127 || upper[i] < -128 || upper[i] > 127)
            return INVALID_VALUE;
        map.lower[i] = (short)lower[i];
        map.upper[i] = (short)upper[i];
    }
    map.im2col = true;
    map.step = steps[1];
    map.box[0] = (unsigned short)channels;
    map.box[1] = (unsigned short)pixels;
    memcpy(to, &map, sizeof map);
    return SUCCESS;
}
