/* Telephone events in and out (RFC 4733): DTMF and flash as RTP packets of their own payload type. */
#ifndef MM_TELEPHONE_H
#define MM_TELEPHONE_H

#include <stdint.h>

#include "rtp.h"

#define MM_TELEPHONE_FLASH 16u
#define MM_TELEPHONE_MAX_VOLUME 63u
#define MM_TELEPHONE_EVENTS 8u /* in one packet; one is the rule */
#define MM_TELEPHONE_TONES (2u * MM_TELEPHONE_EVENTS + 1u) /* told by one packet, at most */
#define MM_TELEPHONE_QUEUE 32u
#define MM_TELEPHONE_MIN_MS 20u
#define MM_TELEPHONE_MAX_MS 60000u

typedef struct mm_tone {
    uint8_t event;    /* 0-9, 10 star, 11 pound, 12-15 A-D, 16 flash, others as RFC 4733's registry */
    uint8_t volume;   /* dBm0 without its sign */
    uint8_t ended;    /* 0: the tone begins; 1: the same tone ends */
    uint32_t duration; /* so far, in units of the RTP clock */
} mm_tone;

/* ---- in: each tone is told twice, when the first packet of it comes (any of them: the first may be lost)
 * and when it ends. */

typedef struct mm_telephone_in {
    uint32_t ssrc, begin, segment, duration; /* segment: timestamp that the sender uses now */
    uint32_t segment_duration;
    int known, sounding;
    uint8_t event, volume;
    int64_t heard_ns;
} mm_telephone_in;

void mm_telephone_in_init(mm_telephone_in *in);
/* How many tones were written to *tones*, in order; -1 when the payload is no list of events. */
int mm_telephone_in_put(mm_telephone_in *in, const mm_rtp *packet, int64_t arrival_ns,
                        mm_tone tones[MM_TELEPHONE_TONES]);
/* Call once a tick: 1 with the end of a tone whose last packets were all lost. */
int mm_telephone_in_expire(mm_telephone_in *in, int64_t now_ns, mm_tone *tone);

/* ---- out: queued tones, one packet a tick while one sounds. */

enum mm_telephone_due {
    MM_TELEPHONE_NOTHING,
    MM_TELEPHONE_INSTEAD, /* the tone sounds: this packet and no audio */
    MM_TELEPHONE_BESIDE,  /* its end is told again: this packet, and audio goes on */
};

typedef struct mm_telephone_out {
    uint32_t clock_hz, step; /* clock units in a tick */
    uint32_t head, count;
    int sounding, repeats; /* repeats: how often the end is still to be told */
    uint32_t begin, segment, total;
    uint32_t quiet_until;
    int pausing;
    uint8_t last[4];
    struct {
        uint8_t event, volume;
        uint32_t duration, pause;
    } queue[MM_TELEPHONE_QUEUE];
} mm_telephone_out;

void mm_telephone_out_init(mm_telephone_out *out, uint32_t clock_hz);
/* 0; -1 when the queue is full or a value is out of range (event 0-16, volume 0-63, 20 ms to 60 s). */
int mm_telephone_out_queue(mm_telephone_out *out, unsigned event, unsigned volume, uint32_t duration_ms,
                           uint32_t pause_ms);
/* Once a tick with the timestamp of this tick's audio, even when it is not sent. For anything but NOTHING,
 * *packet has marker, timestamp and payload (which stays valid until the next call); payload type,
 * sequence number and SSRC are the caller's. */
enum mm_telephone_due mm_telephone_out_next(mm_telephone_out *out, uint32_t timestamp, mm_rtp *packet);
/* Tones queued or sounding. */
uint32_t mm_telephone_out_waiting(const mm_telephone_out *out);

#endif
