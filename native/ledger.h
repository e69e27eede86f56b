/* What became of every packet and of every tick of one leg (design 4.5), and what was counted beside it.
 *
 * packets = decoded + late + duplicate + the reasons from MALFORMED to FLUSHED + buffered.
 * ticks = voice + fec + concealed + comfort + silence + skipped.
 * samples: DECODED + MADE_UP + INSERTED = 320 * (ticks - skipped) + REMOVED + QUEUED.
 * One thread writes; any may read, a moment old.
 */
#ifndef MM_LEDGER_H
#define MM_LEDGER_H

#include <stdatomic.h>
#include <stdint.h>

enum mm_receive_counter {
    MM_RX_PACKETS,
    MM_RX_DECODED,
    MM_RX_LATE,      /* its time had been filled otherwise */
    MM_RX_DUPLICATE,
    MM_RX_MALFORMED,   /* first of the reasons: no RTP packet */
    MM_RX_TYPE,        /* a payload type that was not agreed upon */
    MM_RX_PAYLOAD,     /* empty, too large, or no packet of its codec */
    MM_RX_SOURCE,      /* a strange SSRC or sequence that nothing followed */
    MM_RX_OVERFLOW,    /* more waited than there is room or delay for: the oldest went */
    MM_RX_UNDECODABLE, /* the decoder refused it: concealed */
    MM_RX_SILENT,      /* its level says silence, and so did its neighbours': never decoded */
    MM_RX_EVENT,       /* a telephone event: not audio */
    MM_RX_FLUSHED,     /* dropped by request; last of the reasons */
    MM_RX_BUFFERED,    /* now waiting */

    MM_RX_TICKS,
    MM_RX_VOICE,
    MM_RX_FEC,
    MM_RX_CONCEALED,
    MM_RX_COMFORT,
    MM_RX_SILENCE,
    MM_RX_SKIPPED,

    MM_RX_DECODED_SAMPLES,
    MM_RX_MADE_UP_SAMPLES,   /* from redundancy, concealed, comfort noise, silence */
    MM_RX_CONCEALED_SAMPLES, /* of these, concealed */
    MM_RX_INSERTED_SAMPLES,  /* by stretching */
    MM_RX_REMOVED_SAMPLES,   /* by stretching, by request, or due in a tick that was left out */
    MM_RX_QUEUED_SAMPLES,    /* now decoded and not played */

    MM_RX_UNDERRUNS,  /* ticks that found nothing to play where something was due */
    MM_RX_RESTARTS,   /* new SSRC, restarted sequence or timestamps */
    MM_RX_TARGET_MS,  /* now: the delay aimed at, with the frame itself */
    MM_RX_DELAY_MS,   /* now: what the quickest packet waits until it is played, with the frame itself */
    MM_RX_DRIFT_PPB,  /* now: the sender's clock against ours, signed; 0 until known */
    MM_RX_COUNTERS
};

typedef struct mm_ledger {
    _Atomic uint64_t counters[MM_RX_COUNTERS];
} mm_ledger;

static inline uint64_t mm_ledger_get(const mm_ledger *ledger, enum mm_receive_counter which) {
    return atomic_load_explicit(&ledger->counters[which], memory_order_relaxed);
}

static inline void mm_ledger_set(mm_ledger *ledger, enum mm_receive_counter which, uint64_t value) {
    atomic_store_explicit(&ledger->counters[which], value, memory_order_relaxed);
}

static inline void mm_ledger_add(mm_ledger *ledger, enum mm_receive_counter which, uint64_t more) {
    mm_ledger_set(ledger, which, mm_ledger_get(ledger, which) + more);
}

/* 1 when all three sums hold. The writer's thread, between two calls. */
int mm_ledger_holds(const mm_ledger *ledger);

#endif
