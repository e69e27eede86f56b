/* A peer's mouth: one tick's audio, tone and report into the outbox. */
#include <string.h>

#include "peer_parts.h"

#define OPUS_PAUSE 0x48 /* RFC 6716 section 3.1: SILK, wideband, one frame of 20 ms */
#define VOICE_DBOV -50  /* what opens the gate (gate.c): RFC 6464's V bit */

/* Where this tick's datagrams go, and in which wrapping. */
typedef struct way {
    mm_outbox *outbox;
    const mm_destination *to;
    mm_srtp *keys; /* NULL: plain */
} way;

void mm_peer_sending_init(mm_peer *p, void *encoder) {
    mm_peer_sending *out = &p->out;
    mm_encode_leg_init(&out->leg, encoder);
    out->leg.size = -1;
    mm_telephone_out_init(&out->telephone, p->clock_hz);
    mm_rtcp_schedule_init(&out->schedule, p->settings.ssrc);
    out->step = (uint32_t)((uint64_t)p->clock_hz * MM_FRAME_SAMPLES / 16000);
    out->sequence = p->settings.sequence;
    out->timestamp = p->settings.timestamp;
    out->pausing = 1;
    out->pause_payload = OPUS_PAUSE;
}

mm_encode_leg *mm_peer_encode_leg(mm_peer *p) { return p->settings.codec == MM_CODECS ? NULL : &p->out.leg; }
enum mm_codec mm_peer_codec(const mm_peer *p) { return p->settings.codec; }
const mm_encoder_settings *mm_peer_encoder_settings(const mm_peer *p) { return &p->settings.encoder; }

/* ---- RTP ------------------------------------------------------------------------------------- */

static void send_rtp(mm_peer *p, const way *way, mm_rtp *rtp) {
    mm_peer_sending *out = &p->out;
    rtp->ssrc = p->settings.ssrc;
    rtp->sequence = out->sequence;
    uint8_t *bytes = mm_outbox_room(way->outbox);
    size_t size = mm_rtp_write(bytes, MM_OUTBOX_ROOM, rtp, p->settings.level_extension_id);
    memcpy(bytes + size, rtp->payload, rtp->payload_size);
    size += rtp->payload_size;
    if (way->keys && mm_srtp_protect(way->keys, bytes, &size, MM_OUTBOX_ROOM)) return; /* counted there */
    mm_outbox_add(way->outbox, way->to, size);
    out->sequence++;
    out->packets++;
    out->octets += rtp->payload_size;
}

static void send_audio(mm_peer *p, const way *way, int8_t level_dbov) {
    mm_peer_sending *out = &p->out;
    const mm_encode_leg *leg = &out->leg;
    mm_rtp rtp = {.payload_type = p->settings.payload_type,
                  .timestamp = out->timestamp,
                  .level_dbov = level_dbov,
                  .voice = level_dbov <= 0 && level_dbov > VOICE_DBOV};
    if (leg->size > 0) {
        rtp.marker = out->pausing;
        rtp.payload = leg->payload;
        rtp.payload_size = (uint32_t)leg->size;
        out->pausing = 0;
        if (p->settings.codec == MM_OPUS) out->pause_payload = leg->payload[0] & 0xFC;
    } else if (leg->size == 0 && !out->pausing && p->settings.codec == MM_OPUS) {
        /* What comes next is a pause and no loss. */
        rtp.payload = &out->pause_payload;
        rtp.payload_size = 1;
        out->pausing = 1;
    } else {
        out->pausing = 1;
        return;
    }
    send_rtp(p, way, &rtp);
}

static void take_queued_tones(mm_peer *p) {
    uint64_t word;
    while (mm_telephone_out_waiting(&p->out.telephone) < MM_TELEPHONE_QUEUE && mm_words_take(&p->tones_out, &word))
        (void)mm_telephone_out_queue(&p->out.telephone, word & 0xFF, word >> 8 & 0xFF, word >> 16 & 0xFFFF,
                                     (uint32_t)(word >> 32)); /* was checked when it was queued */
}

