#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "frame.h"
#include "mix.h"

#define AVX2 __attribute__((target("avx2")))
#define LANES 16u

/* Sums of one chunk stay in L1: 40 int32 registers' worth does not fit in 16. */
typedef struct sums {
    __m256i low[MM_FRAME_SAMPLES / LANES], high[MM_FRAME_SAMPLES / LANES];
} sums;

static const int16_t SILENT_ROW[MM_FRAME_SAMPLES];

AVX2 static inline __m256i load(const int16_t *pcm) {
    return _mm256_loadu_si256((const __m256i *)pcm);
}

/* Pair sums of squares as 32-bit lanes, added up exactly in 64 bits with four operations: *all*
 * takes both halves at once (high * 2^32 + low, modulo 2^64), *high* the high halves alone. */
AVX2 static inline void add_squares(__m256i *all, __m256i *high, __m256i pcm) {
    const __m256i squares = _mm256_madd_epi16(pcm, pcm);
    *all = _mm256_add_epi64(*all, squares);
    *high = _mm256_add_epi64(*high, _mm256_srli_epi64(squares, 32));
}

AVX2 static inline uint64_t sum_squares(__m256i all, __m256i high) {
    const __m256i low = _mm256_sub_epi64(all, _mm256_slli_epi64(high, 32));
    const __m256i sum = _mm256_add_epi64(low, high);
    const __m128i half =
        _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    return (uint64_t)_mm_cvtsi128_si64(half) + (uint64_t)_mm_extract_epi64(half, 1);
}

/* Four legs at a time: interleaving two rows and multiplying by one adds them pairwise into int32. */
AVX2 static void accumulate_four(sums *total, const int16_t *const row[4], uint64_t *energy[4],
                                 size_t vectors) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i all[4], high[4];
    for (int r = 0; r < 4; r++) all[r] = high[r] = _mm256_setzero_si256();
    for (size_t v = 0; v < vectors; v++) {
        const __m256i a = load(row[0] + v * LANES), b = load(row[1] + v * LANES);
        const __m256i c = load(row[2] + v * LANES), d = load(row[3] + v * LANES);
        const __m256i low =
            _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), ones),
                             _mm256_madd_epi16(_mm256_unpacklo_epi16(c, d), ones));
        const __m256i hi = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), ones),
                                            _mm256_madd_epi16(_mm256_unpackhi_epi16(c, d), ones));
        total->low[v] = _mm256_add_epi32(total->low[v], low);
        total->high[v] = _mm256_add_epi32(total->high[v], hi);
        add_squares(&all[0], &high[0], a);
        add_squares(&all[1], &high[1], b);
        add_squares(&all[2], &high[2], c);
        add_squares(&all[3], &high[3], d);
    }
    for (int r = 0; r < 4; r++) *energy[r] += sum_squares(all[r], high[r]);
}

AVX2 static void mix_chunk(int16_t *restrict out, const int16_t *restrict in,
                           uint64_t *restrict energy, size_t legs, size_t samples,
                           size_t vectors) {
    sums total;
    memset(&total, 0, sizeof total);
    for (size_t leg = 0; leg < legs; leg += 4) {
        const int16_t *row[4];
        uint64_t *into[4], discarded = 0;
        for (size_t r = 0; r < 4; r++) {
            const int present = leg + r < legs;
            row[r] = present ? in + (leg + r) * samples : SILENT_ROW;
            into[r] = present ? energy + leg + r : &discarded;
        }
        accumulate_four(&total, row, into, vectors);
    }
    /* sat16(T - x) without leaving 16 bits: with T1 = sat16(T) and T2 = sat16(T - T1), both of the
     * sign of T, sat16(sat16(T1 - x) + T2) is exact for every T and x, as the tests try. */
    __m256i near[MM_FRAME_SAMPLES / LANES], rest[MM_FRAME_SAMPLES / LANES];
    for (size_t v = 0; v < vectors; v++) {
        near[v] = _mm256_packs_epi32(total.low[v], total.high[v]);
        const __m256i low = _mm256_srai_epi32(_mm256_unpacklo_epi16(near[v], near[v]), 16);
        const __m256i high = _mm256_srai_epi32(_mm256_unpackhi_epi16(near[v], near[v]), 16);
        rest[v] = _mm256_packs_epi32(_mm256_sub_epi32(total.low[v], low),
                                     _mm256_sub_epi32(total.high[v], high));
    }
    for (size_t leg = 0; leg < legs; leg++)
        for (size_t v = 0; v < vectors; v++) {
            const __m256i own = load(in + leg * samples + v * LANES);
            _mm256_storeu_si256((__m256i *)(out + leg * samples + v * LANES),
                                _mm256_adds_epi16(_mm256_subs_epi16(near[v], own), rest[v]));
        }
}

AVX2 void mm_mix_minus_avx2(int16_t *restrict out, const int16_t *restrict in,
                            uint64_t *restrict energy, size_t legs, size_t samples) {
    memset(energy, 0, legs * sizeof *energy);
    const size_t whole = samples / LANES * LANES;
    for (size_t begin = 0; begin < whole; begin += MM_FRAME_SAMPLES) {
        const size_t left = whole - begin;
        const size_t chunk = left < MM_FRAME_SAMPLES ? left : MM_FRAME_SAMPLES;
        mix_chunk(out + begin, in + begin, energy, legs, samples, chunk / LANES);
    }
    mm_mix_minus_range_scalar(out, in, energy, legs, samples, whole, samples);
}

AVX2 void mm_accumulate_avx2(int32_t *restrict wide, const int16_t *restrict pcm, int sign,
                             size_t samples) {
    const __m256i sign8 = _mm256_set1_epi32(sign);
    size_t s = 0;
    for (; s + 8 <= samples; s += 8) {
        const __m256i x = _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(pcm + s)));
        __m256i *into = (__m256i *)(wide + s);
        _mm256_storeu_si256(
            into, _mm256_add_epi32(_mm256_loadu_si256(into), _mm256_sign_epi32(x, sign8)));
    }
    mm_accumulate_scalar(wide + s, pcm + s, sign, samples - s);
}

AVX2 void mm_saturate_avx2(int16_t *restrict out, const int32_t *restrict wide, size_t samples) {
    size_t s = 0;
    for (; s + LANES <= samples; s += LANES) {
        const __m256i packed =
            _mm256_packs_epi32(_mm256_loadu_si256((const __m256i *)(wide + s)),
                               _mm256_loadu_si256((const __m256i *)(wide + s + 8)));
        _mm256_storeu_si256((__m256i *)(out + s),
                            _mm256_permute4x64_epi64(packed, 0xD8)); /* packs works per 128 bits */
    }
    mm_saturate_scalar(out + s, wide + s, samples - s);
}
#endif
