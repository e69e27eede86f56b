/* When memory may go: once every thread of the engine has passed the point at which it was taken away.
 *
 * What threads see is changed by a command, or by publishing another pointer. Either way a thread may hold the
 * old one until its next pass over its commands; what is retired is freed after all have made that pass.
 * Control side only, one thread at a time.
 */
#ifndef MM_GRAVEYARD_H
#define MM_GRAVEYARD_H

#include <stddef.h>
#include <stdint.h>

#include "command.h"

#define MM_GRAVEYARD_THREADS 33u /* 32 tick threads and the packet thread */

typedef struct mm_graveyard mm_graveyard;

/* The queues stay the caller's. NULL when out of memory or with too many threads. */
mm_graveyard *mm_graveyard_create(mm_commands *const *threads, size_t count);
/* No thread may execute any more: frees what still waits. */
void mm_graveyard_destroy(mm_graveyard *g);

/* Free *memory* with *release* once every thread has passed. NULL is ignored. -1: no memory for the note. */
int mm_graveyard_retire(mm_graveyard *g, void *memory, void (*release)(void *));
/* Free what may go; how much still waits. */
uint64_t mm_graveyard_reclaim(mm_graveyard *g);

#endif
