#include "pcm16k.h"

#include <string.h>

static uint32_t get32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * i);
}

size_t mm_pcm16k_write(uint8_t payload[MM_PCM16K_MOST], const mm_meta *meta,
                       const int16_t pcm[MM_FRAME_SAMPLES]) {
    const uint32_t speakers = meta->speaker_count < MM_SPEAKERS ? meta->speaker_count : MM_SPEAKERS;
    memcpy(payload, pcm, MM_FRAME_BYTES); /* both machines that frame.h allows are little-endian */
    put32(payload + MM_FRAME_BYTES, meta->flags);
    for (uint32_t i = 0; i < speakers; i++)
        put32(payload + MM_PCM16K_LEAST + 4 * i, meta->speakers[i]);
    return MM_PCM16K_LEAST + 4 * speakers;
}

int mm_pcm16k_samples(const uint8_t *payload, size_t size) {
    (void)payload;
    const int whole = size >= MM_PCM16K_LEAST && size <= MM_PCM16K_MOST && size % 4 == 0;
    return whole ? (int)MM_FRAME_SAMPLES : -1;
}

void mm_pcm16k_meta(mm_meta *meta, const uint8_t *payload, size_t size) {
    meta->flags = get32(payload + MM_FRAME_BYTES);
    meta->speaker_count = (uint32_t)(size - MM_PCM16K_LEAST) / 4;
    for (uint32_t i = 0; i < MM_SPEAKERS; i++)
        meta->speakers[i] = i < meta->speaker_count ? get32(payload + MM_PCM16K_LEAST + 4 * i) : 0;
}

int mm_pcm16k_decode(mm_concealer *concealer, const uint8_t *payload, size_t size, int16_t *pcm,
                     int room) {
    if (mm_pcm16k_samples(payload, size) < 0 || room < (int)MM_FRAME_SAMPLES) return -1;
    if (get32(payload + MM_FRAME_BYTES) & MM_FRAME_SKIPPED) {
        mm_concealer_lost(concealer, pcm, MM_FRAME_SAMPLES);
    } else {
        memcpy(pcm, payload, MM_FRAME_BYTES);
        mm_concealer_heard(concealer, pcm, MM_FRAME_SAMPLES);
    }
    return (int)MM_FRAME_SAMPLES;
}
