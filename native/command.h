/* The one way Python changes what a thread of the engine works with.
 *
 * Python builds the new thing whole (a plan, a roster), then submits what is to be done with it. The thread
 * carries commands out between two ticks and says how many it has done: all that it held before is then
 * out of its hands (graveyard.h).
 * One submitting thread at a time (the GIL sees to that), one executing thread.
 */
#ifndef MM_COMMAND_H
#define MM_COMMAND_H

#include <stdint.h>

typedef struct mm_commands mm_commands;
/* Runs in the executing thread, between two ticks: no allocation, no lock. */
typedef void (*mm_apply)(void *target, void *value);

mm_commands *mm_commands_create(void);
void mm_commands_destroy(mm_commands *c);

/* Submitting side. How many more fit. */
uint64_t mm_command_room(const mm_commands *c);
/* 0 when the ring is full: nothing was submitted. */
int mm_command_submit(mm_commands *c, mm_apply apply, void *target, void *value);
uint64_t mm_command_submitted(const mm_commands *c);
uint64_t mm_command_done(const mm_commands *c);
/* The same, ordered with the executing thread: if it has not yet told of its latest pass, it will see in that
 * pass all that was published before this call. */
uint64_t mm_command_passed(mm_commands *c);

/* Executing side. */
void mm_command_execute(mm_commands *c);

/* The plainest: *(void **)target = value. */
void mm_apply_store(void *target, void *value);

#endif
