/* Time stretching without a change of pitch: one pitch period left out or told twice, its ends faded over.
 *
 * The period is where the signal is most like itself, 2.5 to 15 ms on. What is not periodic (a fricative, an
 * onset) is left alone until the caller lowers its demand; what is too quiet to matter is always taken.
 */
#ifndef MM_STRETCH_H
#define MM_STRETCH_H

#include <stddef.h>
#include <stdint.h>

#define MM_STRETCH_LEAST 40u /* samples at 16 kHz: 2.5 ms, 400 Hz */
#define MM_STRETCH_MOST 240u /* 15 ms, 67 Hz */
#define MM_STRETCH_QUIET 1001

/* The period to cut or repeat: at most *most* and half of *samples*; 0: none is like enough. likeness is the
 * least correlation, in 1/1000; MM_STRETCH_QUIET: nothing but what is too quiet to matter. */
size_t mm_stretch_period(const int16_t *pcm, size_t samples, size_t most, int likeness);
/* Leave out one period at the beginning: samples - period remain. 2 * period <= samples. */
void mm_stretch_shorten(int16_t *pcm, size_t samples, size_t period);
/* Tell the first period twice: samples + period follow, for which there must be room. */
void mm_stretch_lengthen(int16_t *pcm, size_t samples, size_t period);

#endif
