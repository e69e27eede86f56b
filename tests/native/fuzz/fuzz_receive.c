/* A leg's ear over a toy codec: input is a list of moves, each a byte that says which, and what belongs to it.
 *
 * After every tick the three sums of the ledger must hold; the sanitizers watch the rest.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "receive.h"

static void check(const mm_receiver *r) {
    if (!mm_ledger_holds(mm_receiver_ledger(r))) abort();
    if (mm_ledger_get(mm_receiver_ledger(r), MM_RX_BUFFERED) > 64) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mm_receiver_settings settings = {.level_extension_id = 1, .silent_dbov = -60, .cap_ms = 500};
    settings.types[111] = 1 + MM_OPUS;
    settings.types[0] = 1 + MM_PCMU;
    settings.types[8] = 1 + MM_PCMA;
    settings.types[9] = 1 + MM_G722;
    settings.types[13] = MM_TYPE_NOISE;
    settings.types[101] = MM_TYPE_EVENT;
    static const uint8_t KINDS[8] = {111, 111, 111, 0, 8, 9, 13, 101};
    mm_receiver *r = mm_receiver_create(&settings);
    if (!r) return 0;
    int64_t now_ns = 0;
    uint16_t sequence = 65530;
    uint32_t timestamp = 0xffffff00u;
    uint8_t packet[MM_RTP_HEADER_ROOM + 642];
    int16_t pcm[MM_FRAME_SAMPLES];
    mm_meta meta;
    for (size_t at = 0; at + 2 <= size; at += 2) {
        const uint8_t move = data[at], value = data[at + 1];
        size_t bytes;
        switch (move & 7) {
        case 0: /* raw bytes from here on */
            bytes = value < size - at - 2 ? value : size - at - 2;
            mm_receiver_push(r, data + at + 2, bytes, now_ns);
            at += bytes / 2 * 2;
            break;
        case 1: /* time, to and fro */
            now_ns += (int64_t)(int8_t)value * 10000000;
            break;
        case 2:
            if (value == 255) {
                mm_receiver_flush(r, now_ns);
                break;
            }
            mm_receiver_skip(r, value);
            now_ns += value * (int64_t)MM_FRAME_NS;
            break;
        case 3: /* numbers that jump */
            sequence = (uint16_t)(sequence + (int8_t)value * (move >> 3));
            timestamp += (uint32_t)(int8_t)value << (move >> 3);
            break;
        default: { /* a packet that makes sense, some of them with a level, and a tick */
            const uint8_t kind = KINDS[value & 7];
            const mm_rtp header = {.payload_type = kind, .sequence = sequence++, .timestamp = timestamp,
                                   .ssrc = 1 + (value == 255), .payload_size = 642,
                                   .level_dbov = move & 16 ? (int8_t)-(move & 15) * 8 : MM_RTP_NO_LEVEL};
            bytes = mm_rtp_write(packet, 20, &header, 1);
            memset(packet + bytes, value, sizeof packet - bytes);
            packet[bytes] = kind == 111 ? (uint8_t)((value >> 3 & 3) << 3) : value;
            if (kind == 111 || kind == 0 || kind == 9) timestamp += kind == 111 ? 960 : 160;
            if (move & 32) mm_receiver_push(r, packet, bytes + (kind == 111 ? 322 + (value & 64) * 5 : 160), now_ns);
            if (move & 64) break;
            mm_receiver_pull(r, now_ns, &meta, pcm);
            now_ns += MM_FRAME_NS;
        }
        }
        check(r);
    }
    for (int tick = 0; tick < 30; tick++, now_ns += MM_FRAME_NS) {
        mm_receiver_pull(r, now_ns, &meta, pcm);
        check(r);
    }
    mm_receiver_destroy(r);
    return 0;
}
