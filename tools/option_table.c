/* The rows of the table of options. */
#include "options.h"

#include <string.h>

#define FIELD(name) offsetof(options, name)
#define REQUEST(name) offsetof(options, request.name)

enum {
    DRAWS = FLOWS | GRID | STUDIES,      /* what makes pictures from scratch */
    LOADS = DRAWS | RESUME | AGAIN,      /* what loads a model */
    FROM_PICTURE = IMG2IMG | INPAINT | GRID | STUDIES,
    RUNS = FLOWS | RESUME | PLAN,        /* what can be watched and suspended; plan takes a flow's whole line */
    WRITES = FLOWS | RESUME | AGAIN | GRID
};

static const char models[] = "Model", prompts[] = "Prompt", pictures[] = "Picture to begin with", sampling[] = "Sampling",
                  size[] = "Size", noise[] = "Noise", second[] = "Second pass", watching[] = "While it runs",
                  output[] = "Output", device[] = "Device", axes[] = "Axes", lists[] = "Lists", other[] = "Help";

/* A row without a range of numbers. */
#define TEXT(name, takes, kind, heading, commands, field, values, needs, what, standard)                               \
    {                                                                                                                  \
        name, takes, kind, heading, commands, field, 0, 0, 0, NULL, values, needs, what, standard                      \
    }

