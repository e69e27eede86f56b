#include "telephone.h"

#include <string.h>

#include "wire.h"

#define EVENT_BYTES 4u
#define END_BIT 0x80u
#define LONGEST 0xFFFFu /* what the duration field holds; beyond it a tone goes on in a new segment */
/* Senders repeat a tone every 20 to 50 ms. Longer than any gap of loss we conceal, and 200 ms is the pause
 * that people leave between digits. */
#define EXPIRE_NS INT64_C(200000000)
#define FORGET_NS INT64_C(5000000000) /* no packet is later than that */
#define TICKS_PER_SECOND 50u
#define END_REPEATS 2 /* RFC 4733 section 2.5.1.4: the end is told three times */

/* ---- in -------------------------------------------------------------------------------------- */

void mm_telephone_in_init(mm_telephone_in *in) { memset(in, 0, sizeof *in); }

static void tell(const mm_telephone_in *in, int ended, mm_tone *tone) {
    *tone = (mm_tone){in->event, in->volume, (uint8_t)ended, in->duration};
}

/* A long tone goes on in a new segment, which begins where the last one ended and has no marker. */
static int continues(const mm_telephone_in *in, uint8_t event, uint32_t timestamp, int marker) {
    return in->sounding && !marker && event == in->event && timestamp == in->segment + LONGEST;
}

/* One block: the end of the tone before it, its own beginning, its own end, or fewer. */
static int put_event(mm_telephone_in *in, const uint8_t *at, uint32_t timestamp, int marker,
                     mm_tone *tones) {
    const uint8_t event = at[0], volume = at[1] & MM_TELEPHONE_MAX_VOLUME;
    const uint32_t duration = mm_get16_unchecked(at + 2);
    int told = 0;
    if (in->known && mm_rtp_after(in->segment, timestamp) < 0) return 0; /* late: of a tone that is over */
    if (continues(in, event, timestamp, marker)) {
        in->segment = timestamp;
        in->segment_duration = 0;
    } else if (!in->known || timestamp != in->segment) {
        if (in->sounding) tell(in, 1, &tones[told++]); /* its end was lost */
        *in = (mm_telephone_in){.ssrc = in->ssrc, .begin = timestamp, .segment = timestamp,
                                .known = 1, .sounding = 1, .event = event, .volume = volume,
                                .duration = duration, .heard_ns = in->heard_ns};
        tell(in, 0, &tones[told++]);
    } else if (event != in->event) {
        return 0; /* two tones cannot begin at one time: the first stands */
    }
    if (!in->sounding) return told; /* its end, told again */
    if (duration > in->segment_duration) in->segment_duration = duration;
    in->duration = in->segment - in->begin + in->segment_duration;
    if (at[1] & END_BIT) {
        in->sounding = 0;
        tell(in, 1, &tones[told++]);
    }
    return told;
}

int mm_telephone_in_put(mm_telephone_in *in, const mm_rtp *packet, int64_t arrival_ns,
                        mm_tone tones[MM_TELEPHONE_TONES]) {
    const uint32_t size = packet->payload_size;
    if (size == 0 || size % EVENT_BYTES || size > EVENT_BYTES * MM_TELEPHONE_EVENTS) return -1;
    int told = 0;
    if (in->known && (packet->ssrc != in->ssrc || arrival_ns - in->heard_ns > FORGET_NS)) {
        /* Timestamps of another source, or of hours ago, say nothing about what is late. */
        if (in->sounding) tell(in, 1, &tones[told++]);
        mm_telephone_in_init(in);
    }
    in->ssrc = packet->ssrc;
    in->heard_ns = arrival_ns;
    /* Several tones that follow each other may share a packet (section 2.5.1.5): each begins where the
     * one before it ended. */
    uint32_t timestamp = packet->timestamp;
    for (uint32_t i = 0; i < size; i += EVENT_BYTES) {
        told += put_event(in, packet->payload + i, timestamp, packet->marker && i == 0, tones + told);
        timestamp += mm_get16_unchecked(packet->payload + i + 2);
    }
    return told;
}

