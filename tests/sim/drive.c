/* Virtual time: packets pushed as they arrive, a frame pulled every 20 ms, the ledger checked each time. */
#include <stdint.h>

#include "ledger.h"
#include "receive.h"

typedef struct mm_sim {
    const uint8_t *bytes;
    const int64_t *begin, *arrival_ns; /* packet i is bytes[begin[i]..begin[i + 1]), in order of arrival */
    int64_t packets, next;
} mm_sim;

/* What was seen in each tick; NULL where nobody asks. */
typedef struct mm_sim_log {
    int16_t *pcm;
    uint32_t *flags;
    int32_t *delay_ms, *target_ms;
} mm_sim_log;

/* The tick at which the ledger failed, or -1. */
int64_t mm_sim_run(mm_receiver *receiver, mm_sim *sim, int64_t first_ns, int64_t ticks, const mm_sim_log *log) {
    const mm_ledger *ledger = mm_receiver_ledger(receiver);
    int16_t own[MM_FRAME_SAMPLES];
    for (int64_t tick = 0; tick < ticks; tick++) {
        const int64_t now_ns = first_ns + tick * MM_FRAME_NS;
        for (; sim->next < sim->packets && sim->arrival_ns[sim->next] <= now_ns; sim->next++)
            mm_receiver_push(receiver, sim->bytes + sim->begin[sim->next],
                             (size_t)(sim->begin[sim->next + 1] - sim->begin[sim->next]),
                             sim->arrival_ns[sim->next]);
        mm_meta meta;
        mm_receiver_pull(receiver, now_ns, &meta, log->pcm ? log->pcm + tick * MM_FRAME_SAMPLES : own);
        if (log->flags) log->flags[tick] = meta.flags;
        if (log->delay_ms) log->delay_ms[tick] = (int32_t)mm_ledger_get(ledger, MM_RX_DELAY_MS);
        if (log->target_ms) log->target_ms[tick] = (int32_t)mm_ledger_get(ledger, MM_RX_TARGET_MS);
        if (!mm_ledger_holds(ledger)) return tick;
    }
    return -1;
}

uint64_t mm_sim_count(const mm_receiver *receiver, int which) {
    return mm_ledger_get(mm_receiver_ledger(receiver), (enum mm_receive_counter)which);
}
