#include "gate.h"

#include <string.h>

/* -50 dBov over one frame: above room noise of a headset, below quiet speech. */
#define LOUD_POWER 10737ull

static int is_loud(const int16_t *pcm) {
    uint64_t energy = 0;
    int32_t sum = 0;
    for (size_t s = 0; s < MM_FRAME_SAMPLES; s++) {
        energy += (uint32_t)(pcm[s] * pcm[s]);
        sum += pcm[s];
    }
    const uint64_t offset = (uint64_t)((int64_t)sum * sum);
    return energy * MM_FRAME_SAMPLES - offset >
           LOUD_POWER * MM_FRAME_SAMPLES * MM_FRAME_SAMPLES;
}

/* weight: odd numbers below twice the samples, so that in and out mirror each other */
static int16_t faded(int16_t sample, unsigned step) {
    return (int16_t)(sample * (int)(2 * step + 1) / (int)(2 * MM_GATE_FADE_SAMPLES));
}

int mm_gate_frame(mm_gate *gate, int16_t pcm[MM_FRAME_SAMPLES]) {
    const int was_shut = gate->hangover_ticks == 0;
    if (is_loud(pcm)) {
        gate->hangover_ticks = MM_GATE_HANGOVER_TICKS;
        for (unsigned i = 0; was_shut && i < MM_GATE_FADE_SAMPLES; i++) pcm[i] = faded(pcm[i], i);
        return 1;
    }
    if (was_shut) {
        memset(pcm, 0, MM_FRAME_BYTES);
        return 0;
    }
    int16_t *end = pcm + MM_FRAME_SAMPLES - 1;
    if (--gate->hangover_ticks == 0)
        for (unsigned i = 0; i < MM_GATE_FADE_SAMPLES; i++) end[-(int)i] = faded(end[-(int)i], i);
    return 1;
}