int mm_telephone_in_expire(mm_telephone_in *in, int64_t now_ns, mm_tone *tone) {
    if (!in->sounding || now_ns - in->heard_ns < EXPIRE_NS) return 0;
    in->sounding = 0;
    tell(in, 1, tone);
    return 1;
}

/* ---- out ------------------------------------------------------------------------------------- */

void mm_telephone_out_init(mm_telephone_out *out, uint32_t clock_hz) {
    memset(out, 0, sizeof *out);
    out->clock_hz = clock_hz;
    out->step = clock_hz / TICKS_PER_SECOND;
}

static uint32_t units(const mm_telephone_out *out, uint32_t ms) {
    return (uint32_t)((uint64_t)ms * out->clock_hz / 1000);
}

int mm_telephone_out_queue(mm_telephone_out *out, unsigned event, unsigned volume, uint32_t duration_ms,
                           uint32_t pause_ms) {
    if (event > MM_TELEPHONE_FLASH || volume > MM_TELEPHONE_MAX_VOLUME) return -1;
    if (duration_ms < MM_TELEPHONE_MIN_MS || duration_ms > MM_TELEPHONE_MAX_MS || pause_ms > MM_TELEPHONE_MAX_MS) return -1;
    if (out->count == MM_TELEPHONE_QUEUE) return -1;
    const uint32_t at = (out->head + out->count++) % MM_TELEPHONE_QUEUE;
    out->queue[at].event = (uint8_t)event;
    out->queue[at].volume = (uint8_t)volume;
    out->queue[at].duration = units(out, duration_ms);
    out->queue[at].pause = units(out, pause_ms);
    return 0;
}

uint32_t mm_telephone_out_waiting(const mm_telephone_out *out) { return out->count; }

static enum mm_telephone_due fill(mm_telephone_out *out, mm_rtp *packet, int marker,
                                  enum mm_telephone_due due) {
    packet->marker = (uint8_t)marker;
    packet->timestamp = out->segment;
    packet->payload = out->last;
    packet->payload_size = EVENT_BYTES;
    return due;
}

static void finish(mm_telephone_out *out) {
    out->sounding = 0;
    out->repeats = END_REPEATS;
    out->pausing = 1;
    out->quiet_until = out->begin + out->total + out->queue[out->head].pause;
    out->head = (out->head + 1) % MM_TELEPHONE_QUEUE;
    out->count--;
}

/* How far the tone has come, at the end of this tick. Left-out ticks count: the clock went on. */
static enum mm_telephone_due go_on(mm_telephone_out *out, uint32_t timestamp, mm_rtp *packet,
                                   int marker) {
    const uint32_t end = timestamp + out->step - out->begin;
    const uint32_t elapsed = end < out->total ? end : out->total;
    const uint32_t before = out->segment - out->begin;
    const int whole_segment = elapsed - before > LONGEST;
    const int ends = !whole_segment && elapsed == out->total;
    out->last[0] = out->queue[out->head].event;
    out->last[1] = (uint8_t)(out->queue[out->head].volume | (ends ? END_BIT : 0));
    mm_put16_unchecked(out->last + 2, whole_segment ? LONGEST : elapsed - before);
    const enum mm_telephone_due due = fill(out, packet, marker, MM_TELEPHONE_INSTEAD);
    if (whole_segment) out->segment += LONGEST; /* the packet of the next tick begins there */
    if (ends) finish(out);
    return due;
}

enum mm_telephone_due mm_telephone_out_next(mm_telephone_out *out, uint32_t timestamp, mm_rtp *packet) {
    if (out->sounding) return go_on(out, timestamp, packet, 0);
    if (out->repeats) {
        out->repeats--;
        return fill(out, packet, 0, MM_TELEPHONE_BESIDE);
    }
    /* After the repeats at the soonest: the end of one tone is not told after the next began. */
    if (out->pausing && mm_rtp_after(timestamp, out->quiet_until) > 0) return MM_TELEPHONE_NOTHING;
    out->pausing = 0;
    if (!out->count) return MM_TELEPHONE_NOTHING;
    out->sounding = 1;
    out->begin = out->segment = timestamp;
    out->total = out->queue[out->head].duration;
    return go_on(out, timestamp, packet, 1);
}
