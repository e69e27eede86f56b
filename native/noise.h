/* Comfort noise of a source that pauses, at the level that it told (RFC 3389). */
#ifndef MM_NOISE_H
#define MM_NOISE_H

#include <stddef.h>
#include <stdint.h>

typedef struct mm_noise {
    int32_t peak; /* 0: no level was told */
    uint32_t state;
} mm_noise;

/* Zeroed memory is no noise. level is the payload's first byte: -dBov, its top bit to be ignored. */
void mm_noise_level(mm_noise *n, uint8_t level);
void mm_noise_write(mm_noise *n, int16_t *pcm, size_t samples);

#endif
