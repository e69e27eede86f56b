/* A bridge: legs mixed together, one tick at a time (gather, mix, scatter).
 *
 * Who is in it and who hears whom is a *plan*: built whole by the control side, immutable, swapped in
 * between two ticks (command.h). The tick has no joins, leaves or look-ups in it.
 */
#ifndef MM_BRIDGE_H
#define MM_BRIDGE_H

#include <stdint.h>

#include "mix.h"
#include "playout.h"
#include "ring.h"

typedef struct mm_leg {
    uint32_t source_id;
    int relay; /* its frames carry who speaks (a mixed stream); else the leg itself is who */
    mm_ring *source, *render;
    mm_playout playout;
    /* Tick thread, valid within one tick. */
    mm_meta heard;
    uint32_t hangover_ticks;
    int audible;
} mm_leg;

typedef struct mm_plan {
    size_t legs;
    mm_leg **leg;
    const uint64_t **masks; /* NULL, or one a leg as mm_mix takes them */
    int16_t *block, *out;   /* (legs, 320) */
    uint64_t *energy;
    int32_t *wide;
} mm_plan;

typedef struct mm_bridge {
    void *plan; /* mm_plan, or NULL for no legs; the engine's thread follows it */
} mm_bridge;

/* NULL when out of memory. */
mm_leg *mm_leg_create(uint32_t source_id, int relay, int paced, uint32_t source_slots,
                      uint32_t render_slots, uint32_t target_frames, uint32_t max_frames);
void mm_leg_destroy(void *leg);

/* masks[i] is NULL or ceil(legs / 64) words; copied. NULL when out of memory. */
mm_plan *mm_plan_create(mm_leg *const *legs, const uint64_t *const *masks, size_t count);
void mm_plan_destroy(void *plan);

/* Tick thread. timestamp in 100 ns ticks. */
void mm_bridge_tick(mm_bridge *bridge, const mm_kernels *kernels, int64_t timestamp);
/* Tell every consumer of *ticks* left-out frames, the first at *timestamp*. */
void mm_bridge_skip(mm_bridge *bridge, uint64_t ticks, int64_t timestamp);

#endif
