/* Any order of writes and reads: what is read is what was written, the oldest first; the rest is counted.
 * Each byte: the low bit reads or writes, the others are the size. */
#include "check.h"
#include "packet_ring.h"

#define ROOM 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mm_packet_ring *ring = mm_packet_ring_create(4, ROOM);
    CHECK(ring && mm_packet_ring_room_bytes(ring) == ROOM);
    uint8_t *in = malloc(256), *out = malloc(ROOM);
    CHECK(in && out);
    int64_t last = -1;
    uint64_t refused = 0;
    for (size_t i = 0; i < size; i++) {
        const size_t bytes = data[i] >> 1;
        if (data[i] & 1) {
            memset(in, (int)(i & 255), bytes);
            const int written = mm_packet_ring_write(ring, in, bytes, (int64_t)i);
            CHECK(written == (bytes <= ROOM));
            refused += !written;
        } else {
            size_t got;
            int64_t arrival;
            if (!mm_packet_ring_read(ring, out, &got, &arrival)) {
                CHECK(mm_packet_ring_depth(ring) == 0);
                continue;
            }
            CHECK(arrival > last && (size_t)arrival < i && got == (size_t)(data[arrival] >> 1));
            for (size_t b = 0; b < got; b++) CHECK(out[b] == (arrival & 255));
            last = arrival;
        }
        CHECK(mm_packet_ring_written(ring) == mm_packet_ring_read_count(ring) +
                                                  mm_packet_ring_lapped(ring) + mm_packet_ring_depth(ring));
        CHECK(mm_packet_ring_oversize(ring) == refused);
    }
    free(in);
    free(out);
    mm_packet_ring_destroy(ring);
    return 0;
}
