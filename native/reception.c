#include "reception.h"

#include <string.h>

#define MAX_DROPOUT 3000u  /* RFC 3550 appendix A.1: a minute of 20 ms packets may be missing */
#define MAX_MISORDER 100u  /* 2 s late */
#define NONE_JUMPED 0x10000u
#define MAX_TRANSIT_STEP_S 5u /* a clock that was set anew is no jitter */

void mm_reception_init(mm_reception *r) { memset(r, 0, sizeof *r); }

static uint32_t extended_max(const mm_reception *r) { return r->cycles + r->max_sequence; }

static uint32_t expected(const mm_reception *r) {
    return r->started ? extended_max(r) - r->base_sequence + 1 : 0;
}

/* A new source or a new sequence of this one: the old counts go to the totals. */
static void restart(mm_reception *r, uint16_t sequence) {
    r->earlier_expected += expected(r);
    r->earlier_received += r->received;
    r->started = 1;
    r->base_sequence = r->max_sequence = sequence;
    r->cycles = 0;
    r->bad_sequence = NONE_JUMPED;
    r->received = r->expected_before = r->received_before = 0;
    r->have_transit = 0;
}

/* 1 when the packet belongs to the sequence (A.1, without its probation: SRTP or a validated address has
 * told by now that the source is real). */
static int follow(mm_reception *r, uint16_t sequence) {
    const uint16_t step = (uint16_t)(sequence - r->max_sequence);
    if (step < MAX_DROPOUT) {
        if (sequence < r->max_sequence) r->cycles += 0x10000;
        r->max_sequence = sequence;
    } else if (step <= 0x10000 - MAX_MISORDER) {
        if (sequence != r->bad_sequence) {
            r->bad_sequence = (uint16_t)(sequence + 1);
            return 0;
        }
        restart(r, sequence); /* two in a row: the other side began anew without a word */
    }
    r->bad_sequence = NONE_JUMPED;
    return 1;
}

static uint32_t clock_units(int64_t ns, uint32_t hz) {
    const uint64_t whole = (uint64_t)(ns / 1000000000), rest = (uint64_t)(ns % 1000000000);
    return (uint32_t)(whole * hz + rest * hz / 1000000000);
}

static void measure(mm_reception *r, uint32_t timestamp, int64_t arrival_ns) {
    /* Events and parts of one frame repeat a timestamp while time goes on: that is no jitter. */
    if (r->have_transit && timestamp == r->timestamp) return;
    const uint32_t transit = clock_units(arrival_ns, r->clock_hz) - timestamp;
    const int32_t change = (int32_t)(transit - r->transit);
    const uint32_t step = change < 0 ? 0u - (uint32_t)change : (uint32_t)change;
    if (r->have_transit && step <= MAX_TRANSIT_STEP_S * r->clock_hz)
        r->jitter_q4 += step - ((r->jitter_q4 + 8) >> 4);
    r->transit = transit;
    r->timestamp = timestamp;
    r->have_transit = 1;
}

static void change_clock(mm_reception *r, uint32_t hz) {
    if (r->clock_hz) r->jitter_q4 = (uint32_t)((uint64_t)r->jitter_q4 * hz / r->clock_hz);
    r->clock_hz = hz;
    r->have_transit = 0;
}

int mm_reception_put(mm_reception *r, const mm_rtp *packet, uint32_t clock_hz, int64_t arrival_ns) {
    if (!r->started || packet->ssrc != r->ssrc) {
        restart(r, packet->sequence);
        r->ssrc = packet->ssrc;
        r->last_report = 0;
        r->jitter_q4 = 0;
    }
    if (!follow(r, packet->sequence)) {
        r->jumped++;
        return 0;
    }
    r->received++;
    if (clock_hz == 0) return 1;
    if (clock_hz != r->clock_hz) change_clock(r, clock_hz);
    measure(r, packet->timestamp, arrival_ns);
    return 1;
}

void mm_reception_sender_report(mm_reception *r, const mm_rtcp *report, int64_t arrival_ns) {
    if (!report->is_sender || !r->started || report->ssrc != r->ssrc) return;
    r->last_report = (uint32_t)(report->ntp >> 16);
    r->last_report_ns = arrival_ns;
}

int mm_reception_report(mm_reception *r, int64_t now_ns, mm_rtcp_block *block) {
    memset(block, 0, sizeof *block);
    if (!r->started) return 0;
    const uint32_t due = expected(r);
    const int64_t lost = (int64_t)due - r->received;
    const uint32_t due_now = due - r->expected_before, got_now = r->received - r->received_before;
    const int64_t lost_now = (int64_t)due_now - got_now;
    r->expected_before = due;
    r->received_before = r->received;
    block->ssrc = r->ssrc;
    if (due_now && lost_now > 0) {
        const int64_t fraction = (lost_now << 8) / due_now;
        block->fraction_lost = (uint8_t)(fraction > 255 ? 255 : fraction);
    }
    block->lost = (int32_t)(lost > 0x7FFFFF ? 0x7FFFFF : lost < -0x800000 ? -0x800000 : lost);
    block->highest = extended_max(r);
    block->jitter = r->jitter_q4 >> 4;
    if (r->last_report) {
        block->last_report = r->last_report;
        const int64_t waited_ns = now_ns - r->last_report_ns;
        /* 1/65536 s; the field holds 18 hours. */
        block->delay = waited_ns > 0 ? clock_units(waited_ns, 65536) : 0;
    }
    return 1;
}

void mm_reception_totals(const mm_reception *r, uint64_t *due, uint64_t *received, uint64_t *lost) {
    *due = r->earlier_expected + expected(r);
    *received = r->earlier_received + r->received;
    *lost = *due > *received ? *due - *received : 0;
}

int64_t mm_reception_jitter_ns(const mm_reception *r) {
    return r->clock_hz ? (int64_t)((uint64_t)r->jitter_q4 * 1000000000 / 16 / r->clock_hz) : 0;
}
