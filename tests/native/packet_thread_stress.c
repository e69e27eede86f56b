/* A running packet thread without Python: built plain, with ASan + UBSan, with TSan, and with the real-time check.
 *
 *   churn ROUNDS   ports, routes and peers come and go under datagrams of all kinds: no race, nothing used after it
 *                  was freed, nothing left behind
 *   fair ROUNDS    a port under a flood does not keep another port's datagrams waiting
 *   barrier ROUNDS a port that is removed while it was found readable and not yet read is freed after that
 * Linked with --wrap=epoll_wait, for the last of them.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "check.h"
#include "graveyard.h"
#include "memory.h"
#include "packet_thread.h"

#define PORTS 3
#define PEERS 8
#define SENDERS 6
#define ALIVE 0x600dbeef
#define DEADLINE_NS INT64_C(10000000000)

struct mm_peer {
    _Atomic uint32_t state;
    uint64_t packets; /* packet thread's alone: TSan watches it */
    _Atomic uint64_t *total;
};

static _Atomic uint64_t received, last_sequence;
static uint64_t counted[MM_PORT_COUNTERS]; /* of all ports: control side */
static _Atomic int waits_for; /* so many ports are to be found readable at once: barrier */
static _Atomic int found, may_go_on, freed;
static void hold_on(void);

void mm_peer_receive(struct mm_peer *peer, uint8_t *bytes, size_t size, enum mm_datagram_kind kind,
                     int64_t arrival_ns) {
    CHECK(atomic_load_explicit(&peer->state, memory_order_relaxed) == ALIVE);
    CHECK((uintptr_t)bytes % 8 == 0 && size >= 8 && arrival_ns > 0);
    CHECK(kind == MM_DATAGRAM_RTP || kind == MM_DATAGRAM_RTCP);
    peer->packets++;
    atomic_store(&last_sequence, (uint64_t)bytes[2] << 8 | bytes[3]);
    for (size_t i = 0; i < size; i++) bytes[i] ^= 0xff;
    atomic_fetch_add(peer->total, 1);
    if (atomic_load(&waits_for)) hold_on();
}

static struct mm_peer *peer_create(void) {
    struct mm_peer *peer = calloc(1, sizeof *peer);
    CHECK(peer);
    peer->state = ALIVE;
    peer->total = &received;
    return peer;
}

static void peer_destroy(void *peer) {
    atomic_store_explicit(&((struct mm_peer *)peer)->state, 0, memory_order_relaxed);
    free(peer);
}

static uint32_t draw(uint32_t *seed, uint32_t below) {
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

/* ---- who sends ------------------------------------------------------------------------------- */

typedef struct crowd {
    int fd[SENDERS];
    mm_address own[SENDERS];
    _Atomic uint32_t number[PORTS]; /* of the ports, to send to: 0, none */
    _Atomic int stop;
    uint32_t seed;
} crowd;

static mm_address loopback(uint16_t port) {
    mm_address a;
    CHECK(mm_address_parse(&a, "127.0.0.1", port) == 0);
    return a;
}

static void gather(crowd *c) {
    for (int i = 0; i < SENDERS; i++) {
        const mm_address any = loopback(0);
        struct sockaddr_storage at;
        socklen_t bytes = mm_address_to_socket(&any, &at);
        c->fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        CHECK(c->fd[i] >= 0 && bind(c->fd[i], (struct sockaddr *)&at, bytes) == 0);
        bytes = sizeof at;
        CHECK(getsockname(c->fd[i], (struct sockaddr *)&at, &bytes) == 0);
        CHECK(mm_address_from_socket(&c->own[i], (struct sockaddr *)&at, bytes) == 0);
    }
}

static void disperse(crowd *c) {
    for (int i = 0; i < SENDERS; i++) close(c->fd[i]);
}

static int send_one(const crowd *c, int sender, uint32_t number, const uint8_t *bytes, size_t size) {
    const mm_address to = loopback((uint16_t)number);
    struct sockaddr_storage at;
    const socklen_t at_bytes = mm_address_to_socket(&to, &at);
    return sendto(c->fd[sender], bytes, size, 0, (struct sockaddr *)&at, at_bytes) == (ssize_t)size;
}

/* Mostly what looks like the kinds, some of it bent, some of it too long or nothing at all. */
static size_t forge(uint32_t *seed, uint8_t *bytes) {
    static const uint8_t FIRST[6][2] = {{0x80, 111}, {0x80, 201}, {22, 254}, {0, 1}, {0x40, 0}, {0xff, 9}};
    size_t size = draw(seed, 8) ? 20 + draw(seed, 200) : draw(seed, 3000);
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)draw(seed, 256);
    const uint8_t *first = FIRST[draw(seed, 6)];
    if (size >= 20 && draw(seed, 10)) memcpy(bytes, first, 2);
    if (size >= 20 && first[0] == 0) {
        const uint8_t cookie[4] = {0x21, 0x12, 0xa4, 0x42};
        size = size / 4 * 4;
        bytes[2] = (uint8_t)((size - 20) >> 8);
        bytes[3] = (uint8_t)(size - 20);
        memcpy(bytes + 4, cookie, 4);
    }
    return size;
}

