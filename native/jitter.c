#include "jitter.h"

#include <string.h>

#define MAX_AHEAD 3000 /* RFC 3550 appendix A.1: one minute of 20 ms packets lost is still the same stream */
#define MAX_BEHIND 100
#define SEEN_BITS 64
#define EARLIER 16 /* the very first packet may have overtaken so many */
/* A packet so much earlier or later than the one before it tells of a clock that was set, or of a queue that
 * nobody wants to wait for: the timeline is laid anew. */
#define JUMP_NS INT64_C(1000000000)

void mm_jitter_init(mm_jitter *j, mm_ledger *ledger) {
    memset(j, 0, sizeof *j);
    j->ledger = ledger;
    for (uint32_t i = 0; i < MM_JITTER_BLOCKS; i++) j->free_blocks[i] = (uint8_t)i;
    j->free_count = MM_JITTER_BLOCKS;
}

static void tell_buffered(mm_jitter *j) {
    mm_ledger_set(j->ledger, MM_RX_BUFFERED, MM_JITTER_BLOCKS - j->free_count);
}

static void give_back(mm_jitter *j, uint8_t block) {
    j->free_blocks[j->free_count++] = block;
    tell_buffered(j);
}

static mm_packet *slot_of(mm_jitter *j, int64_t sequence) {
    return &j->packets[(uint64_t)sequence % MM_JITTER_WINDOW];
}

static uint8_t *occupied_of(mm_jitter *j, int64_t sequence) {
    return &j->occupied[(uint64_t)sequence % MM_JITTER_WINDOW];
}

/* All below *sequence* is given up; *seen*: the one before it had come. */
static void advance(mm_jitter *j, int64_t sequence, int seen) {
    const int64_t step = sequence - j->next_sequence;
    j->taken = step >= SEEN_BITS ? 0 : j->taken << step;
    if (seen) j->taken |= 1;
    j->next_sequence = sequence;
}

static void drop_first(mm_jitter *j, enum mm_receive_counter reason) {
    const mm_packet packet = mm_jitter_take(j);
    mm_ledger_add(j->ledger, reason, 1);
    mm_jitter_release(j, &packet);
}

/* A block for a payload: the oldest packet's when none is free. Those that the receiver keeps and the held
 * one are five at most, so that there is always one to drop. */
static uint8_t block_for(mm_jitter *j, const uint8_t *payload, size_t size) {
    if (!j->free_count) drop_first(j, MM_RX_OVERFLOW);
    const uint8_t block = j->free_blocks[--j->free_count];
    if (size) memcpy(j->blocks[block], payload, size);
    tell_buffered(j);
    return block;
}

static void give_up_held(mm_jitter *j) {
    if (!j->held) return;
    j->held = 0;
    mm_ledger_add(j->ledger, MM_RX_SOURCE, 1);
    give_back(j, j->held_block);
}

static int64_t samples_of(int64_t units, uint32_t clock_hz) {
    if (clock_hz == 48000) return (units - (units < 0 ? 2 : 0)) / 3;
    return clock_hz == 8000 ? units * 2 : units;
}

/* Lay the timestamps of what follows so that this packet is as late as the last one, after all there is. */
static void map_anew(mm_jitter *j, int64_t sequence, uint32_t timestamp, uint32_t clock_hz,
                     int64_t arrival_ns) {
    int64_t at = j->started ? (arrival_ns - j->offset_ns) / MM_JITTER_SAMPLE_NS : 0;
    if (j->started && at < j->end_samples) at = j->end_samples;
    if (j->started) mm_ledger_add(j->ledger, MM_RX_RESTARTS, 1);
    j->clock_hz = clock_hz;
    j->top_timestamp = j->base_timestamp = timestamp;
    j->base_samples = at;
    j->mapped_sequence = j->started ? sequence : sequence - EARLIER;
}

