#include "peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "pcm16k.h"
#include "peer_parts.h"

_Static_assert(MM_PEER_TONES == MM_WORDS, "as many as a ring of words holds");
_Static_assert(MM_PEER_RING_BYTES % 8 == 0 && MM_RTP_HEADER_BYTES + MM_PCM16K_MOST <= MM_PEER_RING_BYTES,
               "a frame of a link fits");

/* ---- making and ending ----------------------------------------------------------------------- */

static int can_be_received(uint8_t type) {
    if (type == MM_TYPE_NONE || type == MM_TYPE_NOISE || type == MM_TYPE_EVENT) return 1;
    return type <= MM_CODECS && mm_decoder_bytes((enum mm_codec)(type - 1)) > 0;
}

static int makes_sense(const mm_peer_settings *s) {
    for (size_t i = 0; i < sizeof s->receive.types; i++)
        if (!can_be_received(s->receive.types[i])) return 0;
    if (s->payload_type > 127 || s->event_type > 127) return 0;
    if (!memchr(s->cname, 0, sizeof s->cname)) return 0;
    return s->codec == MM_CODECS || (s->codec < MM_CODECS && mm_encode_room(s->codec) > 0);
}

static int payload_type_of_link(const mm_peer_settings *s) {
    for (int i = 0; i < (int)sizeof s->receive.types; i++)
        if (s->receive.types[i] == 1 + MM_PCM16K) return i;
    return -1;
}

static void *failed(void *peer, int reason) {
    mm_peer_destroy(peer);
    errno = reason;
    return NULL;
}

mm_peer *mm_peer_create(const mm_peer_settings *settings) {
    if (!makes_sense(settings)) return failed(NULL, EINVAL);
    const int sends = settings->codec != MM_CODECS;
    const size_t head = (sizeof(mm_peer) + 63) / 64 * 64, ear = mm_receiver_bytes();
    const size_t mouth = sends ? mm_encode_room(settings->codec) : 0;
    mm_peer *p = mm_pages_alloc(head + ear + mouth);
    if (!p) return failed(NULL, ENOMEM);
    p->settings = *settings;
    if (!p->settings.event_clock_khz) p->settings.event_clock_khz = 8;
    p->clock_hz = sends ? mm_codec_clock_hz(settings->codec) : 8000;
    p->link_type = payload_type_of_link(settings);
    p->receiver = (mm_receiver *)((char *)p + head);
    mm_receiver_init(p->receiver, &settings->receive);
    mm_reception_init(&p->in.reception);
    mm_telephone_in_init(&p->in.telephone);
    void *encoder = sends ? (char *)p + head + ear : NULL;
    if (sends && mm_encoder_init(encoder, settings->codec, &settings->encoder))
        return failed(p, EINVAL);
    mm_peer_sending_init(p, encoder);
    p->ring = mm_packet_ring_create(MM_PEER_RING_SLOTS, MM_PEER_RING_BYTES);
    return p->ring ? p : failed(p, ENOMEM);
}

void mm_peer_destroy(void *peer) {
    mm_peer *p = peer;
    if (!p) return;
    if (p->ring) mm_packet_ring_destroy(p->ring);
    mm_srtp_destroy(&p->srtp_in);
    mm_srtp_destroy(&p->srtp_out);
    free(atomic_load(&p->destination));
    mm_pages_free(p);
}

/* ---- control side ---------------------------------------------------------------------------- */

_Atomic(void *) *mm_peer_owner(mm_peer *p) { return &p->owner; }

mm_destination *mm_peer_set_destination(mm_peer *p, mm_destination *destination) {
    return atomic_exchange_explicit(&p->destination, destination, memory_order_acq_rel);
}

int mm_peer_set_keys(mm_peer *p, const mm_srtp_library *library, enum mm_srtp_profile profile,
                     const uint8_t *in, const uint8_t *out, size_t key_bytes) {
    if (atomic_load(&p->keys_in)) return -1;
    if (mm_srtp_init_in(&p->srtp_in, library, profile, in, key_bytes)) return -1;
    if (mm_srtp_init_out(&p->srtp_out, library, profile, out, key_bytes, p->settings.ssrc)) {
        mm_srtp_destroy(&p->srtp_in);
        return -1;
    }
    atomic_store_explicit(&p->keys_out, &p->srtp_out, memory_order_release);
    atomic_store_explicit(&p->keys_in, &p->srtp_in, memory_order_release);
    return 0;
}

