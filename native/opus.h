/* libopus, bound at run time: the copy in PyAV's wheel, or one that is named (design 4.9).
 *
 * One library a process, bound once, before any engine runs. The decoder gives 16 kHz mono whatever
 * was sent: libopus mixes stereo down and filters fullband itself.
 */
#ifndef MM_OPUS_H
#define MM_OPUS_H

#include <stddef.h>
#include <stdint.h>

#include "codec.h"

enum mm_opus_bind_result {
    MM_OPUS_BOUND = 0,
    MM_OPUS_NOT_OPENED = -1,   /* no such library, a symbol missing, or its sizes make no sense */
    MM_OPUS_WRONG_ANSWER = -2, /* to a known packet, or a copied encoder goes its own way */
    MM_OPUS_ALLOCATES = -3,    /* coding allocates, or this libc cannot tell */
    MM_OPUS_OTHER_BOUND = -4,  /* another path is bound already */
};

/* mm_opus_bind_result, with one line about a failure in *error*. Again with the same path:
 * MM_OPUS_BOUND. One thread at a time, never a tick thread. */
int mm_opus_bind(const char *path, char *error, size_t error_room);
/* NULL until bound. */
const char *mm_opus_version(void);
const char *mm_opus_path(void);

/* What codec.c has in its table; the contracts stand in codec.h. */
int mm_opus_packet_samples(const uint8_t *payload, size_t size);
size_t mm_opus_decoder_bytes(void);
int mm_opus_decoder_init(void *decoder);
int mm_opus_decode(void *decoder, const uint8_t *payload, size_t size, int16_t *pcm, int room);
int mm_opus_decode_fec(void *decoder, const uint8_t *next, size_t size, int16_t *pcm, int samples);
int mm_opus_conceal(void *decoder, int16_t *pcm, int samples);
size_t mm_opus_encoder_bytes(void);
int mm_opus_encoder_init(void *encoder, const mm_encoder_settings *settings);
int mm_opus_encode(void *encoder, const int16_t *pcm, int samples, uint8_t *out, int room);
void mm_opus_encoder_set_fec(void *encoder, int fec, int loss_percent);
int mm_opus_encoder_detach_next(void *encoder);

#endif
