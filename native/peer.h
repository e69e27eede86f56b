/* The far end of a leg that RTP reaches: its ear (receiver), its mouth (encode leg), and what keeps the two
 * honest: SRTP, RTCP, telephone events, statistics.
 *
 * Three threads meet here. The packet thread (or, for a media link, the link's one thread) decrypts and puts
 * datagrams into a ring. The tick thread that owns the peer drains it and does all the rest; which one that
 * is may change between two ticks. The control side sets destination and keys, queues and reads tones, reads
 * counters. Nothing waits for anything, and nothing allocates on the two real-time paths (srtp.h's one
 * exception).
 */
#ifndef MM_PEER_H
#define MM_PEER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "codec.h"
#include "demux.h"
#include "encode.h"
#include "frame.h"
#include "ledger.h"
#include "outbox.h"
#include "receive.h"
#include "srtp.h"
#include "telephone.h"

#define MM_PEER_RING_SLOTS 64u
#define MM_PEER_RING_BYTES 1504u
#define MM_PEER_CNAME_BYTES 32u
#define MM_PEER_TONES 32u /* queued each way between control side and tick thread */

typedef struct mm_peer_settings {
    mm_receiver_settings receive;
    uint8_t event_clock_khz;     /* of received telephone events; 0: 8 */
    int secure;                  /* nothing goes in or out before there are keys */
    enum mm_codec codec;         /* sent; MM_CODECS: nothing ever is but RTCP */
    mm_encoder_settings encoder; /* of Opus */
    uint8_t payload_type;        /* of what is sent */
    uint8_t event_type;          /* payload type of tones sent, on the codec's clock; 0: none are */
    uint8_t level_extension_id;  /* of RFC 6464 in what is sent; 0: none */
    uint32_t ssrc;
    uint16_t sequence;           /* of the first packet; below 32768, so that SRTP's far end may join late */
    uint32_t timestamp;          /* of the first tick */
    char cname[MM_PEER_CNAME_BYTES + 1];
} mm_peer_settings;

/* Counters grow; those marked "now" are the present value. The statistics of the tick thread are published
 * five times a second, so that what is read here is a fraction of a second old. */
enum mm_peer_counter {
    /* In: packets of the source that is listened to. */
    MM_PEER_RECEIVED,
    MM_PEER_EXPECTED,
    MM_PEER_LOST,      /* expected and never received, as RFC 3550 counts */
    MM_PEER_JITTER_US, /* now */
    MM_PEER_LAPPED,    /* datagrams lost because no tick took them in time */
    MM_PEER_OVERSIZE,  /* datagrams beyond MM_PEER_RING_BYTES */
    MM_PEER_NOT_KEYED, /* datagrams that came before the keys */
    MM_PEER_SRTP_GOOD,
    MM_PEER_SRTP_SHORT,
    MM_PEER_SRTP_FORGED,
    MM_PEER_SRTP_REPLAYED,
    MM_PEER_SRTP_REFUSED,
    MM_PEER_SRTP_FAILED, /* in both directions */
    MM_PEER_TONES_HEARD, /* begun */
    MM_PEER_TONES_UNREAD, /* beginnings and ends dropped, because mm_peer_read_tone was not called in time */
    MM_PEER_EVENTS_BAD,  /* payloads that are no list of events */
    /* RTCP. */
    MM_PEER_RTCP_RECEIVED, /* datagrams that parse */
    MM_PEER_RTCP_BAD,
    MM_PEER_RTCP_SENT,
    MM_PEER_BYES_HEARD, /* of the source that is listened to */
    MM_PEER_BYES_SENT,  /* 1 once the far end has been told */
    MM_PEER_ROUND_TRIPS,   /* times it was measured; 0: not known */
    MM_PEER_ROUND_TRIP_US, /* now */
    MM_PEER_FAR_REPORTS,   /* about what is sent; 0: the next four are not known */
    MM_PEER_FAR_LOST_256THS, /* now: in the last report */
    MM_PEER_FAR_LOST_SMOOTHED_256THS, /* now: what FEC is switched by */
    MM_PEER_FAR_LOST, /* packets, all in all; never below 0 */
    MM_PEER_FAR_JITTER_US, /* now */
    /* Out. */
    MM_PEER_SENT_PACKETS, /* RTP */
    MM_PEER_SENT_OCTETS,  /* their payloads */
    MM_PEER_TONES_SENT,   /* begun */
    MM_PEER_COUNTERS
};

typedef struct mm_peer mm_peer;

/* ---- control side -------------------------------------------------------------------------------- */

/* NULL with errno: ENOMEM; EINVAL: the codec is not to be had (Opus not bound, MM_PCM16K) or a setting is out
 * of range. The libraries of the codecs are bound before. */
