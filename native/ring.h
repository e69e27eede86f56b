/* Frame ring: one writer, one reader, neither ever waits.
 *
 * The writer never looks at the reader's index. Each slot carries the turn at which it was written; a
 * reader that was lapped notices, jumps to its lap depth and counts what it skipped, and a copy is
 * checked by the slot's turn afterwards, so a torn or reordered frame is never handed out.
 * Slot words are written with release and read with acquire (plain moves on x86-64), which makes the
 * check sound without fences and exact under ThreadSanitizer.
 */
#ifndef MM_RING_H
#define MM_RING_H

#include <stdint.h>

#include "frame.h"

typedef struct mm_ring mm_ring;

/* slots: a power of two, 2 to 4096. NULL when out of memory. */
mm_ring *mm_ring_create(uint32_t slots);
void mm_ring_destroy(mm_ring *ring);
uint32_t mm_ring_slots(const mm_ring *ring);

/* Writer's thread. */
void mm_ring_write(mm_ring *ring, const mm_meta *meta, const int16_t *pcm);
/* Silent frames for *ticks* that were left out, the first at *timestamp* (100 ns). Of more than a ring holds, the
 * last ones: they tell the same. */
void mm_ring_write_skipped(mm_ring *ring, uint64_t ticks, int64_t timestamp);

/* Reader's thread. 1 with a frame, 0 when empty; *sequence (may be NULL) counts frames from 0. */
int mm_ring_read(mm_ring *ring, mm_meta *meta, int16_t *pcm, uint64_t *sequence);
/* Drop the oldest until *depth* frames wait; how many were dropped. */
uint64_t mm_ring_skip_to(mm_ring *ring, uint64_t depth);
/* How many of those that wait were written before frame *sequence*; drop so many of the oldest. */
uint64_t mm_ring_before(const mm_ring *ring, uint64_t sequence);
void mm_ring_drop(mm_ring *ring, uint64_t count);
uint64_t mm_ring_depth(const mm_ring *ring);

/* Any thread; a moment old. */
uint64_t mm_ring_written(const mm_ring *ring);
uint64_t mm_ring_read_count(const mm_ring *ring);
uint64_t mm_ring_skipped(const mm_ring *ring);

#endif
