#define _GNU_SOURCE
#include "port.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "memory.h"
#include "packet_ring.h"

#define RECEIVE_BUFFER_BYTES (4 << 20) /* 500 legs for a second and more, at 200 bytes and 500 of overhead */
#define SEND_BUFFER_BYTES (1 << 20)
#define RING_SLOTS 512u /* each ring: half a second of a thousand forged ones a second */

/* What a ring carries: the address, then the datagram. */
typedef struct noted {
    mm_address from;
    uint8_t bytes[MM_PORT_BYTES];
} noted;

_Static_assert(sizeof(noted) % 8 == 0, "a ring's room is whole words");

enum { ROUTED, STRANGERS, RINGS };

struct mm_port {
    int fd, eventfd;
    mm_address address;
    mm_packet_ring *ring[RINGS];
    _Atomic(mm_routes *) routes;
    _Atomic int tell_strangers;
    /* Control side. */
    alignas(64) noted read;
    int turn;
    _Atomic uint64_t send_failed;
    /* Packet thread. */
    alignas(64) _Atomic uint64_t counters[MM_PORT_COUNTERS];
    size_t fetched;
    noted note;
    struct mmsghdr message[MM_PORT_BATCH];
    struct iovec piece[MM_PORT_BATCH];
    struct sockaddr_in6 from[MM_PORT_BATCH]; /* has room for both families */
    alignas(64) uint8_t bytes[MM_PORT_BATCH][MM_PORT_BYTES];
};

_Static_assert(sizeof(mm_port) + RINGS * RING_SLOTS * (sizeof(noted) + 64) < MM_PORT_MEMORY_BYTES - 65536,
               "with what the rings add to a slot, and pages");

static const char *const NAMES[MM_PORT_COUNTERS] = {
    [MM_PORT_RECEIVED] = "received",
    [MM_PORT_ROUTED] = "routed",
    [MM_PORT_STUN] = "stun",
    [MM_PORT_DTLS] = "dtls",
    [MM_PORT_DTLS_STRANGER] = "dtls_stranger",
    [MM_PORT_MEDIA_STRANGER] = "media_stranger",
    [MM_PORT_JUNK] = "junk",
    [MM_PORT_OVERSIZE] = "oversize",
    [MM_PORT_UNREADABLE] = "unreadable",
    [MM_PORT_LAPPED] = "lapped",
    [MM_PORT_UNFETCHED] = "unfetched",
    [MM_PORT_SEND_FAILED] = "send_failed",
};

/* ---- control side ---------------------------------------------------------------------------- */

/* More than net.core.rmem_max needs a right; without it, the kernel gives what that allows. */
static int set_buffer(int fd, int force, int plain, int bytes) {
    if (setsockopt(fd, SOL_SOCKET, force, &bytes, sizeof bytes) == 0) return 0;
    return setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes);
}

static int open_socket(mm_port *p, const mm_address *bind_to) {
    struct sockaddr_storage at;
    socklen_t at_bytes = mm_address_to_socket(bind_to, &at);
    const int one = 1;
    p->fd = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
    if (p->fd < 0) return -1;
    if (bind_to->is_ipv6 && setsockopt(p->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one)) return -1;
    if (set_buffer(p->fd, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER_BYTES)) return -1;
    if (set_buffer(p->fd, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER_BYTES)) return -1;
    if (bind(p->fd, (struct sockaddr *)&at, at_bytes)) return -1;
    at_bytes = sizeof at;
    if (getsockname(p->fd, (struct sockaddr *)&at, &at_bytes)) return -1;
    return mm_address_from_socket(&p->address, (struct sockaddr *)&at, at_bytes);
}

static int open_rings(mm_port *p) {
    for (int i = 0; i < RINGS; i++) {
        p->ring[i] = mm_packet_ring_create(RING_SLOTS, sizeof(noted));
        if (!p->ring[i]) return -1;
    }
    p->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return p->eventfd < 0 ? -1 : 0;
}

