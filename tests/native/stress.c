/* The engine under load, without Python: built plain, with ASan + UBSan, and with TSan.
 *
 *   stress ring FRAMES    a writer that never pauses laps a reader: no torn, no reordered frame
 *   stress legs ROUNDS    joins and leaves on running bridges while frames flow, taps and inserts with a plugin's
 *                         thread, flushes: no race, no leak, no frame of another tick
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

#define INSERTS 6
#define SLOTS 16

/* An insert or tap that comes and goes; the plugin's thread works with those that are *open*. */
typedef struct guest {
    room *room;
    mm_leg *leg;
    mm_insert *insert; /* or */
    mm_ring *tap;
    _Atomic int open;  /* 1: the thread may use it; it says 0 when it has let go */
    _Atomic int leave;
    int64_t last;      /* the thread's: timestamp of the last frame */
} guest;

typedef struct house {
    mm_engine *engine;
    room rooms[BRIDGES];
    moving_peer peers[PEERS];
    mm_port *port;
    guest guests[INSERTS];
    _Atomic int stop;
    uint64_t offered, taken, missed, tapped; /* of those that are gone; tapped: the thread's */
} house;

typedef struct feeder {
    mm_leg *leg;
    _Atomic int *stop;
    uint64_t heard, loud; /* readings of its meter that were not silence */
} feeder;

/* Ticks go by between two readings, and now and then so many that the meter stops in between. */
static void look_at_meter(feeder *f, uint64_t turn) {
    int8_t says, hears;
    if (turn % 512 > 128) return;
    mm_meter_read(&f->leg->meter, &says, &hears);
    CHECK(says >= MM_SILENCE_DBOV && says <= 0 && hears >= MM_SILENCE_DBOV && hears <= 0);
    f->loud += says > MM_SILENCE_DBOV;
}

