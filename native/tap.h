/* Taps: rings that get a copy of every frame a leg says, without any part in the call.
 *
 * A tap has what the mix is made of: the frame as it was gathered, before a shut gate makes zeros of it, with the
 * tick's timestamp, its flags (silence: nobody audible) and who is audible in it. A reader that is too slow is
 * lapped (ring.h); nothing waits for it.
 */
#ifndef MM_TAP_H
#define MM_TAP_H

#include <stdint.h>

#include "ring.h"

#define MM_TAPS 4u /* of one leg */

/* Zeroed memory has none. */
typedef struct mm_taps {
    uint32_t count;
    mm_ring *ring[MM_TAPS];
    int16_t pcm[MM_FRAME_SAMPLES]; /* this tick's, kept until it is known who is audible */
} mm_taps;

/* Commands to the leg's tick thread (mm_apply): target mm_taps, value mm_ring. At most MM_TAPS are added. */
void mm_taps_add(void *taps, void *ring);
void mm_taps_remove(void *taps, void *ring);

/* Tick thread. Keep this tick's frame; then write it, described by *meta*, to every ring. */
void mm_taps_keep(mm_taps *taps, const int16_t pcm[MM_FRAME_SAMPLES]);
void mm_taps_write(mm_taps *taps, const mm_meta *meta);
/* Frames that stand for ticks that were left out, the first at *timestamp* (100 ns). */
void mm_taps_skip(mm_taps *taps, uint64_t ticks, int64_t timestamp);

#endif
