/* calotype plan, profile and check: a flow's ops, planned, timed, or compared with their references. */
#include "commands.h"

#include <string.h>

enum { GROUPS = OPTIONS_FLOW | OPTIONS_COMMON };

/* Parses `COMMAND FLOW [options]`. −1: go on; otherwise the exit status. */
static int parse(options *o, const char *command, const char *usage, const char *what, int count, char **words)
{
    if (options_parse(o, command, GROUPS, 1, count, words))
        return 2;
    if (o->help) {
        options_help(usage, what, GROUPS);
        return 0;
    }
    if (!o->words[0] || strcmp(o->words[0], "txt2img") != 0)
        return complain(2, "%s needs a flow: txt2img", command);
    return -1;
}

int command_plan(int count, char **words)
{
    options o;
    session s = { 0 };
    calo_report *report = NULL;
    int status = parse(&o, "plan", "plan txt2img --model PATH [options]",
                       "Memory, FLOPs, bytes and roofline time of a flow; needs no device and reads no weights.", count,
                       words);
    if (status >= 0)
        return status;
    status = session_open(&s, &o, "none");
    if (!status) {
        calo_status planned = calo_plan(s.model, &s.request, &report);
        status = planned ? session_fail(&s, planned) : 0;
    }
    if (report && o.json)
        report_print_json(report, false);
    else if (report)
        report_print(report, false);
    calo_free_report(&report);
    session_close(&s);
    return status;
}

static int run(const char *command, const char *usage, const char *what, bool check, int count, char **words)
{
    options o;
    session s = { 0 };
    calo_report *report = NULL;
    calo_device_record record;
    int status = parse(&o, command, usage, what, count, words);
    if (status >= 0)
        return status;
    progress_begin(o.quiet);
    status = session_open(&s, &o, o.device);
    if (!status && !check && calo_probe(s.context, &record))
        status = session_fail(&s, CALO_EDEVICE);
    if (!status) {
        s.request.profile = !check;
        s.request.check = check;
        s.request.report = &report;
        status = session_generate(&s, &o, NULL);
    }
    if (report && o.json)
        report_print_json(report, !check);
    else if (report && !check)
        report_print(report, true);
    else if (report)
        printf("every op agrees with its reference\n");
    calo_free_report(&report);
    session_close(&s);
    return status;
}

int command_profile(int count, char **words)
{
    return run("profile", "profile txt2img --model PATH --prompt TEXT [options]",
               "Runs a flow, waits for each op, and lists them by time with their share of the device's peak.", false,
               count, words);
}

int command_check(int count, char **words)
{
    return run("check", "check txt2img --model PATH --prompt TEXT [options]",
               "Runs a flow with every op also on its double-precision reference, and names the first that departs.\n"
               "Slow: the references are plain loops.",
               true, count, words);
}
