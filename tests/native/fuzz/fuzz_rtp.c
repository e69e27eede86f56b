/* Any bytes: the parser stays inside them, and what it read can be written and read again. */
#include "check.h"
#include "demux.h"
#include "rtp.h"

static void one(const uint8_t *data, size_t size, int id) {
    mm_rtp packet, again;
    const int reason = mm_rtp_parse(&packet, data, size, id);
    if (reason) {
        CHECK(reason < 0 && reason > -MM_RTP_REASONS);
        CHECK(!packet.payload && !packet.payload_size);
        return;
    }
    CHECK(packet.payload >= data + MM_RTP_HEADER_BYTES);
    CHECK(packet.payload + packet.payload_size <= data + size);
    CHECK(packet.level_dbov == MM_RTP_NO_LEVEL || (packet.level_dbov <= 0 && packet.level_dbov >= -127));
    CHECK(id > 0 || packet.level_dbov == MM_RTP_NO_LEVEL);
    uint8_t head[MM_RTP_HEADER_ROOM];
    const size_t bytes = mm_rtp_write(head, sizeof head, &packet, id);
    CHECK(bytes >= MM_RTP_HEADER_BYTES && bytes <= sizeof head);
    CHECK(mm_rtp_write(head, bytes - 1, &packet, id) == 0);
    CHECK(mm_rtp_parse(&again, head, bytes, id) == 0);
    CHECK(again.payload_type == packet.payload_type && again.marker == packet.marker);
    CHECK(again.sequence == packet.sequence && again.timestamp == packet.timestamp);
    CHECK(again.ssrc == packet.ssrc && again.payload_size == 0);
    CHECK(again.level_dbov == packet.level_dbov && again.voice == packet.voice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CHECK(mm_datagram_kind(data, size) < MM_DATAGRAM_KINDS);
    static const int IDS[] = {0, 1, 3, 14, 15, 255};
    for (size_t i = 0; i < sizeof IDS / sizeof *IDS; i++) one(data, size, IDS[i]);
    return 0;
}
