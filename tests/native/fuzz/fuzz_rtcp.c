/* Any bytes: the parser stays inside them, and what it read can be written and read again. */
#include "check.h"
#include "rtcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static mm_rtcp report, again;
    const int reason = mm_rtcp_parse(&report, data, size);
    if (reason) {
        CHECK(reason < 0 && reason > -MM_RTCP_REASONS);
        return 0;
    }
    CHECK(report.block_count <= MM_RTCP_BLOCKS && report.bye_count <= MM_RTCP_BLOCKS);
    CHECK(report.cname_bytes <= MM_RTCP_CNAME_BYTES);
    for (uint32_t i = 0; i < report.block_count; i++)
        CHECK(mm_rtcp_round_trip_ns(&report.blocks[i], report.ntp) >= -1);
    uint8_t bytes[2048];
    const size_t written = mm_rtcp_write(bytes, sizeof bytes, &report);
    CHECK(written && written % 4 == 0);
    CHECK(mm_rtcp_write(bytes, written - 1, &report) == 0);
    uint8_t *copy = exactly(bytes, written);
    CHECK(mm_rtcp_parse(&again, copy, written) == 0);
    free(copy);
    report.unread = 0; /* the writer has only what was read */
    CHECK(memcmp(&report, &again, sizeof report) == 0);
    return 0;
}
