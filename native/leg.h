/* A leg: one party's ear and mouth in a bridge, in its two frame rings or at a peer (peer.h). */
#ifndef MM_LEG_H
#define MM_LEG_H

#include <stdalign.h>
#include <stdint.h>

#include "encode.h"
#include "flow.h"
#include "gate.h"
#include "insert.h"
#include "limiter.h"
#include "meter.h"
#include "peer.h"
#include "playout.h"
#include "ring.h"
#include "tap.h"

typedef struct mm_leg {
    uint32_t source_id;
    int relay; /* its frames carry who speaks (a mixed stream); else the leg itself is who */
    mm_ring *source, *render;
    mm_playout playout;
    /* Tick thread. */
    mm_peer *peer;          /* attached; in use once it is this leg's */
    int has_peer;           /* it is: no other leg, and no other thread, works with it */
    int flushing;           /* the peer, up to flush_arrivals */
    uint64_t flush_arrivals;
    mm_encode_group *group; /* that the peer is coded in */
    mm_gate gate;
    mm_limiter limiter;
    uint32_t hangover_ticks;
    /* Valid within one tick; on two cache lines, as legs lie on pages of their own. */
    alignas(64) mm_meta heard;
    int audible, is_open;
    size_t row;         /* of the block, where it is open or heard by nobody's default */
    const int16_t *mix; /* what it hears */
    /* Not only within one tick. */
    mm_insert *insert[MM_DIRECTIONS]; /* plugins of what it says and of what it hears; NULL: none */
    mm_meter meter; /* of what it says, before the gate, and of what it hears */
    mm_taps taps;
} mm_leg;

/* NULL when out of memory. */
mm_leg *mm_leg_create(uint32_t source_id, int relay, int paced, uint32_t source_slots,
                      uint32_t render_slots, uint32_t target_frames, uint32_t max_frames);
void mm_leg_destroy(void *leg);

/* Commands to the leg's tick thread (mm_apply). A peer is attached to a second leg only after the first
 * was told to let go of it; whichever thread is first, the second waits for it. */
void mm_leg_attach(void *leg, void *peer);
void mm_leg_detach(void *leg, void *unused);

/* What waits before that place is not wanted any more (mm_playout_flush, mm_peer_flush). *place* is a uintptr_t: the
 * source ring's written frames, or the peer's arrivals. */
void mm_leg_flush_source(void *leg, void *place);
void mm_leg_flush_peer(void *leg, void *place);

/* Tick thread. This tick's frame of the far end, and in leg->heard what is known of it. */
void mm_leg_pull(mm_leg *leg, mm_flow *flow, int64_t now_ns, int16_t pcm[MM_FRAME_SAMPLES]);
/* The engine left out *ticks*, the first at timestamp (100 ns ticks). */
void mm_leg_skip(mm_leg *leg, uint64_t ticks, int64_t timestamp);
/* Whose encoder this leg's mix goes into; NULL: into its render ring. */
mm_encode_leg *mm_leg_encoder(const mm_leg *leg);

#endif
