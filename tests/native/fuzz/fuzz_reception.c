/* Any sequence of headers: the counts stay what they mean, whatever wraps or jumps.
 * Records: sequence step (int16), timestamp step (int32), arrival step (uint16 x 100 us), SSRC, what else. */
#include "check.h"
#include "reception.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t CLOCKS[] = {8000, 16000, 48000, 90000};
    mm_reception r;
    mm_reception_init(&r);
    mm_rtp packet = {0};
    int64_t now_ns = 0;
    uint64_t put = 0;
    mm_rtcp_block block;
    CHECK(!mm_reception_report(&r, 0, &block));
    for (; size >= 10; data += 10, size -= 10) {
        packet.sequence = (uint16_t)(packet.sequence + (data[0] | data[1] << 8));
        uint32_t step;
        memcpy(&step, data + 2, 4);
        packet.timestamp += step;
        now_ns += (data[6] | data[7] << 8) * INT64_C(100000);
        packet.ssrc = data[8] & 3;
        put += (uint64_t)mm_reception_put(&r, &packet, CLOCKS[data[9] & 3], now_ns);
        if (data[9] & 4) {
            const mm_rtcp report = {.ssrc = packet.ssrc, .is_sender = 1, .ntp = mm_rtcp_ntp(now_ns)};
            mm_reception_sender_report(&r, &report, now_ns);
        }
        if (data[9] & 8) {
            CHECK(mm_reception_report(&r, now_ns, &block));
            CHECK(block.ssrc == r.ssrc && block.lost >= -0x800000 && block.lost <= 0x7FFFFF);
            CHECK((block.highest & 0xFFFF) == r.max_sequence);
        }
        uint64_t due, received, lost;
        mm_reception_totals(&r, &due, &received, &lost);
        CHECK(received == put);
        CHECK(lost == (due > received ? due - received : 0));
        CHECK(mm_reception_jitter_ns(&r) >= 0);
        CHECK(mm_reception_jitter_ns(&r) <= INT64_C(81000000000)); /* 16 x the largest step */
    }
    return 0;
}
