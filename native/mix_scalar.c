#include <string.h>

#include "frame.h"
#include "mix.h"

static int16_t saturate16(int32_t value) {
    return value > INT16_MAX ? INT16_MAX : value < INT16_MIN ? INT16_MIN : (int16_t)value;
}

static void mix_columns(int16_t *restrict out, const int16_t *restrict in,
                        uint64_t *restrict energy, size_t legs, size_t samples, size_t begin,
                        size_t count) {
    int32_t total[MM_FRAME_SAMPLES] = {0};
    for (size_t leg = 0; leg < legs; leg++) {
        const int16_t *restrict row = in + leg * samples + begin;
        for (size_t s = 0; s < count; s++) {
            const int32_t x = row[s];
            total[s] += x;
            energy[leg] += (uint64_t)(x * x); /* (-32768)^2 = 2^30 */
        }
    }
    for (size_t leg = 0; leg < legs; leg++) {
        const int16_t *restrict row = in + leg * samples + begin;
        int16_t *restrict mixed = out + leg * samples + begin;
        for (size_t s = 0; s < count; s++) mixed[s] = saturate16(total[s] - row[s]);
    }
}

void mm_mix_minus_range_scalar(int16_t *restrict out, const int16_t *restrict in,
                               uint64_t *restrict energy, size_t legs, size_t samples,
                               size_t begin, size_t end) {
    for (; begin < end; begin += MM_FRAME_SAMPLES) {
        const size_t left = end - begin;
        mix_columns(out, in, energy, legs, samples, begin,
                    left < MM_FRAME_SAMPLES ? left : MM_FRAME_SAMPLES);
    }
}

void mm_mix_minus_scalar(int16_t *restrict out, const int16_t *restrict in,
                         uint64_t *restrict energy, size_t legs, size_t samples) {
    memset(energy, 0, legs * sizeof *energy);
    mm_mix_minus_range_scalar(out, in, energy, legs, samples, 0, samples);
}

void mm_accumulate_scalar(int32_t *restrict wide, const int16_t *restrict pcm, int sign,
                          size_t samples) {
    for (size_t s = 0; s < samples; s++) wide[s] += sign * pcm[s];
}

void mm_saturate_scalar(int16_t *restrict out, const int32_t *restrict wide, size_t samples) {
    for (size_t s = 0; s < samples; s++) out[s] = saturate16(wide[s]);
}