static int64_t unwrap(const mm_jitter *j, uint32_t timestamp) {
    return j->top_timestamp + mm_rtp_after((uint32_t)j->top_timestamp, timestamp);
}

static int64_t place(const mm_jitter *j, int64_t timestamp) {
    return j->base_samples + samples_of(timestamp - j->base_timestamp, j->clock_hz);
}

/* Where an audio packet stands on the timeline. 0 when it belongs to a mapping that is over. */
static int locate(mm_jitter *j, mm_packet *packet, uint32_t timestamp, uint32_t clock_hz) {
    const int newest = packet->sequence >= j->top_sequence;
    if (!j->clock_hz || (newest && clock_hz != j->clock_hz))
        map_anew(j, packet->sequence, timestamp, clock_hz, packet->arrival_ns);
    if (packet->sequence < j->mapped_sequence || clock_hz != j->clock_hz) return 0;
    int64_t at = place(j, unwrap(j, timestamp));
    int64_t offset_ns = packet->arrival_ns - at * MM_JITTER_SAMPLE_NS;
    if (!j->started) j->offset_ns = offset_ns;
    if (offset_ns - j->offset_ns > JUMP_NS || offset_ns - j->offset_ns < -JUMP_NS) {
        if (!newest) return 0;
        j->jumps++;
        map_anew(j, packet->sequence, timestamp, clock_hz, packet->arrival_ns);
        at = j->base_samples;
        offset_ns = packet->arrival_ns - at * MM_JITTER_SAMPLE_NS;
    }
    packet->media_samples = at;
    j->offset_ns = offset_ns;
    if (newest) j->top_timestamp = unwrap(j, timestamp);
    if (newest || at + packet->samples > j->end_samples) j->end_samples = at + packet->samples;
    j->started = 1;
    return 1;
}

/* Put a packet of the followed stream whose sequence number is within bounds. */
static int accept(mm_jitter *j, int64_t sequence, const mm_rtp *rtp, const mm_jitter_note *note,
                  int64_t arrival_ns, int64_t *offset_ns) {
    mm_packet packet = {.sequence = sequence,
                        .arrival_ns = arrival_ns,
                        .samples = note->samples,
                        .size = (uint16_t)rtp->payload_size,
                        .kind = note->kind,
                        .codec = note->codec,
                        .silent = note->silent,
                        .stream = j->stream};
    const int64_t behind = j->next_sequence - 1 - sequence;
    if (behind >= 0) {
        const uint64_t bit = behind < SEEN_BITS ? UINT64_C(1) << behind : 0;
        mm_ledger_add(j->ledger, j->taken & bit ? MM_RX_DUPLICATE : MM_RX_LATE, 1);
        if (j->taken & bit) return 0;
        j->taken |= bit;
        if (packet.kind != MM_PACKET_AUDIO || !locate(j, &packet, rtp->timestamp, note->clock_hz)) return 0;
        *offset_ns = j->offset_ns;
        return 1;
    }
    while (j->waiting && sequence - j->next_sequence >= (int64_t)MM_JITTER_WINDOW &&
           mm_jitter_first(j)->sequence <= sequence - (int64_t)MM_JITTER_WINDOW)
        drop_first(j, MM_RX_OVERFLOW);
    if (sequence - j->next_sequence >= (int64_t)MM_JITTER_WINDOW)
        advance(j, sequence - (int64_t)MM_JITTER_WINDOW + 1, 0);
    if (*occupied_of(j, sequence)) {
        mm_ledger_add(j->ledger, MM_RX_DUPLICATE, 1);
        return 0;
    }
    const int audio = packet.kind == MM_PACKET_AUDIO;
    if (audio && !locate(j, &packet, rtp->timestamp, note->clock_hz)) {
        mm_ledger_add(j->ledger, MM_RX_LATE, 1);
        return 0;
    }
    /* The block's owner may drop the oldest: never this one, which is not in yet. */
    packet.block = block_for(j, rtp->payload, rtp->payload_size);
    if (sequence < j->next_sequence) { /* all before it went, and more is not worth the room */
        mm_ledger_add(j->ledger, MM_RX_OVERFLOW, 1);
        give_back(j, packet.block);
        return 0;
    }
    *slot_of(j, sequence) = packet;
    *occupied_of(j, sequence) = 1;
    j->waiting++;
    if (sequence > j->top_sequence) {
        j->top_sequence = sequence;
        j->top_wire = rtp->sequence;
    }
    *offset_ns = j->offset_ns;
    return audio;
}

