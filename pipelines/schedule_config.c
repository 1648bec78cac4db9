/* Reading scheduler_config.json. A setting that would change the numbers and is not known is an error. */
#include "schedule_config.h"
#include "../engine/shim.h"
#include "../engine/weights/json.h"

#include <string.h>

typedef struct word {
    const char *text;
    int value;
} word;

/* The field's text as one of the words; others are an error. */
static void read_word(const calo_json *json, const char *field, const word *words, int count, int *value)
{
    const char *text = NULL;
    calo_json_string(json, field, &text);
    if (!text)
        return;
    for (int i = 0; i < count; i++)
        if (strcmp(text, words[i].text) == 0) {
            *value = words[i].value;
            return;
        }
    calo_fail(json->fault, CALO_EFILE, "%s: %s '%s' is not supported", json->path, field, text);
}

static const word predictions[] = { { "epsilon", CALO_PREDICTION_EPSILON }, { "v_prediction", CALO_PREDICTION_V },
                                    { "v", CALO_PREDICTION_V },             { "sample", CALO_PREDICTION_SAMPLE } };
static const word spacings[] = { { "leading", CALO_LEADING }, { "linspace", CALO_LINSPACE }, { "trailing", CALO_TRAILING } };
static const word beta_schedules[] = { { "linear", CALO_BETA_LINEAR }, { "scaled_linear", CALO_BETA_SCALED_LINEAR },
                                       { "squaredcos_cap_v2", CALO_BETA_COSINE },
                                       { "laplace", CALO_BETA_LAPLACE }, { "sigmoid", CALO_BETA_SIGMOID } };
static const word final_sigmas[] = { { "zero", CALO_FINAL_ZERO }, { "sigma_min", CALO_FINAL_SIGMA_MIN } };
static const word variances[] = { { "fixed_small", CALO_FIXED_SMALL }, { "fixed_small_log", CALO_FIXED_SMALL },
                                  { "fixed_large", CALO_FIXED_LARGE } };
static const word algorithms[] = { { "dpmsolver++", CALO_DPMSOLVER_PLUS }, { "dpmsolver", CALO_DPMSOLVER },
                                   { "sde-dpmsolver++", CALO_SDE_DPMSOLVER_PLUS },
                                   { "sde-dpmsolver", CALO_SDE_DPMSOLVER } };
static const word sigma_schedules[] = { { "karras", 0 }, { "exponential", 1 } };
static const word timestep_types[] = { { "discrete", 0 }, { "continuous", 1 } };
static const word interpolations[] = { { "linear", 0 }, { "log_linear", 1 } };
/* Each multistep class takes the other's solver types for its own default. */
static const word dpm_solvers[] = { { "midpoint", 0 }, { "heun", 1 }, { "logrho", 0 }, { "bh1", 0 }, { "bh2", 0 } };
static const word unipc_solvers[] = { { "bh2", 0 }, { "bh1", 1 }, { "midpoint", 0 }, { "heun", 0 }, { "logrho", 0 } };

#define COUNT(table) ((int)(sizeof(table) / sizeof *(table)))
#define READ_WORD(json, field, table, target)                                                                          \
    do {                                                                                                               \
        int chosen = (int)(target);                                                                                    \
        read_word(json, field, table, COUNT(table), &chosen);                                                          \
        (target) = chosen;                                                                                             \
    } while (0)

static void read_trained_betas(const calo_json *json, calo_schedule_choice *choice)
{
    const cJSON *list = json->root ? cJSON_GetObjectItemCaseSensitive(json->root, "trained_betas") : NULL, *each;
    int count = 0;
    if (!list || cJSON_IsNull(list))
        return;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != choice->config.num_train_timesteps) {
        calo_fail(json->fault, CALO_EFILE, "%s: trained_betas must be a list of num_train_timesteps numbers", json->path);
        return;
    }
    choice->trained_betas = calo_alloc((size_t)choice->config.num_train_timesteps, sizeof *choice->trained_betas);
    if (!choice->trained_betas) {
        calo_fail(json->fault, CALO_EMEMORY, "%s: no host memory for trained_betas", json->path);
        return;
    }
    cJSON_ArrayForEach(each, list)
    {
        if (!cJSON_IsNumber(each) || !(each->valuedouble >= 0 && each->valuedouble < 1))
            calo_fail(json->fault, CALO_EFILE, "%s: trained_betas[%d] must be a number in 0 … 1", json->path, count);
        choice->trained_betas[count++] = each->valuedouble;
    }
    choice->config.trained_betas = choice->trained_betas;
}

