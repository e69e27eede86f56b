/* RTP packets in and out: the header, its extensions, where the payload lies (RFC 3550, 8285, 6464).
 *
 * Nothing is copied: the payload is a view of the datagram. All numbers are in host order.
 */
#ifndef MM_RTP_H
#define MM_RTP_H

#include <stddef.h>
#include <stdint.h>

#define MM_RTP_HEADER_BYTES 12u
#define MM_RTP_HEADER_ROOM 20u /* the most that mm_rtp_write writes */
#define MM_RTP_NO_LEVEL 1      /* level_dbov of a packet that does not tell */

/* Why a datagram is no RTP packet. mm_rtp_parse returns one of these negated. */
enum mm_rtp_reason {
    MM_RTP_SHORT = 1, /* less than a fixed header */
    MM_RTP_VERSION,
    MM_RTP_IS_RTCP, /* payload types 64 to 95 with the marker set: RTCP on the same port (RFC 5761) */
    MM_RTP_CSRC,    /* the list of contributing sources runs over the end */
    MM_RTP_EXTENSION,
    MM_RTP_PADDING,
    MM_RTP_REASONS
};

typedef struct mm_rtp {
    uint8_t payload_type, marker;
    uint16_t sequence;
    uint32_t timestamp, ssrc;
    const uint8_t *payload;
    uint32_t payload_size; /* 0 is well-formed: a probe or a keep-alive that takes a sequence number */
    int8_t level_dbov;     /* RFC 6464: 0 to -127, or MM_RTP_NO_LEVEL */
    uint8_t voice;         /* RFC 6464's V bit; 0 when the level is not told */
} mm_rtp;

/* 0, or a reason negated, *out then holding nothing. level_extension_id as negotiated, 0 for none. An
 * extension whose elements make no sense tells no level; the packet stands. */
int mm_rtp_parse(mm_rtp *out, const uint8_t *bytes, size_t size, int level_extension_id);

/* The header of *packet, its payload left to the caller: bytes written, 0 when they do not fit. The level
 * goes with it when the packet has one and level_extension_id is 1 to 255. */
size_t mm_rtp_write(uint8_t *bytes, size_t room, const mm_rtp *packet, int level_extension_id);

/* RTP timestamps and sequence numbers wrap: how far b is after a, negative when it is before. */
static inline int32_t mm_rtp_after(uint32_t a, uint32_t b) { return (int32_t)(b - a); }
static inline int16_t mm_rtp_sequence_after(uint16_t a, uint16_t b) { return (int16_t)(b - a); }

#endif
