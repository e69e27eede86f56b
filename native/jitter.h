/* Packets of one leg put into order: duplicates, late ones, new SSRCs, restarts, jumping timestamps.
 *
 * Packets get a sequence number and a media time that go on over all of these: what a source sent before it
 * restarted is still played, and what comes then follows it. Media time is in samples at 16 kHz.
 * A stream is followed from its first packet; another (SSRC or sequence) takes over when two of its packets
 * come one after the other with none of the present stream between, so that a flood of strange packets
 * costs nobody a sample. All that is put ends in the ledger: here, or where the packet is taken.
 */
#ifndef MM_JITTER_H
#define MM_JITTER_H

#include <stddef.h>
#include <stdint.h>

#include "ledger.h"
#include "rtp.h"

#define MM_JITTER_BLOCKS 64u      /* packets: 640 ms of 10 ms each, more than the cap of delay */
#define MM_JITTER_WINDOW 128u     /* sequence numbers, with the lost ones */
#define MM_JITTER_BLOCK_BYTES 1472u /* a datagram of Ethernet without UDP and IP: no payload is larger */

enum mm_packet_kind {
    MM_PACKET_AUDIO,
    MM_PACKET_NOISE, /* RFC 3389: the source pauses, and this is the level of its noise */
    MM_PACKET_EVENT, /* a telephone event: takes a sequence number and has no sound */
};

typedef struct mm_packet {
    int64_t sequence, media_samples, arrival_ns;
    uint32_t samples; /* by its headers; 0 unless audio */
    uint16_t size;
    uint8_t kind, codec;
    uint8_t stream; /* another number than the packet before: another source, its decoder starts anew */
    uint8_t silent; /* needs not be decoded unless a loud one follows */
    uint8_t block;
} mm_packet;

/* What the receiver knows of a packet before it is put. clock_hz: 8000, 16000 or 48000. */
typedef struct mm_jitter_note {
    uint32_t clock_hz, samples;
    uint8_t kind, codec, silent;
} mm_jitter_note;

typedef struct mm_jitter {
    mm_ledger *ledger;
    /* The stream that is followed. */
    int started;
    uint32_t ssrc, clock_hz;
    uint8_t stream;
    int64_t next_sequence; /* what is below was taken, or has been given up */
    uint64_t taken;        /* bit i: next_sequence - 1 - i was seen */
    int64_t top_sequence;  /* highest put; its low 16 bits on the wire are top_wire */
    uint16_t top_wire;
    int64_t mapped_sequence; /* first that the present mapping of timestamps holds for */
    int64_t top_timestamp;   /* in clock units, over wraps */
    int64_t base_timestamp, base_samples;
    int64_t end_samples;  /* where the highest packet's audio ends */
    uint32_t jumps;       /* how often timestamps or arrivals jumped: what was known of delay is void */
    int64_t offset_ns;    /* arrival - media time of the last audio packet that was put */
    /* One packet of a stream that may take over. */
    int held;
    mm_rtp held_rtp;
    mm_jitter_note held_note;
    int64_t held_arrival_ns;
    uint8_t held_block;

    uint32_t waiting;
    uint8_t occupied[MM_JITTER_WINDOW];
    mm_packet packets[MM_JITTER_WINDOW];
    uint32_t free_count; /* of blocks; last given back, first taken: the cache still has it */
    uint8_t free_blocks[MM_JITTER_BLOCKS];
    uint8_t blocks[MM_JITTER_BLOCKS][MM_JITTER_BLOCK_BYTES];
} mm_jitter;

#define MM_JITTER_SAMPLE_NS 62500 /* 16 kHz */

void mm_jitter_init(mm_jitter *j, mm_ledger *ledger);
/* 1 when an audio packet of the followed stream came and is no duplicate, so that *offset_ns (arrival -
 * media time) tells of the network; late ones tell too. The payload is copied. */
int mm_jitter_put(mm_jitter *j, const mm_rtp *rtp, const mm_jitter_note *note, int64_t arrival_ns,
                  int64_t *offset_ns);
/* The first in order, or NULL. */
const mm_packet *mm_jitter_first(const mm_jitter *j);
/* Take the first: its block stays until it is released. Those before it are given up. */
mm_packet mm_jitter_take(mm_jitter *j);
const uint8_t *mm_jitter_payload(const mm_jitter *j, const mm_packet *packet);
void mm_jitter_release(mm_jitter *j, const mm_packet *packet);

#endif
