/* A sender's clock against ours, from the quickest packet of each second of the last minute.
 *
 * Queues only ever add delay, so the least offset (arrival - media time) of a second is nearly that of the
 * bare path, and moves as the clocks do. The estimate is the median of slopes across half the time known:
 * a step of the path spoils few of these.
 */
#ifndef MM_DRIFT_H
#define MM_DRIFT_H

#include <stdint.h>

#define MM_DRIFT_SECONDS 60u

typedef struct mm_drift {
    struct {
        int64_t arrival_ns, least_ns;
    } seconds[MM_DRIFT_SECONDS];
    uint32_t first, count;
    int64_t begin_ns, arrival_ns, least_ns; /* the second that runs */
    int running;
    int32_t ppb;
} mm_drift;

/* Zeroed memory is a fresh state. 1 when the estimate was made anew. */
int mm_drift_put(mm_drift *d, int64_t offset_ns, int64_t arrival_ns);
/* Parts per billion that the sender's clock is fast; 0 until 20 seconds are known. */
int32_t mm_drift_ppb(const mm_drift *d);

#endif
