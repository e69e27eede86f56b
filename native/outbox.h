/* Datagrams of one thread on their way out: written in place, sent 64 at a time.
 *
 * To send: bytes = room(), write into it, add() with the size; flush() when the tick is done. Datagrams leave in
 * the order of adding. Nothing waits: what a full socket does not take is dropped and counted.
 */
#ifndef MM_OUTBOX_H
#define MM_OUTBOX_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define MM_OUTBOX_DATAGRAMS 64u
#define MM_OUTBOX_ROOM 1536u

typedef struct mm_destination {
    int fd; /* -1: discarded when flushed; for tests in virtual time */
    struct sockaddr_storage to;
    socklen_t to_bytes;
} mm_destination;

typedef struct mm_outbox {
    uint32_t waiting; /* all of them for one socket */
    uint32_t sizes[MM_OUTBOX_DATAGRAMS];
    uint8_t slots[MM_OUTBOX_DATAGRAMS]; /* which one each datagram is in */
    mm_destination to[MM_OUTBOX_DATAGRAMS];
    _Atomic uint64_t sent, dropped;
    alignas(64) uint8_t bytes[MM_OUTBOX_DATAGRAMS][MM_OUTBOX_ROOM];
} mm_outbox;

/* Owner thread, all up to the counters. */
void mm_outbox_init(mm_outbox *o);
/* MM_OUTBOX_ROOM bytes, 8-byte aligned, good until add or flush; the same again if asked twice. Flushes when all
 * slots are taken. */
uint8_t *mm_outbox_room(mm_outbox *o);
/* What was written to room() goes to *to*, which is copied. Flushes first when the socket is another one. */
void mm_outbox_add(mm_outbox *o, const mm_destination *to, size_t size);
void mm_outbox_flush(mm_outbox *o);

/* What was added and not flushed, the oldest first. */
size_t mm_outbox_waiting(const mm_outbox *o);
const uint8_t *mm_outbox_datagram(const mm_outbox *o, size_t index, size_t *size,
                                  const mm_destination **to);

/* Any thread. Of what has a socket, added = sent + dropped + waiting. */
uint64_t mm_outbox_sent(const mm_outbox *o);
uint64_t mm_outbox_dropped(const mm_outbox *o);

#endif