void mm_peer_say_bye(mm_peer *p) { atomic_store_explicit(&p->bye, 1, memory_order_release); }

int mm_peer_queue_tone(mm_peer *p, unsigned event, unsigned volume, uint32_t duration_ms, uint32_t pause_ms) {
    /* What telephone.h would refuse is refused here, where the caller hears of it. */
    if (event > MM_TELEPHONE_FLASH || volume > MM_TELEPHONE_MAX_VOLUME) return -1;
    if (duration_ms < MM_TELEPHONE_MIN_MS || duration_ms > MM_TELEPHONE_MAX_MS || pause_ms > MM_TELEPHONE_MAX_MS)
        return -1;
    if (!p->settings.event_type || p->settings.codec == MM_CODECS) return -1;
    const uint64_t word = event | volume << 8 | (uint64_t)duration_ms << 16 | (uint64_t)pause_ms << 32;
    return mm_words_put(&p->tones_out, word) ? 0 : -1;
}

int mm_peer_read_tone(mm_peer *p, mm_tone *tone) {
    uint64_t word;
    if (!mm_words_take(&p->tones_in, &word)) return 0;
    *tone = (mm_tone){.event = (uint8_t)word,
                      .volume = (uint8_t)(word >> 8),
                      .ended = (uint8_t)(word >> 16),
                      .duration = (uint32_t)(word >> 32)};
    return 1;
}

void mm_peer_heard(mm_peer *p, int64_t now_ns) {
    atomic_store_explicit(&p->last_heard_ns, now_ns, memory_order_relaxed);
}

int64_t mm_peer_last_heard_ns(const mm_peer *p) {
    return atomic_load_explicit(&p->last_heard_ns, memory_order_relaxed);
}

uint64_t mm_peer_arrivals(const mm_peer *p) { return mm_packet_ring_written(p->ring); }

const mm_ledger *mm_peer_ledger(const mm_peer *p) { return mm_receiver_ledger(p->receiver); }

uint64_t mm_peer_count(const mm_peer *p, enum mm_peer_counter which) {
    switch (which) {
    case MM_PEER_LAPPED:
        return mm_packet_ring_lapped(p->ring);
    case MM_PEER_OVERSIZE:
        return mm_packet_ring_oversize(p->ring);
    case MM_PEER_NOT_KEYED:
        return atomic_load_explicit(&p->not_keyed, memory_order_relaxed);
    case MM_PEER_SRTP_GOOD:
    case MM_PEER_SRTP_SHORT:
    case MM_PEER_SRTP_FORGED:
    case MM_PEER_SRTP_REPLAYED:
    case MM_PEER_SRTP_REFUSED:
        return mm_srtp_count(&p->srtp_in, (enum mm_srtp_counter)(which - MM_PEER_SRTP_GOOD));
    case MM_PEER_SRTP_FAILED: {
        uint64_t all = mm_srtp_count(&p->srtp_in, MM_SRTP_FAILED);
        for (int i = MM_SRTP_GOOD + 1; i < MM_SRTP_COUNTERS; i++)
            all += mm_srtp_count(&p->srtp_out, (enum mm_srtp_counter)i);
        return all;
    }
    default:
        return which < MM_PEER_COUNTERS
                   ? atomic_load_explicit(&p->counters[which], memory_order_relaxed)
                   : 0;
    }
}

