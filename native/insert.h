/* Inserts: where a plugin outside the tick changes what a leg says (inbound) or hears (outbound).
 *
 * At one edge of the tick the frame is offered in the dry ring, with the tick's timestamp; at the next, 5 ms or more
 * later, the wet ring is looked into. Only a frame with this tick's timestamp counts; else the dry one goes on. A
 * plugin that is late, hangs or is gone costs its effect and nothing else.
 */
#ifndef MM_INSERT_H
#define MM_INSERT_H

#include <stdatomic.h>
#include <stdint.h>

#include "ring.h"

enum mm_direction { MM_INBOUND, MM_OUTBOUND, MM_DIRECTIONS };

enum mm_insert_counter {
    MM_INSERT_OFFERED, /* = taken + missed */
    MM_INSERT_TAKEN,
    MM_INSERT_MISSED,
    MM_INSERT_COUNTERS
};

struct mm_leg;

typedef struct mm_insert {
    struct mm_leg *leg;
    enum mm_direction direction;
    mm_ring *dry, *wet;
    _Atomic uint64_t counters[MM_INSERT_COUNTERS];
    mm_meta offered; /* tick thread: this tick's */
} mm_insert;

/* NULL when out of memory. */
mm_insert *mm_insert_create(struct mm_leg *leg, enum mm_direction direction, uint32_t slots);
void mm_insert_destroy(void *insert);

/* Tick thread. */
void mm_insert_offer(mm_insert *insert, const mm_meta *meta, int64_t timestamp, const int16_t pcm[MM_FRAME_SAMPLES]);
/* pcm becomes what came back for this tick, if anything did. 1 when that is another sound. */
int mm_insert_take(mm_insert *insert, int16_t pcm[MM_FRAME_SAMPLES]);

#endif