static void read_disabled(const calo_json *json, calo_schedule_choice *choice)
{
    const cJSON *list = json->root ? cJSON_GetObjectItemCaseSensitive(json->root, "disable_corrector") : NULL;
    if (cJSON_IsArray(list) && !list->child)
        return;
    calo_json_list(json, "disable_corrector", CALO_MAX_STEPS, 0, CALO_MAX_STEPS, choice->disabled,
                   &choice->config.disable_corrector_count);
    choice->config.disable_corrector = choice->disabled;
}

static void read_edm(const calo_json *json, calo_schedule_config *c)
{
    calo_json_double(json, "sigma_min", &c->sigma_min);
    calo_json_double(json, "sigma_max", &c->sigma_max);
    calo_json_double(json, "sigma_data", &c->sigma_data);
    calo_json_double(json, "rho", &c->rho);
    READ_WORD(json, "sigma_schedule", sigma_schedules, c->exponential_sigmas);
    READ_WORD(json, "final_sigmas_type", final_sigmas, c->final_sigmas_type);
    READ_WORD(json, "algorithm_type", algorithms, c->algorithm_type);
    READ_WORD(json, "solver_type", dpm_solvers, c->heun);
    calo_json_int(json, "solver_order", 1, 3, &c->solver_order);
    calo_json_bool(json, "lower_order_final", &c->lower_order_final);
    calo_json_bool(json, "euler_at_final", &c->euler_at_final);
}

static void read_config(const calo_json *json, calo_schedule_choice *choice)
{
    calo_schedule_config *c = &choice->config;
    const bool unipc = strcmp(choice->scheduler->class, "UniPCMultistepScheduler") == 0;
    const bool dpm = strcmp(choice->scheduler->class, "DPMSolverMultistepScheduler") == 0;
    calo_json_int(json, "num_train_timesteps", 1, 1000000, &c->num_train_timesteps);
    calo_json_int(json, "steps_offset", 0, 1000, &c->steps_offset);
    calo_json_double(json, "beta_start", &c->beta_start);
    calo_json_double(json, "beta_end", &c->beta_end);
    READ_WORD(json, "beta_schedule", beta_schedules, c->beta_schedule);
    READ_WORD(json, "prediction_type", predictions, c->prediction_type);
    READ_WORD(json, "timestep_spacing", spacings, c->timestep_spacing);
    read_trained_betas(json, choice);
    calo_json_bool(json, "rescale_betas_zero_snr", &c->rescale_betas_zero_snr);
    calo_json_bool(json, "set_alpha_to_one", &c->set_alpha_to_one);
    calo_json_expect_bool(json, "thresholding", false);
    /* Some fields mean something to some classes only; the others never look at them. */
    const bool lcm = strcmp(choice->scheduler->class, "LCMScheduler") == 0;
    if (strncmp(choice->scheduler->class, "DD", 2) == 0 || lcm) {
        calo_json_bool(json, "clip_sample", &c->clip_sample);
        calo_json_double(json, "clip_sample_range", &c->clip_sample_range);
    }
    if (strcmp(choice->scheduler->class, "DDPMScheduler") == 0)
        READ_WORD(json, "variance_type", variances, c->variance_type);
    if (strcmp(choice->scheduler->class, "EulerDiscreteScheduler") == 0) {
        READ_WORD(json, "interpolation_type", interpolations, c->log_linear_interpolation);
        READ_WORD(json, "timestep_type", timestep_types, c->continuous_timesteps);
    }
    if (unipc || dpm || strcmp(choice->scheduler->class, "EulerDiscreteScheduler") == 0) {
        READ_WORD(json, "final_sigmas_type", final_sigmas, c->final_sigmas_type);
        calo_json_bool(json, "use_karras_sigmas", &c->use_karras_sigmas);
        calo_json_expect_bool(json, "use_exponential_sigmas", false);
        calo_json_expect_bool(json, "use_beta_sigmas", false);
        if (!dpm) {
            calo_json_double(json, "sigma_min", &c->sigma_min);
            calo_json_double(json, "sigma_max", &c->sigma_max);
        }
    }
    if (unipc || dpm) {
        calo_json_int(json, "solver_order", 1, 3, &c->solver_order);
        calo_json_bool(json, "lower_order_final", &c->lower_order_final);
        calo_json_expect_bool(json, "use_flow_sigmas", false);
    }
    if (dpm) {
        calo_json_bool(json, "euler_at_final", &c->euler_at_final);
        READ_WORD(json, "algorithm_type", algorithms, c->algorithm_type);
        calo_json_expect_bool(json, "use_lu_lambdas", false);
        READ_WORD(json, "solver_type", dpm_solvers, c->heun);
        /* −∞, the default, has no number in JSON: diffusers writes the word -Infinity, which cJSON refuses, or null. */
        calo_json_double(json, "lambda_min_clipped", &c->lambda_min_clipped);
    }
    if (lcm) {
        calo_json_int(json, "original_inference_steps", 1, 1000000, &c->original_inference_steps);
        calo_json_double(json, "timestep_scaling", &c->timestep_scaling);
    }
    if (strncmp(choice->scheduler->class, "EDM", 3) == 0)
        read_edm(json, c);
    if (unipc) {
        READ_WORD(json, "solver_type", unipc_solvers, c->bh1);
        bool predicts_clean = true;
        calo_json_bool(json, "predict_x0", &predicts_clean);
        c->predict_noise = !predicts_clean;
        read_disabled(json, choice);
    }
}

