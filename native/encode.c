#include "encode.h"

#include <string.h>

/* FEC costs 0.6 of PESQ when nothing is lost, and gains as much from 3 % on. */
#define FEC_ON_PERCENT 3.0
#define FEC_OFF_PERCENT 1.0
#define LOSS_MOST 50
/* An ADPCM decoder forgets another past at 5 dB a frame. It may begin in a frame below -40 dBFS,
 * where it is not heard, and go on in ones that grow by 6 dB each; after 15 it is 80 dB down, after
 * some 20 gone. */
#define QUIET_PEAK 328
#define SETTLING_TICKS 15
/* An Opus decoder with another past is 28 dB off for a frame. In one below -40 dBFS nobody hears
 * that, nor what coding without prediction costs those who stay: half a second of a private encoder
 * is waiting for one worth. */
#define PATIENCE_TICKS 25

size_t mm_encode_room(enum mm_codec codec) { return (mm_encoder_bytes(codec) + 63) / 64 * 64; }

int mm_encode_group_init(mm_encode_group *g, enum mm_codec codec,
                         const mm_encoder_settings *settings, void *memory) {
    memset(g, 0, sizeof *g);
    g->codec = codec;
    g->settings = *settings;
    g->encoder_bytes = mm_encoder_bytes(codec);
    if (!g->encoder_bytes) return -1;
    for (int k = 0; k < 2; k++) {
        g->shared[k].encoder = (char *)memory + (size_t)k * mm_encode_room(codec);
        memset(g->shared[k].encoder, 0, g->encoder_bytes);
        if (mm_encoder_init(g->shared[k].encoder, codec, settings)) return -1;
    }
    return 0;
}

void mm_encode_leg_init(mm_encode_leg *leg, void *memory) {
    memset(leg, 0, sizeof *leg);
    leg->encoder = memory;
}

void mm_encode_leg_report_loss(mm_encode_leg *leg, double percent) {
    if (!(percent >= 0)) return; /* nor NaN */
    if (percent >= FEC_ON_PERCENT) leg->fec = 1;
    if (percent < FEC_OFF_PERCENT) leg->fec = 0;
    leg->loss_percent = (uint8_t)(percent > LOSS_MOST ? LOSS_MOST : percent + 0.5);
}

static int wants_fec(const mm_encode_group *g, const mm_encode_leg *leg) {
    return g->settings.fec && leg->fec;
}

static enum mm_encode_place wanted(const mm_encode_group *g, const mm_encode_leg *leg) {
    if (leg->own_mix) return MM_ENCODE_PRIVATE;
    return wants_fec(g, leg) ? MM_ENCODE_SHARED_FEC : MM_ENCODE_SHARED;
}

static mm_encode_shared *shared_at(mm_encode_group *g, enum mm_encode_place place) {
    return place == MM_ENCODE_SHARED       ? &g->shared[0]
           : place == MM_ENCODE_SHARED_FEC ? &g->shared[1]
                                           : NULL;
}

static void start_afresh(const mm_encode_group *g, void *encoder) {
    memset(encoder, 0, g->encoder_bytes); /* padding too: states are compared by their bytes */
    (void)mm_encoder_init(encoder, g->codec, &g->settings); /* went well at the group's creation */
}

static void leave(mm_encode_group *g, mm_encode_leg *leg, const mm_encode_shared *from) {
    memcpy(leg->encoder, from->encoder, g->encoder_bytes);
    leg->place = MM_ENCODE_PRIVATE;
    g->counters.leaves++;
}

/* Before anything is encoded: who stays, and a copy of the encoder for whoever goes. */
static void part(mm_encode_group *g, mm_encode_leg *leg) {
    mm_encode_shared *from = shared_at(g, leg->place);
    if (!from) return;
    if (wanted(g, leg) == leg->place)
        from->listeners++;
    else
        leave(g, leg, from);
}

void mm_encode_leg_part(mm_encode_group *g, mm_encode_leg *leg) {
    const mm_encode_shared *from = shared_at(g, leg->place);
    if (from) leave(g, leg, from);
    leg->own_mix = NULL;
    leg->payload = NULL;
    leg->size = -1;
    leg->waiting_ticks = leg->settling_ticks = 0;
}

static int is_within(const int16_t *mix, int samples, int peak) {
    for (int i = 0; i < samples; i++)
        if (mix[i] > peak || mix[i] < -peak) return 0;
    return 1;
}

