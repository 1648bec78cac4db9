/* The list of names. */
#include "pickle_globals.h"

#include <string.h>

const calo_pickle_global calo_pickle_globals[] = {
    { "collections", "OrderedDict", CALO_MEANS_ORDERED_DICT, 0 },
    { "torch._utils", "_rebuild_tensor_v2", CALO_MEANS_TENSOR, 0 },
    { "torch._utils", "_rebuild_tensor_v3", CALO_MEANS_TENSOR, 0 },
    { "torch._utils", "_rebuild_parameter", CALO_MEANS_PARAMETER, 0 },
    { "torch", "FloatStorage", CALO_MEANS_STORAGE, CALO_STORED_F32 },
    { "torch", "HalfStorage", CALO_MEANS_STORAGE, CALO_STORED_F16 },
    { "torch", "BFloat16Storage", CALO_MEANS_STORAGE, CALO_STORED_BF16 },
    { "torch", "DoubleStorage", CALO_MEANS_STORAGE, CALO_STORED_F64 },
    { "torch", "LongStorage", CALO_MEANS_STORAGE, CALO_STORED_I64 },
    { "torch", "IntStorage", CALO_MEANS_STORAGE, CALO_STORED_I32 },
    { "torch", "ShortStorage", CALO_MEANS_STORAGE, CALO_STORED_I16 },
    { "torch", "CharStorage", CALO_MEANS_STORAGE, CALO_STORED_I8 },
    { "torch", "ByteStorage", CALO_MEANS_STORAGE, CALO_STORED_U8 },
    { "torch", "BoolStorage", CALO_MEANS_STORAGE, CALO_STORED_BOOL },
    /* What has no storage class of its own: bytes, and the type beside the tensor's shape. */
    { "torch.storage", "UntypedStorage", CALO_MEANS_STORAGE, CALO_STORED_TYPES },
    { "torch", "float32", CALO_MEANS_TYPE, CALO_STORED_F32 },
    { "torch", "float16", CALO_MEANS_TYPE, CALO_STORED_F16 },
    { "torch", "bfloat16", CALO_MEANS_TYPE, CALO_STORED_BF16 },
    { "torch", "float8_e4m3fn", CALO_MEANS_TYPE, CALO_STORED_F8_E4M3 },
    { "torch", "float8_e5m2", CALO_MEANS_TYPE, CALO_STORED_F8_E5M2 },
    /* Held by published checkpoints beside their tensors. */
    { "torch", "Size", CALO_MEANS_INERT, 0 },
    { "builtins", "set", CALO_MEANS_INERT, 0 },
    { "__builtin__", "set", CALO_MEANS_INERT, 0 },
    { "_codecs", "encode", CALO_MEANS_INERT, 0 },
    { "numpy", "dtype", CALO_MEANS_INERT, 0 },
    { "numpy.core.multiarray", "scalar", CALO_MEANS_INERT, 0 },
    { "numpy._core.multiarray", "scalar", CALO_MEANS_INERT, 0 },
    { "pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", CALO_MEANS_INERT, 0 },
    { "pytorch_lightning.callbacks", "ModelCheckpoint", CALO_MEANS_INERT, 0 },
};
enum { COUNT = sizeof calo_pickle_globals / sizeof *calo_pickle_globals };

bool calo_text_is(const char *text, const char *bytes, size_t length)
{
    return strlen(text) == length && memcmp(text, bytes, length) == 0;
}

int calo_pickle_global_find(const char *module, size_t module_length, const char *name, size_t name_length)
{
    for (int i = 0; i < COUNT; i++)
        if (calo_text_is(calo_pickle_globals[i].module, module, module_length) &&
            calo_text_is(calo_pickle_globals[i].name, name, name_length))
            return i;
    return -1;
}
