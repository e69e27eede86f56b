/* RTCP in and out (RFC 3550 section 6; reduced-size packets of RFC 5506 are read too).
 *
 * One struct holds what a leg wants of a datagram, whichever way it goes: mm_rtcp_write writes it,
 * mm_rtcp_parse reads it back. A datagram is good as a whole or not at all.
 */
#ifndef MM_RTCP_H
#define MM_RTCP_H

#include <stddef.h>
#include <stdint.h>

#define MM_RTCP_BLOCKS 31u /* as many as one report can carry */
#define MM_RTCP_CNAME_BYTES 255u

enum mm_rtcp_reason {
    MM_RTCP_SHORT = 1,
    MM_RTCP_VERSION,
    MM_RTCP_LENGTH,  /* a packet runs over the end, or is too short for what its head promises */
    MM_RTCP_PADDING, /* before the last packet, or more of it than there is packet */
    MM_RTCP_ITEM,    /* a source description without an end */
    MM_RTCP_KIND,    /* none of its packets is RTCP */
    MM_RTCP_REASONS
};

typedef struct mm_rtcp_block {
    uint32_t ssrc;         /* whose packets this is about */
    uint8_t fraction_lost; /* of 256, since the last report */
    int32_t lost;          /* all in all, 24 bits signed: duplicates can make it negative */
    uint32_t highest;      /* cycles << 16 | sequence */
    uint32_t jitter;       /* in units of the RTP clock */
    uint32_t last_report;  /* middle 32 bits of the NTP time of the last sender report, 0: none */
    uint32_t delay;        /* since that came, in 1/65536 s */
} mm_rtcp_block;

typedef struct mm_rtcp {
    uint32_t ssrc; /* who sends it */
    uint32_t is_sender; /* the next four are told */
    uint64_t ntp;
    uint32_t timestamp, packets, octets;
    uint32_t block_count, bye_count, cname_bytes;
    uint32_t unread; /* packets of other kinds, reports beyond the room below */
    mm_rtcp_block blocks[MM_RTCP_BLOCKS];
    uint32_t byes[MM_RTCP_BLOCKS];
    char cname[MM_RTCP_CNAME_BYTES]; /* of the first source that has one; any bytes, no end mark */
} mm_rtcp;

/* 0, or a reason negated, *out then holding nothing of use. */
int mm_rtcp_parse(mm_rtcp *out, const uint8_t *bytes, size_t size);

/* SR (is_sender) or RR, then CNAME and BYE when there are any: bytes written, 0 when they do not fit or the
 * counts are beyond the room of the struct. */
size_t mm_rtcp_write(uint8_t *bytes, size_t room, const mm_rtcp *report);

/* The clock of our sender reports is the engine's: NTP's format, not its epoch (RFC 3550 section 4). */
uint64_t mm_rtcp_ntp(int64_t now_ns);
/* How long a report of ours took there and back; -1 when the block does not say. */
int64_t mm_rtcp_round_trip_ns(const mm_rtcp_block *block, uint64_t now_ntp);

#endif
