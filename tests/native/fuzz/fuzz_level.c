/* Any sums through the limiter and any frames through the gate, many in a row. */
#include "check.h"
#include "gate.h"
#include "limiter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mm_limiter limiter;
    mm_gate gate = {0};
    mm_limiter_init(&limiter);
    for (size_t at = 0; at + 4 <= size; at += 24) {
        int32_t wide[MM_FRAME_SAMPLES];
        int16_t pcm[MM_FRAME_SAMPLES], out[MM_FRAME_SAMPLES];
        const size_t words = (size - at) / 4 < 6 ? (size - at) / 4 : 6;
        int small = 1;
        for (size_t i = 0; i < MM_FRAME_SAMPLES; i++) {
            memcpy(&wide[i], data + at + i % words * 4, 4);
            pcm[i] = (int16_t)(uint16_t)wide[i];
            small = small && wide[i] >= INT16_MIN && wide[i] <= INT16_MAX;
        }
        const int idle = mm_limiter_idle(&limiter);
        mm_limit(&limiter, out, wide, MM_FRAME_SAMPLES);
        CHECK(limiter.gain_q30 > 0 && limiter.gain_q30 <= 1 << 30);
        for (size_t i = 0; idle && small && i < MM_FRAME_SAMPLES; i++) CHECK(out[i] == wide[i]);
        const int is_open = mm_gate_frame(&gate, pcm);
        for (size_t i = 0; !is_open && i < MM_FRAME_SAMPLES; i++) CHECK(pcm[i] == 0);
        CHECK(gate.hangover_ticks <= MM_GATE_HANGOVER_TICKS);
    }
    return 0;
}
