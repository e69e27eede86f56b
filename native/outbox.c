#define _GNU_SOURCE
#include "outbox.h"

#include <errno.h>
#include <string.h>

static void own_add(_Atomic uint64_t *counter, uint64_t more) {
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}

void mm_outbox_init(mm_outbox *o) {
    memset(o, 0, sizeof *o);
    for (uint32_t i = 0; i < MM_OUTBOX_DATAGRAMS; i++) o->slots[i] = (uint8_t)i;
}

uint8_t *mm_outbox_room(mm_outbox *o) {
    if (o->waiting == MM_OUTBOX_DATAGRAMS) mm_outbox_flush(o);
    return o->bytes[o->slots[o->waiting]];
}

void mm_outbox_add(mm_outbox *o, const mm_destination *to, size_t size) {
    if (size > MM_OUTBOX_ROOM || to->to_bytes > sizeof to->to) {
        own_add(&o->dropped, 1);
        return;
    }
    if (o->waiting && o->to[0].fd != to->fd) {
        /* The slot just written comes first after the flush. */
        const uint32_t at = o->waiting;
        const uint8_t slot = o->slots[at];
        mm_outbox_flush(o);
        o->slots[at] = o->slots[0];
        o->slots[0] = slot;
    }
    mm_destination *copy = &o->to[o->waiting];
    copy->fd = to->fd;
    copy->to_bytes = to->to_bytes;
    memcpy(&copy->to, &to->to, to->to_bytes);
    o->sizes[o->waiting++] = (uint32_t)size;
}

/* How many left. */
static size_t send_all(int fd, struct mmsghdr *message, size_t count) {
    size_t at = 0, sent = 0;
    int refused = 0;
    while (at < count) {
        const int done = sendmmsg(fd, message + at, (unsigned)(count - at), MSG_DONTWAIT);
        if (done > 0) {
            at += (size_t)done;
            sent += (size_t)done;
            refused = 0;
        } else if (errno == EINTR) {
            continue;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
            break; /* what would not fit now is late at the next tick */
        } else if (errno == ECONNREFUSED && !refused) {
            refused = 1; /* said of an earlier datagram: this one was not tried */
        } else {
            at++; /* this one cannot be sent: no route, too long, not allowed */
            refused = 0;
        }
    }
    return sent;
}

void mm_outbox_flush(mm_outbox *o) {
    const uint32_t count = o->waiting;
    o->waiting = 0;
    if (!count || o->to[0].fd < 0) return;
    struct mmsghdr message[MM_OUTBOX_DATAGRAMS];
    struct iovec piece[MM_OUTBOX_DATAGRAMS];
    memset(message, 0, count * sizeof *message);
    for (uint32_t i = 0; i < count; i++) {
        piece[i] = (struct iovec){o->bytes[o->slots[i]], o->sizes[i]};
        message[i].msg_hdr.msg_name = &o->to[i].to;
        message[i].msg_hdr.msg_namelen = o->to[i].to_bytes;
        message[i].msg_hdr.msg_iov = &piece[i];
        message[i].msg_hdr.msg_iovlen = 1;
    }
    const size_t sent = send_all(o->to[0].fd, message, count);
    own_add(&o->sent, sent);
    own_add(&o->dropped, count - sent);
}

size_t mm_outbox_waiting(const mm_outbox *o) { return o->waiting; }

const uint8_t *mm_outbox_datagram(const mm_outbox *o, size_t index, size_t *size,
                                  const mm_destination **to) {
    *size = o->sizes[index];
    *to = &o->to[index];
    return o->bytes[o->slots[index]];
}

uint64_t mm_outbox_sent(const mm_outbox *o) {
    return atomic_load_explicit(&o->sent, memory_order_relaxed);
}

uint64_t mm_outbox_dropped(const mm_outbox *o) {
    return atomic_load_explicit(&o->dropped, memory_order_relaxed);
}
