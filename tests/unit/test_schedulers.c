/* Schedulers' programs against diffusers, step by step: golden/schedulers holds what its classes did, in double, with a
   denoiser and noise that are formulas. */
#include "../../pipelines/schedule_config.h"
#include "scheduler_cases.h"

#include <cjson/cJSON.h>

#define BETA_LIMIT 64

static const char *const names[] = { "ddim",     "ddpm",            "pndm",  "euler",       "euler_a",
                                     "dpmpp_2m", "dpmpp_2m_karras", "unipc", "unipc_karras", "lcm",
                                     "edm_euler", "edm_dpmpp_2m" };
enum { NAMES = sizeof names / sizeof *names };

typedef struct word {
    const char *text;
    int value;
} word;

/* ---- a case's JSON to a configuration, trusting it --------------------------------------------------------------- */

static int word_in(const cJSON *json, const char *field, int absent, const word *words)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(json, field));
    for (; text && words->text; words++)
        if (strcmp(words->text, text) == 0)
            return words->value;
    return absent;
}

static bool flag_in(const cJSON *json, const char *field, bool absent)
{
    const cJSON *item = cJSON_GetObjectItem(json, field);
    return item ? cJSON_IsTrue(item) : absent;
}

static double number_in(const cJSON *json, const char *field, double absent)
{
    const cJSON *item = cJSON_GetObjectItem(json, field);
    return cJSON_IsNumber(item) ? item->valuedouble : absent;
}

static int list_in(const cJSON *json, const char *field, double *list)
{
    const cJSON *array = cJSON_GetObjectItem(json, field);
    const int count = cJSON_IsArray(array) ? cJSON_GetArraySize(array) : 0;
    assert_true(count <= BETA_LIMIT);
    for (int i = 0; i < count; i++)
        list[i] = cJSON_GetArrayItem(array, i)->valuedouble;
    return count;
}

static const word spacings[] = {
    { "leading", CALO_LEADING }, { "linspace", CALO_LINSPACE }, { "trailing", CALO_TRAILING }, { NULL, 0 }
};
static const word predictions[] = { { "epsilon", CALO_PREDICTION_EPSILON },
                                    { "v", CALO_PREDICTION_V },
                                    { "v_prediction", CALO_PREDICTION_V },
                                    { "sample", CALO_PREDICTION_SAMPLE },
                                    { NULL, 0 } };

