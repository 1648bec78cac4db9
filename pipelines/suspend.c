/* Jobs put aside, taken up again, and forked.

   A file is safetensors: "request", U8, a JSON text (state.h); the request's pictures, U8; "latents.NNN" of every frame,
   "register.N" and "clean" of the one that is made, f32; "generators", U32 [count, words]. What a request alone determines
   is not in it: a job is opened as any other, then its numbers are put in place. */
#include "../engine/image.h"
#include "../engine/png.h"
#include "../engine/shim.h"
#include "../engine/weights/safetensors.h"
#include "../kernels/elementwise/elementwise.h"
#include "job.h"
#include "request.h"
#include "state.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- generators ------------------------------------------------------------------------------------------------- */

enum { GENERATOR_WORDS = CALO_TWISTER_WORDS + 9 };

static void pack(const calo_generator *g, uint32_t *words)
{
    uint64_t spare;
    memcpy(&spare, &g->cpu.spare, sizeof spare);
    memcpy(words, g->cpu.state, sizeof g->cpu.state);
    uint32_t *rest = words + CALO_TWISTER_WORDS;
    const uint64_t longs[] = { spare, g->cuda.seed, g->cuda.offset };
    rest[0] = g->kind;
    rest[1] = g->cpu.next;
    rest[2] = g->cpu.has_spare;
    for (int i = 0; i < 3; i++) {
        rest[3 + 2 * i] = (uint32_t)longs[i];
        rest[4 + 2 * i] = (uint32_t)(longs[i] >> 32);
    }
}

