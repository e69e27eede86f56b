/* What the files of a receiver share. Only receive*.c include this. */
#ifndef MM_RECEIVE_PARTS_H
#define MM_RECEIVE_PARTS_H

#include <stdalign.h>

#include "delay.h"
#include "drift.h"
#include "jitter.h"
#include "noise.h"
#include "pace.h"
#include "receive.h"
#include "redundancy.h"
#include "sound.h"

#define MM_RECEIVE_KEPT 3u           /* silent packets that a decoder is warmed up with */
#define MM_RECEIVE_OPUS_PAUSE_BYTES 2u /* RFC 6716: a packet of a table of contents and nothing says pause */

enum mm_receive_state {
    IDLE,    /* nothing is known of what comes: silence */
    PAUSED,  /* the source said that it pauses: its noise, then silence */
    PLAYING,
};

struct mm_receiver {
    alignas(64) mm_ledger ledger;
    mm_receiver_settings settings;
    mm_delay delay;
    int64_t start_ns;        /* delay in hand before it is known what is needed */
    mm_drift drift;
    mm_pace pace;
    enum mm_receive_state state;
    int64_t next_samples;    /* media time of what is to be decoded next */
    uint32_t ahead_samples;  /* concealed beyond it because nothing had come: that audio may still come */
    uint32_t run_samples;    /* concealed without a packet, up to now */
    uint32_t late_in_row, quiet_ticks;
    int loud;                /* something other than silence went into this tick */
    int after_silent;        /* the last packet was silent: what is missing after it is, too */
    int after_event;         /* a telephone event was the last that came in order */
    mm_redundancy redundancy;
    uint32_t packet_samples; /* of the last one */
    mm_noise noise;
    uint32_t kept_count;
    mm_packet kept[MM_RECEIVE_KEPT];
    int decoding;            /* the decoder below is one for *codec* and *stream* */
    uint8_t codec, stream;
    mm_sound sound;
    mm_jitter jitter;
    alignas(64) uint8_t decoder[];
};

static inline void mm_receive_count(mm_receiver *r, enum mm_receive_counter which, uint64_t more) {
    mm_ledger_add(&r->ledger, which, more);
}

#endif