static void read_config(const cJSON *json, bool unipc, calo_schedule_config *c)
{
    static const word betas[] = { { "linear", CALO_BETA_LINEAR },
                                  { "scaled_linear", CALO_BETA_SCALED_LINEAR },
                                  { "squaredcos_cap_v2", CALO_BETA_COSINE },
                                  { "laplace", CALO_BETA_LAPLACE },
                                  { "sigmoid", CALO_BETA_SIGMOID },
                                  { NULL, 0 } };
    static const word finals[] = { { "zero", CALO_FINAL_ZERO }, { "sigma_min", CALO_FINAL_SIGMA_MIN }, { NULL, 0 } };
    static const word variances[] = { { "fixed_small", CALO_FIXED_SMALL },
                                      { "fixed_small_log", CALO_FIXED_SMALL },
                                      { "fixed_large", CALO_FIXED_LARGE },
                                      { NULL, 0 } };
    static const word algorithms[] = { { "dpmsolver++", CALO_DPMSOLVER_PLUS },
                                       { "dpmsolver", CALO_DPMSOLVER },
                                       { "sde-dpmsolver++", CALO_SDE_DPMSOLVER_PLUS },
                                       { "sde-dpmsolver", CALO_SDE_DPMSOLVER },
                                       { NULL, 0 } };
    static const word heun[] = { { "heun", 1 }, { NULL, 0 } }, bh1[] = { { "bh1", 1 }, { NULL, 0 } };
    static const word log_linear[] = { { "log_linear", 1 }, { NULL, 0 } };
    static const word continuous[] = { { "continuous", 1 }, { NULL, 0 } };
    c->num_train_timesteps = (int)number_in(json, "num_train_timesteps", 1000);
    c->steps_offset = (int)number_in(json, "steps_offset", 0);
    c->solver_order = (int)number_in(json, "solver_order", 2);
    c->beta_start = number_in(json, "beta_start", 0.0001);
    c->beta_end = number_in(json, "beta_end", 0.02);
    c->beta_schedule = (calo_beta_schedule)word_in(json, "beta_schedule", CALO_BETA_LINEAR, betas);
    c->prediction_type = (calo_prediction)word_in(json, "prediction_type", c->prediction_type, predictions);
    c->timestep_spacing = (calo_spacing)word_in(json, "timestep_spacing", c->timestep_spacing, spacings);
    c->final_sigmas_type = (calo_final_sigma)word_in(json, "final_sigmas_type", CALO_FINAL_ZERO, finals);
    c->variance_type = (calo_variance)word_in(json, "variance_type", CALO_FIXED_SMALL, variances);
    c->algorithm_type = (calo_algorithm)word_in(json, "algorithm_type", CALO_DPMSOLVER_PLUS, algorithms);
    c->clip_sample_range = number_in(json, "clip_sample_range", 1);
    c->sigma_min = number_in(json, "sigma_min", 0);
    c->sigma_max = number_in(json, "sigma_max", 0);
    c->lambda_min_clipped = number_in(json, "lambda_min_clipped", c->lambda_min_clipped);
    c->clip_sample = flag_in(json, "clip_sample", c->clip_sample);
    c->set_alpha_to_one = flag_in(json, "set_alpha_to_one", c->set_alpha_to_one);
    c->rescale_betas_zero_snr = flag_in(json, "rescale_betas_zero_snr", false);
    c->use_karras_sigmas = flag_in(json, "use_karras_sigmas", false);
    c->lower_order_final = flag_in(json, "lower_order_final", true);
    c->euler_at_final = flag_in(json, "euler_at_final", false);
    c->predict_noise = !flag_in(json, "predict_x0", true);
    c->prk_steps = !flag_in(json, "skip_prk_steps", false);
    c->log_linear_interpolation = word_in(json, "interpolation_type", 0, log_linear);
    c->continuous_timesteps = word_in(json, "timestep_type", 0, continuous);
    c->heun = !unipc && word_in(json, "solver_type", 0, heun);
    c->bh1 = unipc && word_in(json, "solver_type", 0, bh1);
}

static calo_status compile(const golden *g, calo_program **program, calo_fault *fault)
{
    const bool own = strcmp(g->name, "-") == 0;
    const calo_scheduler *scheduler = own ? calo_scheduler_of_class(g->class) : calo_scheduler_find(g->name);
    assert_non_null(scheduler);
    assert_string_equal(scheduler->class, g->class);
    char text[sizeof g->head];
    snprintf(text, sizeof text, "%s", g->json);
    char *infinity = strstr(text, "-Infinity"); /* as Python writes it */
    if (infinity)
        memcpy(infinity, "-1e99999 ", 9);
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    double betas[BETA_LIMIT], disabled[BETA_LIMIT];
    int steps[BETA_LIMIT];
    calo_schedule_config config = { 0 };
    scheduler->defaults(&config);
    read_config(json, strncmp(g->class, "UniPC", 5) == 0, &config);
    if (list_in(json, "trained_betas", betas))
        config.trained_betas = betas;
    config.disable_corrector_count = list_in(json, "disable_corrector", disabled);
    for (int i = 0; i < config.disable_corrector_count; i++)
        steps[i] = (int)disabled[i];
    config.disable_corrector = steps;
    cJSON_Delete(json);
    if (own) { /* the rules of StableDiffusionPipeline */
        config.steps_offset = 1;
        config.clip_sample = false;
    } else if (scheduler->overrides) {
        scheduler->overrides(&config);
    }
    for (const word *w = spacings; w->text; w++)
        if (strcmp(w->text, g->spacing) == 0)
            config.timestep_spacing = (calo_spacing)w->value;
    for (const word *w = predictions; w->text; w++)
        if (strcmp(w->text, g->prediction) == 0)
            config.prediction_type = (calo_prediction)w->value;
    config.eta = g->eta;
    return calo_scheduler_compile(scheduler, &config, g->steps, program, fault);
}