static void send_media(mm_peer *p, const way *way, int8_t level_dbov) {
    mm_peer_sending *out = &p->out;
    take_queued_tones(p);
    mm_rtp tone = {.level_dbov = MM_RTP_NO_LEVEL, .payload_type = p->settings.event_type};
    const enum mm_telephone_due due = mm_telephone_out_next(&out->telephone, out->timestamp, &tone);
    if (due != MM_TELEPHONE_NOTHING) {
        if (tone.marker) mm_peer_add(p, MM_PEER_TONES_SENT, 1);
        send_rtp(p, way, &tone);
    }
    if (due == MM_TELEPHONE_INSTEAD)
        out->pausing = 1;
    else
        send_audio(p, way, level_dbov);
}

/* ---- RTCP ------------------------------------------------------------------------------------ */

static void send_report(mm_peer *p, const way *way, int64_t now_ns, int bye) {
    mm_peer_sending *out = &p->out;
    mm_rtcp *report = &p->report;
    memset(report, 0, sizeof *report);
    report->ssrc = p->settings.ssrc;
    /* RFC 3550 section 6.4: a sender is who sent since the report before the last. */
    report->is_sender = out->packets != out->reported_packets[1];
    report->ntp = mm_rtcp_ntp(now_ns);
    report->timestamp = out->timestamp;
    report->packets = (uint32_t)out->packets;
    report->octets = (uint32_t)out->octets;
    report->block_count = (uint32_t)mm_reception_report(&p->in.reception, now_ns, &report->blocks[0]);
    report->cname_bytes = (uint32_t)strlen(p->settings.cname);
    memcpy(report->cname, p->settings.cname, report->cname_bytes);
    report->bye_count = bye != 0;
    report->byes[0] = p->settings.ssrc;
    out->reported_packets[1] = out->reported_packets[0];
    out->reported_packets[0] = out->packets;
    uint8_t *bytes = mm_outbox_room(way->outbox);
    size_t size = mm_rtcp_write(bytes, MM_OUTBOX_ROOM, report);
    if (way->keys && mm_srtp_protect_rtcp(way->keys, bytes, &size, MM_OUTBOX_ROOM)) return; /* counted there */
    mm_outbox_add(way->outbox, way->to, size);
    mm_peer_add(p, MM_PEER_RTCP_SENT, 1);
    if (bye) mm_peer_add(p, MM_PEER_BYES_SENT, 1);
}

/* ---- a tick ---------------------------------------------------------------------------------- */

/* While nobody had the peer its time went on, too: for one tick, when it moves to a thread that is ahead of the one
 * it leaves. Without that, the far end would take all that follows for so much later than it is. */
static void make_up_for_absence(mm_peer *p, int64_t now_ns) {
    mm_peer_sending *out = &p->out;
    const int64_t missed = (now_ns - out->ticked_ns + MM_FRAME_NS / 2) / MM_FRAME_NS - 1;
    if (out->ticked_ns && missed > 0) {
        out->timestamp += (uint32_t)missed * out->step;
        out->pausing = 1;
    }
    out->ticked_ns = now_ns;
}

static void send_all(mm_peer *p, const way *way, int64_t now_ns, int8_t level_dbov, int bye) {
    if (p->settings.secure && !way->keys) way = NULL;
    if (!way || !way->to) {
        p->out.pausing = 1;
    } else if (bye) {
        send_report(p, way, now_ns, 1);
    } else {
        send_media(p, way, level_dbov);
        if (mm_rtcp_schedule_due(&p->out.schedule, now_ns)) send_report(p, way, now_ns, 0);
    }
}

void mm_peer_send(mm_peer *p, mm_outbox *outbox, int64_t now_ns, int8_t level_dbov) {
    mm_peer_sending *out = &p->out;
    make_up_for_absence(p, now_ns);
    if (!out->ended) {
        const way way = {outbox, atomic_load_explicit(&p->destination, memory_order_acquire),
                         atomic_load_explicit(&p->keys_out, memory_order_acquire)};
        const int bye = atomic_load_explicit(&p->bye, memory_order_acquire);
        send_all(p, &way, now_ns, level_dbov, bye);
        out->ended = bye != 0;
    }
    out->timestamp += out->step;
}

void mm_peer_sending_skip(mm_peer *p, uint64_t ticks) {
    p->out.timestamp += (uint32_t)ticks * p->out.step;
    if (p->out.ticked_ns) p->out.ticked_ns += (int64_t)ticks * MM_FRAME_NS;
}
