#include "rtcp_schedule.h"

#define INTERVAL_NS INT64_C(1000000000)

void mm_rtcp_schedule_init(mm_rtcp_schedule *s, uint32_t seed) {
    /* A seed that has few bits, or none, must not make all legs alike: Knuth's multiplier, and never 0. */
    *s = (mm_rtcp_schedule){.chance = (seed * 2654435761u) | 1u};
}

/* From a half to one and a half of *mean_ns*. */
static int64_t around(mm_rtcp_schedule *s, int64_t mean_ns) {
    s->chance ^= s->chance << 13; /* xorshift32 (Marsaglia) */
    s->chance ^= s->chance >> 17;
    s->chance ^= s->chance << 5;
    return mean_ns / 2 + (int64_t)(((uint64_t)s->chance * (uint64_t)mean_ns) >> 32);
}

int mm_rtcp_schedule_due(mm_rtcp_schedule *s, int64_t now_ns) {
    if (!s->running) {
        s->running = 1;
        s->due_ns = now_ns + around(s, INTERVAL_NS / 2);
        return 0;
    }
    if (now_ns < s->due_ns) return 0;
    s->due_ns = now_ns + around(s, INTERVAL_NS);
    return 1;
}