static void test_file(void **name)
{
    run_file(*name, compile);
}

/* ---- the same through the reader of scheduler_config.json -------------------------------------------------------- */

static const char *or_none(const char *text)
{
    return strcmp(text, "-") ? text : NULL;
}

static calo_status choose_and_compile(const golden *g, calo_program **program, calo_fault *fault)
{
    calo_schedule_choice choice;
    const calo_schedule_wish wish = { .scheduler = or_none(g->name), .spacing = or_none(g->spacing),
                                      .prediction = or_none(g->prediction), .eta = g->eta };
    *program = NULL;
    if (calo_schedule_choose(g->class, g->json, "scheduler_config.json", &wish, &choice, fault))
        return fault->status;
    const calo_status status = calo_scheduler_compile(choice.scheduler, &choice.config, g->steps, program, fault);
    calo_schedule_choice_free(&choice);
    return status;
}

static void test_reader(void **name)
{
    run_file(*name, choose_and_compile);
}

static void expect_refusal(const char *name, const char *json, calo_status wanted, const char *mentions)
{
    golden g = { .json = json, .class = "DDIMScheduler", .steps = 2, .spacing = "-", .prediction = "-" };
    calo_fault fault = { 0 };
    calo_program *program;
    snprintf(g.name, sizeof g.name, "%s", name);
    const calo_status status = choose_and_compile(&g, &program, &fault);
    if (status != wanted || program || !strstr(fault.text, mentions))
        fail_msg("%s %s\n  status %d, wanted %d and '%s': %s", name, json, status, wanted, mentions, fault.text);
}

