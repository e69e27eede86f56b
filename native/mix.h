/* Mix-minus: one wide sum of all legs, N outputs that are the sum less the listener's own leg.
 *
 * A block is (legs, samples) int16 in row order. Rows need no alignment; out and in may not overlap.
 * 65536 full-scale legs fit in the 32-bit sum. Output saturates once, after the subtraction.
 * energy[i] is the exact sum of squares of row i.
 */
#ifndef MM_MIX_H
#define MM_MIX_H

#include <stddef.h>
#include <stdint.h>

#include "cpu.h"

#define MM_MIX_MAX_LEGS 65536u

typedef void (*mm_mix_minus_fn)(int16_t *restrict out, const int16_t *restrict in,
                                uint64_t *restrict energy, size_t legs, size_t samples);
/* wide += sign * pcm, sign is 1 or -1 */
typedef void (*mm_accumulate_fn)(int32_t *restrict wide, const int16_t *restrict pcm, int sign,
                                 size_t samples);
typedef void (*mm_saturate_fn)(int16_t *restrict out, const int32_t *restrict wide, size_t samples);

typedef struct mm_kernels {
    mm_mix_minus_fn mix_minus;
    mm_accumulate_fn accumulate;
    mm_saturate_fn saturate;
} mm_kernels;

const mm_kernels *mm_kernels_for(mm_isa isa);

static inline int mm_mask_has(const uint64_t *mask, size_t source) {
    return (int)(mask[source / 64] >> (source % 64) & 1);
}

/* Mix with who-hears-whom: masks is NULL (everyone hears all others) or one pointer a listener,
 * NULL for that default, else ceil(legs / 64) words in which bit j says that row j is heard.
 * An exception costs its listener's sum only. *wide* is scratch for 2 * samples int32. */
void mm_mix(const mm_kernels *kernels, int16_t *restrict out, const int16_t *restrict in,
            uint64_t *restrict energy, const uint64_t *const *masks, int32_t *restrict wide,
            size_t legs, size_t samples);

/* The sum of all rows. */
void mm_mix_total(const mm_kernels *kernels, int32_t *restrict total, const int16_t *restrict in,
                  size_t legs, size_t samples);
/* What one listener hears, before it is brought to 16 bits; mask as above. */
void mm_mix_wide(const mm_kernels *kernels, int32_t *restrict wide, const int32_t *restrict total,
                 const int16_t *restrict in, const uint64_t *mask, size_t listener, size_t legs,
                 size_t samples);

/* The scalar kernels are the definition. _range works on the columns [begin, end) of a block and adds
 * to energy: the vector kernels leave their tails to it. */
void mm_mix_minus_range_scalar(int16_t *restrict out, const int16_t *restrict in,
                               uint64_t *restrict energy, size_t legs, size_t samples,
                               size_t begin, size_t end);
void mm_mix_minus_scalar(int16_t *restrict out, const int16_t *restrict in,
                         uint64_t *restrict energy, size_t legs, size_t samples);
void mm_accumulate_scalar(int32_t *restrict wide, const int16_t *restrict pcm, int sign,
                          size_t samples);
void mm_saturate_scalar(int16_t *restrict out, const int32_t *restrict wide, size_t samples);

#if defined(__x86_64__)
void mm_mix_minus_avx2(int16_t *restrict out, const int16_t *restrict in,
                       uint64_t *restrict energy, size_t legs, size_t samples);
void mm_accumulate_avx2(int32_t *restrict wide, const int16_t *restrict pcm, int sign,
                        size_t samples);
void mm_saturate_avx2(int16_t *restrict out, const int32_t *restrict wide, size_t samples);
void mm_mix_minus_avx512(int16_t *restrict out, const int16_t *restrict in,
                         uint64_t *restrict energy, size_t legs, size_t samples);
void mm_accumulate_avx512(int32_t *restrict wide, const int16_t *restrict pcm, int sign,
                          size_t samples);
void mm_saturate_avx512(int16_t *restrict out, const int32_t *restrict wide, size_t samples);
#endif

#endif
