/* What came in on a port that STUN, DTLS, SRTP and SRTCP share (RFC 7983, RFC 5761). */
#ifndef MM_DEMUX_H
#define MM_DEMUX_H

#include <stddef.h>
#include <stdint.h>

enum mm_datagram_kind {
    MM_DATAGRAM_JUNK, /* none of the others, or too short to be what its first byte says */
    MM_DATAGRAM_STUN,
    MM_DATAGRAM_DTLS,
    MM_DATAGRAM_RTP,
    MM_DATAGRAM_RTCP,
    MM_DATAGRAM_KINDS
};

/* Looks at the first bytes alone: the parser of that kind has the last word. */
enum mm_datagram_kind mm_datagram_kind(const uint8_t *bytes, size_t size);

#endif
