/* The pickle machine alone, without an archive around it. */
#include "../../engine/weights/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    calo_pickle pickle;
    calo_fault fault = { 0 };
    calo_pickle_read(bytes, size, "input", &pickle, &fault);
    calo_pickle_free(&pickle);
    return 0;
}
