/* The edges of a tick: when what is done, in bridges where plugins take part.
 *
 * A bridge is gathered at t. Where a leg has an inbound insert its mix waits until t + 5 ms, where one has an outbound
 * insert that leg's frame goes out at t + 10 ms. Bridges without inserts do all at t, in the same thread, before
 * anything waits.
 */
#ifndef MM_EDGE_H
#define MM_EDGE_H

#include <stdint.h>

enum mm_edge { MM_EDGE_GATHER, MM_EDGE_MIX, MM_EDGE_SEND, MM_EDGES };

#define MM_EDGES_A_PERIOD 4 /* 5 ms of 20; a tick that is later than that waits for nobody */

/* Between two edges: frames were offered; come back when the next one is due. */
typedef struct mm_edge_wait {
    void (*until)(void *context, int64_t at_ns);
    void *context;
} mm_edge_wait;

#endif
