/* A bridge: legs mixed together, one tick at a time (gather, mix, scatter). */
#ifndef MM_BRIDGE_H
#define MM_BRIDGE_H

#include <stdint.h>

#include "mix.h"
#include "outbox.h"
#include "plan.h"

typedef struct mm_bridge {
    /* Tick thread. */
    mm_plan *plan; /* NULL: no legs */
    mm_limiter limiter; /* of the mix that listeners share */
} mm_bridge;

/* NULL when out of memory. */
mm_bridge *mm_bridge_create(void);
void mm_bridge_destroy(void *bridge);

/* Command to the bridge's tick thread (mm_apply): hold *plan*'s legs from now on. */
void mm_bridge_set_plan(void *bridge, void *plan);

/* Tick thread. Datagrams go to *outbox*, which is not flushed. */
void mm_bridge_tick(mm_bridge *bridge, const mm_kernels *kernels, mm_outbox *outbox, int64_t now_ns);
/* Tell every consumer of *ticks* left-out frames, the first at now_ns. */
void mm_bridge_skip(mm_bridge *bridge, uint64_t ticks, int64_t now_ns);

#endif
