/* How a thread of the engine is started and scheduled. */
#ifndef MM_SCHEDULE_H
#define MM_SCHEDULE_H

#include <pthread.h>
#include <stdint.h>

typedef enum mm_scheduling {
    MM_SCHED_NONE, /* not running */
    MM_SCHED_FIFO,
    MM_SCHED_NICE, /* nice -10 */
    MM_SCHED_NORMAL
} mm_scheduling;

/* The calling thread, as urgent as the machine allows. */
mm_scheduling mm_schedule_urgent(int fifo_priority);
/* pthread_create with the process's signals blocked: they are for its other threads; a fault of this one stays
 * its own. 0 or errno. */
int mm_schedule_start(pthread_t *thread, void *(*run)(void *), void *argument);
int64_t mm_monotonic_ns(void);

#endif
