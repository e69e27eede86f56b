/* What benchmarks/call.py drives by ctypes: one end of a call as an engine has it, and a day of packets.
 *
 * An end is a peer with the encode group of its bridge and an outbox without a socket: what it sends is looked at
 * and thrown away. Nothing here is part of the extension.
 */
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demux.h"
#include "memory.h"
#include "peer.h"

#define OPUS_TYPE 111

typedef struct bench_end {
    mm_outbox outbox;
    mm_encode_group group;
    mm_peer *peer;
    void *encoders;
    alignas(8) uint8_t received[MM_OUTBOX_ROOM];
} bench_end;

void bench_end_destroy(bench_end *end) {
    if (!end) return;
    if (end->peer) mm_peer_destroy(end->peer);
    mm_pages_free(end->encoders);
    mm_pages_free(end);
}

/* bit_rate 0: it only listens. Redundancy follows what the far end reports. */
bench_end *bench_end_create(uint32_t ssrc, uint32_t bit_rate, uint8_t complexity) {
    mm_peer_settings settings = {.codec = bit_rate ? MM_OPUS : MM_CODECS,
                                 .encoder = {.bit_rate = bit_rate, .complexity = complexity, .fec = 1},
                                 .receive = {.cap_ms = 500},
                                 .payload_type = OPUS_TYPE,
                                 .ssrc = ssrc};
    settings.receive.types[OPUS_TYPE] = 1 + MM_OPUS;
    snprintf(settings.cname, sizeof settings.cname, "%08x", (unsigned)ssrc);
    bench_end *end = mm_pages_alloc(sizeof *end);
    mm_destination *nowhere = calloc(1, sizeof *nowhere);
    if (end && nowhere) {
        nowhere->fd = -1;
        mm_outbox_init(&end->outbox);
        end->encoders = mm_pages_alloc(2 * mm_encode_room(MM_OPUS));
        end->peer = end->encoders ? mm_peer_create(&settings) : NULL;
        const int is_good = end->peer && (!bit_rate || mm_encode_group_init(&end->group, MM_OPUS, &settings.encoder,
                                                                            end->encoders) == 0);
        if (is_good) {
            (void)mm_peer_set_destination(end->peer, nowhere); /* the peer's from now on; there was none before */
            return end;
        }
    }
    free(nowhere);
    bench_end_destroy(end);
    return NULL;
}

void bench_end_receive(bench_end *end, const uint8_t *bytes, size_t size, int64_t arrival_ns) {
    if (size > sizeof end->received) return; /* nothing that an outbox has is */
    memcpy(end->received, bytes, size);
    mm_peer_receive(end->peer, end->received, size, mm_datagram_kind(bytes, size), arrival_ns);
}

/* One frame, its flags, and what the ledger says of its delay. 1 while the ledger holds. */
int bench_end_pull(bench_end *end, int64_t now_ns, int16_t *pcm, uint32_t *flags, int32_t *delay_ms) {
    const mm_ledger *ledger = mm_peer_ledger(end->peer);
    mm_meta meta;
    mm_peer_pull(end->peer, now_ns, &meta, pcm);
    *flags = meta.flags;
    *delay_ms = (int32_t)mm_ledger_get(ledger, MM_RX_DELAY_MS);
    return mm_ledger_holds(ledger);
}

/* How many datagrams wait to be looked at. pcm: what to say, NULL for an end that only listens. */
size_t bench_end_send(bench_end *end, const int16_t *pcm, int64_t now_ns) {
    mm_encode_leg *leg = mm_peer_encode_leg(end->peer);
    mm_outbox_flush(&end->outbox);
    if (pcm && leg) mm_encode_tick(&end->group, &leg, 1, pcm, MM_FRAME_SAMPLES);
    mm_peer_send(end->peer, &end->outbox, now_ns, MM_RTP_NO_LEVEL);
    return mm_outbox_waiting(&end->outbox);
}

const uint8_t *bench_end_datagram(const bench_end *end, size_t index, size_t *size, int *is_rtcp) {
    const mm_destination *to;
    const uint8_t *bytes = mm_outbox_datagram(&end->outbox, index, size, &to);
    *is_rtcp = mm_datagram_kind(bytes, *size) == MM_DATAGRAM_RTCP;
    return bytes;
}

uint64_t bench_end_count(const bench_end *end, int which) {
    return mm_ledger_get(mm_peer_ledger(end->peer), (enum mm_receive_counter)which);
}

typedef struct bench_drift {
    const uint8_t *payloads; /* packet i of a loop is payloads[begin[i]..begin[i + 1]) */
    const int64_t *begin;
    int64_t packets;
    double ppm; /* the sender's clock is so much fast */
    int64_t ticks;
    int64_t neither; /* from here on: what was seen. Ticks neither played nor concealed, after the first of voice */
    int64_t underruns_first_minute;
    int64_t delay_least_ms, delay_most_ms; /* after the first minute */
    int64_t broken_tick;                   /* at which the ledger did not hold, or -1 */
} bench_drift;

#define FIRST_MINUTE_TICKS 3000
#define PACKET_MOST 1472

static size_t write_packet(uint8_t bytes[PACKET_MOST], const bench_drift *d, int64_t n) {
    const int64_t at = n % d->packets;
    const size_t size = (size_t)(d->begin[at + 1] - d->begin[at]);
    const uint32_t timestamp = (uint32_t)(n * 960);
    const uint8_t head[12] = {0x80, OPUS_TYPE, (uint8_t)(n >> 8), (uint8_t)n, (uint8_t)(timestamp >> 24),
                              (uint8_t)(timestamp >> 16), (uint8_t)(timestamp >> 8), (uint8_t)timestamp,
                              0, 0, 0, 1};
    memcpy(bytes, head, sizeof head);
    memcpy(bytes + sizeof head, d->payloads + d->begin[at], size);
    return sizeof head + size;
}

void bench_drift_run(mm_receiver *receiver, bench_drift *d) {
    const mm_ledger *ledger = mm_receiver_ledger(receiver);
    const double packet_ns = (double)MM_FRAME_NS / (1 + d->ppm * 1e-6);
    uint8_t bytes[PACKET_MOST];
    int16_t pcm[MM_FRAME_SAMPLES];
    mm_meta meta;
    int64_t next = 0;
    int is_heard = 0;
    d->neither = 0;
    d->delay_least_ms = INT64_MAX;
    d->delay_most_ms = 0;
    d->broken_tick = -1;
    for (int64_t tick = 0; tick < d->ticks && d->broken_tick < 0; tick++) {
        const int64_t now_ns = tick * MM_FRAME_NS;
        for (int64_t at; (at = (int64_t)((double)next * packet_ns) + 7000000) <= now_ns; next++)
            mm_receiver_push(receiver, bytes, write_packet(bytes, d, next), at);
        mm_receiver_pull(receiver, now_ns, &meta, pcm);
        if (!mm_ledger_holds(ledger)) d->broken_tick = tick;
        is_heard |= meta.flags == 0;
        if (is_heard && meta.flags & (MM_FRAME_SILENCE | MM_FRAME_COMFORT | MM_FRAME_SKIPPED)) d->neither++;
        if (tick < FIRST_MINUTE_TICKS) {
            d->underruns_first_minute = (int64_t)mm_ledger_get(ledger, MM_RX_UNDERRUNS);
            continue;
        }
        const int64_t delay_ms = (int64_t)mm_ledger_get(ledger, MM_RX_DELAY_MS);
        if (delay_ms < d->delay_least_ms) d->delay_least_ms = delay_ms;
        if (delay_ms > d->delay_most_ms) d->delay_most_ms = delay_ms;
    }
}
