/* Every scheduler, and compiling one. */
#include "../engine/shim.h"
#include "ddim.h"
#include "ddpm.h"
#include "dpm_solver.h"
#include "edm.h"
#include "euler.h"
#include "lcm.h"
#include "pndm.h"
#include "unipc.h"

#include <math.h>
#include <string.h>

/* The first row of a class serves its class name, with the model's own configuration. */
static const calo_scheduler registry[] = {
    { "ddim", "DDIMScheduler", "DDIM", calo_ddim_defaults, NULL, calo_ddim_compile },
    { "ddpm", "DDPMScheduler", "DDPM", calo_ddpm_defaults, NULL, calo_ddpm_compile },
    { "pndm", "PNDMScheduler", "PLMS", calo_pndm_defaults, calo_pndm_plain, calo_pndm_compile },
    { "euler", "EulerDiscreteScheduler", "Euler", calo_euler_defaults, NULL, calo_euler_compile },
    { "euler_a", "EulerAncestralDiscreteScheduler", "Euler a", calo_euler_defaults, NULL, calo_euler_ancestral_compile },
    { "dpmpp_2m", "DPMSolverMultistepScheduler", "DPM++ 2M", calo_dpm_solver_defaults, calo_dpm_solver_plain,
      calo_dpm_solver_compile },
    { "dpmpp_2m_karras", "DPMSolverMultistepScheduler", "DPM++ 2M Karras", calo_dpm_solver_defaults,
      calo_dpm_solver_karras, calo_dpm_solver_compile },
    { "unipc", "UniPCMultistepScheduler", "UniPC", calo_unipc_defaults, calo_unipc_plain, calo_unipc_compile },
    { "unipc_karras", "UniPCMultistepScheduler", "UniPC Karras", calo_unipc_defaults, calo_unipc_karras,
      calo_unipc_compile },
    { "lcm", "LCMScheduler", "LCM", calo_lcm_defaults, NULL, calo_lcm_compile },
    { "edm_euler", "EDMEulerScheduler", "EDM Euler", calo_edm_defaults, NULL, calo_edm_euler_compile },
    { "edm_dpmpp_2m", "EDMDPMSolverMultistepScheduler", "EDM DPM++ 2M", calo_edm_defaults, NULL,
      calo_edm_solver_compile },
};
enum { COUNT = sizeof registry / sizeof *registry, SURPLUS = 9 /* calls that PNDM makes over `steps`, at most */ };

const calo_scheduler *calo_scheduler_at(int i)
{
    return i >= 0 && i < COUNT ? &registry[i] : NULL;
}

const calo_scheduler *calo_scheduler_find(const char *name)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(registry[i].name, name) == 0)
            return &registry[i];
    return NULL;
}

const calo_scheduler *calo_scheduler_of_class(const char *class)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(registry[i].class, class) == 0)
            return &registry[i];
    return NULL;
}

/* Whether the device's float32 holds it. */
static bool fits(double value)
{
    return fabs(value) <= 1e30;
}

/* Marks what is used; false when a number is not finite. */
static bool finish(calo_program *program)
{
    program->registers_used = 1u << CALO_REGISTER_X | 1u << CALO_REGISTER_E;
    if (!fits(program->initial_noise_scale))
        return false;
    for (int i = 0; i < program->step_count; i++) {
        const calo_step *step = &program->steps[i];
        if (step->draws_noise)
            program->registers_used |= 1u << CALO_REGISTER_Z;
        if (!fits(step->timestep) || !fits(step->input_scale) || !fits(step->clean.x) || !fits(step->clean.e))
            return false;
        for (int k = 0; k < step->row_count; k++) {
            program->registers_used |= 1u << step->rows[k].target;
            for (int r = 0; r < CALO_REGISTERS; r++)
                if (!fits(step->rows[k].coefficients[r]))
                    return false;
                else if (step->rows[k].coefficients[r] != 0)
                    program->registers_used |= 1u << r;
        }
    }
    return true;
}

calo_status calo_scheduler_compile(const calo_scheduler *scheduler, const calo_schedule_config *config, int steps,
                                   calo_program **program, calo_fault *fault)
{
    *program = NULL;
    if (steps < 1 || steps > CALO_MAX_STEPS || steps > config->num_train_timesteps)
        return calo_fail(fault, CALO_EUSAGE, "%s: %d steps; there may be 1 … %d", scheduler->name, steps,
                         config->num_train_timesteps < CALO_MAX_STEPS ? config->num_train_timesteps : CALO_MAX_STEPS);
    if (config->beta_schedule >= CALO_BETA_LAPLACE && scheduler->compile != calo_ddpm_compile)
        return calo_fail(fault, CALO_EUSAGE, "%s: the beta_schedule is one that only DDPMScheduler has", scheduler->name);
    if (config->begin > 0 && scheduler->compile == calo_pndm_compile && config->prk_steps)
        return calo_fail(fault, CALO_EUSAGE, "%s without skip_prk_steps cannot begin in the middle of its schedule; choose "
                         "another --scheduler", scheduler->name);
    calo_program *made = calo_alloc(1, sizeof *made);
    if (made)
        made->steps = calo_alloc((size_t)steps + SURPLUS, sizeof *made->steps);
    if (!made || !made->steps) {
        calo_program_free(&made);
        return calo_fail(fault, CALO_EMEMORY, "no host memory for a schedule of %d steps", steps);
    }
    made->step_count = steps;
    made->initial_noise_scale = 1;
    for (int i = 0; i < steps + SURPLUS; i++)
        made->steps[i].input_scale = 1;
    calo_status status = scheduler->compile(config, steps, made, fault);
    if (!status && !finish(made))
        status = calo_fail(fault, CALO_EUSAGE,
                           "%s: %d steps with this configuration divide by zero (as zero terminal SNR does with the "
                           "prediction epsilon)",
                           scheduler->name, steps);
    if (status)
        calo_program_free(&made);
    *program = made;
    return status;
}

void calo_program_free(calo_program **program)
{
    if (!*program)
        return;
    calo_free((*program)->steps);
    calo_free(*program);
    *program = NULL;
}

void calo_program_cut(calo_program *program, int begin, int end)
{
    memmove(program->steps, program->steps + begin, (size_t)(end - begin) * sizeof *program->steps);
    program->step_count = end - begin;
    if (begin > 0)
        program->initial_noise_scale = 1;
}
