#define _GNU_SOURCE
#include "tick_thread.h"

#include <errno.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "outbox.h"
#include "rt_check.h"

#define FIFO_PRIORITY 10

struct mm_tick_thread {
    const mm_kernels *kernels;
    mm_commands *commands;
    int64_t period_ns;
    int eventfd, edge_fd, leading;
    pthread_t thread;
    int running; /* controlling side */
    _Atomic int stop, scheduling;
    /* Tick thread. */
    alignas(64) void *roster;
    int64_t deadline_ns;
    int has_edges; /* as of the last tick: bridges with more than the first */
    int64_t waited_ns, edge_late_ns; /* in this tick: for edges; of the last edge */
    _Atomic uint64_t ticks, late_ticks, skipped_ticks, busy_ns;
    mm_flow flow; /* of the ticks so far, and as it is told to others */
    _Atomic uint64_t told_flow[MM_FLOW_COUNTS];
    mm_outbox *outbox;
    uint64_t log_mask;
    _Atomic uint32_t *logs[MM_TICK_LOGS];
    _Atomic uint32_t log_room[];
};

static void add(_Atomic uint64_t *counter, uint64_t more) {
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}

mm_tick_thread *mm_tick_thread_create(const mm_kernels *kernels, int64_t period_ns,
                                      uint32_t log, int eventfd, int edge_fd, int leading) {
    mm_tick_thread *t = mm_pages_alloc(sizeof *t + MM_TICK_LOGS * log * sizeof(_Atomic uint32_t));
    if (!t) return NULL;
    t->kernels = kernels;
    t->period_ns = period_ns;
    t->eventfd = eventfd;
    t->edge_fd = edge_fd;
    t->leading = leading;
    t->log_mask = log - 1;
    for (size_t i = 0; i < MM_TICK_LOGS; i++) t->logs[i] = t->log_room + i * log;
    t->commands = mm_commands_create();
    t->outbox = mm_pages_alloc(sizeof *t->outbox);
    if (!t->commands || !t->outbox) {
        mm_tick_thread_destroy(t);
        return NULL;
    }
    mm_outbox_init(t->outbox);
    return t;
}

void mm_tick_thread_destroy(mm_tick_thread *t) {
    if (!t) return;
    mm_tick_thread_stop(t);
    if (t->commands) mm_commands_destroy(t->commands);
    mm_pages_free(t->outbox);
    mm_pages_free(t);
}

mm_commands *mm_tick_thread_commands(mm_tick_thread *t) { return t->commands; }
void *mm_tick_thread_roster_slot(mm_tick_thread *t) { return &t->roster; }

static void note(mm_tick_thread *t, enum mm_tick_log which, uint64_t tick, int64_t ns) {
    const uint32_t logged = ns < 0 ? 0 : ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
    atomic_store_explicit(&t->logs[which][tick & t->log_mask], logged, memory_order_relaxed);
}

static void publish_flow(mm_tick_thread *t) {
    for (size_t i = 0; i < MM_FLOW_COUNTS; i++)
        atomic_store_explicit(&t->told_flow[i], t->flow.count[i], memory_order_relaxed);
}

static void tell(int fd) {
    const uint64_t one = 1; /* a full counter (EAGAIN) is as good a wake-up as any */
    const ssize_t written = write(fd, &one, sizeof one);
    (void)written;
}

/* What is due at *edge* in the bridges that have more than the first; the last edge of all. */
static enum mm_edge run_edge(mm_tick_thread *t, enum mm_edge edge, int64_t deadline_ns) {
    const mm_roster *roster = t->roster;
    enum mm_edge last = MM_EDGE_GATHER;
    int offered = 0;
    for (size_t b = 0; roster && b < roster->count; b++) {
        const enum mm_edge its_last = mm_bridge_last_edge(roster->bridge[b]);
        if (its_last == MM_EDGE_GATHER) continue;
        offered |= mm_bridge_tick(roster->bridge[b], edge, t->kernels, t->outbox, &t->flow, deadline_ns);
        last = its_last > last ? its_last : last;
    }
    if (offered) tell(t->edge_fd);
    return last;
}

