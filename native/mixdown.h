/* One tick's mixes of a plan: whom each leg hears, summed wide and brought to 16 bits once. */
#ifndef MM_MIXDOWN_H
#define MM_MIXDOWN_H

#include "mix.h"
#include "plan.h"

/* The rows of the open legs stand in the block, with open_leg, open_mask and open. Sets leg->mix of all, and
 * the energy of the rows. *shared_limiter* is that of the mix of all. Returns that mix; NULL when nobody may
 * share it (a plan without gates). */
const int16_t *mm_mixdown(mm_plan *plan, const mm_kernels *kernels, mm_limiter *shared_limiter);

#endif
