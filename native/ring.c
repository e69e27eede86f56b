#include "ring.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>

#include "memory.h"

#define META_WORDS (sizeof(mm_meta) / 8)
#define PCM_WORDS (MM_FRAME_BYTES / 8)
#define TICKS_PER_FRAME (MM_FRAME_NS / 100)

_Static_assert(sizeof(mm_meta) % 8 == 0, "a slot is copied in 8-byte words");

/* turn is 2n + 1 while frame n is being written, 2n + 2 once it stands. */
typedef struct slot {
    alignas(64) _Atomic uint64_t turn;
    _Atomic uint64_t words[META_WORDS + PCM_WORDS];
} slot;

struct mm_ring {
    uint64_t mask;
    alignas(64) _Atomic uint64_t written;            /* writer stores */
    alignas(64) _Atomic uint64_t next;               /* reader stores */
    _Atomic uint64_t read, skipped;                  /* reader stores */
    slot slots[];
};

static void put_words(_Atomic uint64_t *words, const void *from, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t word;
        memcpy(&word, (const char *)from + 8 * i, 8);
        atomic_store_explicit(&words[i], word, memory_order_release);
    }
}

static void get_words(void *into, const _Atomic uint64_t *words, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const uint64_t word = atomic_load_explicit(&words[i], memory_order_acquire);
        memcpy((char *)into + 8 * i, &word, 8);
    }
}

static uint64_t own(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void own_add(_Atomic uint64_t *counter, uint64_t more) {
    atomic_store_explicit(counter, own(counter) + more, memory_order_relaxed);
}

mm_ring *mm_ring_create(uint32_t slots) {
    mm_ring *ring = mm_pages_alloc(sizeof(mm_ring) + slots * sizeof(slot));
    if (ring) ring->mask = slots - 1;
    return ring;
}

void mm_ring_destroy(mm_ring *ring) { mm_pages_free(ring); }

uint32_t mm_ring_slots(const mm_ring *ring) { return (uint32_t)(ring->mask + 1); }

void mm_ring_write(mm_ring *ring, const mm_meta *meta, const int16_t *pcm) {
    const uint64_t n = own(&ring->written);
    slot *s = &ring->slots[n & ring->mask];
    /* The word stores below are releases, so whoever sees one of them sees this turn too. */
    atomic_store_explicit(&s->turn, 2 * n + 1, memory_order_relaxed);
    put_words(s->words, meta, META_WORDS);
    put_words(s->words + META_WORDS, pcm, PCM_WORDS);
    atomic_store_explicit(&s->turn, 2 * n + 2, memory_order_release);
    atomic_store_explicit(&ring->written, n + 1, memory_order_release);
}

void mm_ring_write_skipped(mm_ring *ring, uint64_t ticks, int64_t timestamp) {
    static const int16_t nothing[MM_FRAME_SAMPLES];
    const uint64_t slots = mm_ring_slots(ring);
    for (uint64_t k = ticks > slots ? ticks - slots : 0; k < ticks; k++) {
        const mm_meta meta = {.timestamp = timestamp + (int64_t)k * TICKS_PER_FRAME,
                              .flags = MM_FRAME_SKIPPED | MM_FRAME_SILENCE};
        mm_ring_write(ring, &meta, nothing);
    }
}

static void skip(mm_ring *ring, uint64_t count) {
    atomic_store_explicit(&ring->next, own(&ring->next) + count, memory_order_release);
    own_add(&ring->skipped, count);
}

int mm_ring_read(mm_ring *ring, mm_meta *meta, int16_t *pcm, uint64_t *sequence) {
    /* A writer at 50 frames a second laps at most once in a copy of 100 ns; one that never pauses
     * could lap again and again, and a reader may not wait: it gives up after a few. */
    for (int attempt = 0; attempt < 8; attempt++) {
        const uint64_t written = atomic_load_explicit(&ring->written, memory_order_acquire);
        uint64_t n = own(&ring->next);
        if (n == written) return 0;
        if (written - n > ring->mask + 1) {
            /* Half a ring behind the writer: as far as can be from being lapped again. */
            skip(ring, written - n - (ring->mask + 1) / 2);
            n = own(&ring->next);
        }
        const slot *s = &ring->slots[n & ring->mask];
        if (atomic_load_explicit(&s->turn, memory_order_acquire) == 2 * n + 2) {
            get_words(meta, s->words, META_WORDS);
            get_words(pcm, s->words + META_WORDS, PCM_WORDS);
            if (atomic_load_explicit(&s->turn, memory_order_relaxed) == 2 * n + 2) {
                if (sequence) *sequence = n;
                atomic_store_explicit(&ring->next, n + 1, memory_order_release);
                own_add(&ring->read, 1);
                return 1;
            }
        }
        skip(ring, 1); /* overwritten under our hands */
    }
    return 0;
}

uint64_t mm_ring_depth(const mm_ring *ring) {
    /* next first: a write in between then makes the answer too large, never negative. */
    const uint64_t next = atomic_load_explicit(&ring->next, memory_order_acquire);
    return atomic_load_explicit(&ring->written, memory_order_acquire) - next;
}

uint64_t mm_ring_before(const mm_ring *ring, uint64_t sequence) {
    const uint64_t next = own(&ring->next);
    return sequence > next ? sequence - next : 0;
}

void mm_ring_drop(mm_ring *ring, uint64_t count) { skip(ring, count); }

uint64_t mm_ring_skip_to(mm_ring *ring, uint64_t depth) {
    const uint64_t waiting = mm_ring_depth(ring);
    if (waiting <= depth) return 0;
    skip(ring, waiting - depth);
    return waiting - depth;
}

uint64_t mm_ring_written(const mm_ring *ring) { return own(&ring->written); }
uint64_t mm_ring_read_count(const mm_ring *ring) { return own(&ring->read); }
uint64_t mm_ring_skipped(const mm_ring *ring) { return own(&ring->skipped); }
