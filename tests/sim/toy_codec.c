/* A codec without a library, behind the same table: what goes in comes out, so that what was made up shows.
 *
 * Opus: a table of contents (SILK, one frame), flags, the frame in 8 bits, and before it, when the flag
 * says so, the frame before in 8 bits: in-band redundancy that is exact. Others: PCMA 8 bits a sample,
 * PCMU and G722 16. A first byte of 0xee is refused. What is concealed is a ramp from 1 on.
 */
#include <stdint.h>
#include <string.h>

#include "codec.h"

typedef struct toy {
    enum mm_codec codec;
    int16_t made_up;
} toy;

uint64_t toy_inits, toy_decodes, toy_fecs, toy_conceals;

static int opus_samples(const uint8_t *payload, size_t size) {
    static const int SAMPLES[4] = {160, 320, 640, 960};
    if (!size || payload[0] & 0x83) return -1;
    return SAMPLES[payload[0] >> 3 & 3];
}

static int has_redundancy(const uint8_t *payload, size_t size) {
    const int samples = opus_samples(payload, size);
    const int shift = samples == 960 ? 4 : samples == 640 ? 5 : 6;
    return samples > 0 && size == 2 + 2 * (size_t)samples && payload[1] >> shift & 1;
}

int mm_codec_packet_samples(enum mm_codec codec, const uint8_t *payload, size_t size) {
    if (!size || payload[0] == 0xee) return -1;
    if (codec == MM_OPUS) return opus_samples(payload, size);
    if (codec == MM_PCMA) return size <= MM_PACKET_SAMPLES_MAX ? (int)size : -1;
    return size % 2 ? -1 : (int)size / 2;
}

size_t mm_decoder_bytes(enum mm_codec codec) {
    (void)codec;
    return sizeof(toy);
}

int mm_decoder_init(void *memory, enum mm_codec codec) {
    toy_inits++;
    memset(memory, 0, sizeof(toy));
    ((toy *)memory)->codec = codec;
    return 0;
}

static void from_bytes(int16_t *pcm, const uint8_t *bytes, int samples) {
    for (int i = 0; i < samples; i++) pcm[i] = (int16_t)((bytes[i] - 128) * 256);
}

int mm_decode(void *decoder, const uint8_t *payload, size_t size, int16_t *pcm, int room) {
    toy *t = decoder;
    const int samples = mm_codec_packet_samples(t->codec, payload, size);
    if (samples < 0 || samples > room) return -1;
    toy_decodes++;
    t->made_up = 0;
    if (t->codec == MM_OPUS) {
        if (size <= 2) {
            memset(pcm, 0, (size_t)samples * 2);
            return samples;
        }
        if (size < 2 + (size_t)samples) return -1;
        from_bytes(pcm, payload + size - samples, samples);
        return samples;
    }
    if (payload[0] == 0xed) return -1; /* found out late: after its length looked right */
    if (t->codec == MM_PCMA)
        from_bytes(pcm, payload, samples);
    else
        memcpy(pcm, payload, (size_t)samples * 2);
    return samples;
}

int mm_decode_fec(void *decoder, const uint8_t *next, size_t size, int16_t *pcm, int samples) {
    toy *t = decoder;
    if (t->codec != MM_OPUS || !has_redundancy(next, size)) return -1;
    if (opus_samples(next, size) != samples) return -1;
    toy_fecs++;
    from_bytes(pcm, next + 2, samples);
    return samples;
}

int mm_conceal(void *decoder, int16_t *pcm, int samples) {
    toy *t = decoder;
    if (samples <= 0 || samples % 40 || samples > MM_PACKET_SAMPLES_MAX) return -1;
    toy_conceals++;
    for (int i = 0; i < samples; i++) pcm[i] = t->made_up = (int16_t)(t->made_up % 200 + 1);
    return samples;
}
