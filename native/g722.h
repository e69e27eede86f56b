/* G.722 at 64 kbit/s: two ADPCM bands behind a quadrature mirror filter. One byte is two samples of
 * 16 kHz.
 *
 * Written after ITU-T G.722 (blocks and table names are its); bits are compared with FFmpeg's.
 */
#ifndef MM_G722_H
#define MM_G722_H

#include <stddef.h>
#include <stdint.h>

typedef struct mm_g722_band {
    int16_t s_predictor, s_zero;   /* s and sz of the standard */
    int16_t part[3], rebuilt[2];   /* p and r: now and before */
    int16_t pole[2], zero[6];      /* a and b */
    int16_t difference[6];         /* d: the last six */
    int16_t log_factor, factor;    /* nb and det */
} mm_g722_band;

typedef struct mm_g722 {
    mm_g722_band low, high;
    /* 16 kHz in the encoder; sums and differences in turn in the decoder; oldest first */
    int16_t qmf[22];
} mm_g722;

void mm_g722_init(mm_g722 *g);
/* 2 * size samples. */
void mm_g722_decode(mm_g722 *restrict g, int16_t *restrict pcm, const uint8_t *restrict payload,
                    size_t size);
/* samples / 2 bytes; an odd last sample is left out. */
void mm_g722_encode(mm_g722 *restrict g, uint8_t *restrict payload, const int16_t *restrict pcm,
                    size_t samples);
/* Take on what a decoder of *payload* knows, with the samples that *its* encoder has last seen:
 * from here on *g* encodes for that decoder. */
void mm_g722_follow(mm_g722 *restrict g, const mm_g722 *restrict its, const uint8_t *payload,
                    size_t size);

#endif
