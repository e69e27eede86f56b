#include "codec.h"

#include <stdalign.h>
#include <string.h>

#include "conceal.h"
#include "g711.h"
#include "g722.h"
#include "halfband.h"
#include "opus.h"
#include "pcm16k.h"

#define ERRORS_MOST 3u /* in a row: then whatever they left in the decoder goes */

#define NARROW_MOST (MM_PACKET_SAMPLES_MAX / 2) /* bytes of G.711 and of G.722 alike in 120 ms */

/* State behind a decoder's or encoder's first 16 bytes, which say what it is. */
typedef struct head {
    enum mm_codec codec;
    uint32_t errors;
    alignas(16) unsigned char state[];
} head;

typedef struct codec {
    int (*packet_samples)(const uint8_t *payload, size_t size);
    size_t (*decoder_bytes)(void);
    int (*decoder_init)(void *decoder);
    int (*decode)(void *decoder, const uint8_t *payload, size_t size, int16_t *pcm, int room);
    int (*decode_fec)(void *decoder, const uint8_t *next, size_t size, int16_t *pcm, int samples);
    int (*conceal)(void *decoder, int16_t *pcm, int samples);
    size_t (*encoder_bytes)(void);
    int (*encoder_init)(void *encoder, const mm_encoder_settings *settings);
    int (*encode)(void *encoder, const int16_t *pcm, int samples, uint8_t *out, int room);
    void (*set_fec)(void *encoder, int fec, int loss_percent);
    int (*detach_next)(void *encoder);
    int (*follow)(void *encoder, const void *other, const uint8_t *payload, size_t size);
} codec;

/* ---- what the codecs without packets of their own share: a byte is two samples of 16 kHz ------ */

static int byte_samples(const uint8_t *payload, size_t size) {
    (void)payload;
    return size == 0 || size > NARROW_MOST ? -1 : (int)(2 * size);
}

static int fits(int samples, int room) {
    return samples > 0 && samples % 2 == 0 && samples <= MM_PACKET_SAMPLES_MAX && samples / 2 <= room;
}

static int no_fec(void *decoder, const uint8_t *next, size_t size, int16_t *pcm, int samples) {
    (void)decoder, (void)next, (void)size, (void)pcm, (void)samples;
    return -1;
}

static void no_set_fec(void *encoder, int fec, int loss_percent) {
    (void)encoder, (void)fec, (void)loss_percent;
}

static int no_detach(void *encoder) {
    (void)encoder;
    return -1;
}

static int no_follow(void *encoder, const void *other, const uint8_t *payload, size_t size) {
    (void)encoder, (void)other, (void)payload, (void)size;
    return -1;
}

/* ---- G.711 ------------------------------------------------------------------------------------ */

typedef struct narrow_decoder {
    mm_upsampler up;
    mm_concealer concealer;
} narrow_decoder;

static size_t narrow_decoder_bytes(void) { return sizeof(narrow_decoder); }

static int narrow_decoder_init(void *decoder) {
    memset(decoder, 0, sizeof(narrow_decoder));
    return 0;
}

static int narrow_decode(narrow_decoder *d, void (*expand)(int16_t *, const uint8_t *, size_t),
                         const uint8_t *payload, size_t size, int16_t *pcm, int room) {
    const int samples = byte_samples(payload, size);
    if (samples < 0 || samples > room) return -1;
    int16_t narrow[NARROW_MOST];
    expand(narrow, payload, size);
    mm_upsample(&d->up, pcm, narrow, size);
    mm_concealer_heard(&d->concealer, pcm, (size_t)samples);
    return samples;
}

static int pcmu_decode(void *decoder, const uint8_t *payload, size_t size, int16_t *pcm, int room) {
    return narrow_decode(decoder, mm_pcmu_decode, payload, size, pcm, room);
}

static int pcma_decode(void *decoder, const uint8_t *payload, size_t size, int16_t *pcm, int room) {
    return narrow_decode(decoder, mm_pcma_decode, payload, size, pcm, room);
}

static int narrow_conceal(void *decoder, int16_t *pcm, int samples) {
    mm_concealer_lost(&((narrow_decoder *)decoder)->concealer, pcm, (size_t)samples);
    return samples;
}