static void test_hostile_files(void **unused)
{
    (void)unused;
    static const struct {
        const char *json, *mentions;
    } cases[] = {
        { "", "JSON" },
        { "[]", "JSON" },
        { "{", "JSON" },
        { "{\"beta_start\": }", "JSON" },
        { "{\"num_train_timesteps\": 0}", "num_train_timesteps" },
        { "{\"num_train_timesteps\": -5}", "num_train_timesteps" },
        { "{\"num_train_timesteps\": 1000000000}", "num_train_timesteps" },
        { "{\"num_train_timesteps\": 1e308}", "num_train_timesteps" },
        { "{\"num_train_timesteps\": 1e999}", "num_train_timesteps" },
        { "{\"num_train_timesteps\": 1000.5}", "num_train_timesteps" },
        { "{\"num_train_timesteps\": \"1000\"}", "num_train_timesteps" },
        { "{\"num_train_timesteps\": [1000]}", "num_train_timesteps" },
        { "{\"num_train_timesteps\": true}", "num_train_timesteps" },
        { "{\"beta_start\": 1e308}", "beta_start" },
        { "{\"beta_start\": -1}", "beta_start" },
        { "{\"beta_start\": 1e999}", "beta_start" },
        { "{\"beta_end\": \"x\"}", "beta_end" },
        { "{\"beta_end\": {}}", "beta_end" },
        { "{\"beta_end\": 2}", "beta_end" },
        { "{\"beta_schedule\": \"cosine\"}", "beta_schedule" },
        { "{\"beta_schedule\": 3}", "beta_schedule" },
        { "{\"trained_betas\": [0.1, 0.2]}", "trained_betas" },
        { "{\"trained_betas\": 0.1}", "trained_betas" },
        { "{\"trained_betas\": \"linear\"}", "trained_betas" },
        { "{\"num_train_timesteps\": 2, \"trained_betas\": [0.1, \"x\"]}", "trained_betas" },
        { "{\"num_train_timesteps\": 2, \"trained_betas\": [0.1, 1e308]}", "trained_betas" },
        { "{\"num_train_timesteps\": 2, \"trained_betas\": [0.1, -0.1]}", "trained_betas" },
        { "{\"num_train_timesteps\": 2, \"trained_betas\": [0.1, 1e999]}", "trained_betas" },
        { "{\"prediction_type\": \"flow_prediction\"}", "prediction_type" },
        { "{\"prediction_type\": 1}", "prediction_type" },
        { "{\"timestep_spacing\": \"log\"}", "timestep_spacing" },
        { "{\"timestep_spacing\": false}", "timestep_spacing" },
        { "{\"steps_offset\": -1}", "steps_offset" },
        { "{\"steps_offset\": 1e300}", "steps_offset" },
        { "{\"steps_offset\": 0.5}", "steps_offset" },
        { "{\"rescale_betas_zero_snr\": 1}", "rescale_betas_zero_snr" },
        { "{\"set_alpha_to_one\": \"yes\"}", "set_alpha_to_one" },
        { "{\"thresholding\": true}", "thresholding" },
    };
    static const struct {
        const char *name, *json, *mentions;
    } of_class[] = {
        { "ddim", "{\"clip_sample\": 1}", "clip_sample" },
        { "ddim", "{\"clip_sample_range\": 0}", "clip_sample_range" },
        { "ddpm", "{\"clip_sample_range\": -1}", "clip_sample_range" },
        { "ddpm", "{\"clip_sample_range\": 1e999}", "clip_sample_range" },
        { "ddpm", "{\"variance_type\": \"learned\"}", "variance_type" },
        { "ddpm", "{\"variance_type\": \"learned_range\"}", "variance_type" },
        { "euler", "{\"final_sigmas_type\": \"none\"}", "final_sigmas_type" },
        { "euler", "{\"interpolation_type\": \"cubic\"}", "interpolation_type" },
        { "euler", "{\"use_exponential_sigmas\": true}", "use_exponential_sigmas" },
        { "euler", "{\"use_beta_sigmas\": true}", "use_beta_sigmas" },
        { "euler", "{\"sigma_min\": -1}", "sigma_min" },
        { "dpmpp_2m", "{\"use_exponential_sigmas\": true}", "use_exponential_sigmas" },
        { "dpmpp_2m", "{\"use_beta_sigmas\": true}", "use_beta_sigmas" },
        { "dpmpp_2m", "{\"use_flow_sigmas\": true}", "use_flow_sigmas" },
        { "dpmpp_2m", "{\"use_lu_lambdas\": true}", "use_lu_lambdas" },
        { "dpmpp_2m", "{\"solver_type\": \"ralston\"}", "solver_type" },
        { "dpmpp_2m", "{\"solver_order\": 0}", "solver_order" },
        { "unipc", "{\"solver_order\": 4}", "solver_order" },
        { "unipc", "{\"solver_type\": \"bh3\"}", "solver_type" },
        { "unipc", "{\"use_flow_sigmas\": true}", "use_flow_sigmas" },
        { "unipc_karras", "{\"sigma_max\": \"big\"}", "sigma_max" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int k = 0; k < NAMES; k++)
            expect_refusal(names[k], cases[i].json, CALO_EFILE, cases[i].mentions);
    for (size_t i = 0; i < sizeof of_class / sizeof *of_class; i++)
        expect_refusal(of_class[i].name, of_class[i].json, CALO_EFILE, of_class[i].mentions);
    expect_refusal("plms", "{}", CALO_EUSAGE, "plms");
    expect_refusal("DDIMScheduler", "{}", CALO_EUSAGE, "DDIMScheduler");
    expect_refusal("pndm", "{\"prediction_type\": \"sample\"}", CALO_EUSAGE, "sample");
}

static void test_hostile_wishes(void **unused)
{
    (void)unused;
    static const struct {
        const char *class, *spacing, *prediction;
        double eta;
        calo_status status;
        const char *mentions;
    } cases[] = {
        { "DDIMScheduler", "-", "-", -0.1, CALO_EUSAGE, "eta" },
        { "DDIMScheduler", "-", "-", 1.5, CALO_EUSAGE, "eta" },
        { "DDIMScheduler", "-", "-", NAN, CALO_EUSAGE, "eta" },
        { "DDIMScheduler", "log", "-", 0, CALO_EUSAGE, "log" },
        { "DDIMScheduler", "-", "flow", 0, CALO_EUSAGE, "flow" },
        { "PNDMScheduler", "-", "sample", 0, CALO_EUSAGE, "sample" },
        { "HeunDiscreteScheduler", "-", "-", 0, CALO_EFILE, "HeunDiscreteScheduler" },
        { "", "-", "-", 0, CALO_EFILE, "class" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        golden g = { .json = "{}", .name = "-", .steps = 20, .eta = cases[i].eta };
        calo_fault fault = { 0 };
        calo_program *program;
        snprintf(g.class, sizeof g.class, "%s", cases[i].class);
        snprintf(g.spacing, sizeof g.spacing, "%s", cases[i].spacing);
        snprintf(g.prediction, sizeof g.prediction, "%s", cases[i].prediction);
        const calo_status status = choose_and_compile(&g, &program, &fault);
        if (status != cases[i].status || program || !strstr(fault.text, cases[i].mentions))
            fail_msg("%s %s %s %g: status %d: %s", g.class, g.spacing, g.prediction, g.eta, status, fault.text);
    }
}

/* ---- what no golden file says ----------------------------------------------------------------------------------- */

/* The name's class with its defaults and SD's betas. */
static calo_schedule_config plain(const calo_scheduler *scheduler)
{
    calo_schedule_config c = { .num_train_timesteps = 1000, .beta_start = 0.00085, .beta_end = 0.012,
                               .beta_schedule = CALO_BETA_SCALED_LINEAR, .clip_sample_range = 1, .solver_order = 2,
                               .lower_order_final = true };
    scheduler->defaults(&c);
    if (scheduler->overrides)
        scheduler->overrides(&c);
    return c;
}

/* A program of finite numbers, or CALO_EUSAGE and a sentence; never anything else. */
static calo_status try(const calo_scheduler *scheduler, const calo_schedule_config *config, int steps)
{
    calo_fault fault = { 0 };
    calo_program *program = NULL;
    golden g = { .json = "" };
    snprintf(g.head, sizeof g.head, "%s, %d steps", scheduler->name, steps);
    const calo_status status = calo_scheduler_compile(scheduler, config, steps, &program, &fault);
    if (status != fault.status || (status && status != CALO_EUSAGE) || (status == CALO_OK) != (program != NULL))
        fail_msg("%s: status %d, fault %d '%s'", g.head, status, fault.status, fault.text);
    if (status && strlen(fault.text) < 10)
        fail_msg("%s: the sentence is '%s'", g.head, fault.text);
    if (program)
        expect_sound(&g, program);
    calo_program_free(&program);
    calo_program_free(&program);
    assert_null(program);
    return status;
}

/* Every number of steps: where a spacing falls between two timesteps, numpy's roundings choose. */
static void test_spacings(void **unused)
{
    (void)unused;
    char path[1024], *text;
    size_t size;
    calo_fault fault = { 0 };
    snprintf(path, sizeof path, "%s/golden/schedulers/spacing.txt", CALO_TEST_DATA);
    if (calo_read_file(path, 1 << 20, &text, &size, &fault))
        fail_msg("%s", fault.text);
    int lines = 0;
    for (const char *at = text; *at; at = next_line(at), lines++) {
        char name[40], spacing[16];
        int steps, count;
        double wanted, sum = 0;
        assert_int_equal(sscanf(at, "%39s %15s %d %d %lf", name, spacing, &steps, &count, &wanted), 5);
        const calo_scheduler *scheduler = calo_scheduler_find(name);
        calo_schedule_config c = plain(scheduler);
        c.steps_offset = 1;
        for (const word *w = spacings; w->text; w++)
            if (strcmp(w->text, spacing) == 0)
                c.timestep_spacing = (calo_spacing)w->value;
        calo_program *program;
        if (calo_scheduler_compile(scheduler, &c, steps, &program, &fault))
            fail_msg("%s", fault.text);
        for (int i = 0; i < program->step_count; i++)
            sum += (i + 1) * program->steps[i].timestep;
        if (program->step_count != count || !(fabs(sum - wanted) <= 1e-9 * wanted))
            fail_msg("%s %s %d: %d timesteps, sum %.12g; diffusers has %d and %.12g", name, spacing, steps,
                     program->step_count, sum, count, wanted);
        calo_program_free(&program);
    }
    calo_free(text);
    assert_int_equal(lines, 3000);
}

static void test_steps(void **unused)
{
    (void)unused;
    static const int bad[] = { 0, -1, 1001, 2147483647, -2147483647 - 1 };
    for (int n = 0; n < NAMES; n++) {
        const calo_scheduler *scheduler = calo_scheduler_find(names[n]);
        calo_schedule_config c = plain(scheduler);
        for (int i = 0; i < 5; i++)
            assert_int_equal(try(scheduler, &c, bad[i]), CALO_EUSAGE);
        for (int spacing = CALO_LEADING; spacing <= CALO_TRAILING; spacing++)
            for (int steps = 1; steps < 400; steps += 13) {
                c.timestep_spacing = (calo_spacing)spacing;
                const bool many = strcmp(names[n], "lcm") == 0 && steps > c.original_inference_steps;
                assert_int_equal(try(scheduler, &c, steps), many ? CALO_EUSAGE : CALO_OK);
            }
        c.num_train_timesteps = 10;
        assert_int_equal(try(scheduler, &c, 11), CALO_EUSAGE);
    }
    /* With offset 1, a thousand steps would begin at timestep 1000 of 0 … 999. */
    const calo_scheduler *ddim = calo_scheduler_find("ddim");
    calo_schedule_config c = plain(ddim);
    assert_int_equal(try(ddim, &c, 1000), CALO_OK);
    c.steps_offset = 1;
    assert_int_equal(try(ddim, &c, 1000), CALO_EUSAGE);
}

static void test_what_does_not_go_together(void **unused)
{
    (void)unused;
    const calo_scheduler *pndm = calo_scheduler_find("pndm"), *ancestral = calo_scheduler_find("euler_a");
    calo_schedule_config c = plain(pndm);
    c.prk_steps = true;
    assert_int_equal(try(pndm, &c, 3), CALO_EUSAGE);
    assert_int_equal(try(pndm, &c, 4), CALO_OK);
    c.prediction_type = CALO_PREDICTION_SAMPLE;
    assert_int_equal(try(pndm, &c, 20), CALO_EUSAGE);
    c = plain(ancestral);
    c.prediction_type = CALO_PREDICTION_SAMPLE;
    assert_int_equal(try(ancestral, &c, 20), CALO_EUSAGE);

    const calo_scheduler *dpm = calo_scheduler_find("dpmpp_2m");
    c = plain(dpm);
    c.algorithm_type = CALO_DPMSOLVER;
    assert_int_equal(try(dpm, &c, 20), CALO_EUSAGE);
    c.final_sigmas_type = CALO_FINAL_SIGMA_MIN;
    assert_int_equal(try(dpm, &c, 20), CALO_OK);
    c.algorithm_type = CALO_SDE_DPMSOLVER;
    c.solver_order = 3;
    assert_int_equal(try(dpm, &c, 20), CALO_EUSAGE);
    c = plain(dpm);
    c.lambda_min_clipped = 1e9;
    assert_int_equal(try(dpm, &c, 20), CALO_EUSAGE);

    const calo_scheduler *ddim = calo_scheduler_find("ddim");
    c = plain(ddim);
    c.rescale_betas_zero_snr = true;
    c.timestep_spacing = CALO_TRAILING;
    assert_int_equal(try(ddim, &c, 20), CALO_EUSAGE);
    c.prediction_type = CALO_PREDICTION_V;
    c.eta = 1;
    assert_int_equal(try(ddim, &c, 20), CALO_OK);
}

static void test_extremes(void **unused)
{
    (void)unused;
    static const int steps[] = { 1, 2, 3, 20, 999, 1000 };
    static const double zeros[] = { 0, 0, 0 };
    int made = 0, tried = 0;
    for (int n = 0; n < NAMES; n++)
        for (int kind = 0; kind < 16; kind++)
            for (int k = 0; k < 6; k++) {
                const calo_scheduler *scheduler = calo_scheduler_find(names[n]);
                calo_schedule_config c = plain(scheduler);
                switch (kind) {
                case 0: c.num_train_timesteps = 1; break;
                case 1: c.num_train_timesteps = 2; break;
                case 2: c.num_train_timesteps = 1, c.rescale_betas_zero_snr = true; break;
                case 3: c.num_train_timesteps = 1000000; break;
                case 4: c.num_train_timesteps = 1, c.use_karras_sigmas = true; break;
                case 5: c.beta_start = c.beta_end = 0; break;
                case 6: c.beta_start = c.beta_end = 0.9; break;
                case 7: c.beta_start = c.beta_end = 1e-300, c.rescale_betas_zero_snr = true; break;
                case 8: c.num_train_timesteps = 3, c.trained_betas = zeros; break;
                case 9: c.steps_offset = 1000, c.timestep_spacing = CALO_LEADING; break;
                case 10: c.sigma_min = 1e-300, c.sigma_max = 1e300, c.use_karras_sigmas = true; break;
                case 11: c.sigma_min = c.sigma_max = 5, c.use_karras_sigmas = true; break;
                case 12: c.clip_sample_range = 1e300; break;
                case 13: c.final_sigmas_type = CALO_FINAL_SIGMA_MIN, c.use_karras_sigmas = true; break;
                case 14: c.solver_order = 3, c.lower_order_final = false; break;
                case 15: c.beta_schedule = CALO_BETA_COSINE, c.rescale_betas_zero_snr = true; break;
                }
                made += try(scheduler, &c, steps[k]) == CALO_OK;
                tried++;
            }
    print_message("%d of %d extremes have a program\n", made, tried);
    assert_true(made > tried / 3 && made < tried);
}

static void test_names(void **unused)
{
    (void)unused;
    for (int i = 0; i < NAMES; i++) {
        const calo_scheduler *scheduler = calo_scheduler_find(names[i]);
        assert_non_null(scheduler);
        assert_ptr_equal(scheduler, calo_scheduler_at(i));
        assert_string_equal(scheduler->name, names[i]);
        assert_non_null(calo_scheduler_of_class(scheduler->class));
        assert_true(*scheduler->label);
    }
    assert_null(calo_scheduler_at(NAMES));
    assert_null(calo_scheduler_at(-1));
    assert_null(calo_scheduler_find("karras"));
    assert_null(calo_scheduler_of_class("LMSDiscreteScheduler"));
}

#define GOLDEN(name) { "golden " name, test_file, NULL, NULL, (void *)name }
#define READER(name) { "reader " name, test_reader, NULL, NULL, (void *)name }
#define FILE_TEST(name) GOLDEN(name), READER(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GOLDEN("dpm_sigma_range"),
        FILE_TEST("ddim"),
        FILE_TEST("ddpm"),
        FILE_TEST("pndm"),
        FILE_TEST("euler"),
        FILE_TEST("euler_a"),
        FILE_TEST("dpmpp_2m"),
        FILE_TEST("dpmpp_2m_karras"),
        FILE_TEST("unipc"),
        FILE_TEST("unipc_karras"),
        FILE_TEST("own_ddim"),
        FILE_TEST("own_ddpm"),
        FILE_TEST("own_pndm"),
        FILE_TEST("own_euler_discrete"),
        FILE_TEST("own_euler_ancestral_discrete"),
        FILE_TEST("own_dpmsolver_multistep"),
        FILE_TEST("own_unipc_multistep"),
        READER("lcm"),
        READER("own_lcm"),
        READER("own_edm_euler"),
        READER("own_edm_dpmsolver_multistep"),
        cmocka_unit_test(test_hostile_files),
        cmocka_unit_test(test_hostile_wishes),
        cmocka_unit_test(test_spacings),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_what_does_not_go_together),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
