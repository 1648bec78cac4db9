/* Every JSON file of a model: the first byte says which. */
#include "../../engine/shim.h"
#include "../../engine/weights/config.h"
#include "../../pipelines/schedule_config.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void choose_schedule(const char *text, uint8_t which)
{
    const calo_scheduler *scheduler = calo_scheduler_at(which % 12);
    const calo_schedule_wish wish = { .pipeline = (calo_pipeline)(which / 12 % 6) };
    calo_schedule_choice choice;
    calo_program *program;
    calo_fault fault = { 0 };
    if (calo_schedule_choose(scheduler->class, text, "input", &wish, &choice, &fault))
        return;
    if (choice.config.num_train_timesteps <= 10000 &&
        !calo_scheduler_compile(choice.scheduler, &choice.config, 1 + which % 7, &program, &fault))
        calo_program_free(&program);
    calo_schedule_choice_free(&choice);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 2)
        return 0;
    char *text = calo_alloc(size, 1); /* a 0 follows */
    calo_json json;
    calo_fault fault = { 0 };
    if (!text)
        return 0;
    memcpy(text, bytes + 1, size - 1);
    if (bytes[0] % 4 == 3) {
        choose_schedule(text, bytes[0] / 4);
    } else if (!calo_json_parse(text, "input", &json, &fault)) {
        calo_unet_config unet;
        calo_vae_config vae;
        calo_clip_config clip;
        if (bytes[0] % 4 == 0)
            calo_unet_config_read(&json, &unet);
        else if (bytes[0] % 4 == 1)
            calo_vae_config_read(&json, &vae);
        else
            calo_clip_config_read(&json, &clip);
        calo_json_close(&json);
    }
    calo_free(text);
    return 0;
}
