/* Two peers in a call, handed to and fro between two tick threads, fed by a packet thread that also brings
 * what is hostile, while the control side changes all it may change. Linked with toy_srtp.c. */
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "check.h"
#include "memory.h"
#include "packet_ring.h"
#include "peer.h"
#include "rt_check.h"

#define PEERS 2
#define TICKERS 2
#define RETIRED 4096
#define IN_FLIGHT 30
#define TICKS_A_ROUND 20

int srtp_protect(void *s, void *packet, int *size);
int srtp_unprotect(void *s, void *packet, int *size);
int srtp_protect_rtcp(void *s, void *packet, int *size);
int srtp_unprotect_rtcp(void *s, void *packet, int *size);
int srtp_create(void **out, const void *policy);
int srtp_dealloc(void *s);
int srtp_remove_stream(void *s, uint32_t ssrc);
int srtp_crypto_policy_set_from_profile_for_rtp(void *policy, int profile);
int srtp_crypto_policy_set_from_profile_for_rtcp(void *policy, int profile);

static const mm_srtp_library TOY = {.protect = srtp_protect,
                                    .unprotect = srtp_unprotect,
                                    .protect_rtcp = srtp_protect_rtcp,
                                    .unprotect_rtcp = srtp_unprotect_rtcp,
                                    .create = srtp_create,
                                    .dealloc = srtp_dealloc,
                                    .remove_stream = srtp_remove_stream,
                                    .policy_rtp = srtp_crypto_policy_set_from_profile_for_rtp,
                                    .policy_rtcp = srtp_crypto_policy_set_from_profile_for_rtcp};

typedef struct far_end {
    mm_peer *peer;
    mm_packet_ring *wire; /* what it sent; whoever owns the peer writes */
    uint64_t ticks;       /* the owner's */
} far_end;

static far_end ends[PEERS];
static uint64_t ticks_each;
static _Atomic int ticking, finished;
static _Atomic uint64_t rounds; /* of the control side: time goes on as it does, too */

typedef struct ticker {
    mm_encode_group group[PEERS];
    mm_outbox *outbox;
    uint64_t taken;
} ticker;

static void tick(far_end *end, mm_encode_group *group, mm_outbox *outbox) {
    const int64_t now_ns = (int64_t)end->ticks * MM_FRAME_NS;
    int16_t pcm[MM_FRAME_SAMPLES];
    mm_meta meta;
    MM_RT_ENTER();
    if (end->ticks % 97 == 0) mm_peer_flush(end->peer, mm_peer_arrivals(end->peer), now_ns);
    mm_peer_pull(end->peer, now_ns, &meta, pcm);
    mm_encode_leg *leg = mm_peer_encode_leg(end->peer);
    mm_encode_tick(group, &leg, 1, pcm, (int)MM_FRAME_SAMPLES);
    mm_peer_send(end->peer, outbox, now_ns, -30);
    MM_RT_LEAVE();
    CHECK(mm_ledger_holds(mm_peer_ledger(end->peer)));
    for (size_t i = 0; i < mm_outbox_waiting(outbox); i++) {
        size_t size;
        const mm_destination *to;
        const uint8_t *bytes = mm_outbox_datagram(outbox, i, &size, &to);
        CHECK(to->fd == -1);
        CHECK(mm_packet_ring_write(end->wire, bytes, size, now_ns));
    }
    mm_outbox_flush(outbox);
    end->ticks++;
}

/* As legs of two bridges do: take the peer when nobody has it, go on for a while, leave it. */
static void *run_ticks(void *argument) {
    ticker *t = argument;
    uint64_t busy = 1;
    for (uint32_t round = 0; busy; round++) {
        busy = 0;
        for (int i = 0; i < PEERS; i++) {
            void *nobody = NULL;
            _Atomic(void *) *owner = mm_peer_owner(ends[i].peer);
            if (mm_packet_ring_depth(ends[i].wire) > IN_FLIGHT) { /* time goes on as the packet thread does */
                busy = 1;
                sched_yield();
                continue;
            }
            if (!atomic_compare_exchange_strong_explicit(owner, &nobody, t, memory_order_acquire,
                                                         memory_order_relaxed)) {
                busy = 1;
                continue;
            }
            t->taken++;
            const uint64_t open = TICKS_A_ROUND * (atomic_load(&rounds) + 1);
            const uint64_t until = open < ticks_each ? open : ticks_each;
            for (uint32_t k = 0; k <= round % 7 && ends[i].ticks < until; k++)
                tick(&ends[i], &t->group[i], t->outbox);
            if (round % 50 == 0 && ends[i].ticks < until) {
                mm_peer_skip(ends[i].peer, 2);
                ends[i].ticks += 2;
            }
            busy |= ends[i].ticks < ticks_each;
            mm_encode_leg_part(&t->group[i], mm_peer_encode_leg(ends[i].peer));
            const int waits = until < ticks_each && ends[i].ticks >= until;
            atomic_store_explicit(owner, NULL, memory_order_release);
            if (waits) sched_yield();
        }
    }
    atomic_fetch_sub(&ticking, 1);
    return NULL;
}

static void *run_packets(void *unused) {
    (void)unused;
    alignas(8) uint8_t bytes[2048];
    uint32_t chance = 1;
    while (!atomic_load(&finished)) {
        for (int i = 0; i < PEERS; i++) {
            size_t size;
            int64_t at_ns;
            if (!mm_packet_ring_read(ends[i].wire, bytes, &size, &at_ns)) continue;
            chance = chance * 1664525u + 1013904223u;
            if (chance >> 28 == 0) continue; /* lost */
            if (chance >> 28 == 1) bytes[(chance >> 8) % size] ^= (uint8_t)chance;
            MM_RT_ENTER();
            mm_peer_receive(ends[!i].peer, bytes, size, mm_datagram_kind(bytes, size), at_ns);
            MM_RT_LEAVE();
        }
    }
    return NULL;
}