const char *mm_peer_counter_name(enum mm_peer_counter which) {
    static const char *const NAMES[MM_PEER_COUNTERS] = {
        [MM_PEER_RECEIVED] = "received",
        [MM_PEER_EXPECTED] = "expected",
        [MM_PEER_LOST] = "lost",
        [MM_PEER_JITTER_US] = "jitter_us",
        [MM_PEER_LAPPED] = "lapped",
        [MM_PEER_OVERSIZE] = "oversize",
        [MM_PEER_NOT_KEYED] = "not_keyed",
        [MM_PEER_SRTP_GOOD] = "srtp_good",
        [MM_PEER_SRTP_SHORT] = "srtp_short",
        [MM_PEER_SRTP_FORGED] = "srtp_forged",
        [MM_PEER_SRTP_REPLAYED] = "srtp_replayed",
        [MM_PEER_SRTP_REFUSED] = "srtp_refused",
        [MM_PEER_SRTP_FAILED] = "srtp_failed",
        [MM_PEER_TONES_HEARD] = "tones_heard",
        [MM_PEER_TONES_UNREAD] = "tones_unread",
        [MM_PEER_EVENTS_BAD] = "events_bad",
        [MM_PEER_RTCP_RECEIVED] = "rtcp_received",
        [MM_PEER_RTCP_BAD] = "rtcp_bad",
        [MM_PEER_RTCP_SENT] = "rtcp_sent",
        [MM_PEER_BYES_HEARD] = "byes_heard",
        [MM_PEER_BYES_SENT] = "byes_sent",
        [MM_PEER_ROUND_TRIPS] = "round_trips",
        [MM_PEER_ROUND_TRIP_US] = "round_trip_us",
        [MM_PEER_FAR_REPORTS] = "far_reports",
        [MM_PEER_FAR_LOST_256THS] = "far_lost_256ths",
        [MM_PEER_FAR_LOST_SMOOTHED_256THS] = "far_lost_smoothed_256ths",
        [MM_PEER_FAR_LOST] = "far_lost",
        [MM_PEER_FAR_JITTER_US] = "far_jitter_us",
        [MM_PEER_SENT_PACKETS] = "sent_packets",
        [MM_PEER_SENT_OCTETS] = "sent_octets",
        [MM_PEER_TONES_SENT] = "tones_sent",
    };
    return which < MM_PEER_COUNTERS ? NAMES[which] : NULL;
}

/* ---- packet thread, or the link's ------------------------------------------------------------- */

void mm_peer_receive(mm_peer *p, uint8_t *bytes, size_t size, enum mm_datagram_kind kind, int64_t arrival_ns) {
    if (kind != MM_DATAGRAM_RTP && kind != MM_DATAGRAM_RTCP) return;
    mm_srtp *keys = atomic_load_explicit(&p->keys_in, memory_order_acquire);
    if (keys) {
        const int reason = kind == MM_DATAGRAM_RTP
                               ? mm_srtp_unprotect(keys, bytes, &size, arrival_ns)
                               : mm_srtp_unprotect_rtcp(keys, bytes, &size, arrival_ns);
        if (reason) return; /* counted there */
    } else if (p->settings.secure) {
        const uint64_t before = atomic_load_explicit(&p->not_keyed, memory_order_relaxed);
        atomic_store_explicit(&p->not_keyed, before + 1, memory_order_relaxed);
        return;
    }
    mm_peer_heard(p, arrival_ns);
    (void)mm_packet_ring_write(p->ring, bytes, size, arrival_ns);
}

int mm_peer_push_pcm(mm_peer *p, uint32_t sequence, uint32_t timestamp_samples, const mm_meta *meta,
                     const int16_t pcm[MM_FRAME_SAMPLES], int64_t arrival_ns) {
    if (p->link_type < 0) return -1;
    /* The link keeps order, so one step back is another beginning: another source. */
    if (p->link_started && (mm_rtp_after(p->link_sequence, sequence) <= 0 ||
                            mm_rtp_after(p->link_timestamp, timestamp_samples) <= 0))
        p->link_ssrc++;
    p->link_started = 1;
    p->link_sequence = sequence;
    p->link_timestamp = timestamp_samples;
    const mm_rtp rtp = {.payload_type = (uint8_t)p->link_type,
                        .sequence = (uint16_t)sequence,
                        .timestamp = timestamp_samples,
                        .ssrc = p->link_ssrc,
                        .level_dbov = MM_RTP_NO_LEVEL};
    alignas(8) uint8_t bytes[MM_RTP_HEADER_BYTES + MM_PCM16K_MOST];
    const size_t head = mm_rtp_write(bytes, sizeof bytes, &rtp, 0);
    const size_t payload = mm_pcm16k_write(bytes + head, meta, pcm);
    mm_peer_heard(p, arrival_ns);
    (void)mm_packet_ring_write(p->ring, bytes, head + payload, arrival_ns);
    return 0;
}

/* ---- tick thread ----------------------------------------------------------------------------- */

void mm_peer_skip(mm_peer *p, uint64_t ticks) {
    mm_peer_hearing_skip(p, ticks);
    mm_peer_sending_skip(p, ticks);
}
