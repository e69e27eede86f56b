#include "bridge.h"

#include <string.h>

#include "memory.h"

#define HANGOVER_TICKS 20u /* 400 ms: words and breaths of one sentence stay one talkspurt */
/* -50 dBov over one frame: above room noise of a headset, below quiet speech. */
#define ACTIVE_ENERGY (MM_FRAME_SAMPLES * 10737ull)
#define TICKS_PER_FRAME (MM_FRAME_NS / 100)

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
    return leg;
}

void mm_leg_destroy(void *memory) {
    mm_leg *leg = memory;
    mm_ring_destroy(leg->source);
    mm_ring_destroy(leg->render);
    mm_pages_free(leg);
}

static size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

mm_plan *mm_plan_create(mm_leg *const *legs, const uint64_t *const *masks, size_t count) {
    const size_t words = (count + 63) / 64;
    const size_t head = aligned(sizeof(mm_plan));
    const size_t leg_bytes = aligned(count * sizeof(mm_leg *));
    const size_t mask_bytes = masks ? leg_bytes + aligned(count * words * 8) : 0;
    const size_t pcm_bytes = aligned(count * MM_FRAME_BYTES);
    const size_t wide_bytes = aligned(2 * MM_FRAME_SAMPLES * sizeof(int32_t));
    char *at = mm_pages_alloc(head + leg_bytes + mask_bytes + 2 * pcm_bytes +
                              aligned(count * sizeof(uint64_t)) + wide_bytes);
    if (!at) return NULL;
    mm_plan *plan = (mm_plan *)at;
    plan->legs = count;
    plan->leg = (mm_leg **)(at += head);
    if (count) memcpy(plan->leg, legs, count * sizeof *legs);
    at += leg_bytes;
    if (masks) {
        plan->masks = (const uint64_t **)at;
        uint64_t *copy = (uint64_t *)(at + leg_bytes);
        for (size_t i = 0; i < count; i++) {
            if (!masks[i]) continue;
            plan->masks[i] = memcpy(copy + i * words, masks[i], words * 8);
        }
        at += mask_bytes;
    }
    plan->block = (int16_t *)at;
    plan->out = (int16_t *)(at += pcm_bytes);
    plan->wide = (int32_t *)(at += pcm_bytes);
    plan->energy = (uint64_t *)(at + wide_bytes);
    return plan;
}

void mm_plan_destroy(void *plan) { mm_pages_free(plan); }

/* Who is audible in this tick: the first few by name, all by number. */
typedef struct audible {
    size_t legs, concealed;
    size_t named;
    struct {
        size_t leg;
        uint32_t id;
    } speaker[2 * MM_SPEAKERS];
} audible;

static void gather(mm_plan *plan) {
    for (size_t i = 0; i < plan->legs; i++) {
        mm_leg *leg = plan->leg[i];
        mm_playout_pull(&leg->playout, &leg->heard, plan->block + i * MM_FRAME_SAMPLES);
    }
}

static void name_speaker(audible *a, size_t leg, uint32_t id) {
    if (a->named == sizeof a->speaker / sizeof *a->speaker) return;
    a->speaker[a->named].leg = leg;
    a->speaker[a->named++].id = id;
}

static void judge(const mm_plan *plan, audible *a) {
    memset(a, 0, sizeof *a);
    for (size_t i = 0; i < plan->legs; i++) {
        mm_leg *leg = plan->leg[i];
        const mm_meta *heard = &leg->heard;
        if (plan->energy[i] > ACTIVE_ENERGY)
            leg->hangover_ticks = HANGOVER_TICKS;
        else if (leg->hangover_ticks)
            leg->hangover_ticks--;
        leg->audible = leg->relay ? !(heard->flags & (MM_FRAME_SILENCE | MM_FRAME_SKIPPED))
                                  : leg->hangover_ticks > 0;
        if (!leg->audible) continue;
        a->legs++;
        a->concealed += (heard->flags & MM_FRAME_CONCEALED) != 0;
        if (!leg->relay) name_speaker(a, i, leg->source_id);
        for (uint32_t s = 0; leg->relay && s < heard->speaker_count; s++)
            name_speaker(a, i, heard->speakers[s]);
    }
}

static int hears(const mm_plan *plan, size_t listener, size_t source) {
    const uint64_t *mask = plan->masks ? plan->masks[listener] : NULL;
    return mask ? mm_mask_has(mask, source) : source != listener;
}

static void count_masked(const mm_plan *plan, size_t listener, size_t *legs, size_t *concealed) {
    *legs = *concealed = 0;
    for (size_t i = 0; i < plan->legs; i++) {
        if (!plan->leg[i]->audible || !hears(plan, listener, i)) continue;
        ++*legs;
        *concealed += (plan->leg[i]->heard.flags & MM_FRAME_CONCEALED) != 0;
    }
}

static void describe(const mm_plan *plan, const audible *a, size_t listener, mm_meta *meta) {
    const mm_leg *own = plan->leg[listener];
    size_t legs = a->legs - (size_t)own->audible;
    size_t concealed = a->concealed;
    if (own->audible) concealed -= (own->heard.flags & MM_FRAME_CONCEALED) != 0;
    if (plan->masks && plan->masks[listener]) count_masked(plan, listener, &legs, &concealed);
    meta->flags = legs == 0 ? MM_FRAME_SILENCE : concealed == legs ? MM_FRAME_CONCEALED : 0;
    meta->speaker_count = 0;
    for (size_t s = 0; s < a->named && meta->speaker_count < MM_SPEAKERS; s++)
        if (hears(plan, listener, a->speaker[s].leg))
            meta->speakers[meta->speaker_count++] = a->speaker[s].id;
}

void mm_bridge_tick(mm_bridge *bridge, const mm_kernels *kernels, int64_t timestamp) {
    mm_plan *plan = bridge->plan;
    if (!plan) return;
    gather(plan);
    mm_mix(kernels, plan->out, plan->block, plan->energy, plan->masks, plan->wide, plan->legs,
           MM_FRAME_SAMPLES);
    audible a;
    judge(plan, &a);
    mm_meta meta = {.timestamp = timestamp};
    for (size_t i = 0; i < plan->legs; i++) {
        describe(plan, &a, i, &meta);
        mm_ring_write(plan->leg[i]->render, &meta, plan->out + i * MM_FRAME_SAMPLES);
    }
}

void mm_bridge_skip(mm_bridge *bridge, uint64_t ticks, int64_t timestamp) {
    static const int16_t nothing[MM_FRAME_SAMPLES];
    mm_plan *plan = bridge->plan;
    for (size_t i = 0; plan && i < plan->legs; i++) {
        mm_leg *leg = plan->leg[i];
        mm_playout_skip(&leg->playout, ticks);
        /* More than a ring of them would only lap the reader: the last ones tell the same. */
        const uint64_t slots = mm_ring_slots(leg->render);
        for (uint64_t k = ticks > slots ? ticks - slots : 0; k < ticks; k++) {
            const mm_meta meta = {.timestamp = timestamp + (int64_t)k * TICKS_PER_FRAME,
                                  .flags = MM_FRAME_SKIPPED | MM_FRAME_SILENCE};
            mm_ring_write(leg->render, &meta, nothing);
        }
    }
}