static void make(int i, mm_destination *to) {
    mm_peer_settings settings = {.receive = {.cap_ms = 500}, .secure = 1, .codec = MM_PCMU, .event_type = 101,
                                 .ssrc = (uint32_t)(100 + i), .cname = "stress"};
    settings.receive.types[0] = 1 + MM_PCMU;
    settings.receive.types[101] = MM_TYPE_EVENT;
    ends[i].peer = mm_peer_create(&settings);
    ends[i].wire = mm_packet_ring_create(1024, MM_OUTBOX_ROOM);
    CHECK(ends[i].peer && ends[i].wire);
    CHECK(!mm_peer_set_destination(ends[i].peer, to));
}

static mm_destination *nowhere_else(void) {
    mm_destination *to = calloc(1, sizeof *to);
    CHECK(to);
    to->fd = -1;
    return to;
}

static void control(int i, uint64_t round, mm_destination **retired, size_t *count) {
    mm_peer *p = ends[i].peer;
    static const uint8_t key[30];
    if (round == 2) CHECK(mm_peer_set_keys(p, &TOY, MM_SRTP_AES128_CM_SHA1_80, key, key, sizeof key) == 0);
    if (round > 2 && round % 50 == 0)
        CHECK(mm_peer_set_keys(p, &TOY, MM_SRTP_AES128_CM_SHA1_80, key, key, sizeof key) == -1);
    if (*count < RETIRED && round % 3 == 0)
        retired[(*count)++] = mm_peer_set_destination(p, round % 30 ? nowhere_else() : NULL);
    (void)mm_peer_queue_tone(p, (unsigned)round % 17, 10, 40, 20);
    mm_tone tone;
    while (mm_peer_read_tone(p, &tone)) CHECK(tone.event <= MM_TELEPHONE_FLASH || tone.ended <= 1);
    uint64_t all = (uint64_t)(mm_peer_last_heard_ns(p) >= 0);
    for (int k = 0; k < MM_PEER_COUNTERS; k++) all += mm_peer_count(p, (enum mm_peer_counter)k);
    for (int k = 0; k < MM_RX_COUNTERS; k++) all += mm_ledger_get(mm_peer_ledger(p), (enum mm_receive_counter)k);
    CHECK(all);
    if (round % 11 == 0) mm_peer_heard(p, (int64_t)round);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    ticks_each = strtoull(argv[1], NULL, 10);
    const long pages = mm_pages_live();
    static ticker tickers[TICKERS];
    void *memory[TICKERS][PEERS];
    for (int i = 0; i < PEERS; i++) make(i, nowhere_else());
    for (int t = 0; t < TICKERS; t++) {
        tickers[t].outbox = aligned_alloc(64, (sizeof(mm_outbox) + 63) / 64 * 64);
        CHECK(tickers[t].outbox);
        mm_outbox_init(tickers[t].outbox);
        for (int i = 0; i < PEERS; i++) {
            memory[t][i] = mm_pages_alloc(2 * mm_encode_room(MM_PCMU));
            CHECK(memory[t][i]);
            CHECK(mm_encode_group_init(&tickers[t].group[i], MM_PCMU, mm_peer_encoder_settings(ends[i].peer),
                                       memory[t][i]) == 0);
        }
    }
    static mm_destination *retired[RETIRED];
    size_t count = 0;
    pthread_t ticks[TICKERS], packets;
    atomic_store(&ticking, TICKERS);
    CHECK(pthread_create(&packets, NULL, run_packets, NULL) == 0);
    for (int t = 0; t < TICKERS; t++) CHECK(pthread_create(&ticks[t], NULL, run_ticks, &tickers[t]) == 0);
    for (uint64_t round = 0; atomic_load(&ticking); round++) {
        for (int i = 0; i < PEERS; i++) control(i, round, retired, &count);
        atomic_store(&rounds, round);
    }
    for (int t = 0; t < TICKERS; t++) pthread_join(ticks[t], NULL);
    atomic_store(&finished, 1);
    pthread_join(packets, NULL);
    uint64_t heard = 0, taken = tickers[0].taken + tickers[1].taken;
    for (int i = 0; i < PEERS; i++) {
        mm_peer_say_bye(ends[i].peer);
        tick(&ends[i], &tickers[0].group[i], tickers[0].outbox);
        CHECK(mm_ledger_holds(mm_peer_ledger(ends[i].peer)));
        CHECK(mm_ledger_get(mm_peer_ledger(ends[i].peer), MM_RX_TICKS) == ends[i].ticks);
        CHECK(mm_peer_count(ends[i].peer, MM_PEER_SRTP_FAILED) == 0);
        heard += mm_ledger_get(mm_peer_ledger(ends[i].peer), MM_RX_PACKETS);
        mm_peer_destroy(ends[i].peer);
        mm_packet_ring_destroy(ends[i].wire);
    }
    for (size_t k = 0; k < count; k++) free(retired[k]);
    for (int t = 0; t < TICKERS; t++) {
        free(tickers[t].outbox);
        for (int i = 0; i < PEERS; i++) mm_pages_free(memory[t][i]);
    }
    CHECK(heard > ticks_each / 10);
    CHECK(taken > 2);
    CHECK(mm_pages_live() == pages);
    printf("%lu packets heard, peers taken %lu times, nothing left behind\n", (unsigned long)heard,
           (unsigned long)taken);
    return 0;
}
