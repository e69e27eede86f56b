#include "rtcp.h"

#include <string.h>

#include "wire.h"

enum { SENDER_REPORT = 200, RECEIVER_REPORT = 201, DESCRIPTION = 202, BYE = 203 };
enum { ITEM_END = 0, ITEM_CNAME = 1 };

#define FIRST_KIND 192 /* RFC 5761: what the second byte of RTCP can be */
#define LAST_KIND 223
#define HEAD_BYTES 8u /* head and the SSRC that follows in every kind read here */
#define SENDER_BYTES 20u
#define BLOCK_BYTES 24u

/* ---- in -------------------------------------------------------------------------------------- */

static void read_block(mm_rtcp_block *block, const uint8_t *at) {
    const uint32_t lost = mm_get32_unchecked(at + 4);
    block->ssrc = mm_get32_unchecked(at);
    block->fraction_lost = at[4];
    block->lost = (int32_t)(lost & 0x7FFFFF) - (int32_t)(lost & 0x800000);
    block->highest = mm_get32_unchecked(at + 8);
    block->jitter = mm_get32_unchecked(at + 12);
    block->last_report = mm_get32_unchecked(at + 16);
    block->delay = mm_get32_unchecked(at + 20);
}

/* One SR or RR: at is its head, size its length without padding. */
static int read_report(mm_rtcp *out, const uint8_t *at, size_t size) {
    const unsigned count = at[0] & 31;
    const int is_sender = at[1] == SENDER_REPORT;
    size_t offset = HEAD_BYTES + (is_sender ? SENDER_BYTES : 0);
    if (size < offset + count * BLOCK_BYTES) return -MM_RTCP_LENGTH;
    if (is_sender && !out->is_sender) {
        out->is_sender = 1;
        out->ssrc = mm_get32_unchecked(at + 4);
        out->ntp = (uint64_t)mm_get32_unchecked(at + 8) << 32 | mm_get32_unchecked(at + 12);
        out->timestamp = mm_get32_unchecked(at + 16);
        out->packets = mm_get32_unchecked(at + 20);
        out->octets = mm_get32_unchecked(at + 24);
    }
    for (unsigned i = 0; i < count; i++, offset += BLOCK_BYTES) {
        if (out->block_count == MM_RTCP_BLOCKS) {
            out->unread++;
            break;
        }
        read_block(&out->blocks[out->block_count++], at + offset);
    }
    return 0;
}

/* One SDES: chunks of SSRC, items up to a zero, then zeros to the next word. */
static int read_description(mm_rtcp *out, const uint8_t *at, size_t size) {
    size_t i = 4;
    for (unsigned chunk = at[0] & 31; chunk; chunk--) {
        if (size - i < 4) return -MM_RTCP_ITEM;
        i += 4;
        for (;;) {
            if (i == size) return -MM_RTCP_ITEM;
            const uint8_t kind = at[i++];
            if (kind == ITEM_END) break;
            if (i == size) return -MM_RTCP_ITEM;
            const uint8_t length = at[i++];
            if (length > size - i) return -MM_RTCP_ITEM;
            if (kind == ITEM_CNAME && length && !out->cname_bytes) {
                memcpy(out->cname, at + i, length);
                out->cname_bytes = length;
            }
            i += length;
        }
        i = (i + 3) / 4 * 4; /* size is whole words, so this stays inside */
    }
    return 0;
}

static int read_bye(mm_rtcp *out, const uint8_t *at, size_t size) {
    const unsigned count = at[0] & 31;
    if (size < 4 + 4 * count) return -MM_RTCP_LENGTH; /* the reason that may follow is for people */
    for (unsigned i = 0; i < count; i++) {
        if (out->bye_count == MM_RTCP_BLOCKS) {
            out->unread++;
            break;
        }
        out->byes[out->bye_count++] = mm_get32_unchecked(at + 4 + 4 * i);
    }
    return 0;
}

static int read_one(mm_rtcp *out, const uint8_t *at, size_t size) {
    switch (at[1]) {
    case SENDER_REPORT:
    case RECEIVER_REPORT:
        return read_report(out, at, size);
    case DESCRIPTION:
        return read_description(out, at, size);
    case BYE:
        return read_bye(out, at, size);
    default:
        out->unread++;
        return 0;
    }
}

