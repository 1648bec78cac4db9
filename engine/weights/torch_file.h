/* torch's archives (.ckpt, .bin, .pt since torch 1.6): a zip of one pickle, NAME/data.pkl, and of a member for each storage,
   NAME/data/KEY. Tensors are ranges of those. Source: torch/serialization.py. */
#ifndef CALO_TORCH_FILE_H
#define CALO_TORCH_FILE_H

#include "tensor_file.h"

/* Reads the tensors of file->file, which is open: those of the root dictionary, or of its state_dict, params_ema or params. */
calo_status calo_torch_file_read(calo_tensor_file *file, calo_fault *fault);

#endif
