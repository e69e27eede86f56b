#include "meter.h"

#include <math.h>

int8_t mm_level_dbov(const int16_t pcm[MM_FRAME_SAMPLES]) {
    uint64_t energy = 0;
    for (size_t s = 0; s < MM_FRAME_SAMPLES; s++) energy += (uint32_t)(pcm[s] * pcm[s]);
    if (energy == 0) return MM_SILENCE_DBOV;
    const float full_scale = (float)MM_FRAME_SAMPLES * 32768.0f * 32768.0f;
    const float level = 10.0f * log10f((float)energy / full_scale);
    return level <= MM_SILENCE_DBOV ? MM_SILENCE_DBOV : (int8_t)lrintf(level);
}

static int8_t loudest(uint64_t window) {
    uint64_t most = 0;
    for (; window; window >>= 8) most = (window & 0xff) > most ? window & 0xff : most;
    return (int8_t)((int)most + MM_SILENCE_DBOV);
}

void mm_meter_read(mm_meter *meter, int8_t *inbound_dbov, int8_t *outbound_dbov) {
    *inbound_dbov = loudest(atomic_load_explicit(&meter->inbound, memory_order_relaxed));
    *outbound_dbov = loudest(atomic_load_explicit(&meter->outbound, memory_order_relaxed));
    atomic_store_explicit(&meter->watched_ticks, MM_METER_TICKS, memory_order_relaxed);
}

void mm_meter_note(_Atomic uint64_t *window, int8_t dbov) {
    const uint64_t before = atomic_load_explicit(window, memory_order_relaxed);
    atomic_store_explicit(window, before << 8 | (uint64_t)(dbov - MM_SILENCE_DBOV), memory_order_relaxed);
}

void mm_meter_age(mm_meter *meter) {
    uint32_t ticks = atomic_load_explicit(&meter->watched_ticks, memory_order_relaxed);
    if (ticks == 1) {
        /* Before it counts as unwatched: whoever reads next shall not see what was loud long ago. */
        atomic_store_explicit(&meter->inbound, 0, memory_order_relaxed);
        atomic_store_explicit(&meter->outbound, 0, memory_order_relaxed);
    }
    /* Fails when a reader has just renewed it: then there is nothing to do. */
    if (ticks)
        atomic_compare_exchange_strong_explicit(&meter->watched_ticks, &ticks, ticks - 1, memory_order_relaxed,
                                                memory_order_relaxed);
}
