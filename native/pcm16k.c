#include "pcm16k.h"

#include <string.h>

static uint32_t get32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * i);
}

/* What is before the flags. */
static size_t samples_bytes(size_t size) { return size > MM_FRAME_BYTES ? MM_FRAME_BYTES : 0; }

size_t mm_pcm16k_write(uint8_t payload[MM_PCM16K_MOST], const mm_meta *meta,
                       const int16_t pcm[MM_FRAME_SAMPLES]) {
    const uint32_t speakers = meta->speaker_count < MM_SPEAKERS ? meta->speaker_count : MM_SPEAKERS;
    uint8_t *at = payload;
    if (pcm) memcpy(at, pcm, MM_FRAME_BYTES); /* both machines that frame.h allows are little-endian */
    if (pcm) at += MM_FRAME_BYTES;
    put32(at, pcm ? meta->flags : meta->flags | MM_FRAME_SILENCE);
    for (uint32_t i = 0; i < speakers; i++) put32(at + 4 + 4 * i, meta->speakers[i]);
    return (size_t)(at - payload) + 4 + 4 * speakers;
}

int mm_pcm16k_samples(const uint8_t *payload, size_t size) {
    (void)payload;
    const size_t rest = size - samples_bytes(size);
    return rest >= 4 && rest <= 4 + 4 * MM_SPEAKERS && rest % 4 == 0 ? (int)MM_FRAME_SAMPLES : -1;
}

void mm_pcm16k_meta(mm_meta *meta, const uint8_t *payload, size_t size) {
    const uint8_t *at = payload + samples_bytes(size);
    meta->flags = get32(at);
    meta->speaker_count = (uint32_t)(payload + size - at - 4) / 4;
    for (uint32_t i = 0; i < MM_SPEAKERS; i++)
        meta->speakers[i] = i < meta->speaker_count ? get32(at + 4 + 4 * i) : 0;
}

int mm_pcm16k_decode(mm_concealer *concealer, const uint8_t *payload, size_t size, int16_t *pcm,
                     int room) {
    if (mm_pcm16k_samples(payload, size) < 0 || room < (int)MM_FRAME_SAMPLES) return -1;
    const size_t samples = samples_bytes(size);
    if (get32(payload + samples) & MM_FRAME_SKIPPED) {
        mm_concealer_lost(concealer, pcm, MM_FRAME_SAMPLES);
    } else {
        memset(pcm, 0, MM_FRAME_BYTES);
        memcpy(pcm, payload, samples);
        mm_concealer_heard(concealer, pcm, MM_FRAME_SAMPLES);
    }
    return (int)MM_FRAME_SAMPLES;
}
