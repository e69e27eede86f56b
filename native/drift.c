#include "drift.h"

#define SECOND_NS INT64_C(1000000000)
#define KNOWN_SECONDS 20u
#define LIMIT_PPB INT64_C(1000000) /* 0.1 %: no crystal is that far off */

static int64_t slope_ppb(const mm_drift *d, uint32_t i, uint32_t j) {
    i = (d->first + i) % MM_DRIFT_SECONDS;
    j = (d->first + j) % MM_DRIFT_SECONDS;
    const int64_t run_us = (d->seconds[j].arrival_ns - d->seconds[i].arrival_ns) / 1000;
    const int64_t rise_ns = d->seconds[i].least_ns - d->seconds[j].least_ns;
    /* Seconds apart, and offsets within a second of each other unless the timeline was restarted. */
    if (run_us <= 0 || rise_ns > SECOND_NS || rise_ns < -SECOND_NS) return 0;
    const int64_t ppb = rise_ns * 1000000 / run_us;
    return ppb > LIMIT_PPB ? LIMIT_PPB : ppb < -LIMIT_PPB ? -LIMIT_PPB : ppb;
}

static void estimate(mm_drift *d) {
    int64_t slopes[MM_DRIFT_SECONDS / 2];
    const uint32_t half = d->count / 2;
    for (uint32_t i = 0; i < half; i++) {
        const int64_t slope = slope_ppb(d, i, i + d->count - half);
        uint32_t at = i;
        for (; at && slopes[at - 1] > slope; at--) slopes[at] = slopes[at - 1];
        slopes[at] = slope;
    }
    d->ppb = (int32_t)slopes[half / 2];
}

int mm_drift_put(mm_drift *d, int64_t offset_ns, int64_t arrival_ns) {
    int fresh = 0;
    if (d->running && arrival_ns - d->begin_ns >= SECOND_NS) {
        if (d->count == MM_DRIFT_SECONDS) {
            d->first = (d->first + 1) % MM_DRIFT_SECONDS;
            d->count--;
        }
        const uint32_t at = (d->first + d->count++) % MM_DRIFT_SECONDS;
        d->seconds[at].arrival_ns = d->arrival_ns;
        d->seconds[at].least_ns = d->least_ns;
        d->running = 0;
        if (d->count >= KNOWN_SECONDS) {
            estimate(d);
            fresh = 1;
        }
    }
    if (!d->running) {
        d->running = 1;
        d->begin_ns = arrival_ns;
    } else if (offset_ns >= d->least_ns) {
        return fresh;
    }
    d->least_ns = offset_ns;
    d->arrival_ns = arrival_ns;
    return fresh;
}

int32_t mm_drift_ppb(const mm_drift *d) { return d->ppb; }
