#include "engine.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "graveyard.h"
#include "memory.h"

struct mm_engine {
    int64_t period_ns;
    int eventfd, edge_fd;
    int in_tick; /* of run_ticks: what it calls may come back here */
    _Atomic int running; /* also asked while another thread stops the engine */
    _Atomic int64_t virtual_ns;
    mm_packet_thread *packets;
    mm_graveyard *graveyard;
    uint32_t tick_threads;
    mm_tick_thread *tick[MM_ENGINE_TICK_THREADS];
};

static int create_threads(mm_engine *e, const mm_kernels *kernels, uint32_t lateness_log) {
    mm_commands *commands[MM_ENGINE_TICK_THREADS + 1];
    for (uint32_t i = 0; i < e->tick_threads; i++) {
        e->tick[i] = mm_tick_thread_create(kernels, e->period_ns, lateness_log, e->eventfd,
                                           e->edge_fd, i == 0);
        if (!e->tick[i]) return -1;
        commands[i] = mm_tick_thread_commands(e->tick[i]);
    }
    e->packets = mm_packet_thread_create();
    if (!e->packets) return -1;
    commands[e->tick_threads] = mm_packet_thread_commands(e->packets);
    e->graveyard = mm_graveyard_create(commands, e->tick_threads + 1);
    return e->graveyard ? 0 : -1;
}

mm_engine *mm_engine_create(const mm_kernels *kernels, int64_t period_ns, uint32_t lateness_log,
                            uint32_t tick_threads) {
    mm_engine *e = mm_pages_alloc(sizeof *e);
    if (!e) return NULL;
    e->period_ns = period_ns;
    e->tick_threads = tick_threads;
    e->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    e->edge_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (e->eventfd < 0 || e->edge_fd < 0 || create_threads(e, kernels, lateness_log) < 0) {
        const int error = errno ? errno : ENOMEM;
        mm_engine_destroy(e);
        errno = error;
        return NULL;
    }
    return e;
}

void mm_engine_destroy(mm_engine *e) {
    mm_engine_stop(e);
    /* What is buried may still be in the rosters, but nobody ticks them any more. */
    mm_graveyard_destroy(e->graveyard);
    for (uint32_t i = 0; i < e->tick_threads; i++) mm_tick_thread_destroy(e->tick[i]);
    if (e->packets) mm_packet_thread_destroy(e->packets);
    if (e->eventfd >= 0) close(e->eventfd);
    if (e->edge_fd >= 0) close(e->edge_fd);
    mm_pages_free(e);
}

uint32_t mm_engine_tick_threads(const mm_engine *e) { return e->tick_threads; }
mm_tick_thread *mm_engine_tick_thread(mm_engine *e, uint32_t which) { return e->tick[which]; }
mm_packet_thread *mm_engine_packet_thread(mm_engine *e) { return e->packets; }
int mm_engine_eventfd(const mm_engine *e) { return e->eventfd; }
int mm_engine_edge_fd(const mm_engine *e) { return e->edge_fd; }
int mm_engine_in_tick(const mm_engine *e) { return e->in_tick; }
int mm_engine_running(const mm_engine *e) { return e->running; }

static void stop_threads(mm_engine *e) {
    for (uint32_t i = 0; i < e->tick_threads; i++) mm_tick_thread_stop(e->tick[i]);
    mm_packet_thread_stop(e->packets);
}

int mm_engine_start(mm_engine *e) {
    if (e->running) return EALREADY;
    atomic_store_explicit(&e->virtual_ns, 0, memory_order_relaxed);
    /* One grid for all: legs of bridges on two threads are in step. */
    const int64_t first_ns = mm_monotonic_ns() + e->period_ns;
    int error = mm_packet_thread_start(e->packets);
    for (uint32_t i = 0; !error && i < e->tick_threads; i++)
        error = mm_tick_thread_start(e->tick[i], first_ns);
    if (error)
        stop_threads(e);
    else
        e->running = 1;
    return error;
}

void mm_engine_stop(mm_engine *e) {
    if (!e->running) return;
    stop_threads(e);
    e->running = 0;
}

void mm_engine_run_ticks(mm_engine *e, uint64_t count, const mm_edge_wait *between) {
    e->in_tick = 1;
    for (uint64_t n = 0; n < count; n++) {
        const int64_t at =
            atomic_load_explicit(&e->virtual_ns, memory_order_relaxed) + e->period_ns;
        atomic_store_explicit(&e->virtual_ns, at, memory_order_relaxed);
        mm_command_execute(mm_packet_thread_commands(e->packets));
        for (uint32_t i = 0; i < e->tick_threads; i++) mm_tick_thread_run(e->tick[i], at, between);
    }
    e->in_tick = 0;
}

int64_t mm_engine_now_ns(const mm_engine *e) {
    const int64_t at = atomic_load_explicit(&e->virtual_ns, memory_order_relaxed);
    return at ? at : mm_monotonic_ns();
}

int mm_engine_retire(mm_engine *e, void *memory, void (*release)(void *)) {
    const int result = mm_graveyard_retire(e->graveyard, memory, release);
    if (memory) mm_packet_thread_wake(e->packets);
    return result;
}

uint64_t mm_engine_reclaim(mm_engine *e) {
    if (!e->running && !e->in_tick) {
        for (uint32_t i = 0; i < e->tick_threads; i++)
            mm_command_execute(mm_tick_thread_commands(e->tick[i]));
        mm_command_execute(mm_packet_thread_commands(e->packets));
    }
    return mm_graveyard_reclaim(e->graveyard);
}
