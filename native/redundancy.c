#include "redundancy.h"

#define WINDOW 250u /* packets: 5 s of 20 ms each */
#define ON 3u       /* of these, lost: about 1 % */

int mm_redundancy_in(enum mm_codec codec, const uint8_t *payload, size_t size) {
    /* SILK's header flags are the first bits of a frame, not yet range coded in effect: one voice flag for
     * each 20 ms, then this one (RFC 6716 sections 4.2.3 and 4.2.4). CELT has none; packets of several
     * frames are not looked into. */
    if (codec != MM_OPUS || size < 3 || payload[0] & 0x83) return 0;
    const unsigned config = payload[0] >> 3;
    const unsigned voice_flags = config < 12 && (config & 3) > 1 ? config & 3 : 1;
    return payload[1] >> (7 - voice_flags) & 1;
}

void mm_redundancy_put(mm_redundancy *r, int carries, int64_t lost) {
    const uint32_t missing = lost < 0 ? 0 : lost > WINDOW ? WINDOW : (uint32_t)lost;
    r->expected += 1 + missing;
    r->lost += missing;
    r->carried += carries != 0;
    const int wanted = r->lost >= ON && r->carried;
    if (wanted) r->worth_waiting = 1;
    if (r->expected < WINDOW) return;
    r->worth_waiting = wanted;
    r->expected = r->lost = r->carried = 0;
}
