#define _GNU_SOURCE
#include "watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "schedule.h"

#define NAME_WORDS (MM_WATCHDOG_NAME / 8)
#define LOOKS_A_LIMIT 8 /* so that a stall is told of within an eighth more */
#define LEAST_LOOK_NS INT64_C(1000000)

struct mm_watchdog {
    int64_t limit_ns;
    /* The watched thread stores. Odd while it writes; what was read between two equal even values belongs together,
     * as in ring.c. */
    _Atomic uint64_t turn;
    _Atomic int64_t since_ns; /* 0: nothing runs */
    _Atomic uint64_t name[NAME_WORDS];
    /* The watching thread and who ends it. */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int stop;
};

typedef struct sighting {
    uint64_t turn;
    int64_t since_ns;
    char name[MM_WATCHDOG_NAME];
} sighting;

static uint64_t begin_write(mm_watchdog *w) {
    const uint64_t turn = atomic_load_explicit(&w->turn, memory_order_relaxed);
    atomic_store_explicit(&w->turn, turn + 1, memory_order_relaxed);
    return turn;
}

void mm_watchdog_enter(mm_watchdog *w, const char *name, size_t bytes) {
    uint64_t words[NAME_WORDS] = {0};
    memcpy(words, name, bytes < MM_WATCHDOG_NAME ? bytes : MM_WATCHDOG_NAME - 1);
    const uint64_t turn = begin_write(w);
    for (size_t i = 0; i < NAME_WORDS; i++) atomic_store_explicit(&w->name[i], words[i], memory_order_release);
    atomic_store_explicit(&w->since_ns, mm_monotonic_ns(), memory_order_release);
    atomic_store_explicit(&w->turn, turn + 2, memory_order_release);
}

void mm_watchdog_leave(mm_watchdog *w) {
    const uint64_t turn = begin_write(w);
    atomic_store_explicit(&w->since_ns, 0, memory_order_release);
    atomic_store_explicit(&w->turn, turn + 2, memory_order_release);
}

/* 0 when nothing runs, or something began just now. */
static int look(const mm_watchdog *w, sighting *seen) {
    uint64_t words[NAME_WORDS];
    seen->turn = atomic_load_explicit(&w->turn, memory_order_acquire);
    seen->since_ns = atomic_load_explicit(&w->since_ns, memory_order_acquire);
    for (size_t i = 0; i < NAME_WORDS; i++) words[i] = atomic_load_explicit(&w->name[i], memory_order_acquire);
    memcpy(seen->name, words, sizeof seen->name);
    seen->name[MM_WATCHDOG_NAME - 1] = 0;
    return seen->turn % 2 == 0 && seen->since_ns && atomic_load_explicit(&w->turn, memory_order_relaxed) == seen->turn;
}

int mm_watchdog_stuck(const mm_watchdog *w, char name[MM_WATCHDOG_NAME], int64_t *ran_ns) {
    sighting seen;
    if (!look(w, &seen)) return 0;
    *ran_ns = mm_monotonic_ns() - seen.since_ns;
    memcpy(name, seen.name, sizeof seen.name);
    return *ran_ns > w->limit_ns;
}

static void tell(const char *name, int64_t ran_ns) {
    char shown[MM_WATCHDOG_NAME], line[MM_WATCHDOG_NAME + 96];
    size_t n = 0;
    for (; name[n]; n++) shown[n] = (unsigned char)name[n] < ' ' ? '?' : name[n]; /* one line, whatever the name */
    shown[n] = 0;
    const int bytes = snprintf(line, sizeof line, "mixminus: plugin %s has run for %.1f s and holds up all plugins\n",
                               shown, (double)ran_ns / 1e9);
    const ssize_t written = write(STDERR_FILENO, line, (size_t)bytes);
    (void)written; /* nobody is left to be told */
}

/* The lock is held but while it sleeps; 1 when it is to end. */
static int rest(mm_watchdog *w) {
    const int64_t part = w->limit_ns / LOOKS_A_LIMIT;
    const int64_t until = mm_monotonic_ns() + (part > LEAST_LOOK_NS ? part : LEAST_LOOK_NS);
    const struct timespec at = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    while (!w->stop && pthread_cond_timedwait(&w->wake, &w->lock, &at) != ETIMEDOUT) continue;
    return w->stop;
}

static void *run(void *argument) {
    mm_watchdog *w = argument;
    uint64_t told = 0; /* turns of what runs are even and at least 2 */
    pthread_setname_np(pthread_self(), "mixminus-watch");
    pthread_mutex_lock(&w->lock);
    while (!rest(w)) {
        sighting seen;
        if (!look(w, &seen) || seen.turn == told) continue;
        const int64_t ran_ns = mm_monotonic_ns() - seen.since_ns;
        if (ran_ns <= w->limit_ns) continue;
        told = seen.turn;
        tell(seen.name, ran_ns);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

mm_watchdog *mm_watchdog_create(int64_t limit_ns) {
    mm_watchdog *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->limit_ns = limit_ns;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&w->lock, NULL);
    const int error = mm_schedule_start(&w->thread, run, w);
    if (!error) return w;
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
    errno = error;
    return NULL;
}

void mm_watchdog_destroy(mm_watchdog *w) {
    pthread_mutex_lock(&w->lock);
    w->stop = 1;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
