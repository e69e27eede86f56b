#include <string.h>

#include "mix.h"

static const mm_kernels KERNELS[MM_ISA_COUNT] = {
    [MM_ISA_SCALAR] = {mm_mix_minus_scalar, mm_accumulate_scalar, mm_saturate_scalar},
#if defined(__x86_64__)
    [MM_ISA_AVX2] = {mm_mix_minus_avx2, mm_accumulate_avx2, mm_saturate_avx2},
    [MM_ISA_AVX512] = {mm_mix_minus_avx512, mm_accumulate_avx512, mm_saturate_avx512},
#endif
};

const mm_kernels *mm_kernels_for(mm_isa isa) { return &KERNELS[isa]; }

static size_t heard_by(const uint64_t *mask, size_t legs) {
    size_t count = 0;
    for (size_t source = 0; source < legs; source++) count += (size_t)mm_mask_has(mask, source);
    return count;
}

void mm_mix_total(const mm_kernels *kernels, int32_t *restrict total, const int16_t *restrict in,
                  size_t legs, size_t samples) {
    memset(total, 0, samples * sizeof *total);
    for (size_t source = 0; source < legs; source++)
        kernels->accumulate(total, in + source * samples, 1, samples);
}

void mm_mix_wide(const mm_kernels *kernels, int32_t *restrict wide, const int32_t *restrict total,
                 const int16_t *restrict in, const uint64_t *mask, size_t listener, size_t legs,
                 size_t samples) {
    /* Add what is heard or take away what is not, whichever is less work. */
    const int subtract = !mask || 2 * heard_by(mask, legs) > legs;
    if (subtract)
        memcpy(wide, total, samples * sizeof *wide);
    else
        memset(wide, 0, samples * sizeof *wide);
    if (!mask) {
        kernels->accumulate(wide, in + listener * samples, -1, samples);
        return;
    }
    for (size_t source = 0; source < legs; source++)
        if (mm_mask_has(mask, source) != subtract)
            kernels->accumulate(wide, in + source * samples, subtract ? -1 : 1, samples);
}

void mm_mix(const mm_kernels *kernels, int16_t *restrict out, const int16_t *restrict in,
            uint64_t *restrict energy, const uint64_t *const *masks, int32_t *restrict wide,
            size_t legs, size_t samples) {
    kernels->mix_minus(out, in, energy, legs, samples);
    if (!masks) return;
    int32_t *restrict total = wide + samples;
    int have_total = 0;
    for (size_t listener = 0; listener < legs; listener++) {
        if (!masks[listener]) continue;
        if (!have_total) mm_mix_total(kernels, total, in, legs, samples);
        have_total = 1;
        mm_mix_wide(kernels, wide, total, in, masks[listener], listener, legs, samples);
        kernels->saturate(out + listener * samples, wide, samples);
    }
}
