/* A tensor: a small value that says where numbers lie on a device, and what shape and type they have.

   Activations are channels-last: images [B, H, W, C], tokens [B, T, C], rows [M, C]. The last dimension is dense; rows
   (vectors along it) are `stride` elements apart, so a range of columns or of batches is a view of the same memory. */
#ifndef CALO_TENSOR_H
#define CALO_TENSOR_H

#include "fault.h"

#include <stdbool.h>
#include <stdint.h>

#define CALO_MAX_RANK 4
#define CALO_PANEL 32 /* output columns of a packed weight that lie side by side */

/* How a weight's numbers lie in memory. dims are the logical ones in every case.
   Rows: as dims say. Panels, for a weight of N outputs and K inputs (K = kh·kw·Ci for a convolution): N is cut into
   panels of 32 columns, [⌈N/32⌉][K][32], the last one filled with zeros. Gated (GEGLU, N = 2F): each panel holds 16
   value columns f … f+15 and then their 16 gate columns, [⌈F/16⌉][K][16 + 16]. By output (CUDA, whose tensor cores and
   TMA want k contiguous): each panel is turned, [⌈N/32⌉][32][K], so a weight is 32 ⌈N/32⌉ rows of K. */
typedef enum calo_layout { CALO_ROWS, CALO_PANELS, CALO_PANELS_GATED } calo_layout;

typedef struct calo_buffer calo_buffer; /* a slab of device memory, the device's own */

typedef struct calo_tensor {
    calo_type type;       /* CALO_AUTO: there is no tensor */
    calo_layout layout;
    bool by_output;       /* of panels */
    int rank;
    bool taken;           /* its memory is given back by the op that reads it next (calo_take) */
    int64_t dims[CALO_MAX_RANK];
    int64_t stride;       /* elements from one row to the next; dims[rank − 1] when dense */
    calo_buffer *buffer;  /* NULL while planning */
    uint64_t offset;      /* bytes from the start of the buffer */
    uint64_t block;       /* the arena's block that it owns, 0 for a view or a weight */
} calo_tensor;

static inline bool calo_present(calo_tensor t)
{
    return t.type != CALO_AUTO;
}

size_t calo_type_size(calo_type type);
const char *calo_type_name(calo_type type);

/* Elements, rows (elements / last dimension) and columns (the last dimension). */
int64_t calo_tensor_count(calo_tensor t);
int64_t calo_tensor_rows(calo_tensor t);
int64_t calo_tensor_columns(calo_tensor t);
bool calo_tensor_dense(calo_tensor t);
bool calo_same_shape(calo_tensor a, calo_tensor b);

/* Bytes that the numbers take: packed weights count their zero columns. 0 when the product overflows 2^62. */
uint64_t calo_tensor_bytes(calo_tensor t);

/* A description without memory. */
calo_tensor calo_shape(calo_type type, int rank, const int64_t *dims);

/* Views: columns [first, first + count) of every row; batches [first, first + count) of dimension 0; another shape of
 * the same elements (dense tensors only). A view owns nothing and must not outlive what it looks at. */
calo_tensor calo_columns(calo_tensor t, int64_t first, int64_t count);
calo_tensor calo_batches(calo_tensor t, int64_t first, int64_t count);
calo_tensor calo_reshape(calo_tensor t, int rank, const int64_t *dims);

/* "[2,64,64,320]" for messages; `text` holds at least 64 bytes. Returns text. */
char *calo_shape_text(calo_tensor t, char *text, size_t size);

#endif
