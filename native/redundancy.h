/* Whether it pays to wait for the packet after a lost one: while packets get lost, and those that come carry
 * the ones before them again (Opus in-band FEC). */
#ifndef MM_REDUNDANCY_H
#define MM_REDUNDANCY_H

#include <stddef.h>
#include <stdint.h>

#include "codec.h"

typedef struct mm_redundancy {
    uint32_t expected, lost, carried; /* in this window of packets */
    int worth_waiting;
} mm_redundancy;

/* Does this payload carry the one before it again? */
int mm_redundancy_in(enum mm_codec codec, const uint8_t *payload, size_t size);
/* Zeroed memory is a fresh state. *lost* packets were missing before this one. */
void mm_redundancy_put(mm_redundancy *r, int carries, int64_t lost);

#endif
