/* What the files of a peer share. Only peer*.c include this. */
#ifndef MM_PEER_PARTS_H
#define MM_PEER_PARTS_H

#include <stdalign.h>

#include "packet_ring.h"
#include "peer.h"
#include "reception.h"
#include "rtcp.h"
#include "rtcp_schedule.h"
#include "words.h"

#define MM_PEER_ABSENT_NS INT64_C(500000000) /* between two ticks: nobody had the peer in the meantime */

/* Tick thread: what comes. */
typedef struct mm_peer_hearing {
    mm_reception reception;
    mm_telephone_in telephone;
    int64_t pulled_ns; /* last; 0: never */
    uint32_t unpublished_ticks;
    uint32_t far_highest; /* of the last report about what is sent */
    double far_lost;      /* of 256, smoothed */
} mm_peer_hearing;

/* Tick thread: what goes. */
typedef struct mm_peer_sending {
    mm_telephone_out telephone;
    mm_rtcp_schedule schedule;
    mm_encode_leg leg;
    int64_t ticked_ns; /* last; 0: never */
    uint32_t step;     /* clock units a tick */
    uint32_t timestamp;
    uint16_t sequence;
    uint8_t pausing;   /* the last tick sent no audio */
    uint8_t ended;     /* BYE was said */
    uint8_t pause_payload; /* Opus's table of contents alone: a packet that says pause */
    uint64_t packets, octets;
    uint64_t reported_packets[2]; /* as of the last report and of the one before */
} mm_peer_sending;

struct mm_peer {
    mm_peer_settings settings;
    uint32_t clock_hz; /* of what is sent */
    mm_receiver *receiver;
    mm_packet_ring *ring;

    /* Control side stores. */
    alignas(64) _Atomic(void *) owner;
    _Atomic(mm_destination *) destination;
    _Atomic(mm_srtp *) keys_in, keys_out;
    _Atomic int bye;
    mm_words tones_out;

    /* Packet thread stores. */
    alignas(64) mm_srtp srtp_in;
    _Atomic int64_t last_heard_ns; /* and so does the control side */
    _Atomic uint64_t not_keyed;
    int link_type; /* payload type of MM_PCM16K, or -1 */
    int link_started;
    uint32_t link_ssrc, link_sequence, link_timestamp;

    /* Tick thread stores. */
    alignas(64) mm_srtp srtp_out;
    mm_peer_hearing in;
    mm_peer_sending out;
    mm_words tones_in;
    mm_rtcp report; /* read or written just now */
    _Atomic uint64_t counters[MM_PEER_COUNTERS];
};

/* Tick thread. */
static inline void mm_peer_publish(mm_peer *p, enum mm_peer_counter which, uint64_t value) {
    atomic_store_explicit(&p->counters[which], value, memory_order_relaxed);
}
static inline void mm_peer_add(mm_peer *p, enum mm_peer_counter which, uint64_t more) {
    mm_peer_publish(p, which, atomic_load_explicit(&p->counters[which], memory_order_relaxed) + more);
}

/* peer_in.c */
void mm_peer_hearing_skip(mm_peer *p, uint64_t ticks);
/* peer_send.c */
void mm_peer_sending_init(mm_peer *p, void *encoder);
void mm_peer_sending_skip(mm_peer *p, uint64_t ticks);

#endif
