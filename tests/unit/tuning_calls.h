/* Calls to tune: products of a weight [48,16]. */
#ifndef CALO_TEST_TUNING_CALLS_H
#define CALO_TEST_TUNING_CALLS_H

#include "../../kernels/linear/linear.h"
#include "../../kernels/tuner.h"
#include "../../kernels/tuning.h"

/* A product of [2,rows,16] with [48,16], with a bias. */
static calo_call product(int64_t rows, const calo_activation *activation)
{
    calo_call call = { .op = &calo_op_linear, .args = activation };
    calo_fault fault = { 0 };
    call.in[CALO_SLOT_X] = calo_shape(CALO_F32, 3, (int64_t[]){ 2, rows, 16 });
    call.in[CALO_SLOT_WEIGHT] = calo_shape(CALO_F16, 2, (int64_t[]){ 48, 16 });
    call.in[CALO_SLOT_WEIGHT].layout = CALO_PANELS;
    call.in[CALO_SLOT_BIAS] = calo_shape(CALO_F32, 1, (int64_t[]){ 48 });
    assert_int_equal(call.op->infer(&call, &fault), CALO_OK);
    return call;
}

/* The same as a lesson keeps it; `key` holds CALO_KEY_TEXT bytes. */
static calo_learned learned_product(int64_t rows, char *key)
{
    calo_learned learned = { .key = key };
    static const calo_activation plain = CALO_LINEAR;
    learned.call = product(rows, &plain);
    learned.call.args = &plain;
    calo_call_key(&learned.call, key);
    return learned;
}

#endif
