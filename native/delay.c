#include "delay.h"

#define SLOT_NS INT64_C(20000000)
#define WINDOW_NS INT64_C(5000000000) /* calm for so long, and a spike is forgotten */
#define MARGIN_NS INT64_C(2000000)    /* a tick and a packet thread may both be a little late */
#define START_FOR_NS INT64_C(2000000000)

static void survey(mm_delay *d) {
    int64_t largest = INT64_MIN, second = INT64_MIN, least = INT64_MAX;
    for (uint32_t i = 0; i < d->count; i++) {
        const uint32_t at = (d->first + i) % MM_DELAY_SLOTS;
        const int64_t offset = d->slots[at].largest_ns;
        if (offset > largest) {
            second = largest;
            largest = offset;
        } else if (offset > second) {
            second = offset;
        }
        if (d->slots[at].least_ns < least) least = d->slots[at].least_ns;
    }
    d->bound_ns = d->count < 2 ? largest : second;
    d->least_ns = least;
}

void mm_delay_put(mm_delay *d, int64_t offset_ns, int64_t arrival_ns) {
    int stale = d->count < 3;
    if (!d->count) d->began_ns = arrival_ns;
    while (d->count && arrival_ns - d->slots[d->first].begin_ns > WINDOW_NS) {
        stale |= d->slots[d->first].largest_ns >= d->bound_ns ||
                 d->slots[d->first].least_ns <= d->least_ns;
        d->first = (d->first + 1) % MM_DELAY_SLOTS;
        d->count--;
    }
    uint32_t last = (d->first + d->count + MM_DELAY_SLOTS - 1) % MM_DELAY_SLOTS;
    if (!d->count || arrival_ns - d->slots[last].begin_ns >= SLOT_NS) {
        if (d->count == MM_DELAY_SLOTS) { /* 256 slots are 5.12 s: only when arrival times jump */
            d->first = (d->first + 1) % MM_DELAY_SLOTS;
            d->count--;
            stale = 1;
        }
        last = (d->first + d->count++) % MM_DELAY_SLOTS;
        d->slots[last].begin_ns = arrival_ns;
        d->slots[last].largest_ns = d->slots[last].least_ns = offset_ns;
    }
    if (offset_ns > d->slots[last].largest_ns) d->slots[last].largest_ns = offset_ns;
    if (offset_ns < d->slots[last].least_ns) d->slots[last].least_ns = offset_ns;
    /* The second largest changes only when one at least as large comes or goes. */
    if (stale || offset_ns >= d->bound_ns)
        survey(d);
    else if (offset_ns < d->least_ns)
        d->least_ns = offset_ns;
}

int64_t mm_delay_needed(const mm_delay *d, int64_t start_ns, int64_t extra_ns, int64_t cap_ns) {
    if (!d->count) return 0;
    int64_t over = d->bound_ns - d->least_ns + MARGIN_NS;
    const uint32_t last = (d->first + d->count + MM_DELAY_SLOTS - 1) % MM_DELAY_SLOTS;
    if (over < start_ns && d->slots[last].begin_ns - d->began_ns < START_FOR_NS) over = start_ns;
    over += extra_ns;
    return d->least_ns + (over < cap_ns ? over : cap_ns);
}
