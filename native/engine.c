#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "rt_check.h"

#define FIFO_PRIORITY 10
#define NICE (-10)

static const int FAULTS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};

struct mm_engine {
    const mm_kernels *kernels;
    mm_commands *commands;
    int64_t period_ns;
    int eventfd;
    pthread_t thread;
    _Atomic int running; /* controlling side; also asked while another thread stops the engine */
    _Atomic int stop, scheduling;
    /* Tick thread. */
    alignas(64) void *roster;
    int64_t deadline_ns;
    _Atomic int64_t virtual_ns;
    _Atomic uint64_t ticks, late_ticks, skipped_ticks, busy_ns;
    uint64_t log_mask;
    _Atomic uint32_t lateness_ns[];
};

static int64_t monotonic_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void add(_Atomic uint64_t *counter, uint64_t more) {
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}

mm_engine *mm_engine_create(const mm_kernels *kernels, int64_t period_ns, uint32_t lateness_log) {
    mm_engine *e = mm_pages_alloc(sizeof *e + lateness_log * sizeof(_Atomic uint32_t));
    if (!e) return NULL;
    e->kernels = kernels;
    e->period_ns = period_ns;
    e->log_mask = lateness_log - 1;
    e->commands = mm_commands_create();
    e->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!e->commands || e->eventfd < 0) {
        mm_engine_destroy(e);
        return NULL;
    }
    return e;
}

void mm_engine_destroy(mm_engine *e) {
    mm_engine_stop(e);
    if (e->eventfd >= 0) close(e->eventfd);
    if (e->commands) mm_commands_destroy(e->commands);
    mm_pages_free(e);
}

mm_commands *mm_engine_commands(mm_engine *e) { return e->commands; }
void **mm_engine_roster_slot(mm_engine *e) { return &e->roster; }
int mm_engine_eventfd(const mm_engine *e) { return e->eventfd; }
int mm_engine_running(const mm_engine *e) { return e->running; }

static void tick(mm_engine *e, int64_t deadline_ns, int64_t lateness_ns) {
    MM_RT_ENTER();
    mm_command_execute(e->commands);
    const uint64_t n = atomic_load_explicit(&e->ticks, memory_order_relaxed);
    const mm_roster *roster = e->roster;
    for (size_t b = 0; roster && b < roster->count; b++)
        mm_bridge_tick(roster->bridge[b], e->kernels, deadline_ns / 100);
    const uint32_t logged = lateness_ns < 0            ? 0
                            : lateness_ns > UINT32_MAX ? UINT32_MAX
                                                       : (uint32_t)lateness_ns;
    atomic_store_explicit(&e->lateness_ns[n & e->log_mask], logged, memory_order_relaxed);
    if (lateness_ns > e->period_ns) add(&e->late_ticks, 1);
    atomic_store_explicit(&e->ticks, n + 1, memory_order_release);
    MM_RT_LEAVE();
    const uint64_t one = 1; /* a full counter (EAGAIN) is as good a wake-up as any */
    const ssize_t written = write(e->eventfd, &one, sizeof one);
    (void)written;
}

static void skip(mm_engine *e, uint64_t count) {
    MM_RT_ENTER();
    mm_command_execute(e->commands);
    const mm_roster *roster = e->roster;
    for (size_t b = 0; roster && b < roster->count; b++)
        mm_bridge_skip(roster->bridge[b], count, e->deadline_ns / 100);
    add(&e->skipped_ticks, count);
    MM_RT_LEAVE();
}

static mm_scheduling raise_priority(void) {
    const struct sched_param fifo = {.sched_priority = FIFO_PRIORITY};
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &fifo) == 0) return MM_SCHED_FIFO;
    const id_t self = (id_t)syscall(SYS_gettid);
    return setpriority(PRIO_PROCESS, self, NICE) == 0 ? MM_SCHED_NICE : MM_SCHED_NORMAL;
}

