/* A frame of a media link as a payload: 320 samples, its flags, who speaks in it.
 *
 * 640 bytes of samples (none where it is silent), 4 of flags, then 4 a speaker, at most MM_SPEAKERS; all
 * little-endian.
 */
#ifndef MM_PCM16K_H
#define MM_PCM16K_H

#include <stddef.h>
#include <stdint.h>

#include "conceal.h"
#include "frame.h"

#define MM_PCM16K_LEAST 4u /* of a silent frame */
#define MM_PCM16K_MOST (MM_FRAME_BYTES + 4u + 4u * MM_SPEAKERS)

/* Bytes written. At most MM_SPEAKERS of its speakers. NULL in pcm: a silent frame, and flagged so. */
size_t mm_pcm16k_write(uint8_t payload[MM_PCM16K_MOST], const mm_meta *meta,
                       const int16_t pcm[MM_FRAME_SAMPLES]);
/* MM_FRAME_SAMPLES, or -1 when it is no such payload. */
int mm_pcm16k_samples(const uint8_t *payload, size_t size);
/* Flags and speakers of a payload that is one; the rest of *meta* stays. */
void mm_pcm16k_meta(mm_meta *meta, const uint8_t *payload, size_t size);

/* What codec.c has in its table. What is lost, or was a tick that the far end left out, is made up as for
 * G.711. */
int mm_pcm16k_decode(mm_concealer *concealer, const uint8_t *payload, size_t size, int16_t *pcm, int room);

#endif