static void *send_forged(void *argument) {
    crowd *c = argument;
    uint8_t bytes[3000];
    while (!atomic_load(&c->stop)) {
        const uint32_t number = atomic_load(&c->number[draw(&c->seed, PORTS)]);
        const size_t size = forge(&c->seed, bytes);
        if (number) (void)send_one(c, (int)draw(&c->seed, SENDERS), number, bytes, size);
    }
    return NULL;
}

/* ---- churn ----------------------------------------------------------------------------------- */

typedef struct control {
    mm_packet_thread *thread;
    mm_graveyard *graveyard;
    mm_port *port[PORTS];
    struct mm_peer *peer[PEERS];
    crowd *crowd;
    uint32_t seed;
    uint64_t told;
} control;

static void retire(control *c, void *memory, void (*release)(void *)) {
    CHECK(mm_graveyard_retire(c->graveyard, memory, release) == 0);
    mm_packet_thread_wake(c->thread);
}

static void publish(control *c, mm_port *port) {
    mm_route route[PEERS];
    size_t count = 0;
    for (uint32_t i = 0; i < PEERS; i++)
        if (c->peer[i] && draw(&c->seed, 3))
            route[count++] = (mm_route){c->crowd->own[i % SENDERS], c->peer[i]};
    mm_routes *routes = mm_routes_create(route, count);
    CHECK(routes);
    retire(c, mm_port_set_routes(port, routes), mm_routes_destroy);
}

static void replace_peer(control *c) {
    const uint32_t which = draw(&c->seed, PEERS);
    struct mm_peer *gone = c->peer[which];
    c->peer[which] = draw(&c->seed, 4) ? peer_create() : NULL;
    for (int i = 0; i < PORTS; i++)
        if (c->port[i]) publish(c, c->port[i]);
    retire(c, gone, peer_destroy);
}

/* Counted when no thread counts any more. */
static void port_end(void *port) {
    for (int i = 0; i < MM_PORT_COUNTERS; i++) counted[i] += mm_port_count(port, i);
    mm_port_destroy(port);
}

static void replace_port(control *c, int which) {
    mm_port *gone = c->port[which];
    atomic_store(&c->crowd->number[which], 0);
    if (gone) {
        mm_packet_thread_remove(c->thread, gone);
        retire(c, gone, port_end);
    }
    const mm_address any = loopback(0);
    mm_address own;
    c->port[which] = mm_port_open(&any);
    CHECK(c->port[which]);
    CHECK(mm_packet_thread_add(c->thread, c->port[which]) == 0);
    mm_port_address(c->port[which], &own);
    publish(c, c->port[which]);
    atomic_store(&c->crowd->number[which], own.port);
}

static void read_told(control *c, mm_port *port) {
    enum mm_datagram_kind kind;
    mm_address from;
    uint8_t bytes[MM_PORT_BYTES];
    size_t size;
    int64_t arrival_ns;
    uint64_t wakes;
    if (read(mm_port_eventfd(port), &wakes, sizeof wakes) < 0) return;
    while (mm_port_read(port, &kind, &from, bytes, &size, &arrival_ns)) {
        CHECK(kind != MM_DATAGRAM_JUNK && size >= 8 && size <= MM_PORT_BYTES && arrival_ns > 0);
        CHECK(mm_datagram_kind(bytes, size) == kind);
        int known = 0;
        for (int i = 0; i < SENDERS; i++) known |= mm_address_equal(&from, &c->crowd->own[i]);
        CHECK(known);
        CHECK(mm_port_send(port, &from, bytes, size) == 0);
        c->told++;
    }
}

