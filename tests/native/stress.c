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

#define TICK_THREADS 2u
#ifdef __SANITIZE_THREAD__
#define PERIOD_NS 5000000 /* real-time threads that never rest would leave the others no core */
#else
#define PERIOD_NS 200000
#endif
#define BRIDGES 4
#define STANDING 2 /* legs that stay, each fed and drained by a thread */
#define COMING 6   /* legs that come and go */
#define PEERS 3    /* that go from leg to leg, also over threads; each hears what it is sent */

typedef struct room {
    uint32_t lane;
    mm_bridge *bridge;
    mm_leg *leg[STANDING + COMING];
    size_t legs;
    mm_plan *plan;
    mm_encode_group *group;
} room;

typedef struct moving_peer {
    mm_peer *peer;
    room *room;
    mm_leg *leg; /* NULL: nobody has it */
} moving_peer;

typedef struct house {
    mm_engine *engine;
    room rooms[BRIDGES];
    moving_peer peers[PEERS];
    mm_port *port;
} house;

typedef struct feeder {
    mm_leg *leg;
    _Atomic int *stop;
    uint64_t heard;
} feeder;

static void *feed(void *argument) {
    feeder *f = argument;
    int16_t pcm[MM_FRAME_SAMPLES];
    mm_meta meta = {0};
    for (size_t s = 0; s < MM_FRAME_SAMPLES; s++) pcm[s] = s % 2 ? 2000 : -2000;
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

static void submit(house *h, const room *r, mm_apply apply, void *target, void *value) {
    const struct timespec pause = {.tv_nsec = 100000};
    mm_commands *commands = mm_tick_thread_commands(mm_engine_tick_thread(h->engine, r->lane));
    while (!mm_command_submit(commands, apply, target, value)) nanosleep(&pause, NULL);
}

static int has_peer(const house *h, const mm_leg *leg) {
    for (size_t i = 0; i < PEERS; i++)
        if (h->peers[i].leg == leg) return 1;
    return 0;
}

static void swap_plan(house *h, room *r, unsigned round) {
    uint64_t bits = round;
    mm_plan_leg legs[STANDING + COMING] = {0};
    for (size_t i = 0; i < r->legs; i++) {
        legs[i].leg = r->leg[i];
        legs[i].group = has_peer(h, r->leg[i]) ? r->group : NULL;
    }
    if (round % 3 == 0) legs[0].mask = &bits;
    mm_plan *plan = mm_plan_create(legs, r->legs);
    CHECK(plan);
    submit(h, r, mm_bridge_set_plan, r->bridge, plan);
    CHECK(mm_engine_retire(h->engine, r->plan, mm_plan_destroy) == 0);
    r->plan = plan;
}

static mm_leg *new_leg(uint32_t id) {
    mm_leg *leg = mm_leg_create(id, id % 2 == 0, id % 3 == 0, 16, 16, 1, 5);
    CHECK(leg);
    return leg;
}

static void take_away(house *h, moving_peer *p, unsigned round) {
    if (!p->leg) return;
    submit(h, p->room, mm_leg_detach, p->leg, NULL);
    p->leg = NULL;
    swap_plan(h, p->room, round);
}

static void move_peer(house *h, moving_peer *p, unsigned round) {
    room *to = &h->rooms[rand() % BRIDGES];
    mm_leg *leg = to->leg[(size_t)rand() % to->legs];
    if (has_peer(h, leg)) return;
    take_away(h, p, round);
    p->room = to;
    p->leg = leg;
    submit(h, to, mm_leg_attach, leg, p->peer);
    swap_plan(h, to, round);
}

static void join_or_leave(house *h, room *r, unsigned round) {
    if (r->legs < STANDING + COMING && (rand() % 2 || r->legs == STANDING)) {
        r->leg[r->legs++] = new_leg(round);
        swap_plan(h, r, round);
        return;
    }
    const size_t leaving = STANDING + (size_t)rand() % (r->legs - STANDING);
    mm_leg *leg = r->leg[leaving];
    for (size_t i = 0; i < PEERS; i++)
        if (h->peers[i].leg == leg) take_away(h, &h->peers[i], round);
    r->leg[leaving] = r->leg[--r->legs];
    swap_plan(h, r, round);
    CHECK(mm_engine_retire(h->engine, leg, mm_leg_destroy) == 0);
}

static mm_peer *new_peer(const mm_port *port, uint32_t ssrc) {
    mm_peer_settings settings = {.codec = MM_PCMU, .ssrc = ssrc, .cname = "stress"};
    settings.receive.types[0] = 1 + MM_PCMU;
    settings.receive.cap_ms = 500;
    mm_peer *peer = mm_peer_create(&settings);
    CHECK(peer);
    mm_address own;
    mm_port_address(port, &own);
    mm_destination *self = malloc(sizeof *self);
    CHECK(self);
    self->fd = mm_port_fd(port);
    self->to_bytes = mm_address_to_socket(&own, &self->to);
    CHECK(mm_peer_set_destination(peer, self) == NULL);
    return peer;
}

/* All datagrams of the port come from itself: whose they are changes from round to round. */
static void route_to(house *h, mm_peer *peer) {
    mm_route route = {.peer = peer};
    mm_port_address(h->port, &route.address);
    mm_routes *routes = mm_routes_create(&route, 1);
    CHECK(routes);
    CHECK(mm_engine_retire(h->engine, mm_port_set_routes(h->port, routes), mm_routes_destroy) == 0);
}

static void furnish(house *h, mm_roster *rosters[TICK_THREADS]) {
    const mm_encoder_settings settings = {.bit_rate = 32000};
    mm_address bind;
    CHECK(mm_address_parse(&bind, "127.0.0.1", 0) == 0);
    CHECK((h->port = mm_port_open(&bind)));
    CHECK(mm_packet_thread_add(mm_engine_packet_thread(h->engine), h->port) == 0);
    for (size_t i = 0; i < TICK_THREADS; i++)
        CHECK((rosters[i] = mm_pages_alloc(sizeof **rosters + BRIDGES * sizeof(mm_bridge *))));
    for (size_t b = 0; b < BRIDGES; b++) {
        room *r = &h->rooms[b];
        r->lane = (uint32_t)b % TICK_THREADS;
        CHECK((r->bridge = mm_bridge_create()));
        CHECK((r->group = mm_plan_group_create(MM_PCMU, &settings)));
        mm_roster *roster = rosters[r->lane];
        roster->bridge[roster->count++] = r->bridge;
        for (; r->legs < STANDING; r->legs++) r->leg[r->legs] = new_leg((uint32_t)r->legs);
        swap_plan(h, r, 1);
    }
    for (uint32_t i = 0; i < TICK_THREADS; i++)
        submit(h, &h->rooms[i], mm_apply_store,
               mm_tick_thread_roster_slot(mm_engine_tick_thread(h->engine, i)), rosters[i]);
    for (uint32_t i = 0; i < PEERS; i++) h->peers[i].peer = new_peer(h->port, i + 1);
}

static void clear_out(house *h, mm_roster *rosters[TICK_THREADS]) {
    mm_packet_thread_remove(mm_engine_packet_thread(h->engine), h->port);
    for (size_t b = 0; b < BRIDGES; b++) {
        for (size_t i = 0; i < h->rooms[b].legs; i++) mm_leg_destroy(h->rooms[b].leg[i]);
        mm_plan_destroy(h->rooms[b].plan);
        mm_plan_group_destroy(h->rooms[b].group);
        mm_bridge_destroy(h->rooms[b].bridge);
    }
    for (size_t i = 0; i < PEERS; i++) mm_peer_destroy(h->peers[i].peer);
    mm_port_destroy(h->port);
    for (size_t i = 0; i < TICK_THREADS; i++) mm_pages_free(rosters[i]);
    mm_engine_destroy(h->engine);
}

static void stress_legs(unsigned rounds) {
    const long before = mm_pages_live();
    house h = {.engine = mm_engine_create(mm_kernels_for(mm_cpu_best_isa()), PERIOD_NS, 1024,
                                          TICK_THREADS)};
    CHECK(h.engine);
    feeder feeders[BRIDGES * STANDING];
    pthread_t threads[BRIDGES * STANDING];
    mm_roster *rosters[TICK_THREADS];
    _Atomic int stop = 0;
    furnish(&h, rosters);
    CHECK(mm_engine_start(h.engine) == 0);
    for (size_t i = 0; i < BRIDGES * STANDING; i++) {
        feeders[i] = (feeder){h.rooms[i / STANDING].leg[i % STANDING], &stop, 0};
        CHECK(pthread_create(&threads[i], NULL, feed, &feeders[i]) == 0);
    }
    for (unsigned round = 0; round < rounds; round++) {
        join_or_leave(&h, &h.rooms[round % BRIDGES], round);
        move_peer(&h, &h.peers[round % PEERS], round);
        if (round % 16 == 0) route_to(&h, h.peers[round / 16 % PEERS].peer);
        mm_engine_reclaim(h.engine);
    }
    atomic_store(&stop, 1);
    uint64_t heard = 0, packets = 0;
    for (size_t i = 0; i < BRIDGES * STANDING; i++) {
        pthread_join(threads[i], NULL);
        heard += feeders[i].heard;
    }
    mm_tick_stats stats;
    mm_tick_thread_stats(mm_engine_tick_thread(h.engine, 0), &stats);
    mm_engine_stop(h.engine);
    for (size_t i = 0; i < PEERS; i++) {
        CHECK(mm_ledger_holds(mm_peer_ledger(h.peers[i].peer)));
        packets += mm_ledger_get(mm_peer_ledger(h.peers[i].peer), MM_RX_PACKETS);
    }
    CHECK(heard > 0 && stats.ticks > 0 && packets > 0);
    clear_out(&h, rosters);
    CHECK(mm_pages_live() == before);
    printf("%u joins and leaves over %lu ticks, %lu frames and %lu packets heard, nothing left behind\n",
           rounds, (unsigned long)stats.ticks, (unsigned long)heard, (unsigned long)packets);
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
