/* When to stretch: how much of a leg's delay is not needed, or how much is missing.
 *
 * A packet that is needed in a tick should have come *margin* before; what is decoded and left over after a
 * tick (*spare*) is delay that helps nobody, because the next packet is needed in the same tick with it or
 * without. So up to the least spare seen can always go, and a whole tick with it whenever the least margin
 * stays positive then. A negative margin asks for the opposite: as much as makes the next packet needed one
 * tick later.
 */
#ifndef MM_PACE_H
#define MM_PACE_H

#include <stdint.h>

typedef struct mm_pace {
    int64_t margin_ns;     /* least of this window */
    int32_t spare_samples; /* least of this window */
    uint32_t ticks, needed;
    int32_t want_samples; /* to leave out; negative: to tell twice */
    uint32_t tries, rest_ticks;
} mm_pace;

void mm_pace_init(mm_pace *p);
/* A packet was needed, *margin_ns* after the time by which nearly all come. */
void mm_pace_needed(mm_pace *p, int64_t margin_ns);
/* Once a tick, with what is left over after it: samples to leave out, negative to tell twice, 0. */
int32_t mm_pace_tick(mm_pace *p, int32_t spare_samples);
/* How alike two periods must be for this try, as mm_stretch_period takes it. */
int mm_pace_likeness(const mm_pace *p);
/* Left out so many (negative: told twice); 0: nothing was alike enough. heard: not in silence. */
void mm_pace_done(mm_pace *p, int32_t samples, int heard);

#endif