/* The first edge. Those who wait go first, as their plugins have 5 ms; that there are any is known from the last
 * tick, because a look at every bridge beforehand would cost 30 ns each. */
static enum mm_edge run_first_edge(mm_tick_thread *t, int64_t deadline_ns) {
    const mm_roster *roster = t->roster;
    const int went_first = t->has_edges;
    enum mm_edge last = went_first ? run_edge(t, MM_EDGE_GATHER, deadline_ns) : MM_EDGE_GATHER;
    int offered = 0;
    for (size_t b = 0; roster && b < roster->count; b++) {
        const enum mm_edge its_last = mm_bridge_last_edge(roster->bridge[b]);
        if (went_first && its_last > MM_EDGE_GATHER) continue;
        offered |= mm_bridge_tick(roster->bridge[b], MM_EDGE_GATHER, t->kernels, t->outbox, &t->flow, deadline_ns);
        last = its_last > last ? its_last : last;
    }
    if (offered) tell(t->edge_fd);
    t->has_edges = last > MM_EDGE_GATHER;
    return last;
}

/* Plugins work while the thread does what needs none, and waits. */
static void run_edges(mm_tick_thread *t, enum mm_edge last, int64_t deadline_ns, const mm_edge_wait *wait) {
    for (enum mm_edge edge = MM_EDGE_MIX; edge <= last; edge++) {
        if (wait) wait->until(wait->context, deadline_ns + (int64_t)edge * (t->period_ns / MM_EDGES_A_PERIOD));
        MM_RT_ENTER();
        run_edge(t, edge, deadline_ns);
        mm_outbox_flush(t->outbox);
        MM_RT_LEAVE();
    }
}

static void tick(mm_tick_thread *t, int64_t deadline_ns, int64_t lateness_ns, const mm_edge_wait *wait) {
    MM_RT_ENTER();
    mm_command_execute(t->commands);
    const uint64_t n = atomic_load_explicit(&t->ticks, memory_order_relaxed);
    const enum mm_edge last = run_first_edge(t, deadline_ns);
    mm_outbox_flush(t->outbox);
    note(t, MM_TICK_LATENESS, n, lateness_ns);
    if (lateness_ns > t->period_ns) add(&t->late_ticks, 1);
    t->waited_ns = t->edge_late_ns = 0;
    MM_RT_LEAVE();
    const mm_roster *roster = t->roster;
    const int has_listeners = t->leading || (roster && roster->count);
    if (last > MM_EDGE_GATHER) {
        if (has_listeners) tell(t->eventfd);
        run_edges(t, last, deadline_ns, lateness_ns > t->period_ns / MM_EDGES_A_PERIOD ? NULL : wait);
    }
    note(t, MM_TICK_EDGE_LATENESS, n, t->edge_late_ns);
    publish_flow(t);
    atomic_store_explicit(&t->ticks, n + 1, memory_order_release);
    if (has_listeners) tell(t->eventfd);
}

static void skip(mm_tick_thread *t, uint64_t count) {
    MM_RT_ENTER();
    mm_command_execute(t->commands);
    const mm_roster *roster = t->roster;
    for (size_t b = 0; roster && b < roster->count; b++)
        mm_bridge_skip(roster->bridge[b], &t->flow, count, t->deadline_ns);
    add(&t->skipped_ticks, count);
    MM_RT_LEAVE();
}

static void wait_until(void *context, int64_t at_ns) {
    mm_tick_thread *t = context;
    const struct timespec at = {.tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000};
    const int64_t before_ns = mm_monotonic_ns();
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) continue;
    const int64_t now_ns = mm_monotonic_ns();
    t->waited_ns += now_ns - before_ns;
    t->edge_late_ns = now_ns - at_ns;
}

