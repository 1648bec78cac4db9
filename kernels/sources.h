/* The kernels' source texts, embedded at build time: each .cl is prelude.cl, math.cl, epilogue.cl and its own file, each
   .cu is prelude.cu, ptx.cu, ptx90.cu, vector.cu, math.cu, epilogue.cu, gemm.cu and its own file. */
#ifndef CALO_SOURCES_H
#define CALO_SOURCES_H

/* "linear/linear.cl" → its text; NULL when there is no such file. */
const char *calo_kernel_source(const char *name);

#endif
