/* calotype: Stable Diffusion on hand-written GPU kernels.

       calo_context *context = NULL; calo_model *model = NULL; calo_image *image = NULL;
       calo_request request = CALO_REQUEST_INIT;
       request.prompt = "a red house on a green hill"; request.seed = 7;
       if (calo_open(&context, NULL) || calo_load(context, "model/", NULL, &model) ||
           calo_generate(model, &request, &image) || calo_save_png(image, "out.png"))
           fprintf(stderr, "%s\n", calo_error(context));
       calo_free_image(&image); calo_unload(&model); calo_close(&context);

   A context is one device, used by one thread at a time; several contexts may live in one process. Nothing here ends
   the process, prints, or keeps state outside the handles. Every call that can fail returns a calo_status, and
   calo_error(context) then holds one sentence that names the file, tensor, option or shape. */
#ifndef CALOTYPE_H
#define CALOTYPE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CALO_API __attribute__((visibility("default")))
#else
#define CALO_API
#endif

#define CALO_VERSION "0.1.0"

/* The values 2 … 6 are also the exit statuses of the `calotype` command. */
typedef enum calo_status {
    CALO_OK = 0,
    CALO_EUSAGE = 2,     /* an argument is outside its range, a name is unknown, two options exclude each other */
    CALO_EFILE = 3,      /* a file is missing, damaged or unsupported, or cannot be written */
    CALO_EMEMORY = 4,    /* host or device memory does not suffice */
    CALO_EDEVICE = 5,    /* there is no such device, or it failed */
    CALO_ENONFINITE = 6, /* numbers became NaN or infinite */
    CALO_ECANCELLED = 7  /* a callback asked to stop */
} calo_status;

/* The type of activations, and of tensors in general. */
typedef enum calo_type {
    CALO_AUTO = 0, /* the fastest type of the device that keeps f32's accuracy */
    CALO_F32,
    CALO_F16,
    CALO_BF16,
    CALO_I32
} calo_type;

typedef struct calo_context calo_context;
typedef struct calo_model calo_model;
typedef struct calo_image calo_image;

/* ---- context: one device ---------------------------------------------------------------------------------------- */

typedef enum calo_log_level { CALO_LOG_ERROR, CALO_LOG_WARNING, CALO_LOG_INFO, CALO_LOG_DEBUG } calo_log_level;

typedef struct calo_open_options {
    size_t size;        /* sizeof(calo_open_options), set by the initialiser */
    const char *device; /* "auto" (also NULL), "cuda", "cuda:1", "opencl", "opencl:1", …; "none" opens no device: such
                           a context can list, inspect and plan */
    void (*on_log)(void *user, calo_log_level level, const char *sentence); /* NULL: silence */
    void *user;
    void *cuda_context; /* the caller's CUcontext and CUstream, which must outlive the context; all work is then ordered */
    void *cuda_stream;  /* in that stream. NULL: the device's primary context, a stream of the library's own */
    const char *tuning; /* the file of what calo_tune measured; NULL: the user's own for the device,
                           ~/.cache/calotype/tuning/….json; "": none. One that is missing, damaged, or of another device or
                           version is as none, and told to on_log (CALO_LOG_INFO) */
} calo_open_options;

#define CALO_OPEN_OPTIONS_INIT                                                                                         \
    {                                                                                                                  \
        sizeof(calo_open_options), NULL, NULL, NULL, NULL, NULL, NULL                                                  \
    }

/* Opens a device. `options` may be NULL. On failure *context still holds a handle whose calo_error says why (NULL only
 * when there was no memory for it); close it as usual. */
CALO_API calo_status calo_open(calo_context **context, const calo_open_options *options);

/* Takes NULL and *context == NULL; leaves *context NULL. Unload the context's models first. */
CALO_API void calo_close(calo_context **context);

/* The sentence of the last failed call, "" when the last call succeeded. Valid until the next call on the context. */
CALO_API const char *calo_error(const calo_context *context);

/* What a machine offers. */
typedef struct calo_device_record {
    char id[32]; /* what `device` takes: "opencl:0", "cuda:1" */
    char name[128], driver[128];
    int is_cpu, compute_units, max_work_group;
    uint64_t memory, max_allocation, local_memory; /* bytes */
    double peak_flops, peak_bandwidth;             /* f32 FLOP/s, bytes/s; 0: not measured */
} calo_device_record;

/* Fills up to `capacity` records; *count is how many devices there are. CALO_EDEVICE says why there is none; a backend
 * that has none while another has is told to on_log (CALO_LOG_INFO). */
CALO_API calo_status calo_devices(calo_context *context, calo_device_record *list, int capacity, int *count);