/* Follow another stream from *rtp* on: its numbers go on where the present ones end. */
static int64_t follow(mm_jitter *j, const mm_rtp *rtp) {
    const int64_t sequence = j->top_sequence + 1;
    j->ssrc = rtp->ssrc;
    j->stream++;
    j->top_sequence = sequence;
    j->top_wire = rtp->sequence;
    j->clock_hz = 0; /* the first audio packet lays its timestamps */
    j->mapped_sequence = sequence;
    return sequence;
}

int mm_jitter_put(mm_jitter *j, const mm_rtp *rtp, const mm_jitter_note *note, int64_t arrival_ns,
                  int64_t *offset_ns) {
    if (rtp->payload_size > MM_JITTER_BLOCK_BYTES) {
        mm_ledger_add(j->ledger, MM_RX_PAYLOAD, 1);
        return 0;
    }
    if (!j->top_sequence) {
        const int64_t sequence = follow(j, rtp);
        j->next_sequence = sequence - EARLIER;
        return accept(j, sequence, rtp, note, arrival_ns, offset_ns);
    }
    const int64_t sequence = j->top_sequence + mm_rtp_sequence_after(j->top_wire, rtp->sequence);
    if (rtp->ssrc == j->ssrc && sequence - j->top_sequence <= MAX_AHEAD &&
        j->next_sequence - sequence <= MAX_BEHIND) {
        give_up_held(j);
        return accept(j, sequence, rtp, note, arrival_ns, offset_ns);
    }
    const int second = j->held && j->held_rtp.ssrc == rtp->ssrc &&
                       mm_rtp_sequence_after(j->held_rtp.sequence, rtp->sequence) == 1;
    if (!second) {
        give_up_held(j);
        j->held_block = block_for(j, rtp->payload, rtp->payload_size);
        j->held_rtp = *rtp;
        j->held_note = *note;
        j->held_arrival_ns = arrival_ns;
        j->held = 1;
        return 0;
    }
    /* The held one moves over: its block is given back first and its bytes lie still until the next take. */
    uint8_t first[MM_JITTER_BLOCK_BYTES];
    memcpy(first, j->blocks[j->held_block], j->held_rtp.payload_size);
    j->held = 0;
    give_back(j, j->held_block);
    mm_rtp held = j->held_rtp;
    held.payload = first;
    const int64_t from = follow(j, &held);
    accept(j, from, &held, &j->held_note, j->held_arrival_ns, offset_ns);
    return accept(j, from + 1, rtp, note, arrival_ns, offset_ns);
}

const mm_packet *mm_jitter_first(const mm_jitter *j) {
    if (!j->waiting) return NULL;
    for (int64_t s = j->next_sequence;; s++) {
        const uint64_t at = (uint64_t)s % MM_JITTER_WINDOW;
        if (j->occupied[at]) return &j->packets[at];
    }
}

mm_packet mm_jitter_take(mm_jitter *j) {
    const mm_packet packet = *mm_jitter_first(j);
    *occupied_of(j, packet.sequence) = 0;
    j->waiting--;
    advance(j, packet.sequence + 1, 1);
    return packet;
}

const uint8_t *mm_jitter_payload(const mm_jitter *j, const mm_packet *packet) {
    return j->blocks[packet->block];
}

void mm_jitter_release(mm_jitter *j, const mm_packet *packet) { give_back(j, packet->block); }
