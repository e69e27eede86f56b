/* The one way Python changes a running engine, and when memory may go.
 *
 * Python builds the new thing whole (a plan, a roster), then submits "store this pointer there". The tick
 * thread carries commands out between two ticks and says how many it has done. What a command replaced is
 * retired under that command's number and freed once the tick thread has passed it.
 * One submitting thread at a time (the GIL sees to that), one executing thread.
 */
#ifndef MM_COMMAND_H
#define MM_COMMAND_H

#include <stdint.h>

typedef struct mm_commands mm_commands;

mm_commands *mm_commands_create(void);
/* No thread may execute any more: frees what is still retired. */
void mm_commands_destroy(mm_commands *c);

/* Submitting side. 0 when the ring is full: nothing was submitted. */
int mm_command_has_room(const mm_commands *c);
int mm_command_submit(mm_commands *c, void **slot, void *value);
/* Free *memory* with *release* once all that has been submitted is done. NULL is ignored. -1: no memory. */
int mm_command_retire(mm_commands *c, void *memory, void (*release)(void *));
/* Free what may go; how much still waits. */
uint64_t mm_command_reclaim(mm_commands *c);

/* Executing side. */
void mm_command_execute(mm_commands *c);

#endif
