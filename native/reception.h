/* What a receiver knows of one RTP source: loss and jitter as RFC 3550 appendices A.1, A.3 and A.8 have them.
 *
 * Fed per packet, asked per report. One thread; time is an argument. A new SSRC or a restarted sequence
 * begins again, and what came before stays in the totals of the leg.
 */
#ifndef MM_RECEPTION_H
#define MM_RECEPTION_H

#include <stdint.h>

#include "rtcp.h"
#include "rtp.h"

typedef struct mm_reception {
    uint32_t ssrc, clock_hz;
    int started;
    uint16_t max_sequence;
    uint32_t cycles;       /* << 16 */
    uint32_t base_sequence;
    uint32_t bad_sequence; /* one more than the last that jumped, 0x10000: none did */
    uint32_t received, expected_before, received_before;
    uint32_t transit, timestamp;
    int have_transit;
    uint32_t jitter_q4; /* sixteenths of a clock unit */
    uint32_t last_report;
    int64_t last_report_ns;
    uint64_t earlier_expected, earlier_received; /* of sources and sequences that are over */
    uint64_t jumped; /* packets out of any order: not counted as received until a second follows */
} mm_reception;

void mm_reception_init(mm_reception *r);

/* clock_hz is that of the packet's payload type; 0 for one whose timestamp does not tell when it was sent (a telephone
 * event has its tone's beginning): counted, and no part of jitter. 1, or 0 when the sequence number jumped. */
int mm_reception_put(mm_reception *r, const mm_rtp *packet, uint32_t clock_hz, int64_t arrival_ns);
/* A sender report of this source came. */
void mm_reception_sender_report(mm_reception *r, const mm_rtcp *report, int64_t arrival_ns);
/* Fill *block and begin the next interval. 0 when no packet has come: there is nothing to report. */
int mm_reception_report(mm_reception *r, int64_t now_ns, mm_rtcp_block *block);

/* Over the life of the leg. lost is never negative. */
void mm_reception_totals(const mm_reception *r, uint64_t *expected, uint64_t *received, uint64_t *lost);
int64_t mm_reception_jitter_ns(const mm_reception *r);

#endif
