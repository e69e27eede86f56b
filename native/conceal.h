/* Made-up sound for codecs that have no concealment of their own: the last pitch period goes on.
 *
 * After G.711 Appendix I, at 16 kHz and without its 3.75 ms of delay: the first lost sample
 * continues the last heard one, one to three periods are repeated so that it does not buzz, all is
 * faded out from 10 to 60 ms, and what comes back is faded in over what would have gone on.
 */
#ifndef MM_CONCEAL_H
#define MM_CONCEAL_H

#include <stddef.h>
#include <stdint.h>

#define MM_CONCEAL_HISTORY 1040 /* three periods of 15 ms, and what is blended into their end */

typedef struct mm_concealer {
    int16_t heard[MM_CONCEAL_HISTORY]; /* oldest first; stands still while samples are lost */
    int16_t made[MM_CONCEAL_HISTORY];  /* since then, the latest at the end */
    uint32_t lost_samples;             /* in a row; 0 while all is well */
    uint32_t pitch_samples;            /* one period, 2.5 to 15 ms */
    int32_t jump; /* from what the repetition would have had last to what was heard */
} mm_concealer;

/* Zeroed memory is a fresh state. */
/* Take note of what came; after a loss, fade it in: pcm changes in place. */
void mm_concealer_heard(mm_concealer *c, int16_t *pcm, size_t samples);
/* Make up *samples*. */
void mm_concealer_lost(mm_concealer *c, int16_t *pcm, size_t samples);

#endif
