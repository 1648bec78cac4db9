/* Embedding calotype: loads a model, watches it work, makes a picture, handles what goes wrong.

       example MODEL PROMPT OUT.png */
#include <calotype.h>

#include <stdio.h>
#include <string.h>

static int show_loading(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    fprintf(stderr, "\rloading %3.0f %%", 100.0 * (double)done / (double)total);
    return 0; /* anything else would stop */
}

static int show_step(void *user, const calo_progress *progress)
{
    int *steps = (int *)user;
    *steps = progress->step;
    fprintf(stderr, "\rstep %d of %d, %.2f s   ", progress->step, progress->steps, progress->step_s);
    return 0;
}

static void show_log(void *user, calo_log_level level, const char *sentence)
{
    (void)user;
    if (level <= CALO_LOG_INFO)
        fprintf(stderr, "%s\n", sentence);
}

int main(int count, char **words)
{
    calo_context *context = NULL;
    calo_model *model = NULL;
    calo_image *image = NULL;
    calo_open_options open_options = CALO_OPEN_OPTIONS_INIT;
    calo_load_options load_options = CALO_LOAD_OPTIONS_INIT;
    calo_request request = CALO_REQUEST_INIT;
    calo_status status;
    int steps = 0;
    if (count != 4) {
        fprintf(stderr, "usage: example MODEL PROMPT OUT.png\n");
        return 2;
    }
    open_options.on_log = show_log;
    load_options.on_load = show_loading;
    request.prompt = words[2];
    request.steps = 4;
    request.seed = 7;
    request.on_step = show_step;
    request.user = &steps;

    /* A wrong request is refused with a sentence, and the model stays usable. */
    status = calo_open(&context, &open_options);
    if (!status)
        status = calo_load(context, words[1], &load_options, &model);
    if (!status) {
        request.width = 100;
        if (calo_generate(model, &request, &image) != CALO_EUSAGE || image || !strstr(calo_error(context), "width"))
            fprintf(stderr, "\na width of 100 was not refused\n");
        request.width = 0;
        status = calo_generate(model, &request, &image);
    }
    if (!status)
        status = calo_save_png(image, words[3]);
    if (status)
        fprintf(stderr, "\n%s\n", calo_error(context));
    else
        fprintf(stderr, "\n%s: %d × %d after %d steps\n%s\n", words[3], calo_image_width(image),
                calo_image_height(image), steps, calo_image_parameters(image));

    calo_free_image(&image);
    calo_unload(&model);
    calo_close(&context);
    return (int)status;
}
