/* The tick thread: the only file with a thread or a clock. */
#ifndef MM_ENGINE_H
#define MM_ENGINE_H

#include <stdint.h>

#include "bridge.h"
#include "command.h"

#define MM_MAX_BACK_TO_BACK 3 /* ticks; what is later than that is left out and counted */

typedef enum mm_scheduling {
    MM_SCHED_NONE, /* not running */
    MM_SCHED_FIFO,
    MM_SCHED_NICE, /* nice -10 */
    MM_SCHED_NORMAL
} mm_scheduling;

typedef struct mm_roster {
    size_t count;
    mm_bridge *bridge[];
} mm_roster;

typedef struct mm_engine_stats {
    uint64_t ticks, late_ticks, skipped_ticks, busy_ns;
} mm_engine_stats;

typedef struct mm_engine mm_engine;

/* lateness_log: the last so many ticks are remembered; a power of two. NULL with errno. */
mm_engine *mm_engine_create(const mm_kernels *kernels, int64_t period_ns, uint32_t lateness_log);
/* Stopped first. */
void mm_engine_destroy(mm_engine *engine);

mm_commands *mm_engine_commands(mm_engine *engine);
void **mm_engine_roster_slot(mm_engine *engine);
/* Counts ticks for a reader of poll or epoll: readable after each. */
int mm_engine_eventfd(const mm_engine *engine);

/* 0, or errno. */
int mm_engine_start(mm_engine *engine);
void mm_engine_stop(mm_engine *engine);
int mm_engine_running(const mm_engine *engine);
mm_scheduling mm_engine_scheduling(const mm_engine *engine);

/* Without the thread: tick in virtual time, in the caller's. */
void mm_engine_run_ticks(mm_engine *engine, uint64_t count);

/* Engine clock in 100 ns ticks: CLOCK_MONOTONIC, or the virtual time of run_ticks. */
int64_t mm_engine_now(const mm_engine *engine);
void mm_engine_stats_get(const mm_engine *engine, mm_engine_stats *stats);
/* Lateness of the ticks from *since* on that are still remembered, oldest first, at most *count*. */
uint64_t mm_engine_lateness(const mm_engine *engine, uint64_t since, uint32_t *ns, uint64_t count);

#endif
