/* A UDP socket that many legs share.
 *
 * The packet thread reads it, tells the kinds apart and hands RTP and RTCP from a routed address to that address's
 * peer. What Python answers goes to it through bounded rings and an eventfd: STUN from anyone, DTLS from
 * routed addresses only, media of strangers if it was asked for. All else is counted and dropped; nothing is ever
 * answered from here. Routed addresses and strangers have a ring each, so strangers cost only each other.
 * A port is one block of MM_PORT_MEMORY_BYTES at most, whatever arrives.
 */
#ifndef MM_PORT_H
#define MM_PORT_H

#include "address.h"
#include "demux.h"
#include "routes.h"

#define MM_PORT_BYTES 1536u /* the largest datagram: Ethernet's 1,500 and what a tunnel may add */
#define MM_PORT_BATCH 64u
#define MM_PORT_MEMORY_BYTES 2000000u

enum mm_port_counter {
    /* all that was fetched: the eight below */
    MM_PORT_RECEIVED,
    MM_PORT_ROUTED,         /* RTP and RTCP handed to a peer */
    MM_PORT_STUN,           /* put into a ring */
    MM_PORT_DTLS,           /* put into a ring */
    MM_PORT_DTLS_STRANGER,  /* dropped */
    MM_PORT_MEDIA_STRANGER, /* RTP and RTCP: put into a ring if asked for, else dropped */
    MM_PORT_JUNK,           /* no kind we know */
    MM_PORT_OVERSIZE,       /* beyond MM_PORT_BYTES */
    MM_PORT_UNREADABLE,     /* without an address that can be answered: another family, or port 0 */
    MM_PORT_LAPPED,         /* lost in a ring because mm_port_read was not called in time */
    MM_PORT_UNFETCHED,      /* lost in the kernel because the packet thread came too late: not among the received */
    MM_PORT_SEND_FAILED,    /* mm_port_send */
    MM_PORT_COUNTERS
};

typedef struct mm_port mm_port;

/* Control side. NULL with errno. bind's port may be 0. An IPv6 port takes no IPv4. */
mm_port *mm_port_open(const mm_address *bind);
/* No thread may be in it any more. The routes that are still set are destroyed. */
void mm_port_destroy(void *port);
int mm_port_fd(const mm_port *p);
/* Give the address back now, while threads may still hold the descriptor: what they read or send fails and is
 * counted. 0, or -1 with errno: nothing has changed. */
int mm_port_release_address(mm_port *p);
/* Readable when there is something to read: read the 8 bytes first, then call mm_port_read until it says 0. */
int mm_port_eventfd(const mm_port *p);
/* As bound: never with port 0. */
void mm_port_address(const mm_port *p, mm_address *address);

/* Publishes, and gives back what was there, which the packet thread may still be reading: retire it. The port
 * owns what is set. Whoever answers a datagram after this has its next one routed. */
mm_routes *mm_port_set_routes(mm_port *p, mm_routes *routes);
void mm_port_tell_strangers(mm_port *p, int on);

/* 1 with a datagram (bytes: MM_PORT_BYTES), 0 when there is none. Routed addresses and strangers take turns. */
int mm_port_read(mm_port *p, enum mm_datagram_kind *kind, mm_address *from, uint8_t *bytes,
                 size_t *size, int64_t *arrival_ns);
/* Never waits. 0, or -1 with errno: counted. */
int mm_port_send(mm_port *p, const mm_address *to, const uint8_t *bytes, size_t size);

/* Any thread; a moment old. */
uint64_t mm_port_count(const mm_port *p, enum mm_port_counter which);
const char *mm_port_counter_name(enum mm_port_counter which);

/* Packet thread. Fetch reads at most MM_PORT_BATCH datagrams that wait, and says how many; dispatch hands them on as having
 * arrived at now_ns. The routes are looked up after the reading, so one that was set before an answer was sent counts for
 * whatever the answer brings. */
size_t mm_port_fetch(mm_port *p);
void mm_port_dispatch(mm_port *p, int64_t now_ns);
/* Both. */
void mm_port_receive(mm_port *p, int64_t now_ns);
/* One datagram as if it had been read; what dispatch calls. bytes is 8-byte aligned and may be changed. 1 when it was put
 * into a ring: the eventfd is the caller's to write. */
int mm_port_take(mm_port *p, const mm_address *from, uint8_t *bytes, size_t size, int64_t now_ns);

/* peer.c: RTP and RTCP from the peer's address. bytes is 8-byte aligned and may be changed. */
void mm_peer_receive(struct mm_peer *peer, uint8_t *bytes, size_t size, enum mm_datagram_kind kind,
                     int64_t arrival_ns);

#endif
