#include "pace.h"

#include "frame.h"
#include "stretch.h"

#define WINDOW_TICKS 25u /* half a second: every pattern of packet lengths and ticks repeats within it */
/* A tick is taken away only when so much margin stays: it should not be asked back soon. */
#define STAY_NS INT64_C(3000000)
#define TICK_SAMPLES ((int32_t)MM_FRAME_SAMPLES)
#define WORTH_SAMPLES 80 /* 5 ms: less spare than that is not worth a cut */
#define LEAST_SAMPLES 40
#define SMALL_SAMPLES 960   /* 60 ms: can wait for a quiet moment, */
#define PATIENT_TICKS 125u  /* for so long */
#define LARGE_SAMPLES 1600 /* 100 ms: then at double speed */

static void open_window(mm_pace *p) {
    p->margin_ns = INT64_MAX;
    p->spare_samples = INT32_MAX;
    p->ticks = p->needed = 0;
}

void mm_pace_init(mm_pace *p) {
    *p = (mm_pace){0};
    open_window(p);
}

void mm_pace_needed(mm_pace *p, int64_t margin_ns) {
    if (margin_ns < p->margin_ns) p->margin_ns = margin_ns;
    p->needed++;
}

static void judge(mm_pace *p) {
    const int64_t free_ticks = p->margin_ns < STAY_NS ? 0 : (p->margin_ns - STAY_NS) / MM_FRAME_NS;
    /* An hour is as good as for ever: hostile timestamps must not overflow. */
    const int32_t ticks = free_ticks > 180000 ? 180000 : (int32_t)free_ticks;
    const int32_t surplus = p->spare_samples + ticks * TICK_SAMPLES;
    p->want_samples = surplus >= WORTH_SAMPLES ? surplus : 0;
    if (!p->want_samples) p->tries = 0;
}

int32_t mm_pace_tick(mm_pace *p, int32_t spare_samples) {
    if (spare_samples < p->spare_samples) p->spare_samples = spare_samples;
    if (p->rest_ticks) p->rest_ticks--;
    if (p->needed && p->margin_ns < 0) {
        /* At once, and until the margin is there; the window begins anew when it is. */
        if (p->want_samples > 0) p->tries = 0;
        p->want_samples = spare_samples % TICK_SAMPLES - TICK_SAMPLES;
        open_window(p);
    } else if (p->needed && p->want_samples < 0) {
        p->want_samples = 0; /* the margin is there again */
        open_window(p);
    } else if (++p->ticks >= WINDOW_TICKS) {
        if (p->needed) judge(p);
        open_window(p);
    }
    return p->rest_ticks ? 0 : p->want_samples;
}

int mm_pace_likeness(const mm_pace *p) {
    /* 0.9 is NetEq's bound. Sound that repeats nothing for half a second pays with an audible cut later. */
    uint32_t tries = p->tries;
    if (p->want_samples > 0 && p->want_samples <= SMALL_SAMPLES) {
        if (tries < PATIENT_TICKS) return MM_STRETCH_QUIET;
        tries -= PATIENT_TICKS;
    }
    const uint32_t lower = tries / WINDOW_TICKS * 150;
    return lower >= 900 ? 0 : 900 - (int)lower;
}

void mm_pace_done(mm_pace *p, int32_t samples, int heard) {
    if (!samples) {
        p->tries++;
        return;
    }
    const int32_t large = p->want_samples > LARGE_SAMPLES || p->want_samples < -LARGE_SAMPLES;
    const int32_t size = samples < 0 ? -samples : samples;
    /* Leaving out stays within 5 % of the time, telling twice within 20 %: that one is urgent. */
    if (heard) p->rest_ticks = (uint32_t)(size * (samples < 0 ? 5 : large ? 10 : 20) / TICK_SAMPLES);
    p->want_samples -= samples;
    /* What is left may be less than any period. */
    const int over = samples > 0 ? p->want_samples < LEAST_SAMPLES : p->want_samples >= 0;
    if (over) {
        p->want_samples = 0;
        p->tries = 0;
    }
    open_window(p);
}