mm_port *mm_port_open(const mm_address *bind_to) {
    mm_port *p = mm_pages_alloc(sizeof *p);
    if (!p) return NULL;
    p->fd = p->eventfd = -1;
    for (size_t i = 0; i < MM_PORT_BATCH; i++) {
        p->piece[i] = (struct iovec){p->bytes[i], MM_PORT_BYTES};
        p->message[i].msg_hdr.msg_name = &p->from[i];
        p->message[i].msg_hdr.msg_namelen = sizeof p->from[i];
        p->message[i].msg_hdr.msg_iov = &p->piece[i];
        p->message[i].msg_hdr.msg_iovlen = 1;
    }
    if (open_socket(p, bind_to) || open_rings(p)) {
        const int error = errno;
        mm_port_destroy(p);
        errno = error;
        return NULL;
    }
    return p;
}

void mm_port_destroy(void *port) {
    mm_port *p = port;
    if (!p) return;
    if (p->fd >= 0) close(p->fd);
    if (p->eventfd >= 0) close(p->eventfd);
    for (int i = 0; i < RINGS; i++) mm_packet_ring_destroy(p->ring[i]);
    mm_routes_destroy(atomic_load(&p->routes));
    mm_pages_free(p);
}

int mm_port_fd(const mm_port *p) { return p->fd; }

int mm_port_release_address(mm_port *p) {
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing < 0) return -1;
    const int result = dup3(nothing, p->fd, O_CLOEXEC);
    const int error = errno;
    close(nothing);
    errno = error;
    return result < 0 ? -1 : 0;
}
int mm_port_eventfd(const mm_port *p) { return p->eventfd; }
void mm_port_address(const mm_port *p, mm_address *address) { *address = p->address; }

mm_routes *mm_port_set_routes(mm_port *p, mm_routes *routes) {
    return atomic_exchange(&p->routes, routes);
}

void mm_port_tell_strangers(mm_port *p, int on) {
    atomic_store_explicit(&p->tell_strangers, on, memory_order_relaxed);
}

int mm_port_read(mm_port *p, enum mm_datagram_kind *kind, mm_address *from, uint8_t *bytes,
                 size_t *size, int64_t *arrival_ns) {
    size_t whole;
    int which = p->turn;
    if (!mm_packet_ring_read(p->ring[which], (uint8_t *)&p->read, &whole, arrival_ns)) {
        which = RINGS - 1 - which;
        if (!mm_packet_ring_read(p->ring[which], (uint8_t *)&p->read, &whole, arrival_ns)) return 0;
    }
    p->turn = RINGS - 1 - which;
    *size = whole - offsetof(noted, bytes);
    *from = p->read.from;
    memcpy(bytes, p->read.bytes, *size);
    *kind = mm_datagram_kind(bytes, *size);
    return 1;
}

static void own_add(_Atomic uint64_t *counter, uint64_t more) {
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}

int mm_port_send(mm_port *p, const mm_address *to, const uint8_t *bytes, size_t size) {
    struct sockaddr_storage at;
    const socklen_t at_bytes = mm_address_to_socket(to, &at);
    if (sendto(p->fd, bytes, size, MSG_DONTWAIT, (struct sockaddr *)&at, at_bytes) >= 0) return 0;
    own_add(&p->send_failed, 1);
    return -1;
}

static uint64_t unfetched(const mm_port *p) {
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t bytes = sizeof memory;
    return getsockopt(p->fd, SOL_SOCKET, SO_MEMINFO, memory, &bytes) ? 0 : memory[SK_MEMINFO_DROPS];
}

uint64_t mm_port_count(const mm_port *p, enum mm_port_counter which) {
    if (which == MM_PORT_UNFETCHED) return unfetched(p);
    if (which == MM_PORT_LAPPED)
        return mm_packet_ring_lapped(p->ring[ROUTED]) + mm_packet_ring_lapped(p->ring[STRANGERS]);
    const _Atomic uint64_t *counter = which == MM_PORT_SEND_FAILED ? &p->send_failed : &p->counters[which];
    return atomic_load_explicit(counter, memory_order_relaxed);
}

