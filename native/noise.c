#include "noise.h"

#define INAUDIBLE 90u /* below one step of 16 bits */

void mm_noise_level(mm_noise *n, uint8_t level) {
    level &= 127;
    n->peak = 0;
    if (level > INAUDIBLE) return;
    /* Uniform noise has a peak of 1.732 its level. */
    int64_t peak = 32768 * INT64_C(1732000);
    for (uint8_t i = 0; i < level; i++) peak = peak * 8913 / 10000;
    peak /= 1000000;
    n->peak = (int32_t)(peak > 32767 ? 32767 : peak);
}

void mm_noise_write(mm_noise *n, int16_t *pcm, size_t samples) {
    for (size_t i = 0; i < samples; i++) {
        n->state = n->state * 1664525u + 1013904223u;
        pcm[i] = (int16_t)((int32_t)(int16_t)(n->state >> 16) * n->peak / 32768);
    }
}
