/* 8 kHz to 16 kHz and back, by one half-band filter: every sample in gives exactly two out and the
 * reverse.
 *
 * 47 taps, integer, so that any machine gives the same bits. Delay 23 samples of 16 kHz, 1.4 ms.
 */
#ifndef MM_HALFBAND_H
#define MM_HALFBAND_H

#include <stddef.h>
#include <stdint.h>

#define MM_HALFBAND_TAPS 24 /* of the odd branch; the even one is a plain delay of 11 */

typedef struct mm_upsampler {
    int16_t past[MM_HALFBAND_TAPS - 1]; /* 8 kHz, oldest first */
} mm_upsampler;

typedef struct mm_downsampler {
    int16_t odd[MM_HALFBAND_TAPS - 1], even[MM_HALFBAND_TAPS / 2 - 1]; /* oldest first */
} mm_downsampler;

/* Zeroed memory is a fresh state. *samples* is at 8 kHz; in and out may not overlap. */
void mm_upsample(mm_upsampler *u, int16_t *restrict out, const int16_t *restrict in,
                 size_t samples);
void mm_downsample(mm_downsampler *d, int16_t *restrict out, const int16_t *restrict in,
                   size_t samples);

#endif
