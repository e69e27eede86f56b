/* G.711 mu-law and A-law, at its own 8 kHz. */
#ifndef MM_G711_H
#define MM_G711_H

#include <stddef.h>
#include <stdint.h>

void mm_pcmu_decode(int16_t *restrict pcm, const uint8_t *restrict payload, size_t samples);
void mm_pcma_decode(int16_t *restrict pcm, const uint8_t *restrict payload, size_t samples);
/* By the decision values of tables 1a and 2a of the standard. */
void mm_pcmu_encode(uint8_t *restrict payload, const int16_t *restrict pcm, size_t samples);
void mm_pcma_encode(uint8_t *restrict payload, const int16_t *restrict pcm, size_t samples);

#endif