static calo_status unpack(const uint32_t *words, const char *path, calo_generator *g, calo_fault *fault)
{
    const uint32_t *rest = words + CALO_TWISTER_WORDS;
    uint64_t longs[3];
    for (int i = 0; i < 3; i++)
        longs[i] = rest[3 + 2 * i] | (uint64_t)rest[4 + 2 * i] << 32;
    if (rest[0] > CALO_RANDOM_PHILOX || rest[1] > CALO_TWISTER_WORDS || rest[2] > 1)
        return calo_fail(fault, CALO_EFILE, "%s: a generator's state is damaged", path);
    calo_generator_seed(g, (calo_random)rest[0], longs[1]);
    memcpy(g->cpu.state, words, sizeof g->cpu.state);
    g->cpu.next = rest[1];
    g->cpu.has_spare = rest[2];
    memcpy(&g->cpu.spare, &longs[0], sizeof longs[0]);
    g->cuda.offset = longs[2];
    return CALO_OK;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

enum { FIXED = 5 + CALO_REGISTERS + 1 }; /* tensors beside the frames' latents */

typedef struct package {
    calo_tensor_record *records;
    const void **contents; /* host bytes, or NULL: */
    calo_tensor *tensors;  /* on the device */
    int count;
    char (*names)[24];
} package;

static void add(package *p, const char *name, calo_stored type, int rank, const int64_t *dims, const void *content,
                calo_tensor tensor)
{
    calo_tensor_record *record = &p->records[p->count];
    snprintf(p->names[p->count], sizeof p->names[0], "%s", name);
    *record = (calo_tensor_record){ .name = p->names[p->count], .type = type, .rank = rank };
    memcpy(record->dims, dims, (size_t)rank * sizeof *dims);
    p->contents[p->count] = content;
    p->tensors[p->count++] = tensor;
}

static void add_image(package *p, const char *name, const calo_image *image)
{
    char alpha[24];
    const int64_t dims[] = { calo_image_height(image), calo_image_width(image), 3 };
    if (!image)
        return;
    add(p, name, CALO_STORED_U8, 3, dims, calo_image_pixels(image), (calo_tensor){ 0 });
    snprintf(alpha, sizeof alpha, "%s.alpha", name);
    if (calo_image_alpha(image))
        add(p, alpha, CALO_STORED_U8, 2, dims, calo_image_alpha(image), (calo_tensor){ 0 });
}

static void add_tensor(package *p, const char *name, calo_tensor t)
{
    add(p, name, CALO_STORED_F32, 4, t.dims, NULL, t);
}

/* What a frame's latents are now; while its loop runs they are a register. */
static bool is_kept(const calo_job *job, int reg)
{
    return reg != CALO_REGISTER_E && reg != CALO_REGISTER_Z && calo_present(job->loop.registers[reg]);
}

static void collect(const calo_job *job, const char *request, const uint32_t *generators, package *p)
{
    char name[24];
    const int64_t length = (int64_t)strlen(request), words[] = { job->request.count, GENERATOR_WORDS };
    add(p, "request", CALO_STORED_U8, 1, &length, request, (calo_tensor){ 0 });
    add_image(p, "init", job->request.init);
    add_image(p, "mask", job->request.mask);
    add(p, "generators", CALO_STORED_U32, 2, words, generators, (calo_tensor){ 0 });
    for (int i = 0; i < job->request.count; i++) {
        snprintf(name, sizeof name, "latents.%03d", i);
        add_tensor(p, name, job->looping && i == job->frame ? job->loop.registers[CALO_REGISTER_X] : job->frames[i].latents);
    }
    for (int r = 1; r < CALO_REGISTERS && job->looping; r++) {
        snprintf(name, sizeof name, "register.%d", r);
        if (is_kept(job, r))
            add_tensor(p, name, job->loop.registers[r]);
    }
    if (job->looping)
        add_tensor(p, "clean", job->loop.clean);
}

static calo_status write_package(calo_job *job, const package *p, const char *path)
{
    calo_fault *fault = job->run.fault;
    calo_writer *writer = NULL;
    calo_status status = calo_safetensors_begin(path, p->records, p->count, &writer, fault);
    for (int i = 0; i < p->count && !status; i++) {
        size_t bytes = calo_stored_size(p->records[i].type);
        for (int d = 0; d < p->records[i].rank; d++)
            bytes *= (size_t)p->records[i].dims[d];
        float *values = p->contents[i] ? NULL : calo_alloc(bytes, 1);
        if (!p->contents[i] && !values)
            status = calo_fail(fault, CALO_EMEMORY, "no host memory to write %s", path);
        if (values)
            calo_download(&job->run, p->tensors[i], values);
        if (!status && !fault->status)
            status = calo_writer_put(writer, p->contents[i] ? p->contents[i] : values, bytes, fault);
        status = status ? status : fault->status;
        calo_free(values);
    }
    if (!status)
        status = calo_writer_commit(&writer, fault);
    calo_writer_abandon(&writer);
    return status;
}

static calo_status find_position(calo_job *job, calo_position *position)
{
    *position = (calo_position){ .stage = job->stage, .frame = job->frame, .calls = job->looping ? job->loop.done : -1,
                                 .begun = job->looping ? job->stages[job->stage].begun : 0 };
    snprintf(position->dtype, sizeof position->dtype, "%s", calo_model_dtype(job->model));
    if (calo_model_digest(job->model, position->weights[0], job->run.fault))
        return job->run.fault->status;
    return job->request.refiner ? calo_model_digest(job->request.refiner, position->weights[1], job->run.fault) : CALO_OK;
}

calo_status calo_job_suspend(calo_job *job, const char *path)
{
    calo_fault *fault = job->run.fault;
    const int count = job->request.count;
    calo_position position;
    package p = { 0 };
    calo_fault_clear(fault);
    if (job->broken)
        return calo_fail(fault, CALO_EUSAGE, "the job failed or is over; there is nothing to suspend");
    if (find_position(job, &position))
        return fault->status;
    const size_t room = (size_t)count + FIXED;
    char *request = calo_state_write(&job->request, &position);
    uint32_t *generators = calo_alloc((size_t)count, GENERATOR_WORDS * sizeof *generators);
    p.records = calo_alloc(room, sizeof *p.records);
    p.contents = calo_alloc(room, sizeof *p.contents);
    p.tensors = calo_alloc(room, sizeof *p.tensors);
    p.names = calo_alloc(room, sizeof *p.names);
    if (request && generators && p.records && p.contents && p.tensors && p.names) {
        for (int i = 0; i < count; i++)
            pack(&job->frames[i].generator, generators + (size_t)i * GENERATOR_WORDS);
        collect(job, request, generators, &p);
        write_package(job, &p, path);
    } else {
        calo_fail(fault, CALO_EMEMORY, "no host memory to write %s", path);
    }
    calo_free(request);
    calo_free(generators);
    calo_free(p.records);
    calo_free(p.contents);
    calo_free(p.tensors);
    calo_free(p.names);
    return fault->status;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* The bytes of an entry that must be of that type and shape (`dims` 0: any), followed by a 0; NULL after a failure. */
static void *read_bytes(const calo_tensor_file *file, const char *name, calo_stored type, int rank, const int64_t *dims,
                        calo_fault *fault)
{
    const calo_entry *entry = calo_tensor_file_find(file, name);
    bool fits = entry && entry->type == type && entry->rank == rank && entry->size < UINT32_MAX;
    for (int i = 0; fits && dims && i < rank; i++)
        fits = entry->dims[i] == dims[i];
    if (!fits) {
        calo_fail(fault, CALO_EFILE, "%s: '%s' is missing or of another shape than the job's", file->file.path, name);
        return NULL;
    }
    char *bytes = calo_alloc((size_t)entry->size + 1, 1);
    if (!bytes)
        calo_fail(fault, CALO_EMEMORY, "%s: no host memory for '%s'", file->file.path, name);
    if (bytes && calo_file_read(entry->file, entry->begin, bytes, (size_t)entry->size, fault)) {
        calo_free(bytes);
        bytes = NULL;
    }
    return bytes;
}

static const calo_image *read_image(calo_context *context, const calo_tensor_file *file, const char *name, calo_fault *fault)
{
    char alpha_name[24];
    calo_image *image = NULL;
    const calo_entry *entry = calo_tensor_file_find(file, name);
    snprintf(alpha_name, sizeof alpha_name, "%s.alpha", name);
    if (!entry || fault->status)
        return NULL;
    const bool has_alpha = calo_tensor_file_find(file, alpha_name);
    const int channels = has_alpha ? 4 : 3;
    uint8_t *pixels = read_bytes(file, name, CALO_STORED_U8, 3, NULL, fault), *alpha = NULL, *whole = NULL;
    if (pixels && (entry->dims[2] != 3 || entry->dims[0] > CALO_SIDE_LIMIT || entry->dims[1] > CALO_SIDE_LIMIT))
        calo_fail(fault, CALO_EFILE, "%s: '%s' is no picture", file->file.path, name);
    if (has_alpha && !fault->status)
        alpha = read_bytes(file, alpha_name, CALO_STORED_U8, 2, entry->dims, fault);
    const size_t count = fault->status ? 0 : (size_t)(entry->dims[0] * entry->dims[1]);
    if (!fault->status && !(whole = calo_alloc(count, (size_t)channels)))
        calo_fail(fault, CALO_EMEMORY, "%s: no host memory for '%s'", file->file.path, name);
    for (size_t i = 0; whole && i < count; i++) {
        memcpy(whole + i * (size_t)channels, pixels + 3 * i, 3);
        if (alpha)
            whole[4 * i + 3] = alpha[i];
    }
    if (whole)
        calo_make_image(context, (int)entry->dims[1], (int)entry->dims[0], channels, whole, &image);
    calo_free(pixels);
    calo_free(alpha);
    calo_free(whole);
    return image;
}

static void put(calo_job *job, const calo_tensor_file *file, const char *name, calo_tensor t)
{
    float *values = calo_failed(&job->run) ? NULL : read_bytes(file, name, CALO_STORED_F32, 4, t.dims, job->run.fault);
    if (values)
        calo_upload(&job->run, t, values);
    calo_free(values);
}

static void put_in_place(calo_job *job, const calo_tensor_file *file)
{
    char name[24];
    const int64_t words[] = { job->request.count, GENERATOR_WORDS };
    uint32_t *generators = read_bytes(file, "generators", CALO_STORED_U32, 2, words, job->run.fault);
    for (int i = 0; i < job->request.count && !calo_failed(&job->run); i++) {
        unpack(generators + (size_t)i * GENERATOR_WORDS, file->file.path, &job->frames[i].generator, job->run.fault);
        snprintf(name, sizeof name, "latents.%03d", i);
        put(job, file, name, job->looping && i == job->frame ? job->loop.registers[CALO_REGISTER_X] : job->frames[i].latents);
    }
    for (int r = 1; r < CALO_REGISTERS && job->looping; r++) {
        snprintf(name, sizeof name, "register.%d", r);
        if (is_kept(job, r))
            put(job, file, name, job->loop.registers[r]);
    }
    if (job->looping)
        put(job, file, "clean", job->loop.clean);
    calo_free(generators);
}

/* The job must be what the file says, and the file what a job can be. */
static calo_status check(const calo_job *job, const calo_position *position, const char *path, calo_fault *fault)
{
    const int count = job->request.count;
    const bool over = position->stage == job->stage_count;
    if (position->stage > job->stage_count || position->frame >= count || (over && (position->frame || position->calls >= 0)) ||
        (!over && position->calls >= job->stages[position->stage].program->step_count) ||
        position->begun > (position->calls > 0 ? position->calls : 0))
        return calo_fail(fault, CALO_EFILE, "%s: stage %d, picture %d, call %d are not in the request's schedule", path,
                         position->stage, position->frame, position->calls);
    return CALO_OK;
}

static calo_status check_weights(const calo_model *model, const char *expected, const char *path, calo_fault *fault)
{
    char own[20];
    if (calo_model_digest((calo_model *)model, own, fault))
        return fault->status;
    if (strcmp(own, expected) != 0)
        return calo_fail(fault, CALO_EFILE, "%s was written with other weights, or another schedule, than %s has (their digests are %s and %s)", path,
                         model->checkpoint.path, expected, own);
    return CALO_OK;
}

static calo_status check_models(const calo_model *model, const calo_model *refiner, const calo_position *position,
                                const char *path, calo_fault *fault)
{
    if (strcmp(position->dtype, calo_model_dtype(model)) != 0)
        return calo_fail(fault, CALO_EFILE, "%s was written in %s, the model is loaded in %s", path, position->dtype,
                         calo_model_dtype(model));
    if (!refiner != !*position->weights[1])
        return calo_fail(fault, CALO_EUSAGE, "%s was written with%s a refiner", path, *position->weights[1] ? "" : "out");
    if (check_weights(model, position->weights[0], path, fault))
        return fault->status;
    return refiner ? check_weights(refiner, position->weights[1], path, fault) : CALO_OK;
}

/* What no job can be asked for is a damaged file here, not wrong use. */
static calo_status open_stated(calo_model *model, const calo_request *request, const char *path, calo_job **job)
{
    calo_fault *fault = &model->context->fault;
    if (calo_job_open(model, request, job) != CALO_EUSAGE)
        return fault->status;
    const calo_fault why = *fault;
    calo_fault_clear(fault);
    return calo_fail(fault, CALO_EFILE, "%s: its request is damaged: %.300s", path, why.text);
}

calo_status calo_job_resume(calo_model *model, calo_model *refiner, const char *path, calo_job **job)
{
    calo_fault *fault = &model->context->fault;
    calo_tensor_file file;
    calo_request request = { 0 };
    calo_position position;
    *job = NULL;
    calo_fault_clear(fault);
    if (calo_tensor_file_open(path, &file, fault))
        return fault->status;
    char *text = read_bytes(&file, "request", CALO_STORED_U8, 1, NULL, fault);
    if (text && !calo_state_read(text, path, &request, &position, fault) &&
        !check_models(model, refiner, &position, path, fault)) {
        request.init = read_image(model->context, &file, "init", fault);
        request.mask = read_image(model->context, &file, "mask", fault);
        request.refiner = refiner;
        if (!fault->status && !open_stated(model, &request, path, job) && !check(*job, &position, path, fault)) {
            calo_job *opened = *job;
            if (position.begun)
                calo_stage_begin_at(&opened->stages[position.stage], position.begun, fault);
            calo_flow_seek(opened, position.stage, position.frame, position.calls);
            put_in_place(opened, &file);
        }
    }
    calo_free(text);
    request.refiner = NULL;
    calo_request_free(&request);
    calo_tensor_file_close(&file);
    if (fault->status)
        calo_job_close(job);
    return fault->status;
}

/* ---- forking ---------------------------------------------------------------------------------------------------- */

/* From one job's tensor to another's, times a factor. */
static void carry(calo_job *to, calo_tensor target, calo_run *from, calo_tensor source, double factor)
{
    float *values = calo_alloc((size_t)calo_tensor_count(source), sizeof *values);
    if (!values)
        calo_fail(to->run.fault, CALO_EMEMORY, "no host memory to fork a job");
    if (values) {
        calo_download(from, source, values);
        calo_upload(&to->run, target, values);
    }
    calo_free(values);
    if (factor != 1)
        calo_combine_into(&to->run, target, &target, &factor, 1, 0);
}

static bool same_step(const calo_step *a, const calo_step *b)
{
    bool same = a->timestep == b->timestep && a->input_scale == b->input_scale && a->row_count == b->row_count &&
                a->draws_noise == b->draws_noise;
    for (int i = 0; same && i < a->row_count; i++) {
        same = a->rows[i].target == b->rows[i].target && a->rows[i].clamp == b->rows[i].clamp;
        for (int r = 0; same && r < CALO_REGISTERS; r++)
            same = a->rows[i].coefficients[r] == b->rows[i].coefficients[r];
    }
    return same;
}

static bool same_program(const calo_program *a, const calo_program *b)
{
    bool same = a->step_count == b->step_count;
    for (int i = 0; same && i < a->step_count; i++)
        same = same_step(&a->steps[i], &b->steps[i]);
    return same;
}

/* The call whose noise is nearest, in octaves, to that of `step`. */
static int nearest_call(const calo_program *program, const calo_step *step)
{
    int best = 0;
    double least = INFINITY;
    for (int i = 0; i < program->step_count; i++) {
        const calo_step *s = &program->steps[i];
        const double distance = fabs(log((s->noise / s->signal) / (step->noise / step->signal)));
        if (distance < least) {
            least = distance;
            best = i;
        }
    }
    return best;
}

/* Puts the fork where the job is. */
static void follow(const calo_job *job, calo_job *fork)
{
    calo_run from = job->run;
    const bool over = job->stage == job->stage_count;
    const calo_program *before = over ? NULL : job->stages[job->stage].program;
    const int done = job->looping ? job->loop.done : 0;
    double factor = 1;
    int calls = done;
    bool same = true;
    if (!over) {
        calo_stage *stage = &fork->stages[job->stage];
        same = same_program(before, stage->program) && !job->stages[job->stage].begun;
        if (!same && job->looping) {
            const calo_step *here = &before->steps[done < before->step_count ? done : before->step_count - 1];
            calls = nearest_call(stage->program, here);
            if (calo_stage_begin_at(stage, calls, fork->run.fault))
                return;
            factor = stage->program->steps[calls].signal / here->signal;
        }
    }
    calo_flow_seek(fork, job->stage, job->frame, job->looping ? calls : -1);
    if (calo_failed(&fork->run))
        return;
    for (int i = 0; i < job->request.count; i++) {
        const bool now = job->looping && i == job->frame;
        if (job->stage == 0 && !now && i >= job->frame) /* not begun: the fork has drawn its own */
            continue;
        carry(fork, now ? fork->loop.registers[CALO_REGISTER_X] : fork->frames[i].latents, &from,
              now ? job->loop.registers[CALO_REGISTER_X] : job->frames[i].latents, now ? factor : 1);
        if (fork->request.seed == job->request.seed)
            fork->frames[i].generator = job->frames[i].generator;
        if (calo_present(job->frames[i].noise))
            carry(fork, fork->frames[i].noise, &from, job->frames[i].noise, 1);
        if (calo_present(job->frames[i].init))
            carry(fork, fork->frames[i].init, &from, job->frames[i].init, 1);
    }
    for (int r = 1; r < CALO_REGISTERS && job->looping && same; r++)
        if (is_kept(job, r))
            carry(fork, fork->loop.registers[r], &from, job->loop.registers[r], 1);
    if (job->looping)
        carry(fork, fork->loop.clean, &from, job->loop.clean, 1);
}

calo_status calo_job_fork(const calo_job *job, const calo_request *request, calo_job **fork)
{
    calo_fault *fault = job->run.fault;
    const calo_request *own = &job->request;
    calo_request merged = *request;
    *fork = NULL;
    calo_fault_clear(fault);
    if (job->broken)
        return calo_fail(fault, CALO_EUSAGE, "the job failed or is over; it cannot be forked");
    if (request->size != sizeof *request)
        return calo_fail(fault, CALO_EUSAGE, "the request's size is %zu, this library expects %zu; use CALO_REQUEST_INIT",
                         request->size, sizeof *request);
    if (request->dump)
        return calo_fail(fault, CALO_EUSAGE, "dump: a fork has not made the steps before it, so it has no dump");
    merged.width = own->width;
    merged.height = own->height;
    merged.count = own->count;
    merged.init = own->init;
    merged.mask = own->mask;
    merged.inpaint = own->inpaint;
    merged.strength = own->strength;
    merged.fit = own->fit;
    merged.mask_blur = own->mask_blur;
    merged.mask_padding = own->mask_padding;
    merged.fill = own->fill;
    memcpy(merged.extend, own->extend, sizeof merged.extend);
    merged.random = own->random;
    merged.refiner = own->refiner;
    merged.refiner_start = own->refiner_start;
    merged.hires = own->hires;
    merged.hires_strength = own->hires_strength;
    merged.hires_pixels = own->hires_pixels;
    if (calo_job_open(job->model, &merged, fork))
        return fault->status;
    follow(job, *fork);
    if (fault->status)
        calo_job_close(fork);
    return fault->status;
}