int mm_rtcp_parse(mm_rtcp *out, const uint8_t *bytes, size_t size) {
    memset(out, 0, sizeof *out);
    if (size < HEAD_BYTES) return -MM_RTCP_SHORT;
    out->ssrc = mm_get32_unchecked(bytes + 4);
    for (size_t at = 0; at < size;) {
        const uint8_t *packet = bytes + at;
        if (size - at < 4) return -MM_RTCP_LENGTH;
        if (packet[0] >> 6 != 2) return -MM_RTCP_VERSION;
        if (packet[1] < FIRST_KIND || packet[1] > LAST_KIND) return -MM_RTCP_KIND;
        const size_t length = 4 * ((size_t)mm_get16_unchecked(packet + 2) + 1);
        if (length > size - at) return -MM_RTCP_LENGTH;
        at += length;
        size_t padding = 0;
        if (packet[0] & 0x20) {
            /* Only the last may be padded (RFC 3550 section 6.4.1), by whole words, not into its head. */
            padding = packet[length - 1];
            if (at != size || padding == 0 || padding % 4 || padding > length - 4)
                return -MM_RTCP_PADDING;
        }
        const int reason = read_one(out, packet, length - padding);
        if (reason) return reason;
    }
    return 0;
}

/* ---- out ------------------------------------------------------------------------------------- */

static void write_head(uint8_t *at, unsigned count, uint8_t kind, size_t size) {
    at[0] = (uint8_t)(0x80 | count);
    at[1] = kind;
    mm_put16_unchecked(at + 2, (uint32_t)(size / 4 - 1));
}

static void write_block(uint8_t *at, const mm_rtcp_block *block) {
    const int32_t most = 0x7FFFFF, least = -0x800000;
    const int32_t lost = block->lost > most ? most : block->lost < least ? least : block->lost;
    mm_put32_unchecked(at, block->ssrc);
    mm_put32_unchecked(at + 4, (uint32_t)lost & 0xFFFFFF);
    at[4] = block->fraction_lost;
    mm_put32_unchecked(at + 8, block->highest);
    mm_put32_unchecked(at + 12, block->jitter);
    mm_put32_unchecked(at + 16, block->last_report);
    mm_put32_unchecked(at + 20, block->delay);
}

static void write_report(uint8_t *at, const mm_rtcp *report, size_t size) {
    write_head(at, report->block_count, report->is_sender ? SENDER_REPORT : RECEIVER_REPORT, size);
    mm_put32_unchecked(at + 4, report->ssrc);
    at += HEAD_BYTES;
    if (report->is_sender) {
        mm_put32_unchecked(at, (uint32_t)(report->ntp >> 32));
        mm_put32_unchecked(at + 4, (uint32_t)report->ntp);
        mm_put32_unchecked(at + 8, report->timestamp);
        mm_put32_unchecked(at + 12, report->packets);
        mm_put32_unchecked(at + 16, report->octets);
        at += SENDER_BYTES;
    }
    for (uint32_t i = 0; i < report->block_count; i++, at += BLOCK_BYTES)
        write_block(at, &report->blocks[i]);
}

size_t mm_rtcp_write(uint8_t *bytes, size_t room, const mm_rtcp *report) {
    if (report->block_count > MM_RTCP_BLOCKS || report->bye_count > MM_RTCP_BLOCKS ||
        report->cname_bytes > MM_RTCP_CNAME_BYTES)
        return 0;
    const size_t first = HEAD_BYTES + (report->is_sender ? SENDER_BYTES : 0) +
                         report->block_count * BLOCK_BYTES;
    /* At least one zero ends the items. */
    const size_t name = report->cname_bytes ? (HEAD_BYTES + 2 + report->cname_bytes) / 4 * 4 + 4 : 0;
    const size_t bye = report->bye_count ? 4 + 4 * (size_t)report->bye_count : 0;
    if (room < first + name + bye) return 0;
    write_report(bytes, report, first);
    uint8_t *at = bytes + first;
    if (name) {
        memset(at, 0, name);
        write_head(at, 1, DESCRIPTION, name);
        mm_put32_unchecked(at + 4, report->ssrc);
        at[8] = ITEM_CNAME;
        at[9] = (uint8_t)report->cname_bytes;
        memcpy(at + 10, report->cname, report->cname_bytes);
        at += name;
    }
    if (bye) {
        write_head(at, report->bye_count, BYE, bye);
        for (uint32_t i = 0; i < report->bye_count; i++)
            mm_put32_unchecked(at + 4 + 4 * i, report->byes[i]);
    }
    return first + name + bye;
}

/* ---- time ------------------------------------------------------------------------------------ */

uint64_t mm_rtcp_ntp(int64_t now_ns) {
    const uint64_t seconds = (uint64_t)(now_ns / 1000000000), rest = (uint64_t)(now_ns % 1000000000);
    return seconds << 32 | (rest << 32) / 1000000000;
}

int64_t mm_rtcp_round_trip_ns(const mm_rtcp_block *block, uint64_t now_ntp) {
    if (!block->last_report) return -1;
    const uint32_t units = (uint32_t)(now_ntp >> 16) - block->last_report - block->delay;
    /* The other side's rounding can make a fast network look faster than time. */
    if (units > UINT32_MAX / 2) return 0;
    return (int64_t)((uint64_t)units * 1000000000 >> 16);
}