static void *feed(void *argument) {
    feeder *f = argument;
    int16_t pcm[MM_FRAME_SAMPLES];
    mm_meta meta = {0};
    for (size_t s = 0; s < MM_FRAME_SAMPLES; s++) pcm[s] = s % 2 ? 2000 : -2000;
    for (uint64_t turn = 0; !atomic_load(f->stop); turn++) {
        const mm_meta out = {.timestamp = 1};
        mm_ring_write(f->leg->source, &out, pcm);
        look_at_meter(f, turn);
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

/* ---- plugins and taps ------------------------------------------------------------------------ */

/* Late now and then, wrong now and then; a frame of another tick must not be taken: it is counted as missed. */
static void process(mm_insert *insert, uint64_t n, int64_t *last) {
    int16_t pcm[MM_FRAME_SAMPLES];
    mm_meta meta;
    while (mm_ring_read(insert->dry, &meta, pcm, NULL)) {
        CHECK(meta.timestamp > *last);
        *last = meta.timestamp;
        pcm[0] = (int16_t)n;
        if (n % 7 == 0) meta.timestamp += 200000;
        if (n % 5) mm_ring_write(insert->wet, &meta, pcm);
    }
}

static void listen_to(house *h, guest *g) {
    int16_t pcm[MM_FRAME_SAMPLES];
    mm_meta meta;
    while (mm_ring_read(g->tap, &meta, pcm, NULL)) {
        h->tapped++;
        if (meta.flags & MM_FRAME_SKIPPED) continue; /* 20 ms each, where a period here is less */
        CHECK(meta.timestamp > g->last);
        g->last = meta.timestamp;
    }
}

static void *run_plugins(void *argument) {
    house *h = argument;
    for (uint64_t n = 0; !atomic_load(&h->stop); n++) {
        for (size_t i = 0; i < INSERTS; i++) {
            guest *g = &h->guests[i];
            if (!atomic_load_explicit(&g->open, memory_order_acquire)) continue;
            if (g->insert) process(g->insert, n, &g->last);
            if (g->tap) listen_to(h, g);
            if (atomic_load(&g->leave)) atomic_store_explicit(&g->open, 0, memory_order_release);
        }
        struct pollfd edge = {.fd = mm_engine_edge_fd(h->engine), .events = POLLIN};
        uint64_t edges;
        if (poll(&edge, 1, 1) == 1) CHECK(read(edge.fd, &edges, sizeof edges) == sizeof edges);
    }
    return NULL;
}

static void count_gone(house *h, mm_insert *insert) {
    h->offered += atomic_load(&insert->counters[MM_INSERT_OFFERED]);
    h->taken += atomic_load(&insert->counters[MM_INSERT_TAKEN]);
    h->missed += atomic_load(&insert->counters[MM_INSERT_MISSED]);
}

/* For inserts: they are the engine's to free, once its threads have passed. */
static house *counting;
static void release_insert(void *insert) {
    count_gone(counting, insert);
    mm_insert_destroy(insert);
}
static void release_ring(void *ring) { mm_ring_destroy(ring); }

static void see_off(house *h, guest *g) {
    if (!g->leg) return;
    if (g->insert) submit(h, g->room, mm_bridge_withdraw, g->room->bridge, g->insert);
    if (g->tap) submit(h, g->room, mm_taps_remove, &g->leg->taps, g->tap);
    const struct timespec pause = {.tv_nsec = 100000};
    atomic_store(&g->leave, 1);
    while (atomic_load_explicit(&g->open, memory_order_acquire)) nanosleep(&pause, NULL);
    if (g->insert) CHECK(mm_engine_retire(h->engine, g->insert, release_insert) == 0);
    if (g->tap) CHECK(mm_engine_retire(h->engine, g->tap, release_ring) == 0);
    g->leg = NULL;
    g->insert = NULL;
    g->tap = NULL;
}

static int has_insert(const house *h, const mm_leg *leg, enum mm_direction direction) {
    for (size_t i = 0; i < INSERTS; i++)
        if (h->guests[i].leg == leg && h->guests[i].insert && h->guests[i].insert->direction == direction) return 1;
    return 0;
}

static void come_or_go(house *h, guest *g, unsigned round) {
    if (g->leg) {
        see_off(h, g);
        return;
    }
    room *r = &h->rooms[rand() % BRIDGES];
    mm_leg *leg = r->leg[(size_t)rand() % r->legs];
    const enum mm_direction direction = (enum mm_direction)(round % MM_DIRECTIONS);
    if (round % 3 == 0)
        CHECK((g->tap = mm_ring_create(SLOTS)));
    else if (has_insert(h, leg, direction))
        return;
    else
        CHECK((g->insert = mm_insert_create(leg, direction, SLOTS)));
    g->room = r;
    g->leg = leg;
    g->last = -1;
    if (g->insert) submit(h, r, mm_bridge_insert, r->bridge, g->insert);
    if (g->tap) submit(h, r, mm_taps_add, &leg->taps, g->tap);
    atomic_store(&g->leave, 0);
    atomic_store_explicit(&g->open, 1, memory_order_release);
}

static void flush_one(house *h) {
    room *r = &h->rooms[rand() % BRIDGES];
    mm_leg *leg = r->leg[(size_t)rand() % r->legs];
    for (size_t i = 0; i < PEERS; i++)
        if (h->peers[i].leg == leg)
            submit(h, r, mm_leg_flush_peer, leg, (void *)(uintptr_t)mm_peer_arrivals(h->peers[i].peer));
    submit(h, r, mm_leg_flush_source, leg, (void *)(uintptr_t)mm_ring_written(leg->source));
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
    for (size_t i = 0; i < INSERTS; i++)
        if (h->guests[i].leg == leg) see_off(h, &h->guests[i]);
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
    counting = &h;
    feeder feeders[BRIDGES * STANDING];
    pthread_t threads[BRIDGES * STANDING];
    mm_roster *rosters[TICK_THREADS];
    _Atomic int stop = 0;
    furnish(&h, rosters);
    CHECK(mm_engine_start(h.engine) == 0);
    for (size_t i = 0; i < BRIDGES * STANDING; i++) {
        feeders[i] = (feeder){h.rooms[i / STANDING].leg[i % STANDING], &stop, 0, 0};
        CHECK(pthread_create(&threads[i], NULL, feed, &feeders[i]) == 0);
    }
    pthread_t plugins;
    CHECK(pthread_create(&plugins, NULL, run_plugins, &h) == 0);
    for (unsigned round = 0; round < rounds; round++) {
        come_or_go(&h, &h.guests[(size_t)rand() % INSERTS], round);
        if (round % 4 == 0) flush_one(&h);
        join_or_leave(&h, &h.rooms[round % BRIDGES], round);
        move_peer(&h, &h.peers[round % PEERS], round);
        if (round % 16 == 0) route_to(&h, h.peers[round / 16 % PEERS].peer);
        mm_engine_reclaim(h.engine);
    }
    for (size_t i = 0; i < INSERTS; i++) see_off(&h, &h.guests[i]);
    atomic_store(&h.stop, 1);
    pthread_join(plugins, NULL);
    atomic_store(&stop, 1);
    uint64_t heard = 0, packets = 0, loud = 0;
    for (size_t i = 0; i < BRIDGES * STANDING; i++) {
        pthread_join(threads[i], NULL);
        heard += feeders[i].heard;
        loud += feeders[i].loud;
    }
    mm_tick_stats stats;
    mm_tick_thread_stats(mm_engine_tick_thread(h.engine, 0), &stats);
    mm_engine_stop(h.engine);
    for (size_t i = 0; i < PEERS; i++) {
        CHECK(mm_ledger_holds(mm_peer_ledger(h.peers[i].peer)));
        packets += mm_ledger_get(mm_peer_ledger(h.peers[i].peer), MM_RX_PACKETS);
    }
    CHECK(heard > 0 && stats.ticks > 0 && packets > 0 && loud > 0);
    const uint64_t *flow = stats.flow.count;
    CHECK(flow[MM_FLOW_MIXED] > 0 && flow[MM_FLOW_RECEIVED] > 0 && flow[MM_FLOW_RENDERED] > 0);
    CHECK(mm_packet_thread_cpu_ns(mm_engine_packet_thread(h.engine)) == 0); /* of a thread that is over */
    clear_out(&h, rosters);
    CHECK(mm_pages_live() == before);
    CHECK(h.tapped > 0 && h.offered > 0 && h.taken > 0 && h.offered == h.taken + h.missed);
    printf("%u joins and leaves over %lu ticks, %lu frames and %lu packets heard, nothing left behind\n"
           "%lu frames offered to plugins, %lu taken back, %lu missed; %lu tapped\n",
           rounds, (unsigned long)stats.ticks, (unsigned long)heard, (unsigned long)packets,
           (unsigned long)h.offered, (unsigned long)h.taken, (unsigned long)h.missed, (unsigned long)h.tapped);
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
