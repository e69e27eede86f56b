/* A peer's ear: the ring drained into receiver, statistics, tones and reports, and one frame out of it. */
#include <stdalign.h>
#include <string.h>

#include "peer_parts.h"

#define PUBLISH_TICKS 10u /* five times a second */
#define FAR_PACKETS 100.0 /* a report about so many packets weighs as much as all before it */
#define FAR_PACKETS_USUAL 50u
#define FAR_PACKETS_MOST 1000u /* in one report; more: its numbers began anew */
#define ROUND_TRIP_MOST_NS INT64_C(60000000000)

/* ---- tones ----------------------------------------------------------------------------------- */

static void tell(mm_peer *p, const mm_tone *tone) {
    const uint64_t duration_ms = tone->duration / p->settings.event_clock_khz;
    const uint64_t word = tone->event | (uint64_t)tone->volume << 8 | (uint64_t)tone->ended << 16 |
                          duration_ms << 32;
    if (!tone->ended) mm_peer_add(p, MM_PEER_TONES_HEARD, 1);
    if (!mm_words_put(&p->tones_in, word)) mm_peer_add(p, MM_PEER_TONES_UNREAD, 1);
}

static void take_events(mm_peer *p, const mm_rtp *rtp, int64_t arrival_ns) {
    mm_tone tones[MM_TELEPHONE_TONES];
    const int told = mm_telephone_in_put(&p->in.telephone, rtp, arrival_ns, tones);
    if (told < 0) mm_peer_add(p, MM_PEER_EVENTS_BAD, 1);
    for (int i = 0; i < told; i++) tell(p, &tones[i]);
}

/* ---- RTP ------------------------------------------------------------------------------------- */

/* An event's timestamp is its beginning; noise and what was not agreed upon are on the clock of the audio. */
static uint32_t clock_hz_of(const mm_peer *p, uint8_t type) {
    if (type == MM_TYPE_EVENT) return 0;
    if (type == MM_TYPE_NONE || type == MM_TYPE_NOISE) return p->in.reception.clock_hz;
    return mm_codec_clock_hz((enum mm_codec)(type - 1));
}

static void take_rtp(mm_peer *p, const mm_rtp *rtp, int64_t arrival_ns) {
    mm_receiver_push_rtp(p->receiver, rtp, arrival_ns);
    /* The receiver knows who is listened to; packets of others would spoil what is reported about that one. */
    if (!mm_receiver_follows(p->receiver, rtp->ssrc)) return;
    const uint8_t type = p->settings.receive.types[rtp->payload_type];
    mm_reception_put(&p->in.reception, rtp, clock_hz_of(p, type), arrival_ns);
    if (type == MM_TYPE_EVENT) take_events(p, rtp, arrival_ns);
}

/* ---- RTCP ------------------------------------------------------------------------------------ */

/* Weighed by how many packets it is about: FEC is not to follow one report's chance, nor to wait for many. */
static void smooth_loss(mm_peer *p, const mm_rtcp_block *block, int first) {
    mm_peer_hearing *in = &p->in;
    uint32_t packets = block->highest - in->far_highest;
    if (first || packets > FAR_PACKETS_MOST) packets = FAR_PACKETS_USUAL;
    in->far_highest = block->highest;
    in->far_lost += (block->fraction_lost - in->far_lost) * packets / (packets + FAR_PACKETS);
    mm_peer_publish(p, MM_PEER_FAR_LOST_SMOOTHED_256THS, (uint64_t)(in->far_lost + 0.5));
    mm_encode_leg_report_loss(&p->out.leg, in->far_lost * 100 / 256);
}

static void take_block(mm_peer *p, const mm_rtcp_block *block, int64_t arrival_ns) {
    const int first = atomic_load_explicit(&p->counters[MM_PEER_FAR_REPORTS], memory_order_relaxed) == 0;
    mm_peer_add(p, MM_PEER_FAR_REPORTS, 1);
    mm_peer_publish(p, MM_PEER_FAR_LOST_256THS, block->fraction_lost);
    mm_peer_publish(p, MM_PEER_FAR_LOST, block->lost > 0 ? (uint64_t)block->lost : 0);
    mm_peer_publish(p, MM_PEER_FAR_JITTER_US, (uint64_t)block->jitter * 1000000 / p->clock_hz);
    smooth_loss(p, block, first);
    const int64_t round_trip_ns = mm_rtcp_round_trip_ns(block, mm_rtcp_ntp(arrival_ns));
    if (round_trip_ns < 0 || round_trip_ns > ROUND_TRIP_MOST_NS) return; /* about no report of ours */
    mm_peer_publish(p, MM_PEER_ROUND_TRIP_US, (uint64_t)(round_trip_ns / 1000));
    mm_peer_add(p, MM_PEER_ROUND_TRIPS, 1);
}

