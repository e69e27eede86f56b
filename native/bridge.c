#include "bridge.h"

#include <math.h>
#include <string.h>

#include "memory.h"
#include "mixdown.h"

#define HANGOVER_TICKS 20u /* 400 ms: words and breaths of one sentence stay one talkspurt */
/* -50 dBov over one frame: above room noise of a headset, below quiet speech. */
#define ACTIVE_ENERGY (MM_FRAME_SAMPLES * 10737ull)
#define SILENCE_DBOV (-127)

mm_bridge *mm_bridge_create(void) {
    mm_bridge *bridge = mm_pages_alloc(sizeof *bridge);
    if (bridge) mm_limiter_init(&bridge->limiter);
    return bridge;
}

void mm_bridge_destroy(void *bridge) { mm_pages_free(bridge); }

void mm_bridge_set_plan(void *target, void *value) {
    mm_bridge *bridge = target;
    bridge->plan = value;
    for (size_t g = 0; bridge->plan && g < bridge->plan->encodings; g++) {
        const mm_encoding *encoding = &bridge->plan->encoding[g];
        for (size_t i = 0; i < encoding->legs; i++) encoding->leg[i]->group = encoding->group;
    }
}

/* What a mix is called when all that is audible in it is. */
static const uint32_t KINDS[] = {MM_FRAME_CONCEALED, MM_FRAME_FEC, MM_FRAME_COMFORT};
#define KIND_COUNT (sizeof KINDS / sizeof *KINDS)

typedef struct tally {
    size_t legs, kinds[KIND_COUNT];
} tally;

/* Who is audible in this tick: the first few by name, all by number. */
typedef struct audible {
    tally all;
    size_t named;
    struct {
        size_t leg;
        uint32_t id;
    } speaker[2 * MM_SPEAKERS];
} audible;

static void gather(mm_plan *plan, int64_t now_ns) {
    plan->open = 0;
    memset(plan->open_mask, 0, (plan->legs + 63) / 64 * 8);
    for (size_t i = 0; i < plan->legs; i++) {
        mm_leg *leg = plan->leg[i];
        int16_t *row = plan->block + plan->open * MM_FRAME_SAMPLES;
        mm_leg_pull(leg, now_ns, row);
        leg->is_open = plan->gated ? mm_gate_frame(&leg->gate, row) : 1;
        if (!leg->is_open) continue; /* the next one's frame goes over this one's zeros */
        leg->row = plan->open;
        plan->open_leg[plan->open++] = i;
        plan->open_mask[i / 64] |= UINT64_C(1) << (i % 64);
    }
}

static void count_leg(tally *t, const mm_leg *leg) {
    t->legs++;
    for (size_t k = 0; k < KIND_COUNT; k++) t->kinds[k] += (leg->heard.flags & KINDS[k]) != 0;
}

static void discount_leg(tally *t, const mm_leg *leg) {
    t->legs--;
    for (size_t k = 0; k < KIND_COUNT; k++) t->kinds[k] -= (leg->heard.flags & KINDS[k]) != 0;
}

static void name_speaker(audible *a, size_t leg, uint32_t id) {
    if (a->named == sizeof a->speaker / sizeof *a->speaker) return;
    a->speaker[a->named].leg = leg;
    a->speaker[a->named++].id = id;
}

/* The gate's judgement, or the same by level where there are no gates. */
static int is_loud(mm_leg *leg, const mm_plan *plan) {
    if (plan->gated) return leg->is_open;
    if (plan->energy[leg->row] > ACTIVE_ENERGY)
        leg->hangover_ticks = HANGOVER_TICKS;
    else if (leg->hangover_ticks)
        leg->hangover_ticks--;
    return leg->hangover_ticks > 0;
}

/* Of a relayed stream: whether somebody is in this frame. One that its sender left out has nobody, until it has been
 * made up from what was said before. */
static int is_said(uint32_t flags) {
    const uint32_t made_up = MM_FRAME_SKIPPED | MM_FRAME_CONCEALED;
    return (flags & made_up) == made_up || !(flags & (MM_FRAME_SILENCE | MM_FRAME_SKIPPED));
}

static void judge(const mm_plan *plan, audible *a) {
    memset(a, 0, sizeof *a);
    for (size_t i = 0; i < plan->legs; i++) {
        mm_leg *leg = plan->leg[i];
        const mm_meta *heard = &leg->heard;
        const int loud = is_loud(leg, plan);
        leg->audible = leg->relay ? leg->is_open && is_said(heard->flags) : loud;
        if (!leg->audible) continue;
        count_leg(&a->all, leg);
        if (!leg->relay) name_speaker(a, i, leg->source_id);
        for (uint32_t s = 0; leg->relay && s < heard->speaker_count; s++)
            name_speaker(a, i, heard->speakers[s]);
    }
}

