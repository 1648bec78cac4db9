/* calotype plan, profile and check: a flow's ops, planned, timed, or compared with their references. */
#include "commands.h"

#include <string.h>

int command_plan(options *o)
{
    session s = { 0 };
    calo_report *report = NULL;
    int status = session_check(o, o->flow->name);
    if (status)
        return status;
    status = session_open(&s, o, "none");
    if (!status) {
        calo_status planned = calo_plan(s.model, &s.request, &report);
        status = planned ? session_fail(&s, planned) : 0;
    }
    if (report && o->json)
        report_print_json(report, false);
    else if (report)
        report_print(report, false);
    calo_free_report(&report);
    session_close(&s);
    return status;
}

static int run(const options *o, bool check)
{
    session s = { 0 };
    calo_report *report = NULL;
    calo_device_record record;
    int status = session_check(o, o->flow->name);
    if (status)
        return status;
    progress_begin(o->quiet);
    status = session_open(&s, o, o->device);
    if (!status && !check && calo_probe(s.context, &record))
        status = session_fail(&s, CALO_EDEVICE);
    if (!status) {
        s.request.profile = !check;
        s.request.check = check;
        s.request.report = &report;
        status = session_generate(&s, o, NULL);
    }
    if (report && o->json)
        report_print_json(report, !check);
    else if (report && !check)
        report_print(report, true);
    else if (report)
        printf("every op agrees with its reference\n");
    calo_free_report(&report);
    session_close(&s);
    return status;
}

int command_profile(options *o)
{
    return run(o, false);
}

int command_check(options *o)
{
    return run(o, true);
}
