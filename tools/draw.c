/* calotype txt2img, img2img, inpaint: pictures from a prompt, and from a picture; calotype resume: the rest of a run.
 */
#include "commands.h"

#include <stdlib.h>

int command_draw(options *o)
{
    session s = { 0 };
    int status = session_check(o, o->flow->name);
    if (status)
        return status;
    if (!o->request.prompt)
        return complain(2, "--prompt is missing");
    progress_begin(o->quiet);
    return session_finish(&s, o, session_open(&s, o, o->device));
}

int command_resume(options *o)
{
    session s = { 0 };
    if (!o->words[0])
        return complain(2, "resume needs the file that --suspend wrote: calotype resume STATE --model PATH");
    if (!o->model)
        return complain(2, "--model is missing: the state goes on with the model that it was made with");
    progress_begin(o->quiet);
    int status = session_open(&s, o, o->device);
    if (!status) {
        const calo_status resumed = calo_job_resume(s.model, s.refiner, o->words[0], &s.job);
        status = resumed ? session_fail(&s, resumed) : 0;
    }
    if (!status) { /* what the state says, for names and reports; the pictures' own settings are the job's */
        const calo_request *request = calo_job_request(s.job);
        const int room = (request->steps + 16) * request->count * 2;
        double *step_s = calloc((size_t)room, sizeof *step_s);
        free(s.timing.step_s);
        s.timing.step_s = step_s;
        s.timing.step_room = step_s ? room : 0;
        s.request.count = request->count;
        s.request.seed = request->seed;
        s.request.variation_strength = request->variation_strength;
    }
    return session_finish(&s, o, status);
}