static size_t narrow_encoder_bytes(void) { return sizeof(mm_downsampler); }

static int narrow_encoder_init(void *encoder, const mm_encoder_settings *settings) {
    (void)settings;
    memset(encoder, 0, sizeof(mm_downsampler));
    return 0;
}

static int narrow_encode(mm_downsampler *d, void (*compress)(uint8_t *, const int16_t *, size_t),
                         const int16_t *pcm, int samples, uint8_t *out, int room) {
    if (!fits(samples, room)) return -1;
    int16_t narrow[NARROW_MOST];
    mm_downsample(d, narrow, pcm, (size_t)samples / 2);
    compress(out, narrow, (size_t)samples / 2);
    return samples / 2;
}

static int pcmu_encode(void *encoder, const int16_t *pcm, int samples, uint8_t *out, int room) {
    return narrow_encode(encoder, mm_pcmu_encode, pcm, samples, out, room);
}

static int pcma_encode(void *encoder, const int16_t *pcm, int samples, uint8_t *out, int room) {
    return narrow_encode(encoder, mm_pcma_encode, pcm, samples, out, room);
}

/* No sample of G.711 leans on another. */
static int narrow_detach(void *encoder) {
    (void)encoder;
    return 0;
}

/* ---- G.722 ------------------------------------------------------------------------------------ */

typedef struct g722_decoder {
    mm_g722 g722;
    mm_concealer concealer;
} g722_decoder;

static size_t g722_decoder_bytes(void) { return sizeof(g722_decoder); }

static int g722_decoder_init(void *decoder) {
    g722_decoder *d = decoder;
    memset(d, 0, sizeof *d);
    mm_g722_init(&d->g722);
    return 0;
}

static int g722_decode(void *decoder, const uint8_t *payload, size_t size, int16_t *pcm, int room) {
    g722_decoder *d = decoder;
    const int samples = byte_samples(payload, size);
    if (samples < 0 || samples > room) return -1;
    mm_g722_decode(&d->g722, pcm, payload, size);
    mm_concealer_heard(&d->concealer, pcm, (size_t)samples);
    return samples;
}

static int g722_conceal(void *decoder, int16_t *pcm, int samples) {
    mm_concealer_lost(&((g722_decoder *)decoder)->concealer, pcm, (size_t)samples);
    return samples;
}

static size_t g722_encoder_bytes(void) { return sizeof(mm_g722); }

static int g722_encoder_init(void *encoder, const mm_encoder_settings *settings) {
    (void)settings;
    mm_g722_init(encoder);
    return 0;
}

static int g722_encode(void *encoder, const int16_t *pcm, int samples, uint8_t *out, int room) {
    if (!fits(samples, room)) return -1;
    mm_g722_encode(encoder, out, pcm, (size_t)samples);
    return samples / 2;
}

static int g722_follow(void *encoder, const void *other, const uint8_t *payload, size_t size) {
    mm_g722_follow(encoder, other, payload, size);
    return 0;
}

/* ---- frames of a media link: decoded only ------------------------------------------------------ */

static size_t pcm16k_decoder_bytes(void) { return sizeof(mm_concealer); }

static int pcm16k_decoder_init(void *decoder) {
    memset(decoder, 0, sizeof(mm_concealer));
    return 0;
}

static int pcm16k_decode(void *decoder, const uint8_t *payload, size_t size, int16_t *pcm, int room) {
    return mm_pcm16k_decode(decoder, payload, size, pcm, room);
}

static int pcm16k_conceal(void *decoder, int16_t *pcm, int samples) {
    mm_concealer_lost(decoder, pcm, (size_t)samples);
    return samples;
}

static size_t no_encoder_bytes(void) { return 0; }

static int no_encoder_init(void *encoder, const mm_encoder_settings *settings) {
    (void)encoder, (void)settings;
    return -1;
}

static int no_encode(void *encoder, const int16_t *pcm, int samples, uint8_t *out, int room) {
    (void)encoder, (void)pcm, (void)samples, (void)out, (void)room;
    return -1;
}

/* ---- the table -------------------------------------------------------------------------------- */

