/* One table for what a leg can speak: Opus, G.711, G.722 and the media link's PCM, all as 16 kHz mono.
 *
 * Decoders and encoders live in memory that is handed in (aligned to 16 bytes, mm_decoder_bytes or
 * mm_encoder_bytes long). They hold no pointer into themselves and none that must be given back: to
 * copy one is memcpy, to end one is to forget it. Each belongs to one thread at a time. Opus needs
 * mm_opus_bind to have succeeded in this process; until then its sizes are 0, its inits -1.
 */
#ifndef MM_CODEC_H
#define MM_CODEC_H

#include <stddef.h>
#include <stdint.h>

enum mm_codec {
    MM_OPUS,
    MM_PCMU,
    MM_PCMA,
    MM_G722,
    MM_PCM16K, /* frames of a media link (pcm16k.h); has no encoder */
    MM_CODECS
};

/* The longest packet that any of them decodes: 120 ms, RFC 6716 section 3.2. */
#define MM_PACKET_SAMPLES_MAX 1920

typedef struct mm_encoder_settings { /* all but Opus ignore it */
    uint32_t bit_rate;               /* bits a second, 6000 to 510000 */
    uint8_t complexity;              /* 0 to 10 */
    uint8_t fec;                     /* carry the last frame again, coarsely, in the next packet */
    uint8_t loss_percent;            /* what FEC is dimensioned for; 0 puts none in */
    uint8_t dtx;                     /* send next to nothing in silence */
} mm_encoder_settings;

/* Of its RTP timestamps. G.722's is 8000, whatever it samples: RFC 3551 section 4.5.2. */
static inline uint32_t mm_codec_clock_hz(enum mm_codec codec) {
    return codec == MM_OPUS ? 48000 : codec == MM_PCM16K ? 16000 : 8000;
}
/* Length of a payload at 16 kHz, from its headers alone; -1 when it is none. */
int mm_codec_packet_samples(enum mm_codec codec, const uint8_t *payload, size_t size);

size_t mm_decoder_bytes(enum mm_codec codec);
int mm_decoder_init(void *memory, enum mm_codec codec); /* 0 or -1 */
/* Samples written, or -1: not a packet, or longer than room. After three in a row the decoder
 * starts anew. */
int mm_decode(void *decoder, const uint8_t *payload, size_t size, int16_t *pcm, int room);
/* The *samples* before *next*, from the redundancy that it carries; -1: it has none of that length.
 * *next* is then still to be decoded. */
int mm_decode_fec(void *decoder, const uint8_t *next, size_t size, int16_t *pcm, int samples);
/* Make up *samples* (a multiple of 40, at most MM_PACKET_SAMPLES_MAX) that did not come; -1 when
 * not that. G.711 and G.722 are silent after 60 ms. Opus goes on with noise like that of the
 * pauses, for that is its DTX too: to end a long loss is the caller's part. */
int mm_conceal(void *decoder, int16_t *pcm, int samples);

size_t mm_encoder_bytes(enum mm_codec codec);
/* 0, or -1 when a setting is out of range. */
int mm_encoder_init(void *memory, enum mm_codec codec, const mm_encoder_settings *settings);
/* Bytes of payload for 160, 320, 640 or 960 samples; 0 when DTX has nothing to send; -1. */
int mm_encode(void *encoder, const int16_t *pcm, int samples, uint8_t *out, int room);
/* From the next frame on. Nothing audible happens at the change. */
void mm_encoder_set_fec(void *encoder, int fec, int loss_percent);
/* The next frame will not lean on those before it, so that a decoder can join at it. 0, or -1 where
 * the codec has no such thing (G.722). */
int mm_encoder_detach_next(void *encoder);
/* *encoder*'s far decoder is given *payload* of *other* instead: go on from what it then knows. 0,
 * or -1 where that cannot be known (Opus). */
int mm_encoder_follow(void *encoder, const void *other, const uint8_t *payload, size_t size);

#endif