/* The context's own device, its peaks as last measured. */
CALO_API calo_status calo_context_device(calo_context *context, calo_device_record *record);

/* Measures the peaks of the context's device (about half a second) and fills the record. */
CALO_API calo_status calo_probe(calo_context *context, calo_device_record *record);

/* Most bytes that were allocated on the device at one time so far. */
CALO_API uint64_t calo_peak_device_bytes(const calo_context *context);

/* ---- model ------------------------------------------------------------------------------------------------------ */

typedef struct calo_load_options {
    size_t size;            /* sizeof(calo_load_options) */
    calo_type dtype;        /* activations; CALO_AUTO: f32 on a CPU */
    const char *prediction; /* "epsilon", "v", "sample"; NULL: what the model says */
    const char *variant;    /* a registry name (calo_variant_list), for a single file that cannot say it; NULL: detected */
    const char *vae, *text_encoder; /* another VAE, another (first) text encoder: a file, or a folder with config.json */
    int (*on_load)(void *user, uint64_t done_bytes, uint64_t total_bytes); /* non-zero stops: CALO_ECANCELLED */
    void *user;
    uint64_t memory_limit; /* bytes that the model and its runs may take on the device; 0: what it has. Where that does not
                              suffice for all parts at once they take turns, which costs loading them again */
    int zero_snr;          /* the model was trained with zero terminal SNR, whatever its files say (or do not say) */
} calo_load_options;

#define CALO_LOAD_OPTIONS_INIT                                                                                         \
    {                                                                                                                  \
        sizeof(calo_load_options), CALO_AUTO, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0                                 \
    }

/* Loads a diffusers folder, a single .safetensors or .ckpt file, or "layout:NAME" (a real architecture with random weights).
 * `options` may be NULL. The model belongs to the context. On failure *model is NULL. */
CALO_API calo_status calo_load(calo_context *context, const char *path, const calo_load_options *options,
                               calo_model **model);
CALO_API void calo_unload(calo_model **model);

/* The type of the model's activations: "f32", "f16" or "bf16". */
CALO_API const char *calo_model_dtype(const calo_model *model);

/* What a model is: parts, parameters, types, configuration, and why it was taken for that; a JSON text. No number is
 * read. *json is the caller's, to be freed with calo_free_text. */
CALO_API calo_status calo_inspect(calo_context *context, const char *path, char **json);
CALO_API void calo_free_text(char **text);

/* What pictures' texts call a model by, in hexadecimal: A1111's first "model hash", 8 digits, of 64 KiB of the file; or
 * with `whole` the SHA-256 of all of it, 64 digits, of which later texts give the first 10. A folder's is that of its
 * UNet's file, a layout's is "". on_read, or NULL, hears of bytes read and of all; non-zero stops: CALO_ECANCELLED. */
CALO_API calo_status calo_hash_model(calo_context *context, const char *path, int whole,
                                     int (*on_read)(void *user, uint64_t done, uint64_t total), void *user, char text[65]);

/* The kinds of model that are known: what `variant` and "layout:NAME" take. */
typedef struct calo_variant_record {
    const char *name, *title; /* "sdxl-turbo", "Stable Diffusion XL Turbo" */
    const char *told_by;      /* what tells it from the others in a single file */
    int width, height;        /* pixels: its own size */
    int steps;                /* and what it is meant to be run with */
    double guidance;
} calo_variant_record;

/* Fills the record of number i, from 0. Returns 0 past the last. */
CALO_API int calo_variant_list(int i, calo_variant_record *record);

/* The model's own record: its size, and the steps and guidance scale that it is meant for, where that is known. */
CALO_API void calo_model_describe(const calo_model *model, calo_variant_record *record);

/* Writes a layout's random weights as a diffusers folder, in `dtype` (CALO_AUTO: f16). */
CALO_API calo_status calo_make_random(calo_context *context, const char *layout, const char *folder, calo_type dtype);

/* ---- images ----------------------------------------------------------------------------------------------------- */

CALO_API int calo_image_width(const calo_image *image);
CALO_API int calo_image_height(const calo_image *image);
/* 8-bit RGB, rows from the top, [height, width, 3], owned by the image. */
CALO_API const uint8_t *calo_image_pixels(const calo_image *image);
/* 8-bit opacity, [height, width], owned by the image; NULL: opaque. */
CALO_API const uint8_t *calo_image_alpha(const calo_image *image);
/* The `parameters` text of the PNG: prompt, steps, sampler, seed, …; "" when it has none. */
CALO_API const char *calo_image_parameters(const calo_image *image);

