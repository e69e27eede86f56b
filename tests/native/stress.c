/* The engine under load, without Python: built plain, with ASan + UBSan, and with TSan.
 *
 *   stress ring FRAMES    a writer that never pauses laps a reader: no torn, no reordered frame
 *   stress legs ROUNDS    joins and leaves on running bridges while frames flow: no race, no leak
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "memory.h"

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

/* ---- ring ------------------------------------------------------------------------------------ */

typedef struct ring_run {
    mm_ring *ring;
    uint64_t frames;
    _Atomic int finished;
} ring_run;

static void fill(int16_t *pcm, uint64_t n) {
    for (size_t s = 0; s < MM_FRAME_SAMPLES; s++) pcm[s] = (int16_t)(n * 31 + s);
}

static void *write_frames(void *argument) {
    ring_run *run = argument;
    int16_t pcm[MM_FRAME_SAMPLES];
    for (uint64_t n = 0; n < run->frames; n++) {
        fill(pcm, n);
        const mm_meta meta = {.timestamp = (int64_t)n, .flags = (uint32_t)n};
        mm_ring_write(run->ring, &meta, pcm);
    }
    atomic_store(&run->finished, 1);
    return NULL;
}

static void stress_ring(uint64_t frames, uint32_t slots) {
    ring_run run = {.ring = mm_ring_create(slots), .frames = frames};
    CHECK(run.ring);
    pthread_t writer;
    CHECK(pthread_create(&writer, NULL, write_frames, &run) == 0);
    int16_t pcm[MM_FRAME_SAMPLES], want[MM_FRAME_SAMPLES];
    mm_meta meta;
    uint64_t sequence, got = 0;
    int64_t last = -1;
    while (!atomic_load(&run.finished) || mm_ring_depth(run.ring)) {
        if (!mm_ring_read(run.ring, &meta, pcm, &sequence)) continue;
        CHECK(meta.timestamp > last);
        CHECK((uint64_t)meta.timestamp == sequence);
        CHECK(meta.flags == (uint32_t)sequence);
        fill(want, sequence);
        CHECK(memcmp(pcm, want, sizeof pcm) == 0);
        last = meta.timestamp;
        got++;
    }
    pthread_join(writer, NULL);
    CHECK(mm_ring_written(run.ring) == frames);
    CHECK(mm_ring_read_count(run.ring) == got);
    CHECK(got + mm_ring_skipped(run.ring) == frames);
    CHECK(got > 0);
    printf("ring of %u: %lu written, %lu read whole and in order, %lu lapped\n", slots,
           (unsigned long)frames, (unsigned long)got, (unsigned long)mm_ring_skipped(run.ring));
    mm_ring_destroy(run.ring);
}

/* ---- legs ------------------------------------------------------------------------------------ */

#define BRIDGES 3
#define STANDING 2 /* legs that stay, each fed and drained by a thread */
#define COMING 6   /* legs that come and go */

typedef struct room {
    mm_bridge *bridge;
    mm_leg *leg[STANDING + COMING];
    size_t legs;
    mm_plan *plan;
} room;

typedef struct feeder {
    mm_leg *leg;
    _Atomic int *stop;
    uint64_t heard;
} feeder;

