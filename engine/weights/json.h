/* Typed access to a JSON object from a file: every complaint names the file and the field. An absent field and null are
   the same: the default stays. Like a run, a reader carries its first error. */
#ifndef CALO_JSON_H
#define CALO_JSON_H

#include "../fault.h"

#include <cjson/cJSON.h>
#include <stdint.h>

typedef struct calo_json {
    cJSON *root;      /* an object; NULL: nothing is read, every default stays */
    const char *path; /* for sentences; belongs to the caller */
    calo_fault *fault;
} calo_json;

/* Reads a file of at most 64 MiB. CALO_EFILE when it is missing, no JSON, nested deeper than 64, or no object. */
calo_status calo_json_open(const char *path, calo_json *json, calo_fault *fault);
calo_status calo_json_parse(const char *text, const char *path, calo_json *json, calo_fault *fault);
void calo_json_close(calo_json *json);

bool calo_json_has(const calo_json *json, const char *field); /* present and not null */
/* Range ends are included. */
void calo_json_int(const calo_json *json, const char *field, int least, int most, int *value);
void calo_json_double(const calo_json *json, const char *field, double *value); /* finite */
void calo_json_bool(const calo_json *json, const char *field, bool *value);
void calo_json_string(const calo_json *json, const char *field, const char **value); /* lives as long as the JSON */
/* A number that stands for `count` equal ones, or a list of exactly `count`. */
void calo_json_ints(const calo_json *json, const char *field, int count, int least, int most, int *values);
/* A list of 1 … `limit` numbers. */
void calo_json_list(const calo_json *json, const char *field, int limit, int least, int most, int *values, int *count);
/* The field must be absent or be what the engine does; otherwise CALO_EFILE says that it is not supported. */
void calo_json_expect_bool(const calo_json *json, const char *field, bool wanted);
void calo_json_expect_null(const calo_json *json, const char *field);
void calo_json_expect_string(const calo_json *json, const char *field, const char *wanted);
void calo_json_expect_number(const calo_json *json, const char *field, double wanted);

#endif
