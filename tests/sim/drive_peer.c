/* One end of a call in virtual time: a peer with a group of its own, and an outbox that no socket empties. */
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"
#include "memory.h"
#include "peer.h"

#define GROUPS 2 /* the second is another bridge */

typedef struct mm_end {
    mm_peer *peer;
    mm_encode_group group[GROUPS];
    void *memory[GROUPS];
    int at;
    mm_outbox outbox;
    mm_meta meta;
} mm_end;

void mm_end_destroy(mm_end *end);

mm_end *mm_end_create(const mm_peer_settings *settings) {
    mm_end *end = mm_pages_alloc(sizeof *end);
    if (!end) return NULL;
    mm_outbox_init(&end->outbox);
    end->peer = mm_peer_create(settings);
    if (!end->peer) {
        mm_pages_free(end);
        return NULL;
    }
    for (int g = 0; g < GROUPS && mm_peer_encode_leg(end->peer); g++) {
        const enum mm_codec codec = mm_peer_codec(end->peer);
        end->memory[g] = mm_pages_alloc(2 * mm_encode_room(codec));
        if (!end->memory[g] || mm_encode_group_init(&end->group[g], codec, mm_peer_encoder_settings(end->peer),
                                                    end->memory[g])) {
            mm_end_destroy(end);
            return NULL;
        }
    }
    return end;
}

void mm_end_destroy(mm_end *end) {
    mm_peer_destroy(end->peer);
    for (int g = 0; g < GROUPS; g++)
        if (end->memory[g]) mm_pages_free(end->memory[g]);
    mm_pages_free(end);
}

mm_peer *mm_end_peer(mm_end *end) { return end->peer; }
int mm_end_sends_fec(mm_end *end) { return mm_peer_encode_leg(end->peer)->fec; }
const mm_meta *mm_end_meta(const mm_end *end) { return &end->meta; }

/* on: somewhere (no socket is behind it); off: nowhere. */
int mm_end_connect(mm_end *end, int on) {
    mm_destination *to = on ? calloc(1, sizeof *to) : NULL;
    if (on && !to) return -1;
    if (to) to->fd = -1;
    free(mm_peer_set_destination(end->peer, to));
    return 0;
}

/* On to the other bridge, between two ticks. */
void mm_end_move(mm_end *end) {
    mm_encode_leg_part(&end->group[end->at], mm_peer_encode_leg(end->peer));
    end->at = !end->at;
}

void mm_end_deliver(mm_end *end, const uint8_t *datagram, size_t size, int64_t arrival_ns) {
    alignas(8) uint8_t bytes[2048];
    if (size > sizeof bytes) abort();
    memcpy(bytes, datagram, size);
    mm_peer_receive(end->peer, bytes, size, mm_datagram_kind(bytes, size), arrival_ns);
}

/* Pull, encode *mix* (NULL: nothing is encoded), send: how many datagrams stand in the outbox, or -1 when the ledger failed. */
int mm_end_tick(mm_end *end, int64_t now_ns, const int16_t *mix, int level_dbov, int16_t *heard) {
    mm_outbox_flush(&end->outbox);
    mm_peer_pull(end->peer, now_ns, &end->meta, heard);
    mm_encode_leg *leg = mm_peer_encode_leg(end->peer);
    if (leg && !mix) leg->size = -1;
    if (leg && mix) mm_encode_tick(&end->group[end->at], &leg, 1, mix, (int)MM_FRAME_SAMPLES);
    mm_peer_send(end->peer, &end->outbox, now_ns, (int8_t)level_dbov);
    if (!mm_ledger_holds(mm_peer_ledger(end->peer))) return -1;
    return (int)mm_outbox_waiting(&end->outbox);
}

const uint8_t *mm_end_datagram(const mm_end *end, int index, size_t *size) {
    const mm_destination *to;
    return mm_outbox_datagram(&end->outbox, (size_t)index, size, &to);
}

uint64_t mm_end_ledger(const mm_end *end, int which) {
    return mm_ledger_get(mm_peer_ledger(end->peer), (enum mm_receive_counter)which);
}
