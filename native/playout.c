#include "playout.h"

#include <string.h>

#define CONCEAL_FRAMES 3u  /* 60 ms: a repeated pitch sounds like a buzz beyond */
#define WINDOW_TICKS 250u  /* 5 s without need of a spare frame give it back */
#define QUIET_PEAK 328     /* -40 dBFS: a frame that can go without being heard */

static void count(mm_playout *p, enum mm_leg_counter which, uint64_t more) {
    const uint64_t now = atomic_load_explicit(&p->counters[which], memory_order_relaxed);
    atomic_store_explicit(&p->counters[which], now + more, memory_order_relaxed);
}

static void set_target(mm_playout *p, uint32_t frames) {
    p->target_frames = frames;
    atomic_store_explicit(&p->counters[MM_LEG_TARGET], frames, memory_order_relaxed);
}

static void open_window(mm_playout *p) {
    p->window_ticks = 0;
    p->spare_frames = UINT64_MAX;
}

void mm_playout_init(mm_playout *p, mm_ring *ring, int paced, uint32_t target_frames,
                     uint32_t max_frames) {
    memset(p, 0, sizeof *p);
    p->ring = ring;
    p->paced = paced;
    p->floor_frames = target_frames;
    p->max_frames = max_frames;
    set_target(p, target_frames);
    open_window(p);
}

static int is_quiet(const int16_t *pcm) {
    for (size_t s = 0; s < MM_FRAME_SAMPLES; s++)
        if (pcm[s] > QUIET_PEAK || pcm[s] < -QUIET_PEAK) return 0;
    return 1;
}

static void silent_frame(mm_playout *p, mm_meta *meta, int16_t *restrict pcm) {
    memset(pcm, 0, MM_FRAME_BYTES);
    meta->flags = MM_FRAME_SILENCE;
    count(p, MM_LEG_SILENCE, 1);
}

static void concealed_frame(mm_playout *p, mm_meta *meta, int16_t *restrict pcm) {
    if (p->run_frames == 0) count(p, MM_LEG_UNDERRUNS, 1);
    const int32_t span = (int32_t)(CONCEAL_FRAMES * MM_FRAME_SAMPLES);
    int32_t gain = span - (int32_t)(p->run_frames * MM_FRAME_SAMPLES);
    for (size_t s = 0; s < MM_FRAME_SAMPLES; s++, gain--) pcm[s] = (int16_t)(p->last[s] * gain / span);
    p->run_frames++;
    p->debt_frames++;
    meta->flags = MM_FRAME_CONCEALED;
    count(p, MM_LEG_CONCEALED, 1);
}

static uint64_t drop_to(mm_playout *p, uint64_t depth) {
    count(p, MM_LEG_LATE, mm_ring_skip_to(p->ring, depth));
    return depth;
}

static void begin(mm_playout *p) {
    p->playing = 1;
    p->stalled = 0;
    p->trim_frames = 0;
    open_window(p);
}

static void end_stall(mm_playout *p) {
    p->run_frames = 0;
    p->stalled = 1;
    p->trim_frames = 0;
    open_window(p);
}

/* More waits than should, after frames were concealed: their originals came, too late. */
static uint64_t drop_late(mm_playout *p, uint64_t depth) {
    if (!p->debt_frames || depth <= p->target_frames) return depth;
    if (p->stalled && p->target_frames < p->max_frames) set_target(p, p->target_frames + 1);
    p->stalled = 0;
    uint64_t late = depth - p->target_frames;
    if (late > p->debt_frames) late = p->debt_frames;
    p->debt_frames -= (uint32_t)late;
    return drop_to(p, depth - late);
}

static void watch_spare(mm_playout *p, uint64_t depth) {
    if (depth < p->spare_frames) p->spare_frames = depth;
    if (++p->window_ticks < WINDOW_TICKS) return;
    if (p->spare_frames >= 2 && p->target_frames > p->floor_frames)
        set_target(p, p->target_frames - 1);
    const int surplus = !p->paced && p->spare_frames > p->target_frames;
    p->trim_frames = surplus ? p->spare_frames - p->target_frames : 0;
    p->debt_frames = 0; /* what has not come in all that time is lost */
    p->stalled = 0;
    open_window(p);
}

void mm_playout_pull(mm_playout *p, mm_meta *meta, int16_t *restrict pcm) {
    memset(meta, 0, sizeof *meta);
    count(p, MM_LEG_TICKS, 1);
    uint64_t depth = mm_ring_depth(p->ring);
    if (depth > mm_ring_slots(p->ring)) {
        /* Lapped: to the target, not to where the writer might lap us next. */
        mm_ring_skip_to(p->ring, p->target_frames);
        depth = p->target_frames;
    }
    if (!p->playing) {
        if (depth < p->target_frames) {
            silent_frame(p, meta, pcm);
            return;
        }
        begin(p);
        if (!p->paced) depth = drop_to(p, p->target_frames);
    }
    if (p->run_frames && depth) end_stall(p);
    depth = drop_late(p, depth);
    if (!mm_ring_read(p->ring, meta, pcm, NULL)) {
        if (p->run_frames < CONCEAL_FRAMES) {
            concealed_frame(p, meta, pcm);
        } else {
            p->playing = 0;
            p->run_frames = p->debt_frames = 0;
            silent_frame(p, meta, pcm);
        }
        return;
    }
    watch_spare(p, depth);
    if (p->trim_frames && depth > p->target_frames && is_quiet(pcm)) {
        mm_meta next;
        if (mm_ring_read(p->ring, &next, pcm, NULL)) {
            *meta = next;
            count(p, MM_LEG_TRIMMED, 1);
        }
        p->trim_frames--;
    }
    memcpy(p->last, pcm, MM_FRAME_BYTES);
    const enum mm_leg_counter kind = meta->flags & MM_FRAME_SKIPPED     ? MM_LEG_SKIPPED
                                     : meta->flags & MM_FRAME_CONCEALED ? MM_LEG_CONCEALED
                                     : meta->flags & MM_FRAME_SILENCE   ? MM_LEG_SILENCE
                                                                        : MM_LEG_VOICE;
    count(p, kind, 1);
}

void mm_playout_skip(mm_playout *p, uint64_t ticks) {
    count(p, MM_LEG_TICKS, ticks);
    count(p, MM_LEG_SKIPPED, ticks);
    if (!p->playing) return;
    const uint64_t depth = mm_ring_depth(p->ring);
    if (depth <= p->target_frames) return;
    const uint64_t surplus = depth - p->target_frames;
    drop_to(p, depth - (surplus < ticks ? surplus : ticks));
}
