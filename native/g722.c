#include "g722.h"

#include <string.h>

#define HISTORY 22
#define CHUNK 160u /* bytes worked on at a time: 20 ms */

/* Tables of ITU-T G.722, section 6, in its own scaling. */

/* Table 11: the even half of the filter; the odd half is the same backwards. */
static const int16_t QMF[12] = {3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11};

/* Decision levels of the 60 level quantiser (LL6), and the multipliers of its outputs by code
 * (QM6). */
static const int16_t DECISION[29] = {35,   72,   110,  150,  190,  233,  276,  323,  370,  422,
                                     473,  530,  587,  650,  714,  786,  858,  940,  1023, 1121,
                                     1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919};
static const int16_t QM6[64] = {
    -136,   -136,   -136,   -136,   -24808, -21904, -19008, -16704, -14984, -13512, -12280,
    -11192, -10232, -9360,  -8576,  -7856,  -7192,  -6576,  -6000,  -5456,  -4944,  -4464,
    -4008,  -3576,  -3168,  -2776,  -2400,  -2032,  -1688,  -1360,  -1040,  -728,   24808,
    21904,  19008,  16704,  14984,  13512,  12280,  11192,  10232,  9360,   8576,   7856,
    7192,   6576,   6000,   5456,   4944,   4464,   4008,   3576,   3168,   2776,   2400,
    2032,   1688,   1360,   1040,   728,    432,    136,    -432,   -136};
/* The low band adapts by the upper four bits only, so that the lower two may be taken for data. */
static const int16_t QM4[16] = {0,     -20456, -12896, -8968, -6288, -4240, -2584, -1200,
                                20456, 12896,  8968,   6288,  4240,  2584,  1200,  0};
static const int16_t QM2[4] = {-7408, -1616, 7408, 1616};
/* Steps of the logarithmic scale factor: by four bit code (WL), and by the low bit of a high band's
 * (WH). */
static const int16_t WL[16] = {-60,  3042, 1198, 538, 334, 172, 58,  -30,
                               3042, 1198, 538,  334, 172, 58,  -30, -60};
static const int16_t WH[2] = {798, -214};
#define HIGH_DECISION 564

static const int16_t POWER_OF_TWO[32] = {2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383,
                                         2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
                                         2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371,
                                         3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008};

static int clip(int value, int least, int most) {
    return value < least ? least : value > most ? most : value;
}

static int saturate(int value) { return clip(value, INT16_MIN, INT16_MAX); }

/* Block 3 (LOGSC and SCALE): the factor of the next sample. *octaves*: 8 in the low band, 10 in the
 * high. */
static void adapt_factor(mm_g722_band *band, int step, int octaves) {
    const int most = octaves == 8 ? 18432 : 22528;
    band->log_factor = (int16_t)clip((band->log_factor * 127 >> 7) + step, 0, most);
    const int mantissa = POWER_OF_TWO[band->log_factor >> 6 & 31];
    const int shift = octaves - (band->log_factor >> 11);
    band->factor = (int16_t)((shift < 0 ? mantissa << -shift : mantissa >> shift) << 2);
}

/* Block 4: follow the quantised difference; what is left is the prediction of the next sample. */
static void predict(mm_g722_band *band, int difference) {
    band->rebuilt[0] = (int16_t)saturate(band->s_predictor + difference); /* RECONS */
    band->part[0] = (int16_t)saturate(band->s_zero + difference);         /* PARREC */
    const int same_1 = (band->part[0] ^ band->part[1]) >= 0;
    const int same_2 = (band->part[0] ^ band->part[2]) >= 0;

    int slope = saturate(band->pole[0] * 4); /* UPPOL2 */
    slope = same_1 ? saturate(-slope) : slope;
    const int pole_2 = clip((slope >> 7) + (same_2 ? 128 : -128) + (band->pole[1] * 32512 >> 15),
                            -12288, 12288);
    const int most = 15360 - pole_2; /* UPPOL1 */
    const int pole_1 = clip((same_1 ? 192 : -192) + (band->pole[0] * 32640 >> 15), -most, most);

    const int step = difference ? 128 : 0; /* UPZERO */
    for (int i = 0; i < 6; i++) {
        const int same = (band->difference[i] ^ difference) >= 0;
        band->zero[i] =
            (int16_t)saturate((same ? step : -step) + (band->zero[i] * 32640 >> 15));
    }

    memmove(band->difference + 1, band->difference, 5 * sizeof *band->difference); /* DELAYA */
    band->difference[0] = (int16_t)difference;
    band->part[2] = band->part[1];
    band->part[1] = band->part[0];
    band->pole[0] = (int16_t)pole_1;
    band->pole[1] = (int16_t)pole_2;

    int zeros = 0; /* FILTEZ */
    for (int i = 5; i >= 0; i--) zeros += band->zero[i] * saturate(band->difference[i] * 2) >> 15;
    band->s_zero = (int16_t)saturate(zeros);
    const int poles = (pole_1 * saturate(band->rebuilt[0] * 2) >> 15) + /* FILTEP */
                      (pole_2 * saturate(band->rebuilt[1] * 2) >> 15);
    band->rebuilt[1] = band->rebuilt[0];
    band->s_predictor = (int16_t)saturate(poles + zeros);
}

