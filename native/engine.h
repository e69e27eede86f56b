/* The engine: tick threads that share the bridges, the packet thread, and what they leave behind. */
#ifndef MM_ENGINE_H
#define MM_ENGINE_H

#include <stdint.h>

#include "bridge.h"
#include "command.h"
#include "packet_thread.h"
#include "tick_thread.h"

#define MM_ENGINE_TICK_THREADS 32u

typedef struct mm_engine mm_engine;

/* tick_threads: 1 to MM_ENGINE_TICK_THREADS. NULL with errno. */
mm_engine *mm_engine_create(const mm_kernels *kernels, int64_t period_ns, uint32_t lateness_log,
                            uint32_t tick_threads);
/* Stopped first; what was retired is freed. */
void mm_engine_destroy(mm_engine *engine);

uint32_t mm_engine_tick_threads(const mm_engine *engine);
mm_tick_thread *mm_engine_tick_thread(mm_engine *engine, uint32_t which);
mm_packet_thread *mm_engine_packet_thread(mm_engine *engine);
/* Counts ticks for a reader of poll or epoll: readable after each. */
int mm_engine_eventfd(const mm_engine *engine);

/* The same for edges at which frames were offered to inserts. */
int mm_engine_edge_fd(const mm_engine *engine);

/* 0, or errno: nothing runs then. */
int mm_engine_start(mm_engine *engine);
void mm_engine_stop(mm_engine *engine);
int mm_engine_running(const mm_engine *engine);

/* Without the threads: tick in virtual time, in the caller's. *between* (may be NULL) is called between two edges of
 * a tick; commands are carried out between two ticks, also those that it submits. */
void mm_engine_run_ticks(mm_engine *engine, uint64_t count, const mm_edge_wait *between);
int mm_engine_in_tick(const mm_engine *engine);
/* Engine clock in ns: CLOCK_MONOTONIC, or the virtual time of run_ticks. */
int64_t mm_engine_now_ns(const mm_engine *engine);

/* Control side, one thread at a time. */
/* graveyard.h; the packet thread is woken to pass. */
int mm_engine_retire(mm_engine *engine, void *memory, void (*release)(void *));
/* Carries out commands itself when no thread does. What still waits. */
uint64_t mm_engine_reclaim(mm_engine *engine);

#endif
