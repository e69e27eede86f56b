#include "stretch.h"

#include <string.h>

#define COARSE 4u           /* looked for at 4 kHz first */
#define COARSE_MOST 256u    /* samples at 4 kHz that are looked at */
#define WINDOW 160u         /* 10 ms are compared */
#define QUIET_POWER 10737   /* -50 dBov: nobody hears what is cut there */

static int64_t dot(const int16_t *a, const int16_t *b, size_t samples) {
    int64_t sum = 0;
    for (size_t i = 0; i < samples; i++) sum += (int32_t)a[i] * b[i];
    return sum;
}

/* The correlation of two stretches in 1/1000, 0 when they are opposed. */
static int likeness_of(int64_t both, int64_t first, int64_t second) {
    if (both <= 0 || first <= 0 || second <= 0) return 0;
    const double r = (double)both * (double)both / ((double)first * (double)second);
    /* Square root by halving: libm is not for a tick thread's only use of it. */
    int low = 0, high = 1000;
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if ((double)middle * middle <= r * 1e6)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static size_t best_lag(const int16_t *pcm, size_t window, size_t from, size_t to, int *likeness) {
    const int64_t first = dot(pcm, pcm, window);
    size_t best = 0;
    *likeness = -1;
    for (size_t lag = from; lag <= to; lag++) {
        const int64_t both = dot(pcm, pcm + lag, window);
        if (both <= 0 && best) continue;
        const int here = likeness_of(both, first, dot(pcm + lag, pcm + lag, window));
        if (here <= *likeness) continue;
        *likeness = here;
        best = lag;
    }
    return best;
}

size_t mm_stretch_period(const int16_t *pcm, size_t samples, size_t most, int likeness) {
    if (most > samples / 2) most = samples / 2;
    if (most > MM_STRETCH_MOST) most = MM_STRETCH_MOST;
    if (most < MM_STRETCH_LEAST) return 0;
    const int quiet = dot(pcm, pcm, 2 * most) < (int64_t)(2 * most) * QUIET_POWER;
    if (likeness >= MM_STRETCH_QUIET && !quiet) return 0;
    int16_t coarse[COARSE_MOST];
    size_t count = (2 * most > most + WINDOW ? 2 * most : most + WINDOW) / COARSE;
    if (count > samples / COARSE) count = samples / COARSE;
    for (size_t i = 0; i < count; i++) {
        const int16_t *from = pcm + COARSE * i;
        coarse[i] = (int16_t)((from[0] + from[1] + from[2] + from[3]) / 4);
    }
    const size_t coarse_most = most / COARSE;
    size_t window = count - coarse_most;
    if (window > WINDOW / COARSE) window = WINDOW / COARSE;
    int found;
    const size_t near = COARSE * best_lag(coarse, window, MM_STRETCH_LEAST / COARSE, coarse_most, &found);
    size_t from = near - (COARSE - 1), to = near + COARSE - 1;
    if (from < MM_STRETCH_LEAST) from = MM_STRETCH_LEAST;
    if (to > most) to = most;
    window = samples - to < WINDOW ? samples - to : WINDOW;
    const size_t lag = best_lag(pcm, window, from, to, &found);
    return quiet || found >= likeness ? lag : 0;
}

/* out[i] goes from a[i] to b[i]; out may be either. */
static void fade(int16_t *out, const int16_t *a, const int16_t *b, size_t samples) {
    const int32_t span = (int32_t)samples;
    for (int32_t i = 0; i < span; i++) out[i] = (int16_t)((a[i] * (span - i) + b[i] * i) / span);
}

void mm_stretch_shorten(int16_t *pcm, size_t samples, size_t period) {
    fade(pcm, pcm, pcm + period, period);
    memmove(pcm + period, pcm + 2 * period, (samples - 2 * period) * sizeof *pcm);
}

void mm_stretch_lengthen(int16_t *pcm, size_t samples, size_t period) {
    /* As it was up to the second period, which fades back into the first; from there on as it was. */
    memmove(pcm + 2 * period, pcm + period, (samples - period) * sizeof *pcm);
    fade(pcm + period, pcm + 2 * period, pcm, period);
}
