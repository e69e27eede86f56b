#include "leg.h"

#include <stdatomic.h>

#include "memory.h"

mm_leg *mm_leg_create(uint32_t source_id, int relay, int paced, uint32_t source_slots,
                      uint32_t render_slots, uint32_t target_frames, uint32_t max_frames) {
    mm_leg *leg = mm_pages_alloc(sizeof *leg);
    if (!leg) return NULL;
    leg->source_id = source_id;
    leg->relay = relay;
    leg->source = mm_ring_create(source_slots);
    leg->render = mm_ring_create(render_slots);
    if (!leg->source || !leg->render) {
        mm_leg_destroy(leg);
        return NULL;
    }
    mm_playout_init(&leg->playout, leg->source, paced, target_frames, max_frames);
    mm_limiter_init(&leg->limiter);
    return leg;
}

void mm_leg_destroy(void *memory) {
    mm_leg *leg = memory;
    if (leg->source) mm_ring_destroy(leg->source);
    if (leg->render) mm_ring_destroy(leg->render);
    mm_pages_free(leg);
}

void mm_leg_attach(void *target, void *peer) {
    mm_leg *leg = target;
    leg->peer = peer;
}

void mm_leg_detach(void *target, void *unused) {
    (void)unused;
    mm_leg *leg = target;
    if (leg->has_peer) {
        mm_encode_leg *encoder = mm_peer_encode_leg(leg->peer);
        if (encoder && leg->group) mm_encode_leg_part(leg->group, encoder);
        atomic_store_explicit(mm_peer_owner(leg->peer), NULL, memory_order_release);
    }
    leg->peer = NULL;
    leg->flushing = 0;
    leg->group = NULL;
    leg->has_peer = 0;
}

void mm_leg_flush_source(void *target, void *place) {
    mm_leg *leg = target;
    mm_playout_flush(&leg->playout, (uintptr_t)place);
}

void mm_leg_flush_peer(void *target, void *place) {
    mm_leg *leg = target;
    leg->flushing = 1;
    leg->flush_arrivals = (uintptr_t)place;
}

static void flush_peer(mm_leg *leg, int64_t now_ns) {
    leg->flushing = 0;
    mm_peer_flush(leg->peer, leg->flush_arrivals, now_ns);
}

static int take_peer(mm_leg *leg) {
    void *nobody = NULL;
    leg->has_peer = atomic_compare_exchange_strong_explicit(
        mm_peer_owner(leg->peer), &nobody, leg, memory_order_acquire, memory_order_relaxed);
    return leg->has_peer;
}

static void pull_peer(mm_leg *leg, mm_flow *flow, int64_t now_ns, int16_t pcm[MM_FRAME_SAMPLES]) {
    const uint64_t taken = mm_peer_taken(leg->peer), lapped = mm_peer_lapped(leg->peer);
    if (leg->flushing) flush_peer(leg, now_ns);
    mm_peer_pull(leg->peer, now_ns, &leg->heard, pcm);
    flow->count[MM_FLOW_RECEIVED] += mm_peer_taken(leg->peer) - taken;
    flow->count[MM_FLOW_DROPPED] += mm_peer_lapped(leg->peer) - lapped;
}

static void pull_ring(mm_leg *leg, mm_flow *flow, int16_t pcm[MM_FRAME_SAMPLES]) {
    const mm_playout *playout = &leg->playout;
    const uint64_t read = mm_ring_read_count(leg->source), skipped = mm_ring_skipped(leg->source);
    const uint64_t flushed = mm_playout_count(playout, MM_LEG_FLUSHED);
    mm_playout_pull(&leg->playout, &leg->heard, pcm);
    flow->count[MM_FLOW_RECEIVED] += mm_ring_read_count(leg->source) - read;
    flow->count[MM_FLOW_DROPPED] += mm_ring_skipped(leg->source) - skipped -
                                    (mm_playout_count(playout, MM_LEG_FLUSHED) - flushed);
}

void mm_leg_pull(mm_leg *leg, mm_flow *flow, int64_t now_ns, int16_t pcm[MM_FRAME_SAMPLES]) {
    if (leg->peer && (leg->has_peer || take_peer(leg)))
        pull_peer(leg, flow, now_ns, pcm);
    else
        pull_ring(leg, flow, pcm);
    flow->count[mm_flow_kind(leg->heard.flags)]++;
}

mm_encode_leg *mm_leg_encoder(const mm_leg *leg) {
    return leg->has_peer ? mm_peer_encode_leg(leg->peer) : NULL;
}

void mm_leg_skip(mm_leg *leg, uint64_t ticks, int64_t timestamp) {
    if (leg->has_peer)
        mm_peer_skip(leg->peer, ticks);
    else
        mm_playout_skip(&leg->playout, ticks);
    mm_taps_skip(&leg->taps, ticks, timestamp);
    if (!mm_leg_encoder(leg)) mm_ring_write_skipped(leg->render, ticks, timestamp);
}
