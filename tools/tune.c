/* calotype tune: the fastest kernel for each call of a flow, found and kept. */
#include "commands.h"

#include <cjson/cJSON.h>

/* Seconds of one picture's calls, by the standard kernels or by the winners. */
static double sum(const calo_tune_report *report, bool standard)
{
    double seconds = 0;
    for (int i = 0; i < report->row_count; i++)
        seconds += (double)report->rows[i].calls * (standard ? report->rows[i].standard_s : report->rows[i].winner_s);
    return seconds;
}

static void print(const calo_tune_report *report)
{
    int changed = 0;
    printf("%-11s %6s  %-26s %10s  %-26s %10s %7s  shape\n", "op", "calls", "standard", "us", "winner", "us", "gain");
    for (int i = 0; i < report->row_count; i++) {
        const calo_tune_row *r = &report->rows[i];
        const bool same = r->winner_s == r->standard_s;
        changed += !same;
        printf("%-11s %6lld  %-26s %10.1f  ", r->op, (long long)r->calls, r->standard, r->standard_s * 1e6);
        if (same)
            printf("%-26s %10s %7s  %s\n", "the same", "", "", r->shape);
        else
            printf("%-26s %10.1f %6.1f%%  %s\n", r->winner, r->winner_s * 1e6, 100 * (1 - r->winner_s / r->standard_s),
                   r->shape);
    }
    printf("\nwinners %d of %d calls have another kernel than the standard one; %d more have no choice\n", changed,
           report->row_count, report->single);
    printf("time    %.3f s of these calls in a picture with the standard kernels, %.3f s with the winners\n",
           sum(report, true), sum(report, false));
    printf("peak    %.0f GFLOP/s and %.1f GB/s before, %.0f and %.1f after\n", report->peak_flops[0] / 1e9,
           report->peak_bandwidth[0] / 1e9, report->peak_flops[1] / 1e9, report->peak_bandwidth[1] / 1e9);
    if (report->peak_flops[1] < 0.9 * report->peak_flops[0] || report->peak_flops[0] < 0.9 * report->peak_flops[1])
        printf("        the peak moved: clocks changed or other work ran meanwhile, so small gains may be none\n");
    printf("file    %s\n", *report->path ? report->path : "none");
}

static void print_json(const calo_tune_report *report, const calo_device_record *device)
{
    cJSON *object = cJSON_CreateObject(), *rows;
    cJSON_AddStringToObject(object, "device", device->name);
    cJSON_AddStringToObject(object, "driver", device->driver);
    rows = cJSON_AddArrayToObject(object, "calls");
    for (int i = 0; i < report->row_count; i++) {
        const calo_tune_row *r = &report->rows[i];
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "op", r->op);
        cJSON_AddStringToObject(row, "shape", r->shape);
        cJSON_AddNumberToObject(row, "calls", (double)r->calls);
        cJSON_AddNumberToObject(row, "candidates", r->candidates);
        cJSON_AddStringToObject(row, "standard", r->standard);
        cJSON_AddNumberToObject(row, "standard_s", r->standard_s);
        cJSON_AddStringToObject(row, "winner", r->winner);
        cJSON_AddNumberToObject(row, "winner_s", r->winner_s);
        cJSON_AddItemToArray(rows, row);
    }
    cJSON_AddNumberToObject(object, "single", report->single);
    cJSON_AddNumberToObject(object, "standard_s", sum(report, true));
    cJSON_AddNumberToObject(object, "winner_s", sum(report, false));
    cJSON_AddItemToObject(object, "peak_flops", cJSON_CreateDoubleArray(report->peak_flops, 2));
    cJSON_AddItemToObject(object, "peak_bandwidth", cJSON_CreateDoubleArray(report->peak_bandwidth, 2));
    cJSON_AddItemToObject(object, "file", *report->path ? cJSON_CreateString(report->path) : cJSON_CreateNull());
    char *text = cJSON_Print(object);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}

int command_tune(options *o)
{
    session s = { 0 };
    calo_tune_options tune_options = CALO_TUNE_OPTIONS_INIT;
    calo_tune_report *report = NULL;
    calo_device_record device;
    int status = session_check(o, o->flow->name);
    if (status)
        return status;
    progress_begin(o->quiet);
    tune_options.on_call = progress_call;
    status = session_open(&s, o, o->device);
    if (!status) {
        const calo_status tuned = calo_tune(s.model, &s.request, &tune_options, &report);
        progress_end();
        status = tuned ? session_fail(&s, tuned) : 0;
    }
    if (report && o->json && !calo_context_device(s.context, &device))
        print_json(report, &device);
    else if (report)
        print(report);
    calo_free_tune_report(&report);
    session_close(&s);
    return status;
}
