/* Any file of tensors: safetensors, or torch's archive. What opens is read in full, up to a bound. */
#include "../../engine/weights/tensor_file.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static float values[1 << 12];
    calo_tensor_file file;
    calo_fault fault = { 0 };
    if (calo_tensor_file_open(fuzz_file(bytes, size), &file, &fault))
        return 0;
    for (int64_t i = 0; i < file.count && i < 64; i++) {
        const int64_t count = calo_entry_count(&file.entries[i]);
        calo_entry_read(&file.entries[i], 0, count < 1 << 12 ? count : 1 << 12, values, &fault);
    }
    calo_tensor_file_close(&file);
    return 0;
}
