#include "tap.h"

#include <string.h>

void mm_taps_add(void *target, void *ring) {
    mm_taps *taps = target;
    if (taps->count < MM_TAPS) taps->ring[taps->count++] = ring;
}

void mm_taps_remove(void *target, void *ring) {
    mm_taps *taps = target;
    for (uint32_t i = 0; i < taps->count; i++)
        if (taps->ring[i] == ring) taps->ring[i--] = taps->ring[--taps->count];
}

void mm_taps_keep(mm_taps *taps, const int16_t pcm[MM_FRAME_SAMPLES]) {
    memcpy(taps->pcm, pcm, sizeof taps->pcm);
}

void mm_taps_write(mm_taps *taps, const mm_meta *meta) {
    for (uint32_t i = 0; i < taps->count; i++) mm_ring_write(taps->ring[i], meta, taps->pcm);
}

void mm_taps_skip(mm_taps *taps, uint64_t ticks, int64_t timestamp) {
    for (uint32_t i = 0; i < taps->count; i++) mm_ring_write_skipped(taps->ring[i], ticks, timestamp);
}