static const option table[] = {
    TEXT("--model", "PATH", OPTION_PATH, models, LOADS, FIELD(model), NULL, NULL,
         "diffusers folder, .safetensors or .ckpt file, or layout:NAME", NULL),
    TEXT("--models", "DIR", OPTION_FOLDER, models, AGAIN, FIELD(folders), NULL, NULL,
         "a folder where the picture's model may be, several times (the working folder)", NULL),
    TEXT("--variant", "NAME", OPTION_TEXT, models, LOADS, FIELD(variant), NULL, NULL,
         "what a single file is, when it cannot be told; calotype info --variants lists them", NULL),
    TEXT("--prediction", "NAME", OPTION_NAME, models, LOADS, FIELD(prediction), "epsilon v sample", NULL,
         "what the denoiser predicts", "the model's"),
    TEXT("--zsnr", NULL, OPTION_FLAG, models, LOADS, FIELD(zero_snr), NULL, NULL,
         "the model was trained with zero terminal SNR", NULL),
    TEXT("--vae", "PATH", OPTION_PATH, models, LOADS, FIELD(vae), NULL, NULL,
         "another VAE: a file, or a folder with its config.json", NULL),
    TEXT("--text-encoder", "PATH", OPTION_PATH, models, LOADS, FIELD(text_encoder), NULL, NULL,
         "another (first) text encoder: a file, or a folder with its config.json", NULL),
    TEXT("--refiner", "PATH", OPTION_PATH, models, LOADS, FIELD(refiner), NULL, NULL,
         "a second model for the end of the schedule", NULL),
    { "--refiner-start", "X", OPTION_NUMBER, models, DRAWS, REQUEST(refiner_start), 1e-9, 1 - 1e-9, 0, "between 0 and 1", NULL,
      "--refiner", "the share of the schedule at which it takes over", "0.8" },

    TEXT("--prompt", "TEXT", OPTION_TEXT, prompts, DRAWS, REQUEST(prompt), NULL, NULL, "what to draw", NULL),
    TEXT("--negative", "TEXT", OPTION_TEXT, prompts, DRAWS, REQUEST(negative), NULL, NULL, "what to avoid", NULL),
    TEXT("--prompt-style", "NAME", OPTION_CHOICE, prompts, DRAWS, REQUEST(prompt_style), "plain a1111 comfy", NULL,
         "the grammar of prompts: every character is text and 77 tokens count; or (a:1.3), [a:b:0.5], [a|b], BREAK, AND of "
         "A1111; or (a:1.3) of ComfyUI",
         "plain"),
    TEXT("--prompt-2", "TEXT", OPTION_TEXT, prompts, DRAWS, REQUEST(prompt_2), NULL, NULL,
         "what XL's second text encoder reads", "the prompt"),
    TEXT("--negative-2", "TEXT", OPTION_TEXT, prompts, DRAWS, REQUEST(negative_2), NULL, NULL,
         "what XL's second text encoder reads to avoid", "the negative prompt"),
    { "--negative-scale", "X", OPTION_NUMBER, prompts, DRAWS, REQUEST(negative_scale), 0, 10, 0, "0 … 10", NULL, "--negative",
      "how much the negative prompt counts: 0 not at all, 2 doubly", "1" },
    { "--clip-skip", "N", OPTION_INTEGER, prompts, DRAWS, REQUEST(clip_skip), 0, 64, 0, "0 … 64", NULL, NULL,
      "text-encoder layers left out at the end, one less than A1111 counts", "0" },
    TEXT("--region", "x,y,w,h:TEXT[:X]", OPTION_REGION, prompts, DRAWS, FIELD(regions), NULL, NULL,
         "a rectangle in pixels with a prompt of its own, mixed in by X, 0 … 1 (1); up to 8 times, later ones on top", NULL),
    TEXT("--region-negative", "TEXT", OPTION_REGION_NEGATIVE, prompts, DRAWS, FIELD(regions), NULL, "--region",
         "what to avoid in the region before", "the negative prompt"),

    TEXT("--init", "IMAGE", OPTION_PATH, pictures, FROM_PICTURE | AGAIN, FIELD(init), NULL, NULL,
         "the picture to begin with, PNG or JPEG", NULL),
    TEXT("--mask", "IMAGE", OPTION_PATH, pictures, INPAINT | STUDIES | AGAIN, FIELD(mask), NULL, "--init",
         "white is repainted, nothing else is touched", "where the picture is transparent"),
    { "--strength", "X", OPTION_NUMBER, pictures, FROM_PICTURE, REQUEST(strength), 1e-9, 1, 0, "above 0, at most 1", NULL, "--init",
      "the share of the schedule that runs: how much may change", "0.8; inpaint 1" },
    TEXT("--fit", "NAME", OPTION_CHOICE, pictures, FROM_PICTURE, REQUEST(fit), "none crop pad stretch", "--init",
         "how a picture of another size is brought to --width × --height", "none: that is an error"),
    { "--mask-blur", "X", OPTION_NUMBER, pictures, INPAINT | STUDIES, REQUEST(mask_blur), 0, 256, 0, "0 … 256", NULL, NULL,
      "softens the mask's edge, by a Gaussian of so many pixels", "0" },
    { "--mask-padding", "N", OPTION_INTEGER, pictures, INPAINT | STUDIES, REQUEST(mask_padding), 0, 16384, 0, "0 … 16384", NULL,
      NULL, "work on the masked area and N pixels around it alone, at full size, and paste it back", "the whole picture" },
    TEXT("--fill", "NAME", OPTION_CHOICE, pictures, INPAINT | STUDIES, REQUEST(fill), "original noise blank", NULL,
         "what the repainted area holds before the first step", "original"),
    { "--extend", "l,t,r,b", OPTION_BORDERS, pictures, INPAINT | STUDIES, REQUEST(extend), 0, 8192, 8, "0 … 8192", NULL, NULL,
      "pixels to add at the left, top, right and bottom, and to paint, multiples of 8", "0,0,0,0" },

    { "--width", "N", OPTION_INTEGER, size, DRAWS, REQUEST(width), 8, 16384, 8, "8 … 16384", NULL, NULL,
      "pixels, a multiple of 8", "the picture's, or the model's" },
    { "--height", "N", OPTION_INTEGER, size, DRAWS, REQUEST(height), 8, 16384, 8, "8 … 16384", NULL, NULL,
      "pixels, a multiple of 8", "the picture's, or the model's" },
    { "--count", "N", OPTION_INTEGER, size, FLOWS | STUDIES, REQUEST(count), 1, 1000, 0, "1 … 1000", NULL, NULL,
      "pictures, with seeds N, N + 1, …", "1" },

    { "--steps", "N", OPTION_INTEGER, sampling, DRAWS, REQUEST(steps), 1, 1000, 0, "1 … 1000", NULL, NULL, "denoising steps",
      "the model's, mostly 20" },
    TEXT("--scheduler", "NAME", OPTION_NAME, sampling, DRAWS, REQUEST(scheduler),
         "ddim ddpm pndm euler euler_a dpmpp_2m dpmpp_2m_karras unipc unipc_karras lcm edm_euler edm_dpmpp_2m", NULL,
         "the sampler", "the model's"),
    TEXT("--spacing", "NAME", OPTION_NAME, sampling, DRAWS, REQUEST(spacing), "leading linspace trailing", NULL,
         "how timesteps are spread", "the scheduler's"),
    { "--eta", "X", OPTION_NUMBER, sampling, DRAWS, REQUEST(eta), 0, 1, 0, "0 … 1", NULL, NULL, "ddim's noise", "0" },
    { "--guidance", "X", OPTION_NUMBER, sampling, DRAWS, REQUEST(guidance), 0, 1000, 0, "0 … 1000", NULL, NULL,
      "classifier-free guidance scale; up to 1: none", "the model's, mostly 7.5" },
    { "--guidance-rescale", "X", OPTION_NUMBER, sampling, DRAWS, REQUEST(guidance_rescale), 0, 1, 0, "0 … 1", NULL, NULL,
      "how far the guided output keeps the unguided one's contrast", "0" },
    { "--guidance-start", "X", OPTION_NUMBER, sampling, DRAWS, REQUEST(guidance_start), 0, 1, 0, "0 … 1", NULL, NULL,
      "the share of the steps before which there is no guidance", "0" },
    { "--guidance-end", "X", OPTION_NUMBER, sampling, DRAWS, REQUEST(guidance_end), 0, 1, 0, "0 … 1", NULL, NULL,
      "the share of the steps after which there is none", "1" },
    { "--tile", "N", OPTION_INTEGER, sampling, DRAWS, REQUEST(tile), 64, 16384, 32, "64 … 16384", NULL, NULL,
      "the VAE works in tiles of N pixels, a multiple of 32", "only if it must" },

    { "--seed", "N", OPTION_SEED, noise, DRAWS, REQUEST(seed), 0, 0, 0, "0 … 2^64 − 1, or random", NULL, NULL,
      "of the noise; a random one is printed", "0" },
    TEXT("--rng", "NAME", OPTION_CHOICE, noise, DRAWS, REQUEST(random), "cpu philox", NULL,
         "whose noise: torch's on a processor, or on a GPU as A1111 imitates it", "cpu"),
    { "--variation-seed", "N", OPTION_SEED, noise, DRAWS, REQUEST(variation_seed), 0, 0, 0, "0 … 2^64 − 1", NULL,
      "--variation-strength", "of noise to turn towards", "0" },
    { "--variation-strength", "X", OPTION_NUMBER, noise, DRAWS, REQUEST(variation_strength), 0, 1, 0, "0 … 1", NULL, NULL,
      "how far the noise turns towards that of --variation-seed", "0" },

    { "--hires", "SCALE", OPTION_NUMBER, second, DRAWS, REQUEST(hires), 1, 8, 0, "1 … 8", NULL, NULL,
      "a second pass, this much wider and higher", "none" },
    { "--hires-strength", "X", OPTION_NUMBER, second, DRAWS, REQUEST(hires_strength), 1e-9, 1, 0, "above 0, at most 1", NULL,
      "--hires", "how much the second pass may change", "0.6" },
    TEXT("--hires-mode", "NAME", OPTION_CHOICE, second, DRAWS, REQUEST(hires_pixels), "latent pixel", "--hires",
         "what is enlarged: the latents, or the decoded picture", "latent"),

    { "--preview-every", "N", OPTION_INTEGER, watching, RUNS, REQUEST(preview_every), 1, 1000, 0, "1 … 1000", NULL, NULL,
      "write a small OUTPUT-preview-SSS.png after every N steps", "none" },
    TEXT("--suspend", "FILE", OPTION_PATH, watching, RUNS, FIELD(suspend), NULL, NULL,
         "stop at Ctrl-C or --suspend-at and write all that calotype resume needs to go on", NULL),
    { "--suspend-at", "STEP", OPTION_INTEGER, watching, RUNS, FIELD(suspend_at), 1, 1000000, 0, "1 … 1000000", NULL, "--suspend",
      "the step after which to stop", NULL },

    TEXT("--x", "AXIS=V,V,…", OPTION_TEXT, axes, GRID, FIELD(axes[0]), NULL, NULL,
         "what changes from column to column: scheduler, steps, guidance, seed, strength, or prompt (its values separated "
         "by |)",
         NULL),
    TEXT("--y", "AXIS=V,V,…", OPTION_TEXT, axes, GRID, FIELD(axes[1]), NULL, "--x",
         "what changes from row to row, likewise", "one axis, in lines of their own"),

    TEXT("--output", "FILE", OPTION_PATH, output, WRITES | STUDIES, FIELD(output), NULL, NULL,
         "the picture, a PNG; of several OUT-1.png, OUT-2.png, …", "out.png"),
    TEXT("--dump", "FILE", OPTION_PATH, output, FLOWS | STUDIES, REQUEST(dump), NULL, NULL,
         "a .safetensors file with what each stage produced", NULL),
    TEXT("--force", NULL, OPTION_FLAG, output, AGAIN, FIELD(force), NULL, NULL,
         "make the picture although something that shapes it is unknown", NULL),
    TEXT("--show", NULL, OPTION_FLAG, output, AGAIN, FIELD(show), NULL, NULL,
         "print the command that makes the picture, and make nothing", NULL),
    TEXT("--json", NULL, OPTION_FLAG, output, WRITES | STUDIES | INFO | DEVICES, FIELD(json), NULL, NULL,
         "one JSON object on standard output", NULL),
    TEXT("--quiet", NULL, OPTION_FLAG, output, WRITES | STUDIES, FIELD(quiet), NULL, NULL, "no progress", NULL),

    TEXT("--device", "NAME", OPTION_PATH, device, LOADS, FIELD(device), NULL, NULL,
         "auto, cuda, cuda:N, opencl or opencl:N; calotype devices lists them", "auto"),
    TEXT("--dtype", "TYPE", OPTION_CHOICE, device, LOADS | MAKE_RANDOM, FIELD(dtype), "auto f32 f16 bf16", NULL,
         "the type of activations", "auto"),
    { "--threads", "N", OPTION_INTEGER, device, LOADS, FIELD(threads), 1, 4096, 0, "1 … 4096", NULL, NULL,
      "processor threads of a PoCL device", "all" },
    TEXT("--tuning", "FILE", OPTION_PATH, device, LOADS, FIELD(tuning), NULL, NULL,
         "what calotype tune measured and the device chooses its kernels by; or none", "the user's own for the device"),
    TEXT("--memory-limit", "BYTES", OPTION_BYTES, device, LOADS, FIELD(memory_limit), NULL, NULL,
         "of device memory, also 9GB or 512MB; the model's parts take turns where they do not fit", "what there is"),

    TEXT("--layouts", NULL, OPTION_FLAG, lists, INFO, FIELD(layouts), NULL, NULL, "list the names that layout:NAME takes",
         NULL),
    TEXT("--variants", NULL, OPTION_FLAG, lists, INFO, FIELD(variants), NULL, NULL,
         "list the kinds of model, and what tells each", NULL),

    TEXT("--help", NULL, OPTION_FLAG, other, ALL_COMMANDS, FIELD(help), NULL, NULL, "this text", NULL),
};
enum { OPTION_COUNT = sizeof table / sizeof *table };
_Static_assert(OPTION_COUNT <= 8 * sizeof ((options *)0)->seen, "a bit for each row");

const option *option_at(int i)
{
    return i >= 0 && i < OPTION_COUNT ? &table[i] : NULL;
}

const option *option_find(const char *name, size_t length)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (strlen(table[i].name) == length && strncmp(table[i].name, name, length) == 0)
            return &table[i];
    return NULL;
}
