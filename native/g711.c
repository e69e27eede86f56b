#include "g711.h"

#define MU_BIAS 132   /* 33 steps of 4: makes every segment a power of two long */
#define MU_CLIP 32635 /* with the bias, the last value of the last segment */

static int segment_of(unsigned magnitude, int lowest_bit) {
    return 31 - __builtin_clz(magnitude | 1u << lowest_bit) - lowest_bit;
}

void mm_pcmu_decode(int16_t *restrict pcm, const uint8_t *restrict payload, size_t samples) {
    for (size_t i = 0; i < samples; i++) {
        const int code = payload[i] ^ 0xff;
        const int value = ((((code & 15) << 3) + MU_BIAS) << (code >> 4 & 7)) - MU_BIAS;
        pcm[i] = (int16_t)(code & 0x80 ? -value : value);
    }
}

void mm_pcma_decode(int16_t *restrict pcm, const uint8_t *restrict payload, size_t samples) {
    for (size_t i = 0; i < samples; i++) {
        const int code = payload[i] ^ 0x55; /* even bits travel inverted */
        const int segment = code >> 4 & 7;
        const int step = ((code & 15) << 4) + 8;
        const int value = segment ? (step + 256) << (segment - 1) : step;
        pcm[i] = (int16_t)(code & 0x80 ? value : -value);
    }
}

void mm_pcmu_encode(uint8_t *restrict payload, const int16_t *restrict pcm, size_t samples) {
    for (size_t i = 0; i < samples; i++) {
        const int sign = pcm[i] < 0 ? 0x80 : 0;
        const int level = sign ? -pcm[i] : pcm[i];
        const int biased = (level > MU_CLIP ? MU_CLIP : level) + MU_BIAS;
        const int segment = segment_of((unsigned)biased, 7);
        payload[i] = (uint8_t)((sign | segment << 4 | (biased >> (segment + 3) & 15)) ^ 0xff);
    }
}

void mm_pcma_encode(uint8_t *restrict payload, const int16_t *restrict pcm, size_t samples) {
    for (size_t i = 0; i < samples; i++) {
        const int sign = pcm[i] < 0 ? 0 : 0x80;
        const int level = sign ? pcm[i] : ~pcm[i]; /* 0 is positive, -1 the first negative */
        const int segment = segment_of((unsigned)level, 7);
        const int step = level >> (segment ? segment + 3 : 4) & 15;
        payload[i] = (uint8_t)((sign | segment << 4 | step) ^ 0x55);
    }
}
