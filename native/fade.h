/* How a sound that is broken off ends: within 5 ms, so that it does not click. */
#ifndef MM_FADE_H
#define MM_FADE_H

#include <stdint.h>

#define MM_FADE_SAMPLES 80u

/* pcm has MM_FADE_SAMPLES. */
static inline void mm_fade_out(int16_t *pcm) {
    for (uint32_t i = 0; i < MM_FADE_SAMPLES; i++)
        pcm[i] = (int16_t)(pcm[i] * (int32_t)(MM_FADE_SAMPLES - i) / (int32_t)MM_FADE_SAMPLES);
}

#endif
