/* A writer that never pauses laps a reader of datagrams: none comes out torn, reordered or uncounted. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "check.h"
#include "packet_ring.h"

#define ROOM 256u

typedef struct run {
    mm_packet_ring *ring;
    uint64_t count;
    _Atomic int finished;
} run;

static size_t fill(uint8_t *bytes, uint64_t n) {
    const size_t size = 8 + n % (ROOM - 8);
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(n * 31 + i);
    return size;
}

static void *write_all(void *argument) {
    run *r = argument;
    uint8_t bytes[ROOM];
    for (uint64_t n = 0; n < r->count; n++)
        CHECK(mm_packet_ring_write(r->ring, bytes, fill(bytes, n), (int64_t)n));
    atomic_store(&r->finished, 1);
    return NULL;
}

static void stress(uint64_t count, uint32_t slots) {
    run r = {.ring = mm_packet_ring_create(slots, ROOM), .count = count};
    CHECK(r.ring);
    pthread_t writer;
    CHECK(pthread_create(&writer, NULL, write_all, &r) == 0);
    uint8_t got[ROOM], want[ROOM];
    int64_t last = -1, arrival;
    uint64_t read = 0;
    size_t size;
    while (!atomic_load(&r.finished) || mm_packet_ring_depth(r.ring)) {
        if (!mm_packet_ring_read(r.ring, got, &size, &arrival)) continue;
        CHECK(arrival > last);
        CHECK(size == fill(want, (uint64_t)arrival));
        CHECK(memcmp(got, want, size) == 0);
        last = arrival;
        read++;
    }
    pthread_join(writer, NULL);
    CHECK(mm_packet_ring_written(r.ring) == count);
    CHECK(mm_packet_ring_read_count(r.ring) == read && read > 0);
    CHECK(read + mm_packet_ring_lapped(r.ring) == count);
    printf("%u slots: %lu written, %lu read whole and in order\n", slots, (unsigned long)count,
           (unsigned long)read);
    mm_packet_ring_destroy(r.ring);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    stress(strtoull(argv[1], NULL, 10), 4);
    stress(strtoull(argv[1], NULL, 10), 64);
    return 0;
}
