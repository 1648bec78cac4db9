/* Peaks of a device: 12 chains of multiply-adds a work-item, and a copy of 128 MiB. */
#include "probe.h"
#include "../../engine/shim.h"
#include "../groups.h"

#include <string.h>

enum { ROUNDS = 4, CHAINS = 12, WIDTH = 16 };

static double timed(calo_run *run, const calo_launch *launch)
{
    double best = 1e30;
    calo_dispatch(run, launch); /* compiles, warms up */
    run->device->api->finish(run->device, run->fault);
    for (int i = 0; i < ROUNDS; i++) {
        double begin = calo_seconds();
        calo_dispatch(run, launch);
        run->device->api->finish(run->device, run->fault);
        double seconds = calo_seconds() - begin;
        if (seconds < best)
            best = seconds;
    }
    return best;
}

static const calo_variant multiply_add = { .source = "probe/probe.cl", .entry = "multiply_add" };
static const calo_variant copy = { .source = "probe/probe.cl", .entry = "copy" };
static const calo_variant cuda_multiply_add = { .source = "probe/probe.cu", .entry = "multiply_add" };
static const calo_variant cuda_copy = { .source = "probe/probe.cu", .entry = "copy" };

/* CUDA's kernels have scalars where OpenCL's have vectors, and threads where those have loops. */
static void probe_cuda(calo_run *run, calo_tensor from, calo_tensor to, calo_device_info *info)
{
    const calo_call none = { 0 };
    const int64_t floats = calo_tensor_count(from), threads = 2048 * (int64_t)info->compute_units;
    const int rounds = 20000;
    calo_launch launch = calo_launch_begin(&cuda_multiply_add, &none, from, (calo_tensor){ 0 });
    calo_arg_tensor(&launch, from);
    calo_arg_int(&launch, rounds);
    calo_groups(&launch, threads, 256);
    info->peak_flops = 2.0 * CHAINS * rounds * (double)threads / timed(run, &launch);

    launch = calo_launch_begin(&cuda_copy, &none, from, (calo_tensor){ 0 });
    calo_arg_tensor(&launch, from);
    calo_arg_tensor(&launch, to);
    calo_arg_long(&launch, floats);
    calo_groups(&launch, threads, 256);
    info->peak_bandwidth = 8.0 * (double)floats / timed(run, &launch);
}

calo_status calo_device_probe(calo_device *device, calo_fault *fault)
{
    const bool cpu = device->info.class == CALO_CPU_CLASS;
    const int64_t items = cpu ? 8 * (int64_t)device->info.compute_units : 2048 * (int64_t)device->info.compute_units;
    const int rounds = cpu ? 2000000 : 2000, vectors = 4096; /* some 60 ms: long against a launch */
    const int64_t copy_floats = (int64_t)32 << 20;
    calo_arena arena;
    calo_arena_init(&arena, device, &device->info);
    calo_run run = { .device = device, .info = device->info, .arena = &arena, .dtype = CALO_F32, .fault = fault };
    calo_call none = { 0 };
    calo_tensor t[2];
    for (int pass = 0; pass < 2; pass++) { /* plan, then run */
        for (int i = 0; i < 2; i++)
            t[i] = calo_new(&run, CALO_F32, 1, &copy_floats);
        if (pass == 0)
            calo_arena_commit(&arena, fault);
    }
    if (!calo_failed(&run) && device->info.backend == CALO_CUDA)
        probe_cuda(&run, t[0], t[1], &device->info);
    else if (!calo_failed(&run)) {
        calo_launch launch = calo_launch_begin(&multiply_add, &none, t[0], (calo_tensor){ 0 });
        calo_arg_tensor(&launch, t[0]);
        calo_arg_int(&launch, rounds);
        launch.global[0] = (size_t)items;
        launch.local[0] = launch.local[1] = launch.local[2] = 1;
        device->info.peak_flops = 2.0 * CHAINS * WIDTH * rounds * (double)items / timed(&run, &launch);

        launch = calo_launch_begin(&copy, &none, t[0], (calo_tensor){ 0 });
        calo_arg_tensor(&launch, t[0]);
        calo_arg_tensor(&launch, t[1]);
        calo_arg_int(&launch, vectors);
        launch.global[0] = (size_t)(copy_floats / (vectors * WIDTH));
        launch.local[0] = launch.local[1] = launch.local[2] = 1;
        device->info.peak_bandwidth = 8.0 * (double)copy_floats / timed(&run, &launch);
    }
    calo_arena_free(&arena);
    return fault->status;
}
