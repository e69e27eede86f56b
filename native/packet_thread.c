#define _GNU_SOURCE
#include "packet_thread.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "rt_check.h"

#define FIFO_PRIORITY 9 /* below the tick threads' */
#define PORTS_AT_ONCE 64
#define BATCHES_AT_ONCE 4 /* of one port; then it is the others' turn */
/* A round costs 6 to 20 us, a datagram in it 1. So where more than 500 a second come (10 legs), rounds are held 4 ms
 * apart, which adds 2 ms to the delay of the mean datagram. Few legs are not held up. */
#define DENSE_NS INT64_C(2000000)
#define ROUND_NS INT64_C(4000000)

struct mm_packet_thread {
    int epoll, eventfd;
    mm_commands *commands;
    pthread_t thread;
    int running; /* control side */
    _Atomic int stop, scheduling;
    _Atomic clockid_t cpu_clock; /* of the thread that runs; 0: none does. A thread's own is never 0. */
};

mm_packet_thread *mm_packet_thread_create(void) {
    mm_packet_thread *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    struct epoll_event wake = {.events = EPOLLIN, .data.ptr = NULL};
    t->commands = mm_commands_create();
    t->epoll = epoll_create1(EPOLL_CLOEXEC);
    t->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!t->commands || t->epoll < 0 || t->eventfd < 0 ||
        epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->eventfd, &wake)) {
        const int error = errno;
        mm_packet_thread_destroy(t);
        errno = error;
        return NULL;
    }
    return t;
}

void mm_packet_thread_destroy(mm_packet_thread *t) {
    if (!t) return;
    mm_packet_thread_stop(t);
    if (t->epoll >= 0) close(t->epoll);
    if (t->eventfd >= 0) close(t->eventfd);
    if (t->commands) mm_commands_destroy(t->commands);
    free(t);
}

/* How many it read. *more: it did not read all. */
static size_t serve(mm_port *port, int *more) {
    size_t count = 0;
    for (int batch = 0; batch < BATCHES_AT_ONCE; batch++) {
        const size_t got = mm_port_fetch(port);
        if (got) mm_port_dispatch(port, mm_monotonic_ns());
        count += got;
        if (got < MM_PORT_BATCH) return count;
    }
    *more = 1;
    return count;
}

static void quieten(int fd) {
    uint64_t wakes; /* nothing to read (EAGAIN): another round had it */
    const ssize_t bytes = read(fd, &wakes, sizeof wakes);
    (void)bytes;
}

static void sleep_until(int64_t at_ns) {
    const struct timespec at = {.tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) continue;
}

static void *run(void *argument) {
    mm_packet_thread *t = argument;
    struct epoll_event event[PORTS_AT_ONCE];
    pthread_setname_np(pthread_self(), "mixminus-packet");
    clockid_t clock;
    if (pthread_getcpuclockid(pthread_self(), &clock) == 0)
        atomic_store_explicit(&t->cpu_clock, clock, memory_order_release);
    atomic_store_explicit(&t->scheduling, (int)mm_schedule_urgent(FIFO_PRIORITY), memory_order_release);
    int64_t last_ns = 0;
    while (!atomic_load_explicit(&t->stop, memory_order_acquire)) {
        /* Here, where no event is in hand: a port that was removed before one of these commands was submitted
         * is not found again. */
        MM_RT_ENTER();
        mm_command_execute(t->commands);
        MM_RT_LEAVE();
        const int found = epoll_wait(t->epoll, event, PORTS_AT_ONCE, -1); /* EINTR: none */
        const int64_t start_ns = mm_monotonic_ns();
        int64_t count = 0;
        int more = 0;
        MM_RT_ENTER();
        for (int i = 0; i < found; i++) {
            if (event[i].data.ptr)
                count += (int64_t)serve(event[i].data.ptr, &more);
            else
                quieten(t->eventfd);
        }
        MM_RT_LEAVE();
        if (!more && start_ns - last_ns < count * DENSE_NS) sleep_until(start_ns + ROUND_NS);
        last_ns = start_ns;
    }
    return NULL;
}

int mm_packet_thread_start(mm_packet_thread *t) {
    if (t->running) return EALREADY;
    atomic_store_explicit(&t->stop, 0, memory_order_relaxed);
    const int error = mm_schedule_start(&t->thread, run, t);
    if (error) return error;
    t->running = 1;
    /* Until the thread has said how it is scheduled: a few microseconds after it first runs. */
    while (mm_packet_thread_scheduling(t) == MM_SCHED_NONE) sched_yield();
    return 0;
}

void mm_packet_thread_stop(mm_packet_thread *t) {
    if (!t->running) return;
    atomic_store_explicit(&t->stop, 1, memory_order_release);
    mm_packet_thread_wake(t);
    pthread_join(t->thread, NULL);
    t->running = 0;
    atomic_store_explicit(&t->cpu_clock, 0, memory_order_release);
    atomic_store_explicit(&t->scheduling, MM_SCHED_NONE, memory_order_relaxed);
    mm_command_execute(t->commands); /* what was submitted after the last round */
}

mm_scheduling mm_packet_thread_scheduling(const mm_packet_thread *t) {
    return (mm_scheduling)atomic_load_explicit(&t->scheduling, memory_order_acquire);
}

int64_t mm_packet_thread_cpu_ns(const mm_packet_thread *t) {
    /* Said by the thread itself: who asks while another one waits for its end has no thread to ask about. */
    const clockid_t clock = atomic_load_explicit(&t->cpu_clock, memory_order_acquire);
    struct timespec time;
    if (!clock || clock_gettime(clock, &time)) return 0;
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int mm_packet_thread_add(mm_packet_thread *t, mm_port *port) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = port};
    return epoll_ctl(t->epoll, EPOLL_CTL_ADD, mm_port_fd(port), &event) ? errno : 0;
}

void mm_packet_thread_remove(mm_packet_thread *t, mm_port *port) {
    epoll_ctl(t->epoll, EPOLL_CTL_DEL, mm_port_fd(port), NULL);
}

mm_commands *mm_packet_thread_commands(mm_packet_thread *t) { return t->commands; }

void mm_packet_thread_wake(mm_packet_thread *t) {
    const uint64_t one = 1; /* a full counter (EAGAIN) wakes all the same */
    const ssize_t written = write(t->eventfd, &one, sizeof one);
    (void)written;
}
