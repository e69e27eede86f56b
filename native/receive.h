/* One leg's ear: RTP datagrams in as they come, exactly one 20 ms frame out a tick.
 *
 * Delay follows the network: as much as nearly all packets of the last five seconds needed, given back by
 * leaving out pitch periods and taken by telling them twice; free of charge where the source pauses. What
 * is lost is read from the next packet's redundancy, or made up by the decoder. All of it belongs to the tick
 * thread; only the ledger may be read elsewhere.
 */
#ifndef MM_RECEIVE_H
#define MM_RECEIVE_H

#include <stddef.h>
#include <stdint.h>

#include "codec.h"
#include "frame.h"
#include "ledger.h"
#include "rtp.h"

/* What a payload type carries: 0 for not agreed upon, 1 + enum mm_codec, or one of these. */
enum mm_receive_type { MM_TYPE_NONE = 0, MM_TYPE_NOISE = 64 /* RFC 3389 */, MM_TYPE_EVENT /* RFC 4733 */ };

typedef struct mm_receiver_settings {
    uint8_t types[128];
    uint8_t level_extension_id; /* 0: none agreed upon */
    /* Packets that tell a level of this or less in dBov need not be decoded; below what the gate lets through.
     * -127: only digital silence. 0: all are decoded. */
    int8_t silent_dbov;
    uint16_t cap_ms; /* the most delay, with the frame itself: 500 */
} mm_receiver_settings;

typedef struct mm_receiver mm_receiver;

/* 64-byte aligned memory for one; the libraries of its codecs are bound before. */
size_t mm_receiver_bytes(void);
void mm_receiver_init(void *memory, const mm_receiver_settings *settings);
/* The same in memory of its own. NULL when out of memory. */
mm_receiver *mm_receiver_create(const mm_receiver_settings *settings);
void mm_receiver_destroy(void *receiver);

/* A datagram that is RTP, decrypted. Telephone events are to be pushed too: they take sequence numbers. */
void mm_receiver_push(mm_receiver *receiver, const uint8_t *rtp, size_t size, int64_t arrival_ns);
/* The same, parsed by the caller. */
void mm_receiver_push_rtp(mm_receiver *receiver, const mm_rtp *rtp, int64_t arrival_ns);
/* Whether this source is the one that is played, as far as is known. */
int mm_receiver_follows(const mm_receiver *receiver, uint32_t ssrc);
/* This tick's frame; *meta tells its kind (frame.h). A media link's frames bring flags and speakers of their
 * own along. */
void mm_receiver_pull(mm_receiver *receiver, int64_t now_ns, mm_meta *meta,
                      int16_t pcm[MM_FRAME_SAMPLES]);
/* Nobody has pulled for a while, and none of that time is to be made up for: go on with what came last. */
void mm_receiver_catch_up(mm_receiver *receiver, int64_t now_ns);
/* What has come is not wanted any more: what is due next fades out within 5 ms, the rest is dropped. */
void mm_receiver_flush(mm_receiver *receiver, int64_t now_ns);
/* The engine left out so many ticks: what was due in them is not played. */
void mm_receiver_skip(mm_receiver *receiver, uint64_t ticks);

const mm_ledger *mm_receiver_ledger(const mm_receiver *receiver);

#endif