static void *feed(void *argument) {
    feeder *f = argument;
    int16_t pcm[MM_FRAME_SAMPLES];
    mm_meta meta = {0};
    memset(pcm, 1, sizeof pcm);
    while (!atomic_load(f->stop)) {
        const mm_meta out = {.timestamp = 1};
        mm_ring_write(f->leg->source, &out, pcm);
        int16_t in[MM_FRAME_SAMPLES];
        while (mm_ring_read(f->leg->render, &meta, in, NULL)) f->heard++;
        const struct timespec pause = {.tv_nsec = 50000};
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void submit(mm_engine *engine, void **slot, void *value) {
    const struct timespec pause = {.tv_nsec = 100000};
    while (!mm_command_submit(mm_engine_commands(engine), slot, value)) nanosleep(&pause, NULL);
}

static void swap_plan(mm_engine *engine, room *r, unsigned round) {
    uint64_t bits = round;
    const uint64_t *masks[STANDING + COMING] = {0};
    if (round % 3 == 0) masks[0] = &bits;
    mm_plan *plan = mm_plan_create(r->leg, round % 3 == 0 ? masks : NULL, r->legs);
    CHECK(plan);
    submit(engine, &r->bridge->plan, plan);
    CHECK(mm_command_retire(mm_engine_commands(engine), r->plan, mm_plan_destroy) == 0);
    r->plan = plan;
}

static mm_leg *new_leg(uint32_t id) {
    mm_leg *leg = mm_leg_create(id, id % 2 == 0, id % 3 == 0, 16, 16, 1, 5);
    CHECK(leg);
    return leg;
}

static void join_or_leave(mm_engine *engine, room *r, unsigned round) {
    if (r->legs < STANDING + COMING && (rand() % 2 || r->legs == STANDING)) {
        r->leg[r->legs++] = new_leg(round);
        swap_plan(engine, r, round);
        return;
    }
    const size_t leaving = STANDING + (size_t)rand() % (r->legs - STANDING);
    mm_leg *leg = r->leg[leaving];
    r->leg[leaving] = r->leg[--r->legs];
    swap_plan(engine, r, round);
    CHECK(mm_command_retire(mm_engine_commands(engine), leg, mm_leg_destroy) == 0);
}

static void stress_legs(unsigned rounds) {
    const long before = mm_pages_live();
    mm_engine *engine = mm_engine_create(mm_kernels_for(mm_cpu_best_isa()), 100000, 1024);
    CHECK(engine);
    room rooms[BRIDGES];
    feeder feeders[BRIDGES * STANDING];
    pthread_t threads[BRIDGES * STANDING];
    _Atomic int stop = 0;
    mm_roster *roster = mm_pages_alloc(sizeof *roster + BRIDGES * sizeof(mm_bridge *));
    CHECK(roster);
    roster->count = BRIDGES;
    memset(rooms, 0, sizeof rooms);
    for (size_t b = 0; b < BRIDGES; b++) {
        room *r = &rooms[b];
        CHECK((r->bridge = mm_pages_alloc(sizeof *r->bridge)));
        roster->bridge[b] = r->bridge;
        for (; r->legs < STANDING; r->legs++) r->leg[r->legs] = new_leg((uint32_t)r->legs);
        swap_plan(engine, r, 1);
    }
    submit(engine, mm_engine_roster_slot(engine), roster);
    CHECK(mm_engine_start(engine) == 0);
    for (size_t i = 0; i < BRIDGES * STANDING; i++) {
        feeders[i] = (feeder){rooms[i / STANDING].leg[i % STANDING], &stop, 0};
        CHECK(pthread_create(&threads[i], NULL, feed, &feeders[i]) == 0);
    }
    for (unsigned round = 0; round < rounds; round++) {
        join_or_leave(engine, &rooms[round % BRIDGES], round);
        mm_command_reclaim(mm_engine_commands(engine));
    }
    atomic_store(&stop, 1);
    uint64_t heard = 0;
    for (size_t i = 0; i < BRIDGES * STANDING; i++) {
        pthread_join(threads[i], NULL);
        heard += feeders[i].heard;
    }
    mm_engine_stats stats;
    mm_engine_stats_get(engine, &stats);
    mm_engine_stop(engine);
    CHECK(heard > 0 && stats.ticks > 0);
    for (size_t b = 0; b < BRIDGES; b++) {
        for (size_t i = 0; i < rooms[b].legs; i++) mm_leg_destroy(rooms[b].leg[i]);
        mm_plan_destroy(rooms[b].plan);
        mm_pages_free(rooms[b].bridge);
    }
    mm_pages_free(roster);
    mm_engine_destroy(engine);
    CHECK(mm_pages_live() == before);
    printf("%u joins and leaves over %lu ticks, %lu frames heard, nothing left behind\n", rounds,
           (unsigned long)stats.ticks, (unsigned long)heard);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    srand(1);
    const unsigned long count = strtoul(argv[2], NULL, 10);
    if (strcmp(argv[1], "ring") == 0) {
        stress_ring(count, 2);
        stress_ring(count, 16);
    } else {
        stress_legs((unsigned)count);
    }
    return 0;
}