static int hears(const mm_plan *plan, size_t listener, size_t source) {
    const uint64_t *mask = plan->masks ? plan->masks[listener] : NULL;
    return mask ? mm_mask_has(mask, source) : source != listener;
}

static void count_masked(const mm_plan *plan, size_t listener, tally *t) {
    memset(t, 0, sizeof *t);
    for (size_t i = 0; i < plan->legs; i++)
        if (plan->leg[i]->audible && hears(plan, listener, i)) count_leg(t, plan->leg[i]);
}

static void describe(const mm_plan *plan, const audible *a, size_t listener, mm_meta *meta) {
    const mm_leg *own = plan->leg[listener];
    tally heard = a->all;
    if (own->audible) discount_leg(&heard, own);
    if (plan->masks && plan->masks[listener]) count_masked(plan, listener, &heard);
    meta->flags = heard.legs ? 0 : MM_FRAME_SILENCE;
    for (size_t k = 0; k < KIND_COUNT; k++)
        if (heard.legs && heard.kinds[k] == heard.legs) meta->flags |= KINDS[k];
    meta->speaker_count = 0;
    for (size_t s = 0; s < a->named && meta->speaker_count < MM_SPEAKERS; s++)
        if (hears(plan, listener, a->speaker[s].leg))
            meta->speakers[meta->speaker_count++] = a->speaker[s].id;
}

/* RFC 6464: the level of what is sent. */
static int8_t level_dbov(const int16_t *pcm) {
    uint64_t energy = 0;
    for (size_t s = 0; s < MM_FRAME_SAMPLES; s++) energy += (uint32_t)(pcm[s] * pcm[s]);
    if (energy == 0) return SILENCE_DBOV;
    const float full_scale = (float)MM_FRAME_SAMPLES * 32768.0f * 32768.0f;
    const float level = 10.0f * log10f((float)energy / full_scale);
    return level <= SILENCE_DBOV ? SILENCE_DBOV : (int8_t)lrintf(level);
}

static void render(mm_plan *plan, int64_t now_ns) {
    audible a;
    judge(plan, &a);
    mm_meta meta = {.timestamp = now_ns / 100};
    for (size_t i = 0; i < plan->legs; i++) {
        if (mm_leg_encoder(plan->leg[i])) continue;
        describe(plan, &a, i, &meta);
        mm_ring_write(plan->leg[i]->render, &meta, plan->leg[i]->mix);
    }
}

static void encode(mm_encoding *encoding, const int16_t *shared_mix) {
    size_t due = 0;
    for (size_t i = 0; i < encoding->legs; i++) {
        const mm_leg *leg = encoding->leg[i];
        mm_encode_leg *encoder = mm_leg_encoder(leg);
        if (!encoder) continue;
        encoder->own_mix = leg->mix == shared_mix ? NULL : leg->mix;
        encoding->due[due++] = encoder;
    }
    mm_encode_tick(encoding->group, encoding->due, due, shared_mix, MM_FRAME_SAMPLES);
}

static void send_all(mm_encoding *encoding, mm_outbox *outbox, int64_t now_ns, const int16_t *shared_mix,
                 int8_t shared_dbov) {
    for (size_t i = 0; i < encoding->legs; i++) {
        mm_leg *leg = encoding->leg[i];
        if (!leg->has_peer) continue;
        const int8_t dbov = leg->mix == shared_mix ? shared_dbov : level_dbov(leg->mix);
        mm_peer_send(leg->peer, outbox, now_ns, dbov);
    }
}

void mm_bridge_tick(mm_bridge *bridge, const mm_kernels *kernels, mm_outbox *outbox,
                    int64_t now_ns) {
    mm_plan *plan = bridge->plan;
    if (!plan || plan->legs == 0) return;
    gather(plan, now_ns);
    const int16_t *shared_mix = mm_mixdown(plan, kernels, &bridge->limiter);
    render(plan, now_ns);
    const int8_t shared_dbov = shared_mix ? level_dbov(shared_mix) : SILENCE_DBOV;
    for (size_t g = 0; g < plan->encodings; g++) {
        encode(&plan->encoding[g], shared_mix);
        send_all(&plan->encoding[g], outbox, now_ns, shared_mix, shared_dbov);
    }
}

void mm_bridge_skip(mm_bridge *bridge, uint64_t ticks, int64_t now_ns) {
    const mm_plan *plan = bridge->plan;
    for (size_t i = 0; plan && i < plan->legs; i++) mm_leg_skip(plan->leg[i], ticks, now_ns / 100);
}
