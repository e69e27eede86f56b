/* A receiver's way in: what each packet carries, and where the jitter buffer takes it. */
#include <string.h>

#include "receive_parts.h"

static int is_silent(const mm_receiver *r, const mm_rtp *rtp, uint8_t codec) {
    if (codec == MM_OPUS && rtp->payload_size <= MM_RECEIVE_OPUS_PAUSE_BYTES) return 1;
    return rtp->level_dbov != MM_RTP_NO_LEVEL && r->settings.silent_dbov < 0 &&
           rtp->level_dbov <= r->settings.silent_dbov;
}

void mm_receiver_push_rtp(mm_receiver *r, const mm_rtp *rtp, int64_t arrival_ns) {
    mm_receive_count(r, MM_RX_PACKETS, 1);
    const uint8_t type = r->settings.types[rtp->payload_type & 127];
    mm_jitter_note note = {.clock_hz = 8000, .kind = MM_PACKET_AUDIO};
    if (type == MM_TYPE_NONE) {
        mm_receive_count(r, MM_RX_TYPE, 1);
        return;
    }
    if (type == MM_TYPE_NOISE || type == MM_TYPE_EVENT) {
        note.kind = type == MM_TYPE_NOISE ? MM_PACKET_NOISE : MM_PACKET_EVENT;
    } else {
        note.codec = (uint8_t)(type - 1);
        note.clock_hz = mm_codec_clock_hz((enum mm_codec)note.codec);
        const int samples =
            rtp->payload_size && rtp->payload_size <= MM_JITTER_BLOCK_BYTES
                ? mm_codec_packet_samples((enum mm_codec)note.codec, rtp->payload, rtp->payload_size)
                : -1;
        if (samples <= 0 || samples > MM_PACKET_SAMPLES_MAX) {
            mm_receive_count(r, MM_RX_PAYLOAD, 1);
            return;
        }
        note.samples = (uint32_t)samples;
        note.silent = (uint8_t)is_silent(r, rtp, note.codec);
    }
    int64_t offset_ns = 0;
    const uint32_t jumps = r->jitter.jumps;
    if (!mm_jitter_put(&r->jitter, rtp, &note, arrival_ns, &offset_ns)) return;
    if (jumps != r->jitter.jumps) {
        memset(&r->delay, 0, sizeof r->delay);
        memset(&r->drift, 0, sizeof r->drift);
    }
    mm_delay_put(&r->delay, offset_ns, arrival_ns);
    if (mm_drift_put(&r->drift, offset_ns, arrival_ns))
        mm_ledger_set(&r->ledger, MM_RX_DRIFT_PPB, (uint64_t)(int64_t)mm_drift_ppb(&r->drift));
}

void mm_receiver_push(mm_receiver *r, const uint8_t *bytes, size_t size, int64_t arrival_ns) {
    mm_rtp rtp;
    if (mm_rtp_parse(&rtp, bytes, size, r->settings.level_extension_id) == 0) {
        mm_receiver_push_rtp(r, &rtp, arrival_ns);
    } else {
        mm_receive_count(r, MM_RX_PACKETS, 1);
        mm_receive_count(r, MM_RX_MALFORMED, 1);
    }
}