/* Reads a PNG or JPEG of at most 32 MiB and 16.8 megapixels, with its opacity and its `parameters`. *image is the
 * caller's, NULL on failure. */
CALO_API calo_status calo_load_image(calo_context *context, const char *path, calo_image **image);
/* Copies pixels [height, width, channels], rows from the top; channels 1 (grey), 3 (RGB) or 4 (RGBA). */
CALO_API calo_status calo_make_image(calo_context *context, int width, int height, int channels, const uint8_t *pixels,
                                     calo_image **image);
/* Writes a PNG that appears whole or not at all. */
CALO_API calo_status calo_save_png(const calo_image *image, const char *path);
CALO_API void calo_free_image(calo_image **image);

/* ---- requests --------------------------------------------------------------------------------------------------- */

typedef struct calo_progress {
    int image;      /* which of request.count images, from 0 */
    int step;       /* steps done, 1 … steps */
    int steps;
    double step_s;  /* seconds of this step */
    double total_s; /* seconds since the request began */
    const calo_image *preview; /* every request.preview_every steps: what the picture will be; NULL otherwise. Lives until
                                  the callback returns */
} calo_progress;

typedef struct calo_timing {
    double encode_s; /* text to context */
    double decode_s; /* latents to images, all of them */
    double total_s;  /* the whole call */
    double *step_s;  /* caller's array for the seconds of each denoiser call, or NULL */
    int step_room;   /* its entries; calls beyond them are not noted (PNDM makes more calls than steps) */
    int step_count;  /* entries written */
} calo_timing;

/* A part of the picture with a prompt of its own: the guided output inside the rectangle is that of its prompts, mixed
 * with what lies below it by `strength`. Later regions lie over earlier ones. */
typedef struct calo_region {
    int x, y, width, height; /* pixels of the output, from the top left corner */
    const char *prompt;
    const char *negative;    /* NULL: the request's */
    double strength;         /* 0 … 1; 1: the region's prompt alone */
} calo_region;

/* How a picture of another size is brought to width × height. */
typedef enum calo_fit {
    CALO_FIT_NONE, /* it is not: another size is an error */
    CALO_FIT_CROP, /* scaled to cover, the overhang cut off evenly */
    CALO_FIT_PAD,  /* scaled to lie within, the edges' colours continued */
    CALO_FIT_STRETCH
} calo_fit;

/* What the repainted area holds before the first step. */
typedef enum calo_fill {
    CALO_FILL_ORIGINAL, /* the picture's own latents */
    CALO_FILL_NOISE,    /* the seed's noise */
    CALO_FILL_BLANK     /* zero latents */
} calo_fill;

typedef enum calo_prompt_style {
    CALO_PROMPT_PLAIN, /* diffusers: every character is text; 77 tokens */
    CALO_PROMPT_A1111, /* (a) [a] (a:1.3) BREAK, [a:b:0.5], [a|b], a AND b :0.8; as many tokens as there are */
    CALO_PROMPT_COMFY  /* (a) (a:1.3); as many tokens as there are */
} calo_prompt_style;

typedef enum calo_random {
    CALO_RANDOM_CPU,   /* torch.Generator("cpu") */
    CALO_RANDOM_PHILOX /* torch.Generator("cuda") of a GPU that has a thread for every number, as A1111 imitates it */
} calo_random;

