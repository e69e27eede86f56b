/* A tick thread: its bridges, every 20 ms, on a grid that never moves. */
#ifndef MM_TICK_THREAD_H
#define MM_TICK_THREAD_H

#include <stdint.h>

#include "bridge.h"
#include "command.h"
#include "schedule.h"

#define MM_MAX_BACK_TO_BACK 3 /* ticks; what is later than that is left out and counted */

typedef struct mm_roster {
    size_t count;
    mm_bridge *bridge[];
} mm_roster;

typedef struct mm_tick_stats {
    uint64_t ticks, late_ticks, skipped_ticks, busy_ns;
    uint64_t datagrams_sent, datagrams_dropped;
    mm_flow flow;
} mm_tick_stats;

typedef struct mm_tick_thread mm_tick_thread;

/* eventfd: written after each tick of one that has bridges, or that is *leading*; after its last edge again.
 * edge_fd: after each edge at which frames were offered to inserts. log: the last so many ticks are
 * remembered; a power of two. NULL when out of memory. */
mm_tick_thread *mm_tick_thread_create(const mm_kernels *kernels, int64_t period_ns,
                                      uint32_t log, int eventfd, int edge_fd, int leading);
/* Stopped first. */
void mm_tick_thread_destroy(mm_tick_thread *t);

mm_commands *mm_tick_thread_commands(mm_tick_thread *t);
/* Where the roster stands: for mm_apply_store. */
void *mm_tick_thread_roster_slot(mm_tick_thread *t);

/* 0, or errno. The first tick is at first_ns. */
int mm_tick_thread_start(mm_tick_thread *t, int64_t first_ns);
void mm_tick_thread_stop(mm_tick_thread *t);
mm_scheduling mm_tick_thread_scheduling(const mm_tick_thread *t);

/* Without the thread: one tick at that time, in the caller's; *between* is called at each edge but the first,
 * before what is due there. */
void mm_tick_thread_run(mm_tick_thread *t, int64_t at_ns, const mm_edge_wait *between);

void mm_tick_thread_stats(const mm_tick_thread *t, mm_tick_stats *stats);
/* Of the ticks from *since* on that are still remembered, oldest first, at most *count*: how late each began, how
 * long it took without waiting, how late its last edge was (0: it has but the first). */
enum mm_tick_log { MM_TICK_LATENESS, MM_TICK_BUSY, MM_TICK_EDGE_LATENESS, MM_TICK_LOGS };
uint64_t mm_tick_thread_log(const mm_tick_thread *t, enum mm_tick_log which, uint64_t since, uint32_t *ns,
                            uint64_t count);

#endif
