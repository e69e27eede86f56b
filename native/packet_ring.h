/* Ring of datagrams with their arrival times: one writer, one reader, neither ever waits.
 *
 * The same rules as the frame ring (ring.h): a full ring loses its oldest, the reader notices and counts
 * them, and a datagram overwritten while it was copied is never handed out. Slots are of one size, chosen
 * at creation; a datagram that does not fit is refused and counted.
 */
#ifndef MM_PACKET_RING_H
#define MM_PACKET_RING_H

#include <stddef.h>
#include <stdint.h>

typedef struct mm_packet_ring mm_packet_ring;

/* slots: a power of two, 4 to 4096. room_bytes: a multiple of 8, 64 to 65536: the largest datagram. NULL when
 * out of memory or out of these bounds. */
mm_packet_ring *mm_packet_ring_create(uint32_t slots, uint32_t room_bytes);
void mm_packet_ring_destroy(mm_packet_ring *ring);
uint32_t mm_packet_ring_room_bytes(const mm_packet_ring *ring);

/* Writer's thread. 0 when the datagram is larger than the room: counted, not written. */
int mm_packet_ring_write(mm_packet_ring *ring, const uint8_t *bytes, size_t size, int64_t arrival_ns);

/* Reader's thread. bytes has room_bytes. 1 with a datagram, 0 when there is none. */
int mm_packet_ring_read(mm_packet_ring *ring, uint8_t *bytes, size_t *size, int64_t *arrival_ns);

/* Any thread; a moment old. written = read + lapped + depth. */
uint64_t mm_packet_ring_depth(const mm_packet_ring *ring);
uint64_t mm_packet_ring_written(const mm_packet_ring *ring);
uint64_t mm_packet_ring_read_count(const mm_packet_ring *ring);
uint64_t mm_packet_ring_lapped(const mm_packet_ring *ring);   /* lost because the reader was too slow */
uint64_t mm_packet_ring_oversize(const mm_packet_ring *ring); /* refused: not among the written */

#endif