const char *mm_port_counter_name(enum mm_port_counter which) { return NAMES[which]; }

/* ---- packet thread --------------------------------------------------------------------------- */

static void count(mm_port *p, enum mm_port_counter which) { own_add(&p->counters[which], 1); }

static int note(mm_port *p, int ring, const mm_address *from, const uint8_t *bytes, size_t size,
                int64_t now_ns) {
    p->note.from = *from;
    memcpy(p->note.bytes, bytes, size);
    return mm_packet_ring_write(p->ring[ring], (uint8_t *)&p->note, offsetof(noted, bytes) + size, now_ns);
}

int mm_port_take(mm_port *p, const mm_address *from, uint8_t *bytes, size_t size, int64_t now_ns) {
    count(p, MM_PORT_RECEIVED);
    if (size > MM_PORT_BYTES) {
        count(p, MM_PORT_OVERSIZE);
        return 0;
    }
    if (from->port == 0) { /* RFC 768: no answer is expected, and none can be sent */
        count(p, MM_PORT_UNREADABLE);
        return 0;
    }
    const enum mm_datagram_kind kind = mm_datagram_kind(bytes, size);
    if (kind == MM_DATAGRAM_JUNK) {
        count(p, MM_PORT_JUNK);
        return 0;
    }
    const mm_routes *routes = atomic_load_explicit(&p->routes, memory_order_acquire);
    struct mm_peer *peer = mm_routes_find(routes, from);
    const int ring = peer ? ROUTED : STRANGERS;
    if (kind == MM_DATAGRAM_STUN) {
        count(p, MM_PORT_STUN);
        return note(p, ring, from, bytes, size, now_ns);
    }
    if (kind == MM_DATAGRAM_DTLS) {
        count(p, peer ? MM_PORT_DTLS : MM_PORT_DTLS_STRANGER);
        return peer && note(p, ring, from, bytes, size, now_ns);
    }
    if (!peer) {
        count(p, MM_PORT_MEDIA_STRANGER);
        return atomic_load_explicit(&p->tell_strangers, memory_order_relaxed) &&
               note(p, ring, from, bytes, size, now_ns);
    }
    count(p, MM_PORT_ROUTED);
    mm_peer_receive(peer, bytes, size, kind, now_ns);
    return 0;
}

size_t mm_port_fetch(mm_port *p) {
    for (size_t i = 0; i < p->fetched; i++)
        p->message[i].msg_hdr.msg_namelen = sizeof p->from[i];
    const int got = recvmmsg(p->fd, p->message, MM_PORT_BATCH, MSG_DONTWAIT, NULL);
    /* Nothing there, or what became of an earlier answer (ECONNREFUSED), which is no reader's business. */
    p->fetched = got > 0 ? (size_t)got : 0;
    return p->fetched;
}

void mm_port_dispatch(mm_port *p, int64_t now_ns) {
    int wake = 0;
    for (size_t i = 0; i < p->fetched; i++) {
        const struct msghdr *head = &p->message[i].msg_hdr;
        mm_address from;
        if (mm_address_from_socket(&from, head->msg_name, head->msg_namelen)) {
            count(p, MM_PORT_RECEIVED);
            count(p, MM_PORT_UNREADABLE);
            continue;
        }
        const size_t size = head->msg_flags & MSG_TRUNC ? MM_PORT_BYTES + 1 : p->message[i].msg_len;
        wake |= mm_port_take(p, &from, p->bytes[i], size, now_ns);
    }
    if (!wake) return;
    const uint64_t one = 1; /* a full counter (EAGAIN) is as good a wake-up as any */
    const ssize_t written = write(p->eventfd, &one, sizeof one);
    (void)written;
}

void mm_port_receive(mm_port *p, int64_t now_ns) {
    mm_port_fetch(p);
    mm_port_dispatch(p, now_ns);
}
