/* When a leg's next RTCP report is due (RFC 3550 section 6.2, the profile of RFC 4585): about once a second,
 * by chance between half and one and a half, so that many legs do not report in one tick; the first after
 * about half a second. */
#ifndef MM_RTCP_SCHEDULE_H
#define MM_RTCP_SCHEDULE_H

#include <stdint.h>

typedef struct mm_rtcp_schedule {
    int running;
    int64_t due_ns;
    uint32_t chance;
} mm_rtcp_schedule;

/* The same seed makes the same times. */
void mm_rtcp_schedule_init(mm_rtcp_schedule *s, uint32_t seed);
/* From the first call on, once a tick in which a report could be sent: 1 when one is to be. */
int mm_rtcp_schedule_due(mm_rtcp_schedule *s, int64_t now_ns);

#endif
