/* A bridge: legs mixed together, one tick at a time (gather, mix, scatter). */
#ifndef MM_BRIDGE_H
#define MM_BRIDGE_H

#include <stdint.h>

#include "edge.h"
#include "flow.h"
#include "insert.h"
#include "mix.h"
#include "outbox.h"
#include "plan.h"

typedef struct mm_bridge {
    /* Tick thread. */
    mm_plan *plan; /* NULL: no legs */
    uint32_t inserts[MM_DIRECTIONS];
    mm_limiter limiter; /* of the mix that listeners share */
} mm_bridge;

/* NULL when out of memory. */
mm_bridge *mm_bridge_create(void);
void mm_bridge_destroy(void *bridge);

/* Command to the bridge's tick thread (mm_apply): hold *plan*'s legs from now on. */
void mm_bridge_set_plan(void *bridge, void *plan);

/* Commands: *insert*'s leg, which is in the bridge's plan, has it from now on, or no longer. One a direction. */
void mm_bridge_insert(void *bridge, void *insert);
void mm_bridge_withdraw(void *bridge, void *insert);

/* Tick thread, all that follows. The last edge at which there is anything to do: MM_EDGE_GATHER without inserts. */
enum mm_edge mm_bridge_last_edge(const mm_bridge *bridge);
/* Do what is due at *edge*, of the tick at now_ns. Datagrams go to *outbox*, which is not flushed; *flow* grows. 1 when
 * frames were offered to inserts. */
int mm_bridge_tick(mm_bridge *bridge, enum mm_edge edge, const mm_kernels *kernels, mm_outbox *outbox, mm_flow *flow,
                   int64_t now_ns);
/* Tell every consumer of *ticks* left-out frames, the first at now_ns. */
void mm_bridge_skip(mm_bridge *bridge, mm_flow *flow, uint64_t ticks, int64_t now_ns);

#endif
