/* Which device: names, and the backends in order of preference. */
#include "device.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "cuda:3" of backend "cuda" is 3, "cuda" −1; −2 for what is no name of the backend's. */
static int index_of(const char *name, const char *backend)
{
    const size_t length = strlen(backend);
    if (strncmp(name, backend, length) != 0)
        return -2;
    if (name[length] == '\0')
        return -1;
    if (name[length] != ':' || name[length + 1] < '0' || name[length + 1] > '9')
        return -2;
    char *end;
    const long index = strtol(name + length + 1, &end, 10);
    return *end == '\0' && index < 1000000 ? (int)index : -2;
}

calo_status calo_device_open(const char *name, const calo_adopted *adopted, calo_device **device, calo_fault *fault)
{
    static const calo_adopted nothing;
    if (!adopted)
        adopted = &nothing;
    const bool any = !name || strcmp(name, "auto") == 0, adopts = adopted->context || adopted->stream;
    *device = NULL;
    if (any && !adopts) {
        calo_fault unused = { 0 };
        if (calo_cuda_open(-1, adopted, device, &unused) == CALO_OK)
            return CALO_OK;
        return calo_opencl_open(-1, device, fault);
    }
    if (any)
        return calo_cuda_open(-1, adopted, device, fault);
    const int opencl = index_of(name, "opencl"), cuda = index_of(name, "cuda");
    if (cuda > -2)
        return calo_cuda_open(cuda, adopted, device, fault);
    if (opencl > -2 && adopts)
        return calo_fail(fault, CALO_EUSAGE, "a CUDA context or stream was given for the device '%s'", name);
    if (opencl > -2)
        return calo_opencl_open(opencl, device, fault);
    return calo_fail(fault, CALO_EUSAGE, "device '%s' is not known: use auto, cuda, cuda:N, opencl or opencl:N", name);
}

calo_status calo_device_expect(calo_device *device, const char *what, uint64_t need, uint64_t largest, calo_fault *fault)
{
    const calo_device_info *info = &device->info;
    uint64_t available = info->memory > device->allocated ? info->memory - device->allocated : 0;
    if (device->api->free_memory && device->api->free_memory(device, &available, fault))
        return fault->status;
    if (need <= available && largest <= info->max_allocation)
        return CALO_OK;
    return calo_fail(fault, CALO_EMEMORY,
                     "%s: %" PRIu64 " bytes of device memory are needed, the largest piece %" PRIu64 "; %s has %" PRIu64
                     ", of which %" PRIu64 " are free, and %" PRIu64 " at most in one piece",
                     what, need, largest, info->name, info->memory, available, info->max_allocation);
}

uint64_t calo_device_room(calo_device *device)
{
    uint64_t available = UINT64_MAX;
    calo_fault unused = { 0 };
    if (!device || !device->api->free_memory || device->api->free_memory(device, &available, &unused))
        return UINT64_MAX;
    return available;
}

calo_status calo_device_list(calo_device_info *list, int capacity, int *count, char *absent, size_t size,
                             calo_fault *fault)
{
    calo_fault cuda = { 0 }, opencl = { 0 };
    int first = 0, more = 0;
    calo_cuda_list(list, capacity, &first, &cuda);
    const int used = first < capacity ? first : capacity;
    calo_opencl_list(list + used, capacity - used, &more, &opencl);
    *count = first + more;
    if (absent)
        snprintf(absent, size, "%s%s%s%s", cuda.text, cuda.status ? "\n" : "", opencl.text, opencl.status ? "\n" : "");
    return *count ? CALO_OK : calo_fail(fault, CALO_EDEVICE, "%s; %s", opencl.text, cuda.text);
}

char *calo_device_id(const calo_device_info *info, char *text)
{
    snprintf(text, 16, "%s:%d", info->backend == CALO_CUDA ? "cuda" : "opencl", info->index);
    return text;
}

void calo_device_nominal(calo_device_info *info)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    memset(info, 0, sizeof *info);
    info->backend = CALO_OPENCL;
    info->class = CALO_CPU_CLASS;
    info->compute_units = cores > 0 ? (int)cores : 1;
    info->memory = UINT64_C(1) << 40;
    info->max_allocation = UINT64_C(2) << 30;
    info->local_memory = 32768;
    info->max_work_group = 4096;
    info->base_alignment = 128;
    snprintf(info->name, sizeof info->name, "nominal CPU, %d cores", info->compute_units);
    /* 2.6 GHz × 32 f32 multiply-adds' halves a cycle, and two channels of DDR4 for four cores: a plain server core. */
    info->peak_flops = 100e9 * info->compute_units;
    info->peak_bandwidth = 8e9 * info->compute_units;
}