static void check_config(const calo_json *json, const calo_schedule_config *c)
{
    if (!(c->beta_start >= 0 && c->beta_start < 1 && c->beta_end >= 0 && c->beta_end < 1))
        calo_fail(json->fault, CALO_EFILE, "%s: beta_start and beta_end must be in 0 … 1", json->path);
    if (!(c->clip_sample_range > 0))
        calo_fail(json->fault, CALO_EFILE, "%s: clip_sample_range must be positive", json->path);
    if (!(c->sigma_min >= 0 && c->sigma_max >= 0))
        calo_fail(json->fault, CALO_EFILE, "%s: sigma_min and sigma_max must be positive", json->path);
}

/* The request's own words, over everything. */
static calo_status apply_wish(const calo_schedule_wish *wish, calo_schedule_config *config, calo_fault *fault)
{
    const struct {
        const char *text, *option;
        const word *words;
        int count;
    } wishes[] = { { wish->spacing, "--spacing", spacings, COUNT(spacings) },
                   { wish->prediction, "--prediction", predictions, COUNT(predictions) } };
    for (int i = 0; i < 2; i++) {
        if (!wishes[i].text)
            continue;
        int found = -1;
        for (int k = 0; k < wishes[i].count; k++)
            if (strcmp(wishes[i].words[k].text, wishes[i].text) == 0)
                found = wishes[i].words[k].value;
        if (found < 0)
            return calo_fail(fault, CALO_EUSAGE, "%s '%s' is not known", wishes[i].option, wishes[i].text);
        if (i == 0)
            config->timestep_spacing = (calo_spacing)found;
        else
            config->prediction_type = (calo_prediction)found;
    }
    if (!(wish->eta >= 0 && wish->eta <= 1))
        return calo_fail(fault, CALO_EUSAGE, "eta must be 0 … 1, not %g", wish->eta);
    config->eta = wish->eta;
    if (wish->zero_snr)
        config->rescale_betas_zero_snr = true;
    return CALO_OK;
}

calo_status calo_schedule_choose(const char *class, const char *json_text, const char *path,
                                 const calo_schedule_wish *wish, calo_schedule_choice *choice, calo_fault *fault)
{
    calo_json json;
    memset(choice, 0, sizeof *choice);
    choice->scheduler = wish->scheduler ? calo_scheduler_find(wish->scheduler) : calo_scheduler_of_class(class);
    if (!choice->scheduler && wish->scheduler)
        return calo_fail(fault, CALO_EUSAGE,
                         "--scheduler '%s' is not known: ddim, ddpm, pndm, euler, euler_a, dpmpp_2m, dpmpp_2m_karras, "
                         "unipc, unipc_karras or lcm",
                         wish->scheduler);
    if (!choice->scheduler)
        return calo_fail(fault, CALO_EFILE, "%s: the scheduler class %s is not supported; choose one with --scheduler",
                         path, class);
    calo_status status = calo_json_parse(json_text, path, &json, fault);
    if (status)
        return status;
    choice->config = (calo_schedule_config){ .num_train_timesteps = 1000, .beta_start = 0.0001, .beta_end = 0.02,
                                             .clip_sample_range = 1, .solver_order = 2 };
    choice->scheduler->defaults(&choice->config);
    read_config(&json, choice);
    check_config(&json, &choice->config);
    if (wish->scheduler && choice->scheduler->overrides)
        choice->scheduler->overrides(&choice->config);
    if (!wish->scheduler && wish->pipeline <= CALO_PIPELINE_SD_INPAINT)
        choice->config.steps_offset = 1;
    if (!wish->scheduler && wish->pipeline == CALO_PIPELINE_SD)
        choice->config.clip_sample = false;
    if (strcmp(choice->scheduler->class, "PNDMScheduler") == 0 && !wish->scheduler) {
        bool skip = false;
        calo_json_bool(&json, "skip_prk_steps", &skip);
        choice->config.prk_steps = !skip && wish->pipeline != CALO_PIPELINE_SD_INPAINT;
    }
    calo_json_close(&json);
    if (!fault->status)
        apply_wish(wish, &choice->config, fault);
    if (fault->status)
        calo_schedule_choice_free(choice);
    return fault->status;
}

void calo_schedule_choice_free(calo_schedule_choice *choice)
{
    calo_free(choice->trained_betas);
    memset(choice, 0, sizeof *choice);
}
