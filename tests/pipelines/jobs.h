/* What the tests of jobs share: models, requests, pictures and their hashes. Everything asserts that it succeeds. */
#ifndef JOBS_H
#define JOBS_H

#include "../../engine/calotype.h"

enum { DEMO, XL, REFINER, NINE, EDM, MODELS, NONE = -1 }; /* NINE: channels, of an inpainting model */
enum { MOST = 32 };                                       /* calls of one picture in these tests, and pictures */

extern calo_context *context;
extern calo_image *house, *mask; /* 64 × 64 */
extern char model_paths[MODELS][1100];

extern const char *const schedulers[];
enum { SCHEDULERS = 12 };

/* From the words CALOTYPE MODEL WORK WRITE_MODEL GOLDEN of a test; `makes` writes the models that are not the demo's,
 * which another process may have done. */
int jobs_open(char **words, int makes);
void jobs_close(void);

#define OK(call) expect_ok(call, #call, __LINE__)
void expect_ok(calo_status status, const char *call, int line);
#define REFUSED(call, status, word) expect_refused(call, status, word, __LINE__)
void expect_refused(calo_status found, calo_status status, const char *word, int line);

/* Loaded once, in f32. NULL for NONE. */
calo_model *model_at(int number);
/* The model that knows the scheduler's sigmas. */
int model_of(const char *scheduler);
calo_request small(const char *scheduler, int steps); /* 64 × 64 */
/* FNV-1a of the pictures' pixels and texts, which are freed. */
unsigned long long hash_images(calo_image **images, int count);
/* Finishes and closes the job. */
unsigned long long finish(calo_job **job);
unsigned long long whole(calo_model *model, const calo_request *request);
/* So many steps; returns how many are left. */
int advance(calo_job *job, int steps);

#endif
