/* Any packets of events: tones begin and end by turns, and no tone is told beyond the room for it. Then the
 * same bytes as keys pressed: what goes out, come in whole, is those keys. */
#include "check.h"
#include "telephone.h"

static void receive(const uint8_t *data, size_t size) {
    mm_telephone_in in;
    mm_telephone_in_init(&in);
    mm_tone tones[MM_TELEPHONE_TONES];
    mm_rtp packet = {0};
    int64_t now_ns = 0;
    int sounding = 0;
    const uint8_t *record;
    size_t length;
    while (next_record(&data, &size, &record, &length)) {
        if (length < 3) continue;
        packet.timestamp += (uint32_t)(int8_t)record[0] * 160u;
        packet.marker = record[1] & 1;
        packet.ssrc = record[1] >> 7;
        now_ns += record[2] * INT64_C(1000000);
        uint8_t *payload = exactly(record + 3, length - 3);
        packet.payload = payload;
        packet.payload_size = (uint32_t)(length - 3);
        const int told = mm_telephone_in_put(&in, &packet, now_ns, tones);
        CHECK(told >= -1 && told <= (int)MM_TELEPHONE_TONES);
        CHECK((told == -1) == (length == 3 || (length - 3) % 4 || length > 3 + 4 * MM_TELEPHONE_EVENTS));
        free(payload);
        for (int i = 0; i < told; i++) {
            CHECK(tones[i].ended == sounding);
            sounding = !sounding;
        }
        if (mm_telephone_in_expire(&in, now_ns + record[1] * INT64_C(2000000), tones)) {
            CHECK(sounding && tones[0].ended);
            sounding = 0;
        }
    }
}

static void press(const uint8_t *data, size_t size, uint32_t hz) {
    mm_telephone_out out;
    mm_telephone_in in;
    mm_telephone_out_init(&out, hz);
    mm_telephone_in_init(&in);
    mm_tone tones[MM_TELEPHONE_TONES];
    uint8_t want[64];
    size_t pressed = 0, begun = 0, ended = 0;
    uint32_t timestamp = 0xFFFF0000u; /* wraps on the way */
    int64_t now_ns = 0;
    for (size_t tick = 0; tick < 600 && (tick < size || mm_telephone_out_waiting(&out)); tick++) {
        if (tick + 2 < size && pressed < sizeof want && data[tick] < 128) {
            const uint32_t ms = 20 + data[tick + 1] * 20u;
            const int full = mm_telephone_out_waiting(&out) == MM_TELEPHONE_QUEUE;
            const int queued = mm_telephone_out_queue(&out, data[tick] & 31, 10, ms, data[tick + 2]);
            CHECK(queued == 0 || full || (data[tick] & 31) > 16);
            if (queued == 0) want[pressed++] = data[tick] & 31;
        }
        mm_rtp packet = {0};
        if (mm_telephone_out_next(&out, timestamp, &packet) != MM_TELEPHONE_NOTHING) {
            CHECK(packet.payload_size == 4);
            const int told = mm_telephone_in_put(&in, &packet, now_ns, tones);
            CHECK(told >= 0);
            for (int i = 0; i < told; i++) {
                CHECK(tones[i].event == want[ended]);
                begun += !tones[i].ended;
                ended += tones[i].ended;
            }
        }
        timestamp += hz / 50;
        now_ns += 20000000;
    }
    if (!mm_telephone_out_waiting(&out)) CHECK(begun == pressed && ended == pressed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    receive(data, size);
    press(data, size < 40 ? size : 40, 8000);
    press(data, size < 40 ? size : 40, 48000);
    return 0;
}
