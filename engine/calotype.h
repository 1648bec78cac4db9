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
    const char *device; /* "auto" (also NULL), "opencl", "opencl:1", … */
    void (*on_log)(void *user, calo_log_level level, const char *sentence); /* NULL: silence */
    void *user;
} calo_open_options;

#define CALO_OPEN_OPTIONS_INIT                                                                                         \
    {                                                                                                                  \
        sizeof(calo_open_options), NULL, NULL, NULL                                                                    \
    }

/* Opens a device. `options` may be NULL. On failure *context still holds a handle whose calo_error says why (NULL only
 * when there was no memory for it); close it as usual. */
CALO_API calo_status calo_open(calo_context **context, const calo_open_options *options);

/* Takes NULL and *context == NULL; leaves *context NULL. Unload the context's models first. */
CALO_API void calo_close(calo_context **context);

/* The sentence of the last failed call, "" when the last call succeeded. Valid until the next call on the context. */
CALO_API const char *calo_error(const calo_context *context);

/* ---- model ------------------------------------------------------------------------------------------------------ */

typedef struct calo_load_options {
    size_t size;            /* sizeof(calo_load_options) */
    calo_type dtype;        /* activations; CALO_AUTO: f32 on a CPU */
    const char *prediction; /* "epsilon", "v", "sample"; NULL: what the model says */
    const char *variant;    /* a registry name ("sd15"); NULL: detected */
    void (*on_load)(void *user, uint64_t done_bytes, uint64_t total_bytes);
    void *user;
} calo_load_options;

#define CALO_LOAD_OPTIONS_INIT                                                                                         \
    {                                                                                                                  \
        sizeof(calo_load_options), CALO_AUTO, NULL, NULL, NULL, NULL                                                   \
    }

/* Loads a diffusers folder, a single .safetensors file, or "layout:NAME" (a real architecture with random weights).
 * `options` may be NULL. The model belongs to the context. On failure *model is NULL. */
CALO_API calo_status calo_load(calo_context *context, const char *path, const calo_load_options *options,
                               calo_model **model);
CALO_API void calo_unload(calo_model **model);

/* ---- requests --------------------------------------------------------------------------------------------------- */

typedef struct calo_progress {
    int image;      /* which of request.count images, from 0 */
    int step;       /* steps done, 1 … steps */
    int steps;
    double step_s;  /* seconds of this step */
    double total_s; /* seconds since the request began */
} calo_progress;

typedef struct calo_timing {
    double encode_s; /* text to context */
    double decode_s; /* latents to images, all of them */
    double total_s;  /* the whole call */
    double *step_s;  /* caller's array of at least steps × count entries, or NULL */
    int step_count;  /* entries written */
} calo_timing;

typedef struct calo_request {
    size_t size;             /* sizeof(calo_request) */
    const char *prompt;      /* UTF-8; NULL is "" */
    const char *negative;    /* UTF-8; NULL: absent */
    int width, height;       /* pixels, multiples of 8; 0: the model's own size */
    int steps;               /* 1 … 1000 */
    int count;               /* images, with seeds seed, seed + 1, … */
    double guidance;         /* classifier-free guidance scale; ≤ 1: no unconditional pass */
    double eta;              /* DDIM's η, 0 … 1 */
    uint64_t seed;
    const char *scheduler;   /* NULL: the model's own */
    const char *spacing;     /* "leading", "linspace", "trailing"; NULL: the scheduler's */
    int clip_skip;           /* text-encoder layers left out at the end, as diffusers' clip_skip */
    const char *dump;        /* a .safetensors file for what each stage produced, or NULL */
    int (*on_step)(void *user, const calo_progress *progress); /* non-zero stops: CALO_ECANCELLED */
    void *user;
    calo_timing *timing;     /* filled on success, or NULL */
} calo_request;

#define CALO_REQUEST_INIT                                                                                              \
    {                                                                                                                  \
        sizeof(calo_request), NULL, NULL, 0, 0, 20, 1, 7.5, 0.0, 0, NULL, NULL, 0, NULL, NULL, NULL, NULL              \
    }

/* Makes request->count images. `images` points to that many handles, all NULL on failure; free each. */
CALO_API calo_status calo_generate(calo_model *model, const calo_request *request, calo_image **images);

/* ---- images ----------------------------------------------------------------------------------------------------- */

CALO_API int calo_image_width(const calo_image *image);
CALO_API int calo_image_height(const calo_image *image);
/* 8-bit RGB, rows from the top, [height, width, 3], owned by the image. */
CALO_API const uint8_t *calo_image_pixels(const calo_image *image);
/* The `parameters` text of the PNG: prompt, steps, sampler, seed, … */
CALO_API const char *calo_image_parameters(const calo_image *image);
/* Writes a PNG that appears whole or not at all. */
CALO_API calo_status calo_save_png(const calo_image *image, const char *path);
CALO_API void calo_free_image(calo_image **image);

CALO_API const char *calo_version(void);

#ifdef __cplusplus
}
#endif

#endif