static void follow_low(mm_g722_band *band, int code) {
    predict(band, band->factor * QM4[code >> 2] >> 15);
    adapt_factor(band, WL[code >> 2], 8);
}

static void follow_high(mm_g722_band *band, int code) {
    predict(band, band->factor * QM2[code] >> 15);
    adapt_factor(band, WH[code & 1], 10);
}

/* Level of a prediction error, so that of -1 and 0 each is the first of its sign. */
static int level_of(int error) { return error < 0 ? ~error : error; }

static int quantise_low(const mm_g722_band *band, int low) { /* QUANTL */
    const int error = saturate(low - band->s_predictor);
    const int level = level_of(error);
    int i = level >= DECISION[14] * band->factor >> 12 ? 15 : 0;
    while (i < 29 && level >= DECISION[i] * band->factor >> 12) i++;
    if (error >= 0) return 61 - i;
    return i < 2 ? 63 - i : 33 - i;
}

static int quantise_high(const mm_g722_band *band, int high) { /* QUANTH */
    const int error = saturate(high - band->s_predictor);
    const int inner = level_of(error) < HIGH_DECISION * band->factor >> 12;
    return error < 0 ? inner : 2 + inner;
}

/* The two halves of the filter over the 24 samples from *at* on. */
static void filter(const int16_t *at, int *first, int *second) {
    int odd = 0, even = 0;
    for (int i = 0; i < 12; i++) {
        even += at[2 * i] * QMF[i];
        odd += at[2 * i + 1] * QMF[11 - i];
    }
    *first = odd;
    *second = even;
}

void mm_g722_init(mm_g722 *g) {
    memset(g, 0, sizeof *g);
    g->low.factor = 32;
    g->high.factor = 8;
}

static void decode_chunk(mm_g722 *restrict g, int16_t *restrict pcm,
                         const uint8_t *restrict payload, size_t size) {
    int16_t line[HISTORY + 2 * CHUNK];
    memcpy(line, g->qmf, sizeof g->qmf);
    for (size_t n = 0; n < size; n++) {
        const int low_code = payload[n] & 63, high_code = payload[n] >> 6;
        const int low_step = g->low.factor * QM6[low_code] >> 15;
        const int low = clip(g->low.s_predictor + low_step, -16384, 16383);
        const int high_step = g->high.factor * QM2[high_code] >> 15;
        const int high = clip(g->high.s_predictor + high_step, -16384, 16383);
        follow_low(&g->low, low_code);
        follow_high(&g->high, high_code);
        line[HISTORY + 2 * n] = (int16_t)(low + high);
        line[HISTORY + 2 * n + 1] = (int16_t)(low - high);
        int first, second;
        filter(line + 2 * n, &first, &second);
        pcm[2 * n] = (int16_t)saturate(first >> 11);
        pcm[2 * n + 1] = (int16_t)saturate(second >> 11);
    }
    memcpy(g->qmf, line + 2 * size, sizeof g->qmf);
}

static void encode_chunk(mm_g722 *restrict g, uint8_t *restrict payload,
                         const int16_t *restrict pcm, size_t size) {
    int16_t line[HISTORY + 2 * CHUNK];
    memcpy(line, g->qmf, sizeof g->qmf);
    memcpy(line + HISTORY, pcm, 2 * size * sizeof *pcm);
    for (size_t n = 0; n < size; n++) {
        int first, second;
        filter(line + 2 * n, &first, &second);
        const int low_code = quantise_low(&g->low, (first + second) >> 14);
        const int high_code = quantise_high(&g->high, (first - second) >> 14);
        follow_low(&g->low, low_code);
        follow_high(&g->high, high_code);
        payload[n] = (uint8_t)(high_code << 6 | low_code);
    }
    memcpy(g->qmf, line + 2 * size, sizeof g->qmf);
}

void mm_g722_decode(mm_g722 *restrict g, int16_t *restrict pcm, const uint8_t *restrict payload,
                    size_t size) {
    for (size_t n = 0; n < size; n += CHUNK)
        decode_chunk(g, pcm + 2 * n, payload + n, size - n < CHUNK ? size - n : CHUNK);
}

void mm_g722_encode(mm_g722 *restrict g, uint8_t *restrict payload, const int16_t *restrict pcm,
                    size_t samples) {
    const size_t size = samples / 2;
    for (size_t n = 0; n < size; n += CHUNK)
        encode_chunk(g, payload + n, pcm + 2 * n, size - n < CHUNK ? size - n : CHUNK);
}

void mm_g722_follow(mm_g722 *restrict g, const mm_g722 *restrict its, const uint8_t *payload,
                    size_t size) {
    for (size_t n = 0; n < size; n++) {
        follow_low(&g->low, payload[n] & 63);
        follow_high(&g->high, payload[n] >> 6);
    }
    memcpy(g->qmf, its->qmf, sizeof g->qmf);
}