static void churn(uint32_t rounds) {
    crowd people = {.seed = 5};
    control c = {.thread = mm_packet_thread_create(), .crowd = &people, .seed = 9};
    CHECK(c.thread);
    mm_commands *commands = mm_packet_thread_commands(c.thread);
    CHECK((c.graveyard = mm_graveyard_create(&commands, 1)));
    gather(&people);
    for (int i = 0; i < PORTS; i++) replace_port(&c, i); /* before the thread runs */
    CHECK(mm_packet_thread_start(c.thread) == 0);
    pthread_t sender;
    CHECK(pthread_create(&sender, NULL, send_forged, &people) == 0);
    const int64_t deadline_ns = mm_monotonic_ns() + 10 * DEADLINE_NS;
    /* Rounds in which the thread did something, so that one core is enough. */
    for (uint32_t round = 0; round < rounds;) {
        const uint64_t before = mm_port_count(c.port[0], MM_PORT_RECEIVED);
        mm_port *port = c.port[draw(&c.seed, PORTS)];
        switch (draw(&c.seed, 6)) {
        case 0:
            replace_peer(&c);
            break;
        case 1:
            if (draw(&c.seed, 8) == 0) replace_port(&c, (int)draw(&c.seed, PORTS));
            break;
        case 2:
            mm_port_tell_strangers(port, (int)draw(&c.seed, 2));
            break;
        case 3:
            publish(&c, port);
            break;
        default:
            read_told(&c, port);
        }
        mm_graveyard_reclaim(c.graveyard);
        if (mm_port_count(c.port[0], MM_PORT_RECEIVED) != before) round++;
        if (round % 50 == 49) { /* stopped and started under traffic */
            mm_packet_thread_stop(c.thread);
            CHECK(mm_packet_thread_start(c.thread) == 0);
            round++;
        }
        CHECK(mm_monotonic_ns() < deadline_ns);
        sched_yield();
    }
    atomic_store(&people.stop, 1);
    pthread_join(sender, NULL);
    while (mm_graveyard_reclaim(c.graveyard)) CHECK(mm_monotonic_ns() < deadline_ns);
    mm_packet_thread_destroy(c.thread);
    for (int i = 0; i < PORTS; i++) port_end(c.port[i]);
    mm_graveyard_destroy(c.graveyard);
    for (int i = 0; i < PEERS; i++) free(c.peer[i]);
    disperse(&people);
    CHECK(mm_pages_live() == 0);
    CHECK(atomic_load(&received) > 0 && c.told > 0);
    for (int i = 0; i < MM_PORT_COUNTERS; i++)
        printf("%s %lu, ", mm_port_counter_name(i), (unsigned long)counted[i]);
    printf("nothing left behind\n");
}

/* ---- fair ------------------------------------------------------------------------------------ */

static void *flood(void *argument) {
    crowd *c = argument;
    uint8_t bytes[200];
    memset(bytes, 0xff, sizeof bytes);
    while (!atomic_load(&c->stop)) (void)send_one(c, 0, atomic_load(&c->number[0]), bytes, sizeof bytes);
    return NULL;
}

static void fair(uint32_t rounds) {
    crowd people = {.seed = 5};
    control c = {.thread = mm_packet_thread_create(), .crowd = &people, .seed = 9};
    CHECK(c.thread);
    gather(&people);
    const mm_address any = loopback(0);
    mm_address own[2];
    for (int i = 0; i < 2; i++) {
        CHECK((c.port[i] = mm_port_open(&any)));
        CHECK(mm_packet_thread_add(c.thread, c.port[i]) == 0);
        mm_port_address(c.port[i], &own[i]);
        atomic_store(&people.number[i], own[i].port);
    }
    c.peer[0] = peer_create();
    const mm_route route = {people.own[1], c.peer[0]};
    CHECK(mm_port_set_routes(c.port[1], mm_routes_create(&route, 1)) == NULL);
    CHECK(mm_packet_thread_start(c.thread) == 0);
    pthread_t flooder;
    CHECK(pthread_create(&flooder, NULL, flood, &people) == 0);
    int64_t longest_ns = 0;
    uint8_t rtp[40] = {0x80, 111};
    for (uint32_t round = 1; round <= rounds; round++) {
        rtp[2] = (uint8_t)(round >> 8);
        rtp[3] = (uint8_t)round;
        const int64_t start_ns = mm_monotonic_ns();
        CHECK(send_one(&people, 1, own[1].port, rtp, sizeof rtp));
        while (atomic_load(&last_sequence) != (round & 0xffff)) {
            CHECK(mm_monotonic_ns() - start_ns < DEADLINE_NS);
            sched_yield();
        }
        const int64_t took_ns = mm_monotonic_ns() - start_ns;
        if (took_ns > longest_ns) longest_ns = took_ns;
    }
    atomic_store(&people.stop, 1);
    pthread_join(flooder, NULL);
    CHECK(mm_port_count(c.port[0], MM_PORT_JUNK) > 0);
    CHECK(mm_port_count(c.port[1], MM_PORT_ROUTED) == rounds);
    printf("%u routed beside %lu of junk, none longer than %.1f ms\n", rounds,
           (unsigned long)mm_port_count(c.port[0], MM_PORT_JUNK), (double)longest_ns / 1e6);
    mm_packet_thread_destroy(c.thread);
    for (int i = 0; i < 2; i++) mm_port_destroy(c.port[i]);
    free(c.peer[0]);
    disperse(&people);
    CHECK(mm_pages_live() == 0);
}