static void *run(void *argument) {
    mm_engine *e = argument;
    pthread_setname_np(pthread_self(), "mixminus-tick");
    atomic_store_explicit(&e->scheduling, (int)raise_priority(), memory_order_release);
    e->deadline_ns = monotonic_ns() + e->period_ns;
    while (!atomic_load_explicit(&e->stop, memory_order_acquire)) {
        const struct timespec at = {.tv_sec = e->deadline_ns / 1000000000,
                                    .tv_nsec = e->deadline_ns % 1000000000};
        if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) continue;
        const int64_t start_ns = monotonic_ns();
        const int64_t due = (start_ns - e->deadline_ns) / e->period_ns + 1;
        if (due > MM_MAX_BACK_TO_BACK) {
            const int64_t left_out = due - MM_MAX_BACK_TO_BACK;
            skip(e, (uint64_t)left_out);
            e->deadline_ns += left_out * e->period_ns;
        }
        tick(e, e->deadline_ns, start_ns - e->deadline_ns);
        e->deadline_ns += e->period_ns;
        add(&e->busy_ns, (uint64_t)(monotonic_ns() - start_ns));
    }
    return NULL;
}

int mm_engine_start(mm_engine *e) {
    if (e->running) return EALREADY;
    atomic_store_explicit(&e->stop, 0, memory_order_relaxed);
    atomic_store_explicit(&e->virtual_ns, 0, memory_order_relaxed);
    /* Signals of the process are for its other threads; a fault of this one stays its own. */
    sigset_t all, before;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof FAULTS / sizeof *FAULTS; i++) sigdelset(&all, FAULTS[i]);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const int error = pthread_create(&e->thread, NULL, run, e);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return error;
    e->running = 1;
    /* Until the thread has said how it is scheduled: a few microseconds after it first runs. */
    while (mm_engine_scheduling(e) == MM_SCHED_NONE) sched_yield();
    return 0;
}

void mm_engine_stop(mm_engine *e) {
    if (!e->running) return;
    atomic_store_explicit(&e->stop, 1, memory_order_release);
    pthread_join(e->thread, NULL);
    e->running = 0;
    atomic_store_explicit(&e->scheduling, MM_SCHED_NONE, memory_order_relaxed);
    mm_command_execute(e->commands); /* what was submitted after the last tick */
}

mm_scheduling mm_engine_scheduling(const mm_engine *e) {
    return (mm_scheduling)atomic_load_explicit(&e->scheduling, memory_order_acquire);
}

void mm_engine_run_ticks(mm_engine *e, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        const int64_t at =
            atomic_load_explicit(&e->virtual_ns, memory_order_relaxed) + e->period_ns;
        atomic_store_explicit(&e->virtual_ns, at, memory_order_relaxed);
        tick(e, at, 0);
    }
}

int64_t mm_engine_now(const mm_engine *e) {
    const int64_t at = atomic_load_explicit(&e->virtual_ns, memory_order_relaxed);
    return (at ? at : monotonic_ns()) / 100;
}

void mm_engine_stats_get(const mm_engine *e, mm_engine_stats *stats) {
    stats->ticks = atomic_load_explicit(&e->ticks, memory_order_acquire);
    stats->late_ticks = atomic_load_explicit(&e->late_ticks, memory_order_relaxed);
    stats->skipped_ticks = atomic_load_explicit(&e->skipped_ticks, memory_order_relaxed);
    stats->busy_ns = atomic_load_explicit(&e->busy_ns, memory_order_relaxed);
}

uint64_t mm_engine_lateness(const mm_engine *e, uint64_t since, uint32_t *ns, uint64_t count) {
    const uint64_t ticks = atomic_load_explicit(&e->ticks, memory_order_acquire);
    const uint64_t remembered = e->log_mask + 1;
    if (ticks > remembered && since < ticks - remembered) since = ticks - remembered;
    uint64_t n = 0;
    for (; since < ticks && n < count; since++, n++)
        ns[n] = atomic_load_explicit(&e->lateness_ns[since & e->log_mask], memory_order_relaxed);
    return n;
}