static void *run(void *argument) {
    mm_tick_thread *t = argument;
    pthread_setname_np(pthread_self(), "mixminus-tick");
    atomic_store_explicit(&t->scheduling, (int)mm_schedule_urgent(FIFO_PRIORITY),
                          memory_order_release);
    const mm_edge_wait wait = {wait_until, t};
    while (!atomic_load_explicit(&t->stop, memory_order_acquire)) {
        const struct timespec at = {.tv_sec = t->deadline_ns / 1000000000,
                                    .tv_nsec = t->deadline_ns % 1000000000};
        if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) continue;
        const int64_t start_ns = mm_monotonic_ns();
        const int64_t due = (start_ns - t->deadline_ns) / t->period_ns + 1;
        if (due > MM_MAX_BACK_TO_BACK) {
            const int64_t left_out = due - MM_MAX_BACK_TO_BACK;
            skip(t, (uint64_t)left_out);
            t->deadline_ns += left_out * t->period_ns;
        }
        tick(t, t->deadline_ns, start_ns - t->deadline_ns, &wait);
        t->deadline_ns += t->period_ns;
        const int64_t busy_ns = mm_monotonic_ns() - start_ns - t->waited_ns;
        note(t, MM_TICK_BUSY, atomic_load_explicit(&t->ticks, memory_order_relaxed) - 1, busy_ns);
        add(&t->busy_ns, (uint64_t)busy_ns);
    }
    return NULL;
}

int mm_tick_thread_start(mm_tick_thread *t, int64_t first_ns) {
    atomic_store_explicit(&t->stop, 0, memory_order_relaxed);
    t->deadline_ns = first_ns;
    const int error = mm_schedule_start(&t->thread, run, t);
    if (error) return error;
    t->running = 1;
    /* Until the thread has said how it is scheduled: a few microseconds after it first runs. */
    while (mm_tick_thread_scheduling(t) == MM_SCHED_NONE) sched_yield();
    return 0;
}

void mm_tick_thread_stop(mm_tick_thread *t) {
    if (!t->running) return;
    atomic_store_explicit(&t->stop, 1, memory_order_release);
    pthread_join(t->thread, NULL);
    t->running = 0;
    atomic_store_explicit(&t->scheduling, MM_SCHED_NONE, memory_order_relaxed);
    mm_command_execute(t->commands); /* what was submitted after the last tick */
}

mm_scheduling mm_tick_thread_scheduling(const mm_tick_thread *t) {
    return (mm_scheduling)atomic_load_explicit(&t->scheduling, memory_order_acquire);
}

void mm_tick_thread_run(mm_tick_thread *t, int64_t at_ns, const mm_edge_wait *between) {
    tick(t, at_ns, 0, between);
}

void mm_tick_thread_stats(const mm_tick_thread *t, mm_tick_stats *stats) {
    stats->ticks = atomic_load_explicit(&t->ticks, memory_order_acquire);
    stats->late_ticks = atomic_load_explicit(&t->late_ticks, memory_order_relaxed);
    stats->skipped_ticks = atomic_load_explicit(&t->skipped_ticks, memory_order_relaxed);
    stats->busy_ns = atomic_load_explicit(&t->busy_ns, memory_order_relaxed);
    stats->datagrams_sent = mm_outbox_sent(t->outbox);
    stats->datagrams_dropped = mm_outbox_dropped(t->outbox);
    for (size_t i = 0; i < MM_FLOW_COUNTS; i++)
        stats->flow.count[i] = atomic_load_explicit(&t->told_flow[i], memory_order_relaxed);
}

uint64_t mm_tick_thread_log(const mm_tick_thread *t, enum mm_tick_log which, uint64_t since, uint32_t *ns,
                            uint64_t count) {
    const uint64_t ticks = atomic_load_explicit(&t->ticks, memory_order_acquire);
    const uint64_t remembered = t->log_mask + 1;
    if (ticks > remembered && since < ticks - remembered) since = ticks - remembered;
    uint64_t n = 0;
    for (; since < ticks && n < count; since++, n++)
        ns[n] = atomic_load_explicit(&t->logs[which][since & t->log_mask], memory_order_relaxed);
    return n;
}
