/* Who hears the same mix shares one encoder: cost grows with speakers, not with listeners.
 *
 * A group is the legs of one bridge with one codec and setting. All that hear the shared mix get
 * the packet of a shared encoder (one without FEC and one with, for legs that report loss); a leg
 * with a mix of its own has a private encoder. Leaving, the private encoder is a byte copy of the
 * shared one, so that the far decoder notices nothing; returning, the shared one codes that frame
 * without prediction: a quiet frame, if one comes within half a second. A shared encoder that
 * nobody else listens to is continued from the returning leg's instead. G.722, which cannot leave
 * out prediction, is joined in a quiet frame and over 300 ms, in which its decoder forgets.
 * Design 4.7. Tick thread; no memory but what is handed in.
 */
#ifndef MM_ENCODE_H
#define MM_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "codec.h"

#define MM_ENCODED_BYTES 640 /* 20 ms at 256 kb/s; Opus keeps to its room */

enum mm_encode_place {
    MM_ENCODE_NOWHERE, /* nothing was encoded for it yet */
    MM_ENCODE_SHARED,
    MM_ENCODE_SHARED_FEC,
    MM_ENCODE_PRIVATE
};

typedef struct mm_encode_leg {
    /* Set before a tick: NULL means the shared mix. */
    const int16_t *own_mix;
    /* Stand after a tick, until the next: what to send; size 0: nothing (DTX), -1: not encoded. */
    const uint8_t *payload;
    int size;
    /* The rest is the group's. */
    enum mm_encode_place place;
    uint8_t fec, loss_percent;
    uint8_t waiting_ticks;  /* wants to go back, and so long no moment was good */
    uint8_t settling_ticks; /* quiet ones until a private leg may go back; 0: does not want to */
    void *encoder;
    uint8_t own_payload[MM_ENCODED_BYTES];
} mm_encode_leg;

typedef struct mm_encode_counters {
    uint64_t shared_frames, private_frames, leaves, detached, adopted, settled;
} mm_encode_counters;

typedef struct mm_encode_shared {
    void *encoder;
    uint8_t payload[MM_ENCODED_BYTES];
    int size;
    size_t listeners; /* of this tick */
    uint8_t loss_percent;
} mm_encode_shared;

typedef struct mm_encode_group {
    enum mm_codec codec;
    mm_encoder_settings settings;
    size_t encoder_bytes;
    mm_encode_shared shared[2]; /* without FEC, with */
    mm_encode_counters counters;
} mm_encode_group;

/* Bytes of encoder memory, aligned to 64: two of it for a group, one for a leg. */
size_t mm_encode_room(enum mm_codec codec);
/* *memory*: 2 * mm_encode_room bytes. settings->fec allows FEC where losses are reported, dimensioned
 * for those, or for settings->loss_percent when that is more. -1 when the codec or a setting is not
 * to be had. */
int mm_encode_group_init(mm_encode_group *group, enum mm_codec codec,
                         const mm_encoder_settings *settings, void *memory);
/* *memory*: mm_encode_room bytes. */
void mm_encode_leg_init(mm_encode_leg *leg, void *memory);
/* Leave the group now, whatever becomes of it: *leg* goes on from a copy of its encoder, in this group or in
 * another of the same codec and settings, and its far decoder notices nothing. Between two ticks. */
void mm_encode_leg_part(mm_encode_group *group, mm_encode_leg *leg);
/* What the far end reports: FEC goes on at 3 % of loss, off below 1 %. */
void mm_encode_leg_report_loss(mm_encode_leg *leg, double percent);
/* Encode one frame for every leg. */
void mm_encode_tick(mm_encode_group *group, mm_encode_leg *const *legs, size_t count,
                    const int16_t *shared_mix, int samples);

#endif