mm_peer *mm_peer_create(const mm_peer_settings *settings);
/* No thread may be in it any more. The destination that is still set goes with it. */
void mm_peer_destroy(void *peer);
/* For the lead of a bridge: who ticks it. Only kept here, never looked at. */
_Atomic(void *) *mm_peer_owner(mm_peer *p);

/* *destination* is malloc's, or NULL: nothing is sent. Publishes it and returns the one before, which the tick
 * thread may still be reading: retire it, and free it then. */
mm_destination *mm_peer_set_destination(mm_peer *p, mm_destination *destination);
/* Once. in: what the far end protects with. 0; -1 when there are keys already, or the profile or a length is
 * wrong. The keys are not kept, the library is. */
int mm_peer_set_keys(mm_peer *p, const mm_srtp_library *library, enum mm_srtp_profile profile,
                     const uint8_t *in, const uint8_t *out, size_t key_bytes);
/* With the next tick the far end is told that this is over, and nothing is sent from then on. */
void mm_peer_say_bye(mm_peer *p);
/* 0; -1: event 0 to 16, volume 0 to 63, 20 to 60,000 ms and a pause of at most 60,000 ms are possible, tones
 * were not agreed upon, or too many wait. */
int mm_peer_queue_tone(mm_peer *p, unsigned event, unsigned volume, uint32_t duration_ms, uint32_t pause_ms);
/* 1 with a tone that began or ended, its duration in ms; 0 when there is none. */
int mm_peer_read_tone(mm_peer *p, mm_tone *tone);
/* Something other than media came from the far end (a consent check, a keep-alive of the link). */
void mm_peer_heard(mm_peer *p, int64_t now_ns);
/* 0: never. Media counts once it is decrypted. */
int64_t mm_peer_last_heard_ns(const mm_peer *p);
/* How many datagrams were put into the ring so far. */
uint64_t mm_peer_arrivals(const mm_peer *p);
uint64_t mm_peer_count(const mm_peer *p, enum mm_peer_counter which);
/* Of the enum without MM_PEER_, in small letters; NULL for none. */
const char *mm_peer_counter_name(enum mm_peer_counter which);
const mm_ledger *mm_peer_ledger(const mm_peer *p);

/* ---- packet thread ------------------------------------------------------------------------------- */

/* RTP or RTCP, 8-byte aligned; decrypted in place. Any other kind is ignored. */
void mm_peer_receive(mm_peer *p, uint8_t *bytes, size_t size, enum mm_datagram_kind kind, int64_t arrival_ns);
/* Instead of the packet thread, from one thread at a time: a frame of a media link. settings->receive.types
 * has a payload type for MM_PCM16K. Of *meta*, flags and speakers go along. Frames come in
 * order: a number or timestamp that steps back is a link that begins anew. NULL in pcm: a silent frame. 0; -1: no
 * such payload type. */
int mm_peer_push_pcm(mm_peer *p, uint32_t sequence, uint32_t timestamp_samples, const mm_meta *meta,
                     const int16_t pcm[MM_FRAME_SAMPLES], int64_t arrival_ns);

/* ---- tick thread --------------------------------------------------------------------------------- */

/* How many datagrams were taken from the ring so far, and lost there because no tick took them in time. */
uint64_t mm_peer_taken(const mm_peer *p);
uint64_t mm_peer_lapped(const mm_peer *p);
/* One frame of what the far end says. *meta* has flags and, from a link, speakers. */
void mm_peer_pull(mm_peer *p, int64_t now_ns, mm_meta *meta, int16_t pcm[MM_FRAME_SAMPLES]);
/* Before this tick's pull: what had come when the control side asked mm_peer_arrivals is not wanted any more. */
void mm_peer_flush(mm_peer *p, uint64_t arrivals, int64_t now_ns);
/* So many ticks were left out: neither heard nor sent, and time goes on in both directions. */
void mm_peer_skip(mm_peer *p, uint64_t ticks);
/* To be put into the group of mm_peer_codec and mm_peer_encoder_settings; before a peer leaves a bridge,
 * mm_encode_leg_part. NULL when it is never sent to. */
mm_encode_leg *mm_peer_encode_leg(mm_peer *p);
enum mm_codec mm_peer_codec(const mm_peer *p);
const mm_encoder_settings *mm_peer_encoder_settings(const mm_peer *p);
/* Once a tick, after mm_encode_tick: audio, tones, RTCP, BYE. level_dbov: of what is sent, 0 to -127, or
 * MM_RTP_NO_LEVEL. Without a destination, or before the keys of a secure peer, nothing goes out, but time
 * goes on. */
void mm_peer_send(mm_peer *p, mm_outbox *outbox, int64_t now_ns, int8_t level_dbov);

#endif
