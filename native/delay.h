/* How late packets come: the distribution of (arrival - media time) over the last five seconds.
 *
 * Media time has its own zero, so only differences of these offsets mean anything; the least one is the
 * path without queues. Kept as the largest and the least of each 20 ms of arrivals: one stall that lets
 * five packets come at once is one event, whatever the packet length.
 */
#ifndef MM_DELAY_H
#define MM_DELAY_H

#include <stdint.h>

#define MM_DELAY_SLOTS 256u /* 20 ms each */

typedef struct mm_delay {
    struct {
        int64_t begin_ns, largest_ns, least_ns;
    } slots[MM_DELAY_SLOTS];
    uint32_t first, count;
    int64_t began_ns;
    int64_t bound_ns; /* all but one in 250 slots came by this offset */
    int64_t least_ns;
} mm_delay;

/* Zeroed memory is a fresh state. */
void mm_delay_put(mm_delay *d, int64_t offset_ns, int64_t arrival_ns);
/* The offset to play at, so that what comes as the last five seconds' packets did is there in time:
 * start_ns over the least for the first two seconds, extra_ns more for looking ahead, never more than
 * cap_ns over the least. 0 packets: 0. */
int64_t mm_delay_needed(const mm_delay *d, int64_t start_ns, int64_t extra_ns, int64_t cap_ns);

#endif
