#include "playout.h"

#include <string.h>

#include "fade.h"

#define CONCEAL_FRAMES 3u  /* 60 ms: a repeated pitch sounds like a buzz beyond */
#define WINDOW_TICKS 250u  /* 5 s without need of a spare frame give it back */
#define STALL_TICKS 50u    /* a second: whoever is silent for longer had nothing to say */
#define HOLD_TICKS 125u    /* 2.5 s: a paced source's target stays as it was raised, */
#define STEP_TICKS 25u     /* then goes down a frame each half second: 4 s for four frames */
#define HOLD_MOST 1000u    /* stalls that come again and again are waited for */
#define AGAIN_TICKS 1500u  /* within 30 s */
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
    p->hold_ticks = HOLD_TICKS;
    p->raised_ticks = AGAIN_TICKS;
    set_target(p, target_frames);
    open_window(p);
}

static int is_quiet(const int16_t *pcm) {
    for (size_t s = 0; s < MM_FRAME_SAMPLES; s++)
        if (pcm[s] > QUIET_PEAK || pcm[s] < -QUIET_PEAK) return 0;
    return 1;
}

static void count_played(mm_playout *p, const mm_meta *meta) {
    count(p, meta->flags & MM_FRAME_SKIPPED     ? MM_LEG_SKIPPED
             : meta->flags & MM_FRAME_CONCEALED ? MM_LEG_CONCEALED
             : meta->flags & MM_FRAME_SILENCE   ? MM_LEG_SILENCE
                                                : MM_LEG_VOICE,
          1);
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
    p->run_frames = p->waited_ticks = 0;
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

/* Frames come again. A pause between two sounds is no stall. */
static void end_hole(mm_playout *p) {
    const uint32_t missing = p->hole_ticks;
    p->hole_ticks = 0;
    if (missing > STALL_TICKS || is_quiet(p->last)) return;
    const uint32_t wanted = p->target_frames + missing;
    set_target(p, wanted < p->max_frames ? wanted : p->max_frames);
    p->hold_ticks = p->raised_ticks < AGAIN_TICKS ? 2 * p->hold_ticks : HOLD_TICKS;
    if (p->hold_ticks > HOLD_MOST) p->hold_ticks = HOLD_MOST;
    p->raised_ticks = p->calm_ticks = 0;
}

/* Once a tick of a paced source. */
static void adapt(mm_playout *p, uint64_t depth) {
    p->raised_ticks += p->raised_ticks < AGAIN_TICKS;
    if (depth && p->hole_ticks) {
        end_hole(p);
        if (depth < p->target_frames) p->playing = 0; /* as deep as for another stall */
    }
    if (p->target_frames == p->floor_frames || ++p->calm_ticks < p->hold_ticks) return;
    set_target(p, p->target_frames - 1);
    p->calm_ticks -= STEP_TICKS;
}

static int may_begin(mm_playout *p, uint64_t depth) {
    if (depth >= p->target_frames) return 1;
    p->waited_ticks = depth ? p->waited_ticks + 1 : 0;
    return p->paced && p->waited_ticks >= p->target_frames;
}

/* A tick in which reading has not begun. */
static void waiting_frame(mm_playout *p, uint64_t depth, mm_meta *meta, int16_t *restrict pcm) {
    if (p->hole_ticks && !depth) p->hole_ticks++;
    if (p->run_frames && p->run_frames < CONCEAL_FRAMES)
        concealed_frame(p, meta, pcm);
    else
        silent_frame(p, meta, pcm);
}

static void missing_frame(mm_playout *p, mm_meta *meta, int16_t *restrict pcm) {
    p->hole_ticks += p->paced;
    if (p->run_frames < CONCEAL_FRAMES) {
        concealed_frame(p, meta, pcm);
        return;
    }
    p->playing = 0;
    p->run_frames = p->debt_frames = 0;
    silent_frame(p, meta, pcm);
}

static void watch_spare(mm_playout *p, uint64_t depth) {
    if (depth < p->spare_frames) p->spare_frames = depth;
    if (++p->window_ticks < WINDOW_TICKS) return;
    if (p->spare_frames >= 2 && p->target_frames > p->floor_frames)
        set_target(p, p->target_frames - 1);
    const int surplus = p->spare_frames > p->target_frames;
    p->trim_frames = surplus ? p->spare_frames - p->target_frames : 0;
    p->debt_frames = 0; /* what has not come in all that time is lost */
    p->stalled = 0;
    open_window(p);
}

void mm_playout_flush(mm_playout *p, uint64_t sequence) {
    p->flushing = 1;
    p->flush_sequence = sequence;
}

/* Where nothing is due, what was heard last goes on backwards: its end fits itself. */
static void fade_last(const mm_playout *p, int16_t *restrict pcm) {
    const int32_t left = (int32_t)(CONCEAL_FRAMES - p->run_frames);
    for (size_t s = 0; s < MM_FADE_SAMPLES; s++)
        pcm[s] = (int16_t)(p->last[MM_FRAME_SAMPLES - 1 - s] * left / (int32_t)CONCEAL_FRAMES);
}

static void flushed_frame(mm_playout *p, mm_meta *meta, int16_t *restrict pcm) {
    p->flushing = 0;
    const int due = p->playing && !p->run_frames && mm_ring_before(p->ring, p->flush_sequence);
    if (due && mm_ring_read(p->ring, meta, pcm, NULL)) {
        count_played(p, meta);
    } else {
        silent_frame(p, meta, pcm);
        if (p->playing) fade_last(p, pcm);
    }
    mm_fade_out(pcm);
    memset(pcm + MM_FADE_SAMPLES, 0, MM_FRAME_BYTES - MM_FADE_SAMPLES * sizeof *pcm);
    const uint64_t dropped = mm_ring_before(p->ring, p->flush_sequence);
    mm_ring_drop(p->ring, dropped);
    count(p, MM_LEG_FLUSHED, dropped);
    memset(p->last, 0, sizeof p->last);
    p->playing = p->stalled = 0;
    p->run_frames = p->debt_frames = p->hole_ticks = 0;
}

void mm_playout_pull(mm_playout *p, mm_meta *meta, int16_t *restrict pcm) {
    memset(meta, 0, sizeof *meta);
    count(p, MM_LEG_TICKS, 1);
    if (p->flushing) {
        flushed_frame(p, meta, pcm);
        return;
    }
    uint64_t depth = mm_ring_depth(p->ring);
    if (depth > mm_ring_slots(p->ring)) {
        /* Lapped: to the target, not to where the writer might lap us next. */
        mm_ring_skip_to(p->ring, p->target_frames);
        depth = p->target_frames;
    }
    if (p->paced) adapt(p, depth);
    if (!p->playing) {
        if (!may_begin(p, depth)) {
            waiting_frame(p, depth, meta, pcm);
            return;
        }
        begin(p);
        if (!p->paced) depth = drop_to(p, p->target_frames);
    }
    if (p->run_frames && depth) end_stall(p);
    if (!p->paced) depth = drop_late(p, depth);
    if (!mm_ring_read(p->ring, meta, pcm, NULL)) {
        missing_frame(p, meta, pcm);
        return;
    }
    if (!p->paced) watch_spare(p, depth);
    if (p->trim_frames && depth > p->target_frames && is_quiet(pcm)) {
        mm_meta next;
        if (mm_ring_read(p->ring, &next, pcm, NULL)) {
            *meta = next;
            count(p, MM_LEG_TRIMMED, 1);
        }
        p->trim_frames--;
    }
    memcpy(p->last, pcm, MM_FRAME_BYTES);
    count_played(p, meta);
}

void mm_playout_skip(mm_playout *p, uint64_t ticks) {
    count(p, MM_LEG_TICKS, ticks);
    count(p, MM_LEG_SKIPPED, ticks);
    if (!p->playing || p->paced) return;
    const uint64_t depth = mm_ring_depth(p->ring);
    if (depth <= p->target_frames) return;
    const uint64_t surplus = depth - p->target_frames;
    drop_to(p, depth - (surplus < ticks ? surplus : ticks));
}
