#include "insert.h"

#include <string.h>

#include "memory.h"

mm_insert *mm_insert_create(struct mm_leg *leg, enum mm_direction direction, uint32_t slots) {
    mm_insert *insert = mm_pages_alloc(sizeof *insert);
    if (!insert) return NULL;
    insert->leg = leg;
    insert->direction = direction;
    insert->dry = mm_ring_create(slots);
    insert->wet = mm_ring_create(slots);
    if (insert->dry && insert->wet) return insert;
    mm_insert_destroy(insert);
    return NULL;
}

void mm_insert_destroy(void *memory) {
    mm_insert *insert = memory;
    if (insert->dry) mm_ring_destroy(insert->dry);
    if (insert->wet) mm_ring_destroy(insert->wet);
    mm_pages_free(insert);
}

static void count(mm_insert *insert, enum mm_insert_counter which) {
    const uint64_t now = atomic_load_explicit(&insert->counters[which], memory_order_relaxed);
    atomic_store_explicit(&insert->counters[which], now + 1, memory_order_relaxed);
}

void mm_insert_offer(mm_insert *insert, const mm_meta *meta, int64_t timestamp, const int16_t pcm[MM_FRAME_SAMPLES]) {
    insert->offered = *meta;
    insert->offered.timestamp = timestamp;
    mm_ring_write(insert->dry, &insert->offered, pcm);
    count(insert, MM_INSERT_OFFERED);
}

int mm_insert_take(mm_insert *insert, int16_t pcm[MM_FRAME_SAMPLES]) {
    int16_t wet[MM_FRAME_SAMPLES];
    mm_meta meta;
    int taken = 0, changed = 0;
    /* A ring full at most: a writer that never pauses does not hold up the tick. */
    for (uint32_t n = mm_ring_slots(insert->wet); n && mm_ring_read(insert->wet, &meta, wet, NULL); n--) {
        if (meta.timestamp != insert->offered.timestamp) continue;
        changed |= memcmp(pcm, wet, sizeof wet) != 0;
        memcpy(pcm, wet, sizeof wet);
        taken = 1;
    }
    count(insert, taken ? MM_INSERT_TAKEN : MM_INSERT_MISSED);
    return changed;
}