typedef struct calo_request {
    size_t size;             /* sizeof(calo_request) */
    const char *prompt;      /* UTF-8; NULL is "" */
    const char *negative;    /* UTF-8; NULL: absent */
    int width, height;       /* pixels, multiples of 8; 0: the init picture's, else the model's own size */
    int steps;               /* 1 … 1000 */
    int count;               /* images, with seeds seed, seed + 1, …; of a variation: with one seed, and variation_seed,
                                variation_seed + 1, … */
    double guidance;         /* classifier-free guidance scale; ≤ 1: no unconditional pass */
    double eta;              /* DDIM's η, 0 … 1 */
    uint64_t seed;
    const char *scheduler;   /* NULL: the model's own */
    const char *spacing;     /* "leading", "linspace", "trailing"; NULL: the scheduler's */
    int clip_skip;           /* text-encoder layers left out at the end, as diffusers' clip_skip */
    const char *dump;        /* a .safetensors file for what each stage produced, or NULL */
    int (*on_step)(void *user, const calo_progress *progress); /* non-zero stops: CALO_ECANCELLED */
    void *user;              /* of on_step and should_stop */
    calo_timing *timing;     /* filled on success, its step_s meanwhile; or NULL */
    int profile;             /* wait for every op and book its time in *report */
    int check;               /* run every op on the reference as well; CALO_ENONFINITE names the first that departs */
    struct calo_report **report; /* what ran, op by op, the caller's; or NULL */
    uint64_t device_output; /* CUDA: a CUdeviceptr of the caller's to f32 [count, height, width, 3], which takes the
                               decoded images, −1 … 1, in the stream's order; 0: none */
    calo_model *refiner;     /* of the same context: it does the part of the schedule from refiner_start on; or NULL */
    double refiner_start;    /* 0 … 1, exclusive */
    int tile;                /* the VAE works in tiles of so many pixels, a multiple of 32, blended over a quarter; 0: in
                                tiles only where whole pictures do not fit */

    /* prompts */
    calo_prompt_style prompt_style;
    const char *prompt_2, *negative_2; /* XL's second encoder reads these; NULL: what the first reads */
    double negative_scale;   /* of the negative prompt: 0 makes it "", 1 leaves it, more exaggerates: the context moves on
                                the line from that of "" */
    const calo_region *regions;
    int region_count;        /* at most 8 */
    double guidance_rescale; /* φ of Lin et al. 2023, 0 … 1: how far the guided output takes the conditional one's
                                deviation */
    double guidance_start, guidance_end; /* shares of the denoiser's calls between which there is guidance */

    /* image to image, inpainting */
    const calo_image *init;  /* the picture to begin with; or NULL */
    const calo_image *mask;  /* white (≥ ½) is repainted, nothing else is touched; or NULL. Needs `init`. An `init` with
                                opacity and no mask is repainted where it is transparent */
    int inpaint;             /* repaint: `mask`, the extended borders, or init's transparency say where */
    double strength;         /* share of the schedule that runs, above 0, at most 1; < 0: 0.8, with `inpaint` 1 */
    calo_fit fit;
    double mask_blur;        /* Gaussian deviation in pixels */
    int mask_padding;        /* work on the masked area and so many pixels around it alone, at width × height; < 0: whole */
    calo_fill fill;
    int extend[4];           /* pixels added at the left, top, right and bottom, to be repainted; multiples of 8 */

    /* noise */
    calo_random random;
    uint64_t variation_seed;
    double variation_strength; /* 0 … 1: the noise turned so far towards that of variation_seed */

    /* a second pass at a larger size */
    double hires;            /* width and height grow by this factor; ≤ 1: no second pass */
    double hires_strength;   /* of the second pass */
    int hires_pixels;        /* decode, enlarge and encode, instead of enlarging the latents */

    int preview_every;       /* steps between progress.previews; 0: none */
    int (*should_stop)(void *user); /* asked before every op, so that a text being encoded or a picture being decoded stops,
                                       too (of a step that CUDA replays, not): non-zero: CALO_ECANCELLED, and a job that it
                                       stopped half-way is over; or NULL */
} calo_request;

#define CALO_REQUEST_INIT                                                                                              \
    {                                                                                                                  \
        sizeof(calo_request), NULL, NULL, 0, 0, 20, 1, 7.5, 0.0, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL, 0, 0, NULL, \
            0, NULL, 0.8, 0, CALO_PROMPT_PLAIN, NULL, NULL, 1.0, NULL, 0, 0.0, 0.0, 1.0, NULL, NULL, 0, -1.0,          \
            CALO_FIT_NONE, 0.0, -1, CALO_FILL_ORIGINAL, { 0, 0, 0, 0 }, CALO_RANDOM_CPU, 0, 0.0, 0.0, 0.6, 0, 0, NULL  \
    }

/* Makes request->count images. `images` points to that many handles, all NULL on failure; free each. With a device_output
 * `images` may be NULL: then nothing but the end of a step is waited for, and no image leaves the device. */
CALO_API calo_status calo_generate(calo_model *model, const calo_request *request, calo_image **images);

/* One op on one shape, all its calls together. */
typedef struct calo_report_row {
    const char *part, *op, *variant; /* "unet", "conv2d", "tile" */
    char shape[96];
    int64_t calls;
    double flops, bytes;
    double roofline_s; /* at the device's peaks */
    double seconds;    /* measured; 0 in a plan */
} calo_report_row;

typedef struct calo_report {
    int row_count;
    calo_report_row *rows;
    uint64_t weight_bytes, activation_bytes; /* on the device; their sum is the peak */
    int takes_turns;                         /* the parts do not fit at once: weight_bytes is the most of a turn */
    double peak_flops, peak_bandwidth;       /* what the roofline was drawn with */
} calo_report;

/* What calo_generate would do, without doing it: memory, FLOPs, bytes and roofline time, op by op. Works without a
 * device (context "none"); no weight is read. Free the report. */
