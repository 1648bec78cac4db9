/* Finding the fastest variant of each call that a flow makes.

   A plan of the flow takes down its calls in a lesson. Then, call by call, every variant that can do it runs in every
   combination of its tunables, the candidates: number 0 is what the op's table prefers. They take turns, so that a
   machine's drift meets all alike; a turn is as many launches as take some 5 ms, recorded once where the device
   records, so that the host's part of a launch is in no figure; a candidate's time is its turns' median. Inputs are
   random, as zeros cost less power and time less, but whole numbers (token ids) are 0. */
#ifndef CALO_TUNER_H
#define CALO_TUNER_H

#include "op.h"

enum { CALO_TUNER_ROUNDS = 7, CALO_TUNER_MAX_ROUNDS = 31 };

/* A gain within this share of the time is noise. */
#define CALO_TUNER_NOISE 0.03

/* One call of the flow, of which only shapes and args are kept. */
typedef struct calo_learned {
    calo_call call; /* its args are those below; tensors have no memory */
    union {
        double alignment;
        unsigned char bytes[CALO_ARGS_ROOM];
    } args;
    char *key; /* kernels/tuning.h */
    int64_t uses;
} calo_learned;

struct calo_lesson {
    calo_learned **calls; /* in the order of first use */
    int count, capacity;
    bool incomplete; /* no host memory for a call */
};

/* The door's: takes down a call whose output is inferred. */
void calo_lesson_note(calo_lesson *lesson, const calo_call *call);
void calo_lesson_free(calo_lesson *lesson);

typedef struct calo_candidate {
    const calo_variant *variant;
    int tuning[CALO_MAX_TUNABLES]; /* indices, as run->forced_tuning */
    int values[CALO_MAX_TUNABLES];
    bool out;     /* it failed, cannot be recorded where others are, or is far behind */
    int launches; /* of a turn */
    calo_graph *graph;
    double turns[CALO_TUNER_MAX_ROUNDS]; /* seconds of one launch, round by round */
    double seconds;                      /* their median */
} calo_candidate;

typedef struct calo_tuner {
    calo_device *device;
    calo_fault *fault;
    int rounds;                                                 /* 1 … CALO_TUNER_MAX_ROUNDS */
    double (*clock)(void *user, const calo_candidate *running); /* seconds; NULL: the machine's */
    void *user;

    /* of the call that is measured, until the next or the end */
    calo_candidate *candidates;
    int count, winner;
    calo_arena arena;
    calo_run run;
} calo_tuner;

/* How many candidates the call has on the device: with one there is nothing to measure. */
int calo_tuner_candidates(const calo_learned *learned, const calo_device_info *info);

/* Measures the call: fills candidates, count, winner. A candidate that fails is out; the failure of number 0 is the
 * measurement's, as is too little memory for the call's tensors. */
calo_status calo_tuner_measure(calo_tuner *tuner, const calo_learned *learned);
/* Gives back what the last measurement left. */
void calo_tuner_end(calo_tuner *tuner);

/* The rule: the candidate with the smallest median, if that is smaller than number 0's by more than CALO_TUNER_NOISE
 * and it was the faster of the two in three rounds of four; else number 0. */
int calo_tuner_pick(const calo_candidate *candidates, int count, int rounds);

#endif