/* Of the source that is listened to; while there is none, anybody's. */
static int says_bye(const mm_peer *p, const mm_rtcp *report) {
    for (uint32_t i = 0; i < report->bye_count; i++)
        if (!p->in.reception.started || report->byes[i] == p->in.reception.ssrc) return 1;
    return 0;
}

static void take_rtcp(mm_peer *p, const uint8_t *bytes, size_t size, int64_t arrival_ns) {
    const mm_rtcp *report = &p->report;
    if (mm_rtcp_parse(&p->report, bytes, size)) {
        mm_peer_add(p, MM_PEER_RTCP_BAD, 1);
        return;
    }
    mm_peer_add(p, MM_PEER_RTCP_RECEIVED, 1);
    mm_reception_sender_report(&p->in.reception, report, arrival_ns);
    for (uint32_t i = 0; i < report->block_count; i++)
        if (report->blocks[i].ssrc == p->settings.ssrc) take_block(p, &report->blocks[i], arrival_ns);
    if (says_bye(p, report)) mm_peer_add(p, MM_PEER_BYES_HEARD, 1);
}

/* ---- a tick ---------------------------------------------------------------------------------- */

/* A ring full at most: whoever floods a leg does not hold up its tick. */
static void drain(mm_peer *p, uint64_t most) {
    alignas(8) uint8_t bytes[MM_PEER_RING_BYTES];
    if (most > MM_PEER_RING_SLOTS) most = MM_PEER_RING_SLOTS;
    for (uint64_t n = 0; n < most; n++) {
        size_t size;
        int64_t arrival_ns;
        if (!mm_packet_ring_read(p->ring, bytes, &size, &arrival_ns)) return;
        mm_rtp rtp;
        const int reason = mm_rtp_parse(&rtp, bytes, size, p->settings.receive.level_extension_id);
        if (reason == 0)
            take_rtp(p, &rtp, arrival_ns);
        else if (size >= 2 && bytes[1] >= 192 && bytes[1] <= 223) /* RFC 5761, as demux.h has it */
            take_rtcp(p, bytes, size, arrival_ns);
        else
            mm_receiver_push(p->receiver, bytes, size, arrival_ns); /* which counts what is wrong with it */
    }
}

static void publish(mm_peer *p) {
    uint64_t expected, received, lost;
    mm_reception_totals(&p->in.reception, &expected, &received, &lost);
    mm_peer_publish(p, MM_PEER_RECEIVED, received);
    mm_peer_publish(p, MM_PEER_EXPECTED, expected);
    mm_peer_publish(p, MM_PEER_LOST, lost);
    mm_peer_publish(p, MM_PEER_JITTER_US, (uint64_t)(mm_reception_jitter_ns(&p->in.reception) / 1000));
    mm_peer_publish(p, MM_PEER_SENT_PACKETS, p->out.packets);
    mm_peer_publish(p, MM_PEER_SENT_OCTETS, p->out.octets);
}

void mm_peer_pull(mm_peer *p, int64_t now_ns, mm_meta *meta, int16_t pcm[MM_FRAME_SAMPLES]) {
    mm_peer_hearing *in = &p->in;
    drain(p, MM_PEER_RING_SLOTS);
    mm_tone tone;
    if (mm_telephone_in_expire(&in->telephone, now_ns, &tone)) tell(p, &tone);
    /* What came while nobody listened, before the first tick too, is not played late. */
    if (!in->pulled_ns || now_ns - in->pulled_ns > MM_PEER_ABSENT_NS)
        mm_receiver_catch_up(p->receiver, now_ns);
    in->pulled_ns = now_ns;
    mm_receiver_pull(p->receiver, now_ns, meta, pcm);
    if (++in->unpublished_ticks < PUBLISH_TICKS) return;
    in->unpublished_ticks = 0;
    publish(p);
}

uint64_t mm_peer_taken(const mm_peer *p) { return mm_packet_ring_read_count(p->ring); }
uint64_t mm_peer_lapped(const mm_peer *p) { return mm_packet_ring_lapped(p->ring); }

void mm_peer_flush(mm_peer *p, uint64_t arrivals, int64_t now_ns) {
    const uint64_t taken = mm_packet_ring_read_count(p->ring) + mm_packet_ring_lapped(p->ring);
    if (arrivals > taken) drain(p, arrivals - taken);
    mm_receiver_flush(p->receiver, now_ns);
}

void mm_peer_hearing_skip(mm_peer *p, uint64_t ticks) {
    if (p->in.pulled_ns) p->in.pulled_ns += (int64_t)ticks * MM_FRAME_NS;
    mm_receiver_skip(p->receiver, ticks);
}
