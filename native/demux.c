#include "demux.h"

#include "wire.h"

#define STUN_BYTES 20u
#define STUN_COOKIE 0x2112A442u /* RFC 8489: ICE always has it, and few strays do */
#define DTLS_BYTES 13u
#define RTP_BYTES 12u
#define RTCP_BYTES 8u

enum mm_datagram_kind mm_datagram_kind(const uint8_t *bytes, size_t size) {
    if (size < RTCP_BYTES) return MM_DATAGRAM_JUNK;
    const uint8_t first = bytes[0];
    if (first <= 3) {
        const int stun = size >= STUN_BYTES && mm_get32_unchecked(bytes + 4) == STUN_COOKIE &&
                         mm_get16_unchecked(bytes + 2) == size - STUN_BYTES && size % 4 == 0;
        return stun ? MM_DATAGRAM_STUN : MM_DATAGRAM_JUNK;
    }
    if (first >= 20 && first <= 63) return size >= DTLS_BYTES ? MM_DATAGRAM_DTLS : MM_DATAGRAM_JUNK;
    if (first >= 128 && first <= 191) {
        if (bytes[1] >= 192 && bytes[1] <= 223) return MM_DATAGRAM_RTCP;
        return size >= RTP_BYTES ? MM_DATAGRAM_RTP : MM_DATAGRAM_JUNK;
    }
    return MM_DATAGRAM_JUNK; /* ZRTP, TURN channels: nothing here speaks them */
}
