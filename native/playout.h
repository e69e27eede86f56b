/* Playout of one leg: a ring that fills when the far end's frames come, exactly one frame a tick.
 *
 * Reading starts when *target* frames wait. A tick that finds the ring empty is concealed: the last
 * frame repeated with a fade, for at most 60 ms, then silence until the target is met again. Frames
 * that come after their tick was concealed are late and dropped; each such stall raises the target by
 * one frame, and five seconds in which a frame was always to spare lower it again, at a quiet moment.
 */
#ifndef MM_PLAYOUT_H
#define MM_PLAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#include "ring.h"

enum mm_leg_counter {
    MM_LEG_TICKS, /* = voice + silence + concealed + skipped */
    MM_LEG_VOICE,
    MM_LEG_SILENCE,
    MM_LEG_CONCEALED,
    MM_LEG_SKIPPED,
    MM_LEG_LATE,      /* frames dropped because their tick had passed */
    MM_LEG_TRIMMED,   /* frames dropped in a quiet moment to give back delay */
    MM_LEG_UNDERRUNS, /* runs of concealed ticks */
    MM_LEG_TARGET,    /* frames; the present target */
    MM_LEG_FIRST_TICK,       /* the timeline's ticks: left-out ones count */
    MM_LEG_FIRST_VOICE_TICK,
    MM_LEG_COUNTERS
};

typedef struct mm_playout {
    mm_ring *ring;
    uint32_t floor_frames, target_frames, max_frames;
    uint32_t run_frames;  /* concealed in a row, up to now */
    uint32_t debt_frames; /* concealed frames whose originals may still come */
    uint32_t window_ticks;
    uint64_t spare_frames; /* least depth seen in this window */
    int playing, trim;
    _Atomic uint64_t counters[MM_LEG_COUNTERS];
    int16_t last[MM_FRAME_SAMPLES];
} mm_playout;

void mm_playout_init(mm_playout *p, mm_ring *ring, uint32_t target_frames, uint32_t max_frames);
/* Write the frame of *tick* to pcm and what is known of it to meta. Tick thread. */
void mm_playout_pull(mm_playout *p, uint64_t tick, mm_meta *meta, int16_t *restrict pcm);
/* The engine left out *ticks*: what was due then is late. Tick thread. */
void mm_playout_skip(mm_playout *p, uint64_t ticks);

#endif
