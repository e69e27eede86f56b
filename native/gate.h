/* Level gate of one leg: exact zeros while it has nothing to say, so that listeners can share a
 * mix.
 *
 * Opens in the frame that is loud, with a 5 ms fade; stays for 400 ms after the last loud one, and
 * fades out over the last 5 ms of these. Level is the frame's power about its mean: an offset of a
 * cheap sound card is not speech.
 */
#ifndef MM_GATE_H
#define MM_GATE_H

#include <stdint.h>

#include "frame.h"

#define MM_GATE_HANGOVER_TICKS 20u
#define MM_GATE_FADE_SAMPLES 80u

typedef struct mm_gate {
    uint32_t hangover_ticks; /* ticks it stays open without another loud frame; 0: shut */
} mm_gate;

/* Zeroed memory is a shut gate. 1 and pcm to be mixed, or 0 and pcm all zero. */
int mm_gate_frame(mm_gate *gate, int16_t pcm[MM_FRAME_SAMPLES]);

#endif