static const codec TABLE[MM_CODECS] = {
    [MM_OPUS] = {mm_opus_packet_samples, mm_opus_decoder_bytes, mm_opus_decoder_init, mm_opus_decode,
                 mm_opus_decode_fec, mm_opus_conceal, mm_opus_encoder_bytes,
                 mm_opus_encoder_init, mm_opus_encode, mm_opus_encoder_set_fec,
                 mm_opus_encoder_detach_next, no_follow},
    [MM_PCMU] = {byte_samples, narrow_decoder_bytes, narrow_decoder_init, pcmu_decode, no_fec,
                 narrow_conceal, narrow_encoder_bytes, narrow_encoder_init, pcmu_encode,
                 no_set_fec, narrow_detach, no_follow},
    [MM_PCMA] = {byte_samples, narrow_decoder_bytes, narrow_decoder_init, pcma_decode, no_fec,
                 narrow_conceal, narrow_encoder_bytes, narrow_encoder_init, pcma_encode,
                 no_set_fec, narrow_detach, no_follow},
    [MM_G722] = {byte_samples, g722_decoder_bytes, g722_decoder_init, g722_decode, no_fec,
                 g722_conceal,
                 g722_encoder_bytes, g722_encoder_init, g722_encode, no_set_fec,
                 no_detach, g722_follow},
    [MM_PCM16K] = {mm_pcm16k_samples, pcm16k_decoder_bytes, pcm16k_decoder_init, pcm16k_decode,
                   no_fec, pcm16k_conceal, no_encoder_bytes, no_encoder_init, no_encode,
                   no_set_fec, no_detach, no_follow},
};

static size_t with_head(size_t bytes) { return bytes ? sizeof(head) + bytes : 0; }

int mm_codec_packet_samples(enum mm_codec codec, const uint8_t *payload, size_t size) {
    return TABLE[codec].packet_samples(payload, size);
}

size_t mm_decoder_bytes(enum mm_codec codec) { return with_head(TABLE[codec].decoder_bytes()); }

int mm_decoder_init(void *memory, enum mm_codec codec) {
    head *h = memory;
    if (!mm_decoder_bytes(codec)) return -1;
    *h = (head){.codec = codec};
    return TABLE[codec].decoder_init(h->state);
}

int mm_decode(void *decoder, const uint8_t *payload, size_t size, int16_t *pcm, int room) {
    head *h = decoder;
    const codec *c = &TABLE[h->codec];
    const int samples = c->decode(h->state, payload, size, pcm, room);
    if (samples >= 0) {
        h->errors = 0;
    } else if (++h->errors == ERRORS_MOST) {
        h->errors = 0;
        c->decoder_init(h->state);
    }
    return samples;
}

int mm_decode_fec(void *decoder, const uint8_t *next, size_t size, int16_t *pcm, int samples) {
    head *h = decoder;
    return TABLE[h->codec].decode_fec(h->state, next, size, pcm, samples);
}

int mm_conceal(void *decoder, int16_t *pcm, int samples) {
    head *h = decoder;
    if (samples <= 0 || samples > MM_PACKET_SAMPLES_MAX || samples % 40) return -1;
    return TABLE[h->codec].conceal(h->state, pcm, samples);
}

size_t mm_encoder_bytes(enum mm_codec codec) { return with_head(TABLE[codec].encoder_bytes()); }

int mm_encoder_init(void *memory, enum mm_codec codec, const mm_encoder_settings *settings) {
    head *h = memory;
    if (!mm_encoder_bytes(codec)) return -1;
    *h = (head){.codec = codec};
    return TABLE[codec].encoder_init(h->state, settings);
}

int mm_encode(void *encoder, const int16_t *pcm, int samples, uint8_t *out, int room) {
    head *h = encoder;
    return TABLE[h->codec].encode(h->state, pcm, samples, out, room);
}

void mm_encoder_set_fec(void *encoder, int fec, int loss_percent) {
    head *h = encoder;
    TABLE[h->codec].set_fec(h->state, fec, loss_percent);
}

int mm_encoder_detach_next(void *encoder) {
    head *h = encoder;
    return TABLE[h->codec].detach_next(h->state);
}

int mm_encoder_follow(void *encoder, const void *other, const uint8_t *payload, size_t size) {
    head *h = encoder;
    const head *its = other;
    return TABLE[h->codec].follow(h->state, its->state, payload, size);
}
