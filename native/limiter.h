/* Wide sums to int16 without clipping: gain comes down ahead of a peak and goes back after it.
 *
 * While nothing exceeds 16 bits, and did not for the last 195 ms, out is the sum bit for bit. No
 * delay is added: the gain falls over the 2.5 ms before a peak, or, when the peak stands at the
 * start of a frame, within 0.5 ms, and what exceeds meanwhile is clipped. It then stays for 140 ms,
 * so that a steady sound, also of several tones, has a steady gain and no distortion, and rises
 * evenly for 50 ms.
 */
#ifndef MM_LIMITER_H
#define MM_LIMITER_H

#include <stddef.h>
#include <stdint.h>

#define MM_LIMITER_BLOCK 40u

typedef struct mm_limiter {
    int32_t gain_q30, rise_q30; /* now; and what it regains in a block */
    uint32_t hold_blocks;
    uint64_t limited_samples;   /* let through with less than their level */
} mm_limiter;

void mm_limiter_init(mm_limiter *limiter);
/* samples: a multiple of MM_LIMITER_BLOCK. Any sums. */
void mm_limit(mm_limiter *limiter, int16_t *restrict out, const int32_t *restrict wide,
              size_t samples);
/* The gain is one: mm_limit of sums within 16 bits would change nothing, and can be left out. */
int mm_limiter_idle(const mm_limiter *limiter);

#endif
