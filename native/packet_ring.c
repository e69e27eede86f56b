#include "packet_ring.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>

#include "memory.h"

/* The protocol of ring.c. A slot is: turn, arrival, size, data; turn is 2n + 1 while datagram n is being
 * written and 2n + 2 once it stands. Only the words that the datagram fills are copied. */
enum { TURN, ARRIVAL, SIZE, DATA };

struct mm_packet_ring {
    uint64_t mask;
    uint32_t room_bytes, slot_words;
    alignas(64) _Atomic uint64_t written; /* writer stores */
    _Atomic uint64_t oversize;            /* writer stores */
    alignas(64) _Atomic uint64_t next;    /* reader stores */
    _Atomic uint64_t read, lapped;        /* reader stores */
    alignas(64) _Atomic uint64_t words[];
};

static uint64_t own(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void own_add(_Atomic uint64_t *counter, uint64_t more) {
    atomic_store_explicit(counter, own(counter) + more, memory_order_relaxed);
}

static size_t whole_words(size_t bytes) { return (bytes + 7) / 8; }

mm_packet_ring *mm_packet_ring_create(uint32_t slots, uint32_t room_bytes) {
    if (slots < 4 || slots > 4096 || (slots & (slots - 1))) return NULL;
    if (room_bytes < 64 || room_bytes > 65536 || room_bytes % 8) return NULL;
    const size_t slot_words = (DATA + room_bytes / 8 + 7) / 8 * 8; /* whole cache lines */
    mm_packet_ring *ring = mm_pages_alloc(sizeof *ring + slots * slot_words * 8);
    if (!ring) return NULL;
    ring->mask = slots - 1;
    ring->room_bytes = room_bytes;
    ring->slot_words = (uint32_t)slot_words;
    return ring;
}

void mm_packet_ring_destroy(mm_packet_ring *ring) { mm_pages_free(ring); }

uint32_t mm_packet_ring_room_bytes(const mm_packet_ring *ring) { return ring->room_bytes; }

int mm_packet_ring_write(mm_packet_ring *ring, const uint8_t *bytes, size_t size, int64_t arrival_ns) {
    if (size > ring->room_bytes) {
        own_add(&ring->oversize, 1);
        return 0;
    }
    const uint64_t n = own(&ring->written);
    _Atomic uint64_t *slot = ring->words + (n & ring->mask) * ring->slot_words;
    /* The word stores below are releases, so whoever sees one of them sees this turn too. */
    atomic_store_explicit(&slot[TURN], 2 * n + 1, memory_order_relaxed);
    atomic_store_explicit(&slot[ARRIVAL], (uint64_t)arrival_ns, memory_order_release);
    atomic_store_explicit(&slot[SIZE], size, memory_order_release);
    const size_t words = whole_words(size);
    for (size_t i = 0; i < words; i++) {
        uint64_t word = 0;
        memcpy(&word, bytes + 8 * i, size - 8 * i < 8 ? size - 8 * i : 8);
        atomic_store_explicit(&slot[DATA + i], word, memory_order_release);
    }
    atomic_store_explicit(&slot[TURN], 2 * n + 2, memory_order_release);
    atomic_store_explicit(&ring->written, n + 1, memory_order_release);
    return 1;
}

static void skip(mm_packet_ring *ring, uint64_t count) {
    atomic_store_explicit(&ring->next, own(&ring->next) + count, memory_order_release);
    own_add(&ring->lapped, count);
}

static int take(const mm_packet_ring *ring, uint64_t n, uint8_t *bytes, size_t *size,
                int64_t *arrival_ns) {
    const _Atomic uint64_t *slot = ring->words + (n & ring->mask) * ring->slot_words;
    if (atomic_load_explicit(&slot[TURN], memory_order_acquire) != 2 * n + 2) return 0;
    *arrival_ns = (int64_t)atomic_load_explicit(&slot[ARRIVAL], memory_order_acquire);
    *size = atomic_load_explicit(&slot[SIZE], memory_order_acquire);
    /* A size of the next lap is a size of some datagram all the same: never beyond the room. */
    for (size_t i = 0; i < whole_words(*size); i++) {
        const uint64_t word = atomic_load_explicit(&slot[DATA + i], memory_order_acquire);
        memcpy(bytes + 8 * i, &word, *size - 8 * i < 8 ? *size - 8 * i : 8);
    }
    return atomic_load_explicit(&slot[TURN], memory_order_relaxed) == 2 * n + 2;
}

int mm_packet_ring_read(mm_packet_ring *ring, uint8_t *bytes, size_t *size, int64_t *arrival_ns) {
    /* As in ring.c: a writer that never pauses could lap again and again, and a reader may not wait. */
    for (int attempt = 0; attempt < 8; attempt++) {
        const uint64_t written = atomic_load_explicit(&ring->written, memory_order_acquire);
        uint64_t n = own(&ring->next);
        if (n == written) return 0;
        if (written - n > ring->mask + 1) {
            /* A quarter ahead of the oldest: a flood writes one in 400 ns at best, a copy takes 50. */
            skip(ring, written - n - (ring->mask + 1) * 3 / 4);
            n = own(&ring->next);
        }
        if (take(ring, n, bytes, size, arrival_ns)) {
            atomic_store_explicit(&ring->next, n + 1, memory_order_release);
            own_add(&ring->read, 1);
            return 1;
        }
        skip(ring, 1); /* overwritten under our hands */
    }
    return 0;
}

uint64_t mm_packet_ring_depth(const mm_packet_ring *ring) {
    /* next first: a write in between then makes the answer too large, never negative. */
    const uint64_t next = atomic_load_explicit(&ring->next, memory_order_acquire);
    return atomic_load_explicit(&ring->written, memory_order_acquire) - next;
}

uint64_t mm_packet_ring_written(const mm_packet_ring *ring) { return own(&ring->written); }
uint64_t mm_packet_ring_read_count(const mm_packet_ring *ring) { return own(&ring->read); }
uint64_t mm_packet_ring_lapped(const mm_packet_ring *ring) { return own(&ring->lapped); }
uint64_t mm_packet_ring_oversize(const mm_packet_ring *ring) { return own(&ring->oversize); }
