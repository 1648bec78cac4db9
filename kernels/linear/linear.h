/* y = epilogue(x · Wᵀ): x [..., K], W [N, K] → y [..., N]; gated W [2F, K] → y [..., F].

   A 1×1 convolution over channels-last memory is this op. x's rows may lie apart (stride > K). */
#ifndef CALO_LINEAR_H
#define CALO_LINEAR_H

#include "../epilogue.h"
#include "../op.h"

extern const calo_op calo_op_linear;

typedef struct calo_linear_weights {
    calo_tensor weight; /* [N, K] in panels, or gated panels */
    calo_tensor bias;   /* f32 [N], or none */
} calo_linear_weights;

/* epilogue NULL: bias only. */
calo_tensor calo_linear(calo_run *run, calo_tensor x, const calo_linear_weights *w, const calo_epilogue *epilogue);

/* Input slots of the matrix-like ops. */
enum { CALO_SLOT_X, CALO_SLOT_WEIGHT, CALO_SLOT_BIAS, CALO_SLOT_CHANNEL_BIAS, CALO_SLOT_RESIDUAL };

/* Checks bias, channel_bias and residual of a matrix-like op against its output; `name` is the op's. */
calo_status calo_check_epilogue(const char *name, const calo_call *call, int64_t outputs, calo_fault *fault);

/* The macros and arguments that every matrix-like kernel ends with: bias, channel bias, residual, y, and how many rows
 * share one row of the channel bias. */
void calo_arg_epilogue(calo_launch *launch, const calo_call *call, calo_activation activation);

/* Tiles of the tensor-core kernels (gemm.cu), as their launches see them. */
typedef struct calo_tiling {
    int tile_rows, tile_panels;
    int64_t splits, split; /* of k: how many, and how long each is */
} calo_tiling;

/* How to cut rows × panels with `inputs` of k. Where an image has few tiles, k is split until there are some 64. That
 * depends on one image's rows only, and on no tile's size, so an image's bits depend neither on its batch nor on how many
 * panels a tile has. */
calo_tiling calo_tile(const calo_call *call, int64_t panels, int64_t inputs);

/* The panels that a tile of Hopper's kernels can have. */
#define CALO_WGMMA_PANELS { 5, 4, 8, 3, 2 }

/* How many panels a tile of Hopper's kernels should have: what leaves the fewest multiprocessors idle for the least time
 * (tiles.c says by which estimate). `inputs` as for calo_tile. */
int calo_tile_panels(const calo_call *call, const calo_device_info *info, int64_t panels, int64_t inputs);

/* Whether a call's tensors are what the tensor-core kernels read and write: x of `channels` columns and weight of one
 * 16-bit type, and everything aligned to 16 bytes. */
bool calo_fits_mma(const calo_call *call, int64_t channels);

/* For Hopper's kernels: as many stages of shared memory as a block has; and how TMA sees a matrix of 16-bit numbers, a
 * step's columns of `box_rows` rows at a time. */
void calo_use_wgmma(calo_launch *launch, calo_tiling tiling);
calo_map calo_rows_map(int64_t columns, int64_t rows, int64_t stride, int box_rows);

/* Adds `splits` partial sums [splits, rows, width] in their order and finishes. */
void calo_launch_sum(calo_run *run, const calo_call *call, const calo_variant *variant, calo_tensor partial,
                     int64_t splits, int64_t width, const char *entry, calo_activation activation, bool gated);

/* Launches the tiles, and the sum of the splits when there are some. `launch` has all arguments up to the epilogue's. */
void calo_launch_tiles(calo_run *run, const calo_call *call, const calo_variant *variant, calo_launch launch,
                       calo_tiling tiling, int64_t panels, const char *sum_entry, calo_activation activation, bool gated);

#endif