static void join(mm_encode_group *g, mm_encode_leg *leg, enum mm_encode_place place, int quiet) {
    mm_encode_shared *to = shared_at(g, place);
    if (to->listeners == 0) {
        /* Nobody has followed this encoder: it goes on where the leg's own was. */
        if (leg->place == MM_ENCODE_PRIVATE) {
            memcpy(to->encoder, leg->encoder, g->encoder_bytes);
            g->counters.adopted++;
        } else {
            start_afresh(g, to->encoder);
        }
    } else if (leg->place == MM_ENCODE_PRIVATE && !quiet && leg->waiting_ticks < PATIENCE_TICKS) {
        leg->waiting_ticks++;
        return;
    } else if (mm_encoder_detach_next(to->encoder) == 0) {
        g->counters.detached++;
    } else if (leg->place == MM_ENCODE_PRIVATE) {
        if (leg->settling_ticks == 0) leg->settling_ticks = SETTLING_TICKS;
        return;
    } /* else its decoder is at its start, and joins without harm */
    leg->place = place;
    to->listeners++;
}

static void go_where_wanted(mm_encode_group *g, mm_encode_leg *leg, int quiet) {
    const enum mm_encode_place place = wanted(g, leg);
    if (leg->place != place && place != MM_ENCODE_PRIVATE) join(g, leg, place, quiet);
    if (leg->place == MM_ENCODE_NOWHERE) {
        start_afresh(g, leg->encoder);
        leg->place = MM_ENCODE_PRIVATE;
    }
    if (leg->place == place) leg->settling_ticks = leg->waiting_ticks = 0;
}

static void encode_shared(mm_encode_group *g, mm_encode_shared *s, const int16_t *mix,
                          int samples) {
    s->size = -1;
    if (s->listeners == 0) return;
    mm_encoder_set_fec(s->encoder, s == &g->shared[1], s->loss_percent);
    s->size = mm_encode(s->encoder, mix, samples, s->payload, MM_ENCODED_BYTES);
    g->counters.shared_frames++;
}

/* A quiet frame is the shared encoder's, and the own one keeps to what the far decoder makes of it:
 * after enough of them in a row the two are alike, and until then the leg can go on by itself
 * without a trace. */
static int settle(mm_encode_group *g, mm_encode_leg *leg, const int16_t *mix, int samples) {
    const mm_encode_shared *to = shared_at(g, wanted(g, leg));
    const int peak = QUIET_PEAK << (SETTLING_TICKS - leg->settling_ticks);
    if (to->size <= 0 || !is_within(mix, samples, peak) ||
        mm_encoder_follow(leg->encoder, to->encoder, to->payload, (size_t)to->size) < 0) {
        leg->settling_ticks = SETTLING_TICKS;
        return 0;
    }
    leg->payload = to->payload;
    leg->size = to->size;
    if (--leg->settling_ticks == 0) {
        leg->place = wanted(g, leg);
        g->counters.settled++;
    }
    return 1;
}

static void deliver(mm_encode_group *g, mm_encode_leg *leg, const int16_t *shared_mix,
                    int samples) {
    const mm_encode_shared *from = shared_at(g, leg->place);
    if (from) {
        leg->payload = from->payload;
        leg->size = from->size;
        return;
    }
    const int16_t *mix = leg->own_mix ? leg->own_mix : shared_mix;
    if (leg->settling_ticks && settle(g, leg, mix, samples)) return;
    mm_encoder_set_fec(leg->encoder, wants_fec(g, leg), leg->loss_percent);
    leg->payload = leg->own_payload;
    leg->size = mm_encode(leg->encoder, mix, samples, leg->own_payload, MM_ENCODED_BYTES);
    g->counters.private_frames++;
}

void mm_encode_tick(mm_encode_group *g, mm_encode_leg *const *legs, size_t count,
                    const int16_t *shared_mix, int samples) {
    g->shared[0].listeners = g->shared[1].listeners = 0;
    g->shared[1].loss_percent = g->settings.loss_percent;
    for (size_t i = 0; i < count; i++) part(g, legs[i]);
    const int quiet = is_within(shared_mix, samples, QUIET_PEAK);
    for (size_t i = 0; i < count; i++) go_where_wanted(g, legs[i], quiet);
    uint8_t *most = &g->shared[1].loss_percent; /* redundancy for whoever loses most */
    for (size_t i = 0; i < count; i++)
        if (legs[i]->place == MM_ENCODE_SHARED_FEC && legs[i]->loss_percent > *most)
            *most = legs[i]->loss_percent;
    encode_shared(g, &g->shared[0], shared_mix, samples);
    encode_shared(g, &g->shared[1], shared_mix, samples);
    for (size_t i = 0; i < count; i++) deliver(g, legs[i], shared_mix, samples);
}
