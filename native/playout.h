/* Playout of one leg: a ring that fills when the far end's frames come, exactly one frame a tick.
 *
 * Reading starts when *target* frames wait. A tick that finds the ring empty is concealed: the last
 * frame repeated with a fade, for at most 60 ms, then silence until the target is met again. Frames
 * that come after their tick was concealed are late and dropped; each such stall raises the target by
 * one frame (a frame that never comes was lost: no reason to wait longer), and five seconds in which a
 * frame was always to spare lower it again. Frames beyond the target are delay: those that wait where
 * reading starts are late, those never needed in five seconds go one by one at quiet moments.
 *
 * A *paced* source is one whose writer looks at the ring's depth and at the target, and keeps frames waiting on
 * purpose (a file, a bot that is ahead of the call): those are no delay, and nothing of it is ever dropped. Its frames
 * are what comes next, however late. A stall in the middle of its sound raises the target by as many frames as were
 * missing, so that the next stall of that length leaves no hole; some seconds without one give it back, a frame
 * each half second. Less than the target may be all there is: it begins after as many ticks.
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
    MM_LEG_FLUSHED,   /* frames dropped by request */
    MM_LEG_UNDERRUNS, /* runs of concealed ticks */
    MM_LEG_TARGET,    /* frames; the present target */
    MM_LEG_COUNTERS
};

typedef struct mm_playout { /* what every tick looks at first, close together */
    mm_ring *ring;
    uint32_t floor_frames, target_frames, max_frames;
    uint32_t run_frames;  /* concealed in a row, up to now */
    uint32_t debt_frames; /* concealed frames whose originals may still come */
    uint32_t window_ticks;
    int paced, playing;
    int stalled; /* frames were concealed, and whether they were late or lost is not known yet */
    int flushing; /* up to flush_sequence */
    uint64_t spare_frames; /* least depth seen in this window */
    uint64_t trim_frames;  /* not needed in the last window: to go, one a quiet frame */
    _Atomic uint64_t counters[MM_LEG_COUNTERS];
    uint64_t flush_sequence;
    /* Of a paced source. */
    uint32_t hole_ticks;   /* since a frame was played, for want of one */
    uint32_t waited_ticks; /* in which there was less than the target */
    uint32_t hold_ticks;   /* without a stall, until the target is lowered */
    uint32_t calm_ticks;   /* since the last stall, as far as hold_ticks counts them */
    uint32_t raised_ticks; /* ago */
    int16_t last[MM_FRAME_SAMPLES];
} mm_playout;

void mm_playout_init(mm_playout *p, mm_ring *ring, int paced, uint32_t target_frames,
                     uint32_t max_frames);
/* Write this tick's frame to pcm and what is known of it to meta. Tick thread. */
void mm_playout_pull(mm_playout *p, mm_meta *meta, int16_t *restrict pcm);
/* What was written to the ring before frame *sequence* is not wanted any more: with the next pull the one that is
 * due fades out within 5 ms, all others are dropped, and nothing is concealed. Tick thread. */
void mm_playout_flush(mm_playout *p, uint64_t sequence);
/* Any thread, a moment old. */
static inline uint64_t mm_playout_count(const mm_playout *p, enum mm_leg_counter which) {
    return atomic_load_explicit(&p->counters[which], memory_order_relaxed);
}
/* The engine left out *ticks*: what was due then is late, unless the source is paced. Tick thread. */
void mm_playout_skip(mm_playout *p, uint64_t ticks);

#endif