CALO_API calo_status calo_plan(calo_model *model, const calo_request *request, calo_report **report);
CALO_API void calo_free_report(calo_report **report);

/* ---- tuning: which kernels are the fastest ----------------------------------------------------------------------- */

/* One kind of call that the request makes, with the kernels that may do it. */
typedef struct calo_tune_row {
    const char *op;
    char shape[96];
    int64_t calls;                   /* of one picture */
    int candidates;                  /* kernels, with each of their tile sizes */
    char standard[64], winner[64];   /* "tile ROWS=12": what is taken without measurements, and with these */
    double standard_s, winner_s;     /* seconds of one call, medians */
} calo_tune_row;

typedef struct calo_tune_report {
    int row_count;
    calo_tune_row *rows;             /* of calls that have a choice */
    int single;                      /* kinds of call that have one kernel only */
    double peak_flops[2], peak_bandwidth[2]; /* of the device, before and after */
    char path[1024];                 /* the file that was written; "": none */
} calo_tune_report;

typedef struct calo_tune_options {
    size_t size;                     /* sizeof(calo_tune_options) */
    int rounds;                      /* of turns that the candidates take, 1 … 31 */
    int (*on_call)(void *user, int done, int total, const char *call); /* before each kind of call, and at the end with
                                        done == total; non-zero stops: CALO_ECANCELLED. NULL: none */
    void *user;
} calo_tune_options;

#define CALO_TUNE_OPTIONS_INIT                                                                                         \
    {                                                                                                                  \
        sizeof(calo_tune_options), 7, NULL, NULL                                                                       \
    }

/* Times every kernel that can do what the request asks for, the device maker's libraries' too, on the request's shapes with
 * random numbers, and keeps the fastest in the context's tuning file, beside what it holds already. The winner is another
 * than the standard one only where its median is smaller by more than 3 % and it was faster in three rounds of four.
 * Contexts that are opened later choose by it; this one goes on as before. `options` may be NULL. What was measured before
 * a failure or a stop is kept. The weights leave the device until they are used again: no job of the model may be open.
 * *report is the caller's, NULL on failure. */
CALO_API calo_status calo_tune(calo_model *model, const calo_request *request, const calo_tune_options *options,
                               calo_tune_report **report);
CALO_API void calo_free_tune_report(calo_tune_report **report);

/* ---- jobs: a request, step by step ------------------------------------------------------------------------------ */

typedef struct calo_job calo_job;

/* Does all that comes before the first step. The job refers to the model and the request's refiner, which must outlive it;
 * of the request it keeps a copy, texts and pictures included; user, timing and report stay the caller's and must outlive
 * it, too. On failure *job is NULL. Close it. */
CALO_API calo_status calo_job_open(calo_model *model, const calo_request *request, calo_job **job);
CALO_API void calo_job_close(calo_job **job);

/* One call of the denoiser. *left, or NULL: how many are left, of all pictures. With none left it does nothing. */
CALO_API calo_status calo_job_step(calo_job *job, int *left);
/* What the picture that is being made will be, by now, from a linear map of its latents: an eighth of its size. The
 * caller's. */
CALO_API calo_status calo_job_peek(calo_job *job, calo_image **image);
/* The steps that are left, then the pictures: as calo_generate's. The job is over then. */
CALO_API calo_status calo_job_finish(calo_job *job, calo_image **images);

/* Writes request, pictures, generators and latents to a file that appears whole or not at all. The job goes on. */
CALO_API calo_status calo_job_suspend(calo_job *job, const char *path);
/* Goes on from such a file, to the same picture bit by bit on the same device and model. CALO_EFILE: the file is damaged,
 * or was written with other weights. `refiner` may be NULL where the request had none. */
CALO_API calo_status calo_job_resume(calo_model *model, calo_model *refiner, const char *path, calo_job **job);
/* A second job that goes on from where `job` is, by another request: other prompts, guidance, seed (later noise), steps
 * or scheduler (it takes over at the nearest noise level, with no memory of earlier steps). Size, count, refiner, second pass
 * and all that concerns init and mask are the job's. Both go on, each for itself. */
CALO_API calo_status calo_job_fork(const calo_job *job, const calo_request *request, calo_job **fork);
/* Takes on_step, should_stop, user, timing and preview_every of `watch` in place of the job's: a resumed job has none. */
CALO_API void calo_job_watch(calo_job *job, const calo_request *watch);
/* The job's own copy of the request; on_step, should_stop, user, timing and report are NULL in a resumed one. */
CALO_API const calo_request *calo_job_request(const calo_job *job);

CALO_API const char *calo_version(void);

#ifdef __cplusplus
}
#endif

#endif
