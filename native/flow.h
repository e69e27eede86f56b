/* What went through the bridges of a tick thread since it was made: that it is media that live, and not only a loop.
 *
 * Unlike a leg's counters these only grow, whoever leaves. The tick thread adds; others read what it publishes.
 */
#ifndef MM_FLOW_H
#define MM_FLOW_H

#include <stdint.h>

#include "frame.h"

enum mm_flow_count {
    MM_FLOW_MIXED,    /* frames that went into a mix: one a leg and tick: all kinds from VOICE on, but for
                       * the ticks that were left out */
    MM_FLOW_RECEIVED, /* frames, or a peer's datagrams, that were taken from far ends */
    MM_FLOW_RENDERED, /* frames written to render rings; what goes to peers is in the outbox's count */
    MM_FLOW_DROPPED,  /* of far ends, because they came too late or were not taken in time: not what was flushed */
    MM_FLOW_VOICE,
    MM_FLOW_FEC,
    MM_FLOW_CONCEALED,
    MM_FLOW_COMFORT,
    MM_FLOW_SILENCE,
    MM_FLOW_SKIPPED, /* left out by the engine, or stood for a frame that its sender left out */
    MM_FLOW_COUNTS
};

typedef struct mm_flow {
    uint64_t count[MM_FLOW_COUNTS];
} mm_flow;

/* What a frame with these flags counts as. */
static inline enum mm_flow_count mm_flow_kind(uint32_t flags) {
    if (!flags) return MM_FLOW_VOICE;
    if (flags & MM_FRAME_CONCEALED) return MM_FLOW_CONCEALED;
    if (flags & MM_FRAME_SKIPPED) return MM_FLOW_SKIPPED;
    if (flags & MM_FRAME_FEC) return MM_FLOW_FEC;
    if (flags & MM_FRAME_COMFORT) return MM_FLOW_COMFORT;
    return MM_FLOW_SILENCE;
}

#endif
