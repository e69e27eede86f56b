#include "bridge.h"

#include <string.h>

#include "memory.h"
#include "mixdown.h"

#define HANGOVER_TICKS 20u /* 400 ms: words and breaths of one sentence stay one talkspurt */
/* -50 dBov over one frame: above room noise of a headset, below quiet speech. */
#define ACTIVE_ENERGY (MM_FRAME_SAMPLES * 10737ull)

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

void mm_bridge_insert(void *target, void *value) {
    mm_bridge *bridge = target;
    mm_insert *insert = value;
    mm_leg *leg = insert->leg;
    leg->insert[insert->direction] = insert;
    bridge->inserts[insert->direction]++;
    /* Another mix from the next tick on: its encoder is its own from the last frame on. */
    mm_encode_leg *encoder = insert->direction == MM_OUTBOUND ? mm_leg_encoder(leg) : NULL;
    if (encoder && leg->group) mm_encode_leg_part(leg->group, encoder);
}

void mm_bridge_withdraw(void *target, void *value) {
    mm_bridge *bridge = target;
    mm_insert *insert = value;
    insert->leg->insert[insert->direction] = NULL;
    bridge->inserts[insert->direction]--;
}

enum mm_edge mm_bridge_last_edge(const mm_bridge *bridge) {
    return bridge->inserts[MM_OUTBOUND] ? MM_EDGE_SEND : bridge->inserts[MM_INBOUND] ? MM_EDGE_MIX : MM_EDGE_GATHER;
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

static int16_t *row_at(const mm_plan *plan, size_t row) { return plan->block + row * MM_FRAME_SAMPLES; }

static void begin_rows(mm_plan *plan) {
    plan->open = plan->tapped = plan->metered = 0;
    memset(plan->open_mask, 0, (plan->legs + 63) / 64 * 8);
}

/* The frame in the first free row is what leg *i* says. */
static void add_row(mm_plan *plan, size_t i) {
    mm_leg *leg = plan->leg[i];
    int16_t *row = row_at(plan, plan->open);
    if (leg->taps.count) {
        mm_taps_keep(&leg->taps, row);
        plan->tapped++;
    }
    if (mm_meter_watched(&leg->meter)) {
        mm_meter_note(&leg->meter.inbound, mm_level_dbov(row));
        plan->metered++;
    }
    leg->is_open = plan->gated ? mm_gate_frame(&leg->gate, row) : 1;
    if (!leg->is_open) return; /* the next one's frame goes over this one's zeros */
    leg->row = plan->open;
    plan->open_leg[plan->open++] = i;
    plan->open_mask[i / 64] |= UINT64_C(1) << (i % 64);
}

static void gather(mm_plan *plan, mm_flow *flow, int64_t now_ns) {
    begin_rows(plan);
    for (size_t i = 0; i < plan->legs; i++) {
        mm_leg_pull(plan->leg[i], flow, now_ns, row_at(plan, plan->open));
        add_row(plan, i);
    }
}

/* Where plugins take part: each leg's frame stands in a row of its own until it is known what became of it. */
static void gather_dry(mm_plan *plan, mm_flow *flow, int64_t now_ns) {
    for (size_t i = 0; i < plan->legs; i++) {
        mm_leg *leg = plan->leg[i];
        mm_leg_pull(leg, flow, now_ns, row_at(plan, i));
        mm_insert *insert = leg->insert[MM_INBOUND];
        if (insert) mm_insert_offer(insert, &leg->heard, now_ns / 100, row_at(plan, i));
    }
}

static void gather_wet(mm_plan *plan) {
    begin_rows(plan);
    for (size_t i = 0; i < plan->legs; i++) {
        mm_leg *leg = plan->leg[i];
        if (leg->insert[MM_INBOUND] && mm_insert_take(leg->insert[MM_INBOUND], row_at(plan, i)))
            leg->heard.flags &= ~(uint32_t)MM_FRAME_SILENCE; /* what the plugin says may be heard */
        if (plan->open < i) memcpy(row_at(plan, plan->open), row_at(plan, i), MM_FRAME_BYTES);
        add_row(plan, i);
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

/* A tap has what the mix has: nobody audible is silence, whatever the source says of it. */
static void tell_taps(const mm_plan *plan, int64_t now_ns) {
    for (size_t i = 0; i < plan->legs; i++) {
        mm_leg *leg = plan->leg[i];
        if (!leg->taps.count) continue;
        mm_meta meta = leg->heard;
        meta.timestamp = now_ns / 100;
        if (!leg->audible) {
            meta.flags |= MM_FRAME_SILENCE;
            meta.speaker_count = 0;
        } else {
            meta.flags &= ~(uint32_t)MM_FRAME_SILENCE;
            if (!leg->relay) meta.speaker_count = 1;
            if (!leg->relay) meta.speakers[0] = leg->source_id;
        }
        mm_taps_write(&leg->taps, &meta);
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

static void write_render(mm_leg *leg, const mm_meta *meta, const int16_t *pcm, mm_flow *flow) {
    mm_ring_write(leg->render, meta, pcm);
    flow->count[MM_FLOW_RENDERED]++;
}

static void render(mm_plan *plan, mm_flow *flow, int64_t now_ns) {
    audible a;
    judge(plan, &a);
    if (plan->tapped) tell_taps(plan, now_ns);
    mm_meta meta = {.timestamp = now_ns / 100};
    for (size_t i = 0; i < plan->legs; i++) {
        mm_leg *leg = plan->leg[i];
        if (mm_leg_encoder(leg) && !leg->insert[MM_OUTBOUND]) continue;
        describe(plan, &a, i, &meta);
        if (leg->insert[MM_OUTBOUND])
            mm_insert_offer(leg->insert[MM_OUTBOUND], &meta, meta.timestamp, leg->mix);
        else
            write_render(leg, &meta, leg->mix, flow);
    }
}

/* What a plugin makes of it is measured where it comes back. */
static void meter_mixes(mm_plan *plan, const int16_t *shared_mix, int8_t shared_dbov) {
    for (size_t i = 0; i < plan->legs; i++) {
        mm_leg *leg = plan->leg[i];
        if (!mm_meter_watched(&leg->meter)) continue;
        if (!leg->insert[MM_OUTBOUND])
            mm_meter_note(&leg->meter.outbound, leg->mix == shared_mix ? shared_dbov : mm_level_dbov(leg->mix));
        mm_meter_age(&leg->meter);
    }
}

static void encode(mm_encoding *encoding, const int16_t *shared_mix) {
    size_t due = 0;
    for (size_t i = 0; i < encoding->legs; i++) {
        const mm_leg *leg = encoding->leg[i];
        mm_encode_leg *encoder = mm_leg_encoder(leg);
        if (!encoder || leg->insert[MM_OUTBOUND]) continue;
        encoder->own_mix = leg->mix == shared_mix ? NULL : leg->mix;
        encoding->due[due++] = encoder;
    }
    mm_encode_tick(encoding->group, encoding->due, due, shared_mix, MM_FRAME_SAMPLES);
}

static void send_all(mm_encoding *encoding, mm_outbox *outbox, int64_t now_ns, const int16_t *shared_mix,
                 int8_t shared_dbov) {
    for (size_t i = 0; i < encoding->legs; i++) {
        mm_leg *leg = encoding->leg[i];
        if (!leg->has_peer || leg->insert[MM_OUTBOUND]) continue;
        const int8_t dbov = leg->mix == shared_mix ? shared_dbov : mm_level_dbov(leg->mix);
        mm_peer_send(leg->peer, outbox, now_ns, dbov);
    }
}

/* What came back from the plugin of what a leg hears: into its own encoder, or its render ring. */
static void send_wet(mm_leg *leg, mm_outbox *outbox, mm_flow *flow, int64_t now_ns) {
    mm_insert *insert = leg->insert[MM_OUTBOUND];
    int16_t wet[MM_FRAME_SAMPLES];
    memcpy(wet, leg->mix, sizeof wet);
    if (mm_insert_take(insert, wet)) insert->offered.flags &= ~(uint32_t)MM_FRAME_SILENCE;
    if (mm_meter_watched(&leg->meter)) mm_meter_note(&leg->meter.outbound, mm_level_dbov(wet));
    mm_encode_leg *encoder = mm_leg_encoder(leg);
    if (!encoder) {
        write_render(leg, &insert->offered, wet, flow);
    } else if (leg->group) {
        encoder->own_mix = wet;
        mm_encode_tick(leg->group, &encoder, 1, leg->mix, MM_FRAME_SAMPLES);
        mm_peer_send(leg->peer, outbox, now_ns, mm_level_dbov(wet));
    }
}

static void send_all_wet(const mm_plan *plan, mm_outbox *outbox, mm_flow *flow, int64_t now_ns) {
    for (size_t i = 0; i < plan->legs; i++)
        if (plan->leg[i]->insert[MM_OUTBOUND]) send_wet(plan->leg[i], outbox, flow, now_ns);
}

static void mix(mm_bridge *bridge, const mm_kernels *kernels, mm_outbox *outbox, mm_flow *flow, int64_t now_ns) {
    mm_plan *plan = bridge->plan;
    const int16_t *shared_mix = mm_mixdown(plan, kernels, &bridge->limiter);
    flow->count[MM_FLOW_MIXED] += plan->legs;
    render(plan, flow, now_ns);
    const int8_t shared_dbov = shared_mix ? mm_level_dbov(shared_mix) : MM_SILENCE_DBOV;
    if (plan->metered) meter_mixes(plan, shared_mix, shared_dbov);
    for (size_t g = 0; g < plan->encodings; g++) {
        encode(&plan->encoding[g], shared_mix);
        send_all(&plan->encoding[g], outbox, now_ns, shared_mix, shared_dbov);
    }
}

int mm_bridge_tick(mm_bridge *bridge, enum mm_edge edge, const mm_kernels *kernels, mm_outbox *outbox, mm_flow *flow,
                   int64_t now_ns) {
    mm_plan *plan = bridge->plan;
    if (!plan || plan->legs == 0) return 0;
    const int waits = bridge->inserts[MM_INBOUND] > 0;
    if (edge == MM_EDGE_GATHER && waits) {
        gather_dry(plan, flow, now_ns);
        return 1;
    }
    if (edge == MM_EDGE_SEND) {
        if (bridge->inserts[MM_OUTBOUND]) send_all_wet(plan, outbox, flow, now_ns);
        return 0;
    }
    if (edge == MM_EDGE_MIX && !waits) return 0; /* was done */
    if (waits)
        gather_wet(plan);
    else
        gather(plan, flow, now_ns);
    mix(bridge, kernels, outbox, flow, now_ns);
    return bridge->inserts[MM_OUTBOUND] > 0;
}

void mm_bridge_skip(mm_bridge *bridge, mm_flow *flow, uint64_t ticks, int64_t now_ns) {
    const mm_plan *plan = bridge->plan;
    if (plan) flow->count[MM_FLOW_SKIPPED] += plan->legs * ticks;
    for (size_t i = 0; plan && i < plan->legs; i++) mm_leg_skip(plan->leg[i], ticks, now_ns / 100);
}
