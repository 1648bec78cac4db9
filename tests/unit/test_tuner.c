/* What calls are known by, what a plan takes down of them, and which candidate wins. Times come from a clock of the
   test's own. */
#include "allocations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tuning_calls.h"

static calo_device *device;

/* ---- calls ------------------------------------------------------------------------------------------------------ */

static void keys_say_what_a_call_is(void **state)
{
    (void)state;
    const calo_activation plain = CALO_LINEAR, silu = CALO_SILU;
    char a[CALO_KEY_TEXT], b[CALO_KEY_TEXT];
    calo_call call = product(7, &plain);
    assert_string_equal(calo_call_key(&call, a), "linear f32:2x7x16 f16p:48x16 f32:48 > f32:2x7x48 : 0");
    calo_call other = call;
    other.args = &silu;
    assert_string_not_equal(a, calo_call_key(&other, b));
    other = call;
    other.in[CALO_SLOT_X].stride = 32;
    assert_string_equal(calo_call_key(&other, b), "linear f32:2x7x16/32 f16p:48x16 f32:48 > f32:2x7x48 : 0");
    other = call;
    other.in[CALO_SLOT_WEIGHT].by_output = true;
    other.in[CALO_SLOT_BIAS] = (calo_tensor){ 0 };
    other.in[CALO_SLOT_RESIDUAL] = other.out;
    assert_string_equal(calo_call_key(&other, b), "linear f32:2x7x16 f16pt:48x16 - - f32:2x7x48 > f32:2x7x48 : 0");
    assert_ptr_equal(calo_key_op(b), &calo_op_linear);
    assert_null(calo_key_op("line f32"));
    assert_null(calo_key_op("linearly f32"));
    assert_null(calo_key_op(""));

    /* The largest call fits. */
    for (int i = 0; i < CALO_MAX_INPUTS; i++) {
        call.in[i] = calo_shape(CALO_BF16, 4, (int64_t[]){ INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX });
        call.in[i].layout = CALO_PANELS;
        call.in[i].by_output = true;
        call.in[i].stride = INT64_MAX;
    }
    call.out = call.in[0];
    assert_true(strlen(calo_call_key(&call, a)) < CALO_KEY_TEXT - 2);
    assert_string_equal(a + strlen(a) - 4, " : 0");
}

static void lessons_know_each_call_once(void **state)
{
    (void)state;
    const calo_activation plain = CALO_LINEAR;
    calo_lesson lesson = { 0 };
    for (int i = 0; i < 300; i++) {
        calo_call call = product(1 + i % 100, &plain);
        calo_lesson_note(&lesson, &call);
    }
    assert_int_equal(lesson.count, 100);
    assert_int_equal(lesson.calls[99]->uses, 3);
    assert_int_equal(*(const calo_activation *)lesson.calls[5]->call.args, CALO_LINEAR);
    assert_false(lesson.incomplete);
    calo_lesson_free(&lesson);
    for (int i = 0; i < calo_op_count; i++)
        assert_true(calo_ops[i]->args_size <= CALO_ARGS_ROOM);
    for (int failing = 0; failing < 3; failing++) { /* the list, the call, its key */
        calo_call call = product(3, &plain);
        allocations_left = failing;
        calo_lesson_note(&lesson, &call);
        assert_true(lesson.incomplete || failing == 2);
        allocations_left = -1;
        calo_lesson_free(&lesson);
    }
}

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

static void a_gain_within_the_noise_is_none(void **state)
{
    (void)state;
    enum { ROUNDS = 8 };
    calo_candidate c[3] = { { .seconds = 1 }, { .seconds = 0.975 }, { .seconds = 2 } };
    for (int r = 0; r < ROUNDS; r++) {
        c[0].turns[r] = 1;
        c[1].turns[r] = 0.9;
        c[2].turns[r] = 0.1;
    }
    assert_int_equal(calo_tuner_pick(c, 3, ROUNDS), 0); /* 2.5 % */
    c[1].seconds = 0.96;
    assert_int_equal(calo_tuner_pick(c, 3, ROUNDS), 1);
    c[1].turns[0] = c[1].turns[1] = 1.5; /* six rounds of eight */
    assert_int_equal(calo_tuner_pick(c, 3, ROUNDS), 1);
    c[1].turns[2] = 1.5;
    assert_int_equal(calo_tuner_pick(c, 3, ROUNDS), 0);
    c[2].seconds = 0.1;
    assert_int_equal(calo_tuner_pick(c, 3, ROUNDS), 2);
    c[2].out = true;
    assert_int_equal(calo_tuner_pick(c, 3, ROUNDS), 0);
    assert_int_equal(calo_tuner_pick(c, 1, ROUNDS), 0);
}

/* Every launch takes as long as the test says its variant does. */
typedef struct script {
    const char *fast; /* "row" */
    int value;        /* of its first tunable; 0: any */
    double gain, time;
} script;

static double scripted(void *user, const calo_candidate *running)
{
    script *s = user;
    const bool fast = strcmp(running->variant->name, s->fast) == 0 && (!s->value || running->values[0] == s->value);
    s->time += running->launches * 1e-3 * (fast ? 1 - s->gain : 1);
    return s->time;
}

static void the_fastest_wins(void **state)
{
    (void)state;
    static const script scripts[] = { { "row", 0, 0.5, 0 },   { "tile", 4, 0.04, 0 }, { "tile", 8, 0.02, 0 },
                                      { "local", 0, 0.3, 0 }, { "none", 0, 0.5, 0 },  { "tile", 12, 0.5, 0 } };
    static const char *const winners[] = {
        "row", "tile ROWS=4", "tile ROWS=12", "local", "tile ROWS=12", "tile ROWS=12"
    };
    calo_fault fault = { 0 };
    char key[CALO_KEY_TEXT], text[CALO_VARIANT_TEXT];
    const calo_learned learned = learned_product(5, key);
    calo_tuner tuner = { .device = device, .fault = &fault, .rounds = 4, .clock = scripted };
    assert_int_equal(calo_tuner_candidates(&learned, &device->info), 5);
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        script s = scripts[i];
        tuner.user = &s;
        assert_int_equal(calo_tuner_measure(&tuner, &learned), CALO_OK);
        assert_int_equal(tuner.count, 5);
        const calo_candidate *winner = &tuner.candidates[tuner.winner];
        assert_string_equal(calo_variant_text(winner->variant, winner->values, text), winners[i]);
    }
    tuner.clock = NULL; /* and by the real one */
    assert_int_equal(calo_tuner_measure(&tuner, &learned), CALO_OK);
    assert_true(tuner.candidates[0].seconds > 0);
    calo_tuner_end(&tuner);
    for (int i = 0; i < 6; i++) { /* without memory it fails cleanly */
        fault = (calo_fault){ 0 };
        allocations_left = i;
        calo_tuner_measure(&tuner, &learned);
        assert_true(fault.status == CALO_EMEMORY || allocations_left >= 0);
        allocations_left = -1;
        calo_tuner_end(&tuner);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_say_what_a_call_is),
        cmocka_unit_test(lessons_know_each_call_once),
        cmocka_unit_test(a_gain_within_the_noise_is_none),
        cmocka_unit_test(the_fastest_wins),
    };
    calo_fault fault = { 0 };
    if (calo_device_open("opencl", NULL, &device, &fault)) {
        printf("%s\n", fault.text);
        return 1;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    device->api->close(device);
    return failed;
}
