#include "conceal.h"

#include <string.h>

#define HISTORY MM_CONCEAL_HISTORY
#define PITCH_LEAST 40u     /* 2.5 ms, 400 Hz: an octave too low is heard less than one too high */
#define PITCH_MOST 240u     /* 15 ms, 67 Hz */
#define COMPARED 320u       /* 20 ms */
#define FULL_SAMPLES 160u   /* 10 ms as loud as before */
#define SILENT_SAMPLES 960u /* 60 ms: repeated speech is a noise from there on */
#define JUMP_SAMPLES 40u    /* 2.5 ms to get rid of the jump between last heard and repeated */
#define FADE_IN_MOST 160u   /* 10 ms */

static int16_t saturated(int32_t value) {
    return (int16_t)(value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : value);
}

static void append(int16_t *line, const int16_t *pcm, size_t samples) {
    if (samples >= HISTORY) {
        memcpy(line, pcm + samples - HISTORY, HISTORY * sizeof *line);
        return;
    }
    memmove(line, line + samples, (HISTORY - samples) * sizeof *line);
    memcpy(line + HISTORY - samples, pcm, samples * sizeof *line);
}

/* How alike the last 20 ms and those *lag* before are, in steps of *stride*: the square of what the
 * one explains of the other; 0 when they are opposites. Samples are within 11 bits, so that sums
 * stay in 32. */
static double likeness(const int16_t *line, uint32_t lag, uint32_t stride) {
    const int16_t *now = line + HISTORY - COMPARED, *before = now - lag;
    int32_t product = 0, power = 0;
    for (uint32_t i = 0; i < COMPARED; i += stride) {
        product += now[i] * before[i];
        power += before[i] * before[i];
    }
    return product > 0 ? (double)product * product / power : 0;
}

static uint32_t best_of(const int16_t *line, uint32_t from, uint32_t to, uint32_t step,
                        uint32_t stride) {
    uint32_t best = from;
    double most = -1;
    for (uint32_t lag = from; lag <= to; lag += step) {
        const double value = likeness(line, lag, stride);
        if (value > most) {
            most = value;
            best = lag;
        }
    }
    return best;
}

/* Every other lag on every other sample first, then its neighbours in full: 10 us, once a loss. */
static uint32_t find_pitch(const int16_t *heard) {
    int16_t line[HISTORY];
    int32_t peak = 0;
    for (uint32_t i = 0; i < HISTORY; i++) {
        const int32_t level = heard[i] < 0 ? -heard[i] : heard[i];
        peak = level > peak ? level : peak;
    }
    int shift = 0;
    while (peak >> shift > 2047) shift++;
    for (uint32_t i = 0; i < HISTORY; i++) line[i] = (int16_t)(heard[i] >> shift);
    const uint32_t near = best_of(line, PITCH_LEAST, PITCH_MOST, 2, 2);
    const uint32_t least = near > PITCH_LEAST ? near - 1 : near;
    const uint32_t most = near < PITCH_MOST ? near + 1 : near;
    return best_of(line, least, most, 1, 1);
}

/* Sample *at* of a cycle of the last *length* heard, whose last quarter of a period goes over into
 * what was heard before the cycle, so that its end fits its beginning. */
static int32_t repeated(const mm_concealer *c, uint32_t length, uint32_t at) {
    const int16_t *cycle = c->heard + HISTORY - length;
    const int32_t blended = (int32_t)(c->pitch_samples / 4);
    const int32_t into = (int32_t)at - (int32_t)length + blended + 1; /* 1 at the first of them */
    if (into <= 0) return cycle[at];
    return cycle[at] + (cycle[(int32_t)at - (int32_t)length] - cycle[at]) * into / (blended + 1);
}

/* The sound that goes on *t* samples into the loss. */
static int16_t made_up(const mm_concealer *c, uint32_t t) {
    if (t >= SILENT_SAMPLES) return 0;
    const uint32_t pitch = c->pitch_samples, blended = pitch / 4;
    /* One period for 10 ms, two up to 20, three from then on; the phase stays. */
    const uint32_t periods = t < 160 ? 1 : t < 320 ? 2 : 3;
    const uint32_t since = t - (periods - 1) * 160;
    int32_t value = repeated(c, periods * pitch, t % (periods * pitch));
    if (periods > 1 && since < blended) {
        const int32_t old = repeated(c, (periods - 1) * pitch, t % ((periods - 1) * pitch));
        value = old + (value - old) * (int32_t)(since + 1) / (int32_t)(blended + 1);
    }
    if (t < JUMP_SAMPLES) value += c->jump * (int32_t)(JUMP_SAMPLES - t) / (int32_t)JUMP_SAMPLES;
    if (t >= FULL_SAMPLES)
        value = value * (int32_t)(SILENT_SAMPLES - t) / (int32_t)(SILENT_SAMPLES - FULL_SAMPLES);
    return saturated(value);
}

void mm_concealer_lost(mm_concealer *c, int16_t *pcm, size_t samples) {
    if (c->lost_samples == 0) {
        c->pitch_samples = find_pitch(c->heard);
        c->jump = c->heard[HISTORY - 1] - c->heard[HISTORY - 1 - c->pitch_samples];
    }
    for (size_t i = 0; i < samples; i++) {
        pcm[i] = made_up(c, c->lost_samples);
        c->lost_samples += c->lost_samples < SILENT_SAMPLES;
    }
    append(c->made, pcm, samples);
}

/* After a loss: how long what would have gone on is still heard under what came. Appendix I: a
 * quarter of a period, and 4 ms more for every 10 ms lost after the first. */
static uint32_t fade_in_samples(const mm_concealer *c) {
    const uint32_t more = c->lost_samples > 160 ? (c->lost_samples - 160) / 160 * 64 : 0;
    const uint32_t all = c->pitch_samples / 4 + more;
    return all < FADE_IN_MOST ? all : FADE_IN_MOST;
}

void mm_concealer_heard(mm_concealer *c, int16_t *pcm, size_t samples) {
    if (c->lost_samples) {
        uint32_t fade = fade_in_samples(c);
        if (fade > samples) fade = (uint32_t)samples;
        for (uint32_t i = 0; i < fade; i++) {
            const int32_t old = made_up(c, c->lost_samples + i);
            pcm[i] = (int16_t)(old + (pcm[i] - old) * (int32_t)(i + 1) / (int32_t)(fade + 1));
        }
        /* Beyond 60 ms the count of lost samples stands still: so much of what was made is silence.
         */
        append(c->heard, c->made + HISTORY - c->lost_samples, c->lost_samples);
        c->lost_samples = 0;
    }
    append(c->heard, pcm, samples);
}
