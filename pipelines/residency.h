/* Which parts of a model lie on the device. All of them, where it has room; otherwise they take turns: a part is loaded
   from its files when its turn comes, in memory that others have left. */
#ifndef CALO_RESIDENCY_H
#define CALO_RESIDENCY_H

#include "model.h"

enum { CALO_ALL_PARTS = (1 << CALO_PARTS) - 1 };

/* A part's bit in a set. */
#define CALO_BIT(part) (1u << (part))

/* Finds and checks every parameter and its place: from here on sizes are known. Nothing is allocated. */
calo_status calo_model_plan(calo_model *model, calo_fault *fault);

/* Bytes of device memory of those of the parts that the model has; of the largest piece. */
uint64_t calo_model_bytes(const calo_model *model, unsigned parts);
uint64_t calo_model_largest(const calo_model *model, unsigned parts);

/* Loads what is not there of the parts. `on_done` (or NULL) hears of bytes, and stops the loading by a non-zero. */
calo_status calo_model_hold(calo_model *model, unsigned parts, int (*on_done)(void *user, uint64_t done), void *user,
                            calo_fault *fault);
/* Gives back what is there beside the parts. */
calo_status calo_model_evict(calo_model *model, unsigned parts, calo_fault *fault);

/* From here on the VAE has its encoder, too; it is loaded at its next turn. */
calo_status calo_model_need_encoder(calo_model *model, calo_fault *fault);

/* Bytes that the model and its runs may take: --memory-limit, or what the device has. 2^64 − 1: no bound is known. */
uint64_t calo_model_limit(const calo_model *model);

#endif
