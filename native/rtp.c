#include "rtp.h"

#include "wire.h"

#define ONE_BYTE 0xBEDEu /* profiles of RFC 8285 */
#define TWO_BYTE 0x1000u /* the low four bits are the application's */
#define ONE_BYTE_IDS 14  /* 15 ends the list */
#define LEVEL_BYTES 4u   /* either form of our one element, filled up to a word */

static void read_level(mm_rtp *out, uint8_t level) {
    out->voice = level >> 7;
    out->level_dbov = (int8_t) - (level & 127);
}

/* Elements of RFC 8285, either form. One that runs over the end tells nothing, nor do those after it. */
static void find_level(mm_rtp *out, unsigned profile, const uint8_t *at, size_t size, int id) {
    const int two = (profile & 0xFFF0u) == TWO_BYTE;
    if (!two && profile != ONE_BYTE) return;
    size_t i = 0;
    while (i < size) {
        if (at[i] == 0) { /* padding between elements */
            i++;
            continue;
        }
        int element;
        size_t length;
        if (two) {
            if (size - i < 2) return;
            element = at[i];
            length = at[i + 1];
            i += 2;
        } else {
            element = at[i] >> 4;
            length = (size_t)(at[i] & 15) + 1;
            i++;
            if (element == 0 || element > ONE_BYTE_IDS) return; /* RFC 8285 section 4.2: the list ends */
        }
        if (length > size - i) return;
        if (element == id && length) {
            read_level(out, at[i]);
            return;
        }
        i += length;
    }
}

int mm_rtp_parse(mm_rtp *out, const uint8_t *bytes, size_t size, int level_extension_id) {
    *out = (mm_rtp){.level_dbov = MM_RTP_NO_LEVEL};
    if (size < MM_RTP_HEADER_BYTES) return -MM_RTP_SHORT;
    if (bytes[0] >> 6 != 2) return -MM_RTP_VERSION;
    if (bytes[1] >= 192 && bytes[1] <= 223) return -MM_RTP_IS_RTCP;
    size_t at = MM_RTP_HEADER_BYTES + 4u * (bytes[0] & 15);
    if (at > size) return -MM_RTP_CSRC;
    const uint8_t *extension = NULL;
    size_t extension_bytes = 0;
    unsigned profile = 0;
    if (bytes[0] & 0x10) {
        if (size - at < 4) return -MM_RTP_EXTENSION;
        profile = mm_get16_unchecked(bytes + at);
        extension_bytes = 4u * mm_get16_unchecked(bytes + at + 2);
        at += 4;
        if (extension_bytes > size - at) return -MM_RTP_EXTENSION;
        extension = bytes + at;
        at += extension_bytes;
    }
    size_t padding = 0;
    if (bytes[0] & 0x20) {
        /* The last byte counts itself, and must lie in the payload's part. */
        padding = size > at ? bytes[size - 1] : 0;
        if (padding == 0 || padding > size - at) return -MM_RTP_PADDING;
    }
    if (extension && level_extension_id > 0)
        find_level(out, profile, extension, extension_bytes, level_extension_id);
    out->payload_type = bytes[1] & 127;
    out->marker = bytes[1] >> 7;
    out->sequence = mm_get16_unchecked(bytes + 2);
    out->timestamp = mm_get32_unchecked(bytes + 4);
    out->ssrc = mm_get32_unchecked(bytes + 8);
    out->payload = bytes + at;
    out->payload_size = (uint32_t)(size - at - padding);
    return 0;
}

size_t mm_rtp_write(uint8_t *bytes, size_t room, const mm_rtp *packet, int level_extension_id) {
    const int level = level_extension_id > 0 && level_extension_id < 256 && packet->level_dbov <= 0;
    const size_t size = MM_RTP_HEADER_BYTES + (level ? 4 + LEVEL_BYTES : 0);
    if (room < size) return 0;
    bytes[0] = level ? 0x90 : 0x80;
    bytes[1] = (uint8_t)((packet->marker ? 0x80 : 0) | (packet->payload_type & 127));
    mm_put16_unchecked(bytes + 2, packet->sequence);
    mm_put32_unchecked(bytes + 4, packet->timestamp);
    mm_put32_unchecked(bytes + 8, packet->ssrc);
    if (!level) return size;
    const int quiet = packet->level_dbov < -127 ? 127 : -packet->level_dbov;
    const uint8_t said = (uint8_t)((packet->voice ? 0x80 : 0) | quiet);
    const int two = level_extension_id > ONE_BYTE_IDS;
    mm_put16_unchecked(bytes + 12, two ? TWO_BYTE : ONE_BYTE);
    mm_put16_unchecked(bytes + 14, LEVEL_BYTES / 4);
    bytes[16] = (uint8_t)(two ? level_extension_id : level_extension_id << 4);
    bytes[17] = two ? 1 : said;
    bytes[18] = two ? said : 0;
    bytes[19] = 0;
    return size;
}