/* ---- barrier --------------------------------------------------------------------------------- */

int __real_epoll_wait(int epoll, struct epoll_event *event, int most, int timeout_ms);
int __wrap_epoll_wait(int epoll, struct epoll_event *event, int most, int timeout_ms);

/* The thread has found the ports and read none: it is held here until one of them is removed. */
int __wrap_epoll_wait(int epoll, struct epoll_event *event, int most, int timeout_ms) {
    const int count = __real_epoll_wait(epoll, event, most, timeout_ms);
    if (count < 1 || count < atomic_load(&waits_for) || !atomic_load(&waits_for)) return count;
    atomic_store(&found, 1);
    while (!atomic_load(&may_go_on)) sched_yield();
    return count;
}

/* In the port that is read first: time enough to free the other, if that were allowed. */
static void hold_on(void) {
    const int64_t until_ns = mm_monotonic_ns() + 20000000;
    while (!atomic_load(&freed) && mm_monotonic_ns() < until_ns) sched_yield();
    CHECK(!atomic_load(&freed));
    atomic_store(&waits_for, 0);
}

static void barrier(uint32_t rounds) {
    crowd people = {.seed = 5};
    uint8_t rtp[40] = {0x80, 111};
    gather(&people);
    struct mm_peer *peer = peer_create();
    for (uint32_t round = 0; round < rounds; round++) {
        control c = {.thread = mm_packet_thread_create(), .crowd = &people, .seed = 9};
        CHECK(c.thread);
        mm_commands *commands = mm_packet_thread_commands(c.thread);
        CHECK((c.graveyard = mm_graveyard_create(&commands, 1)));
        for (int i = 0; i < 2; i++) {
            const mm_address any = loopback(0);
            const mm_route route = {people.own[0], peer};
            mm_address own;
            CHECK((c.port[i] = mm_port_open(&any)));
            CHECK(mm_packet_thread_add(c.thread, c.port[i]) == 0);
            CHECK(mm_port_set_routes(c.port[i], mm_routes_create(&route, 1)) == NULL);
            mm_port_address(c.port[i], &own);
            CHECK(send_one(&people, 0, own.port, rtp, sizeof rtp)); /* the first is found first */
        }
        atomic_store(&found, 0);
        atomic_store(&may_go_on, 0);
        atomic_store(&freed, 0);
        atomic_store(&waits_for, 2);
        CHECK(mm_packet_thread_start(c.thread) == 0);
        while (!atomic_load(&found)) sched_yield();
        mm_packet_thread_remove(c.thread, c.port[1]);
        retire(&c, c.port[1], mm_port_destroy);
        CHECK(mm_graveyard_reclaim(c.graveyard) == 1);
        atomic_store(&may_go_on, 1);
        const int64_t deadline_ns = mm_monotonic_ns() + DEADLINE_NS;
        while (mm_graveyard_reclaim(c.graveyard)) {
            CHECK(mm_monotonic_ns() < deadline_ns);
            sched_yield();
        }
        atomic_store(&freed, 1);
        mm_packet_thread_destroy(c.thread);
        mm_graveyard_destroy(c.graveyard);
        mm_port_destroy(c.port[0]);
        CHECK(mm_pages_live() == 0);
    }
    CHECK(atomic_load(&received) == 2 * rounds);
    peer_destroy(peer);
    disperse(&people);
    printf("%u ports freed after they were read\n", rounds);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    const uint32_t rounds = (uint32_t)strtoul(argv[2], NULL, 10);
    if (strcmp(argv[1], "churn") == 0)
        churn(rounds);
    else if (strcmp(argv[1], "fair") == 0)
        fair(rounds);
    else if (strcmp(argv[1], "barrier") == 0)
        barrier(rounds);
    else
        return 2;
    return 0;
}
