#include "ledger.h"

#include "frame.h"

static uint64_t sum(const mm_ledger *l, enum mm_receive_counter first, enum mm_receive_counter last) {
    uint64_t total = 0;
    for (unsigned i = first; i <= (unsigned)last; i++) total += mm_ledger_get(l, i);
    return total;
}

int mm_ledger_holds(const mm_ledger *l) {
    const uint64_t played = mm_ledger_get(l, MM_RX_TICKS) - mm_ledger_get(l, MM_RX_SKIPPED);
    const uint64_t in = mm_ledger_get(l, MM_RX_DECODED_SAMPLES) +
                        mm_ledger_get(l, MM_RX_MADE_UP_SAMPLES) +
                        mm_ledger_get(l, MM_RX_INSERTED_SAMPLES);
    return mm_ledger_get(l, MM_RX_PACKETS) == sum(l, MM_RX_DECODED, MM_RX_BUFFERED) &&
           mm_ledger_get(l, MM_RX_TICKS) == sum(l, MM_RX_VOICE, MM_RX_SKIPPED) &&
           in == MM_FRAME_SAMPLES * played + mm_ledger_get(l, MM_RX_REMOVED_SAMPLES) +
                     mm_ledger_get(l, MM_RX_QUEUED_SAMPLES);
}
