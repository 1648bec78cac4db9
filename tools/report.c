/* Tables of ops, for people and as JSON. */
#include "commands.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

static int by_seconds(const void *a, const void *b)
{
    const calo_report_row *x = a, *y = b;
    return x->seconds < y->seconds ? 1 : x->seconds > y->seconds ? -1 : 0;
}

static int by_roofline(const void *a, const void *b)
{
    const calo_report_row *x = a, *y = b;
    return x->roofline_s < y->roofline_s ? 1 : x->roofline_s > y->roofline_s ? -1 : 0;
}

void report_print(const calo_report *report, bool measured)
{
    double flops = 0, bytes = 0, roofline = 0, seconds = 0;
    qsort(report->rows, (size_t)report->row_count, sizeof *report->rows, measured ? by_seconds : by_roofline);
    printf("%-12s %-11s %-12s %6s %10s %9s", "part", "op", "variant", "calls", "GFLOP", "MB");
    printf(measured ? " %9s %6s %6s  shape\n" : " %9s  shape\n", measured ? "ms" : "floor ms", "time", "peak");
    for (int i = 0; i < report->row_count; i++) {
        const calo_report_row *r = &report->rows[i];
        flops += r->flops;
        bytes += r->bytes;
        roofline += r->roofline_s;
        seconds += r->seconds;
    }
    for (int i = 0; i < report->row_count; i++) {
        const calo_report_row *r = &report->rows[i];
        printf("%-12s %-11s %-12s %6lld %10.2f %9.1f", r->part, r->op, r->variant, (long long)r->calls, r->flops / 1e9,
               r->bytes / 1e6);
        if (measured)
            printf(" %9.2f %5.1f%% %5.1f%%  %s\n", r->seconds * 1e3, 100 * r->seconds / seconds,
                   100 * r->roofline_s / r->seconds, r->shape);
        else
            printf(" %9.2f  %s\n", r->roofline_s * 1e3, r->shape);
    }
    printf("\nFLOPs   %.3f T\ntraffic %.2f GB\nmemory  %.3f GB on the device: weights %.3f, activations %.3f\n", flops / 1e12,
           bytes / 1e9, (double)(report->weight_bytes + report->activation_bytes) / 1e9,
           (double)report->weight_bytes / 1e9, (double)report->activation_bytes / 1e9);
    if (report->takes_turns)
        printf("        the model's parts take turns: they do not fit at once\n");
    printf("floor   %.2f s at %.0f GFLOP/s (f32; tensor cores go below it) and %.1f GB/s\n", roofline, report->peak_flops / 1e9,
           report->peak_bandwidth / 1e9);
    if (measured)
        printf("time    %.2f s, %.1f%% of the roofline\n", seconds, 100 * roofline / seconds);
}

void report_print_json(const calo_report *report, bool measured)
{
    cJSON *object = cJSON_CreateObject(), *rows = cJSON_AddArrayToObject(object, "ops");
    double flops = 0, bytes = 0, roofline = 0, seconds = 0;
    for (int i = 0; i < report->row_count; i++) {
        const calo_report_row *r = &report->rows[i];
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "part", r->part);
        cJSON_AddStringToObject(row, "op", r->op);
        cJSON_AddStringToObject(row, "variant", r->variant);
        cJSON_AddStringToObject(row, "shape", r->shape);
        cJSON_AddNumberToObject(row, "calls", (double)r->calls);
        cJSON_AddNumberToObject(row, "flops", r->flops);
        cJSON_AddNumberToObject(row, "bytes", r->bytes);
        cJSON_AddNumberToObject(row, "roofline_s", r->roofline_s);
        if (measured)
            cJSON_AddNumberToObject(row, "seconds", r->seconds);
        cJSON_AddItemToArray(rows, row);
        flops += r->flops;
        bytes += r->bytes;
        roofline += r->roofline_s;
        seconds += r->seconds;
    }
    cJSON_AddNumberToObject(object, "flops", flops);
    cJSON_AddNumberToObject(object, "bytes", bytes);
    cJSON_AddNumberToObject(object, "roofline_s", roofline);
    if (measured)
        cJSON_AddNumberToObject(object, "seconds", seconds);
    cJSON_AddNumberToObject(object, "weight_bytes", (double)report->weight_bytes);
    cJSON_AddNumberToObject(object, "activation_bytes", (double)report->activation_bytes);
    cJSON_AddNumberToObject(object, "peak_device_bytes", (double)(report->weight_bytes + report->activation_bytes));
    cJSON_AddBoolToObject(object, "takes_turns", report->takes_turns);
    cJSON_AddNumberToObject(object, "peak_flops", report->peak_flops);
    cJSON_AddNumberToObject(object, "peak_bandwidth", report->peak_bandwidth);
    char *text = cJSON_Print(object);
    if (text)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}
