/* A peer's whole life: input is a list of records, each a byte that says what happens, and what belongs to it.
 *
 * Byte 0: whether it is secure (toy_srtp.c), and what it sends. The ledger must hold after every tick, what is sent must
 * be RTP or RTCP that our own parsers read, and the sanitizers watch the rest.
 */
#include <stdalign.h>

#include "check.h"
#include "memory.h"
#include "pcm16k.h"
#include "peer.h"
#include "rtcp.h"

int srtp_protect(void *s, void *packet, int *size);
int srtp_unprotect(void *s, void *packet, int *size);
int srtp_protect_rtcp(void *s, void *packet, int *size);
int srtp_unprotect_rtcp(void *s, void *packet, int *size);
int srtp_create(void **out, const void *policy);
int srtp_dealloc(void *s);
int srtp_remove_stream(void *s, uint32_t ssrc);
int srtp_crypto_policy_set_from_profile_for_rtp(void *policy, int profile);
int srtp_crypto_policy_set_from_profile_for_rtcp(void *policy, int profile);

static const mm_srtp_library TOY = {.protect = srtp_protect,
                                    .unprotect = srtp_unprotect,
                                    .protect_rtcp = srtp_protect_rtcp,
                                    .unprotect_rtcp = srtp_unprotect_rtcp,
                                    .create = srtp_create,
                                    .dealloc = srtp_dealloc,
                                    .remove_stream = srtp_remove_stream,
                                    .policy_rtp = srtp_crypto_policy_set_from_profile_for_rtp,
                                    .policy_rtcp = srtp_crypto_policy_set_from_profile_for_rtcp};

enum { AS_IT_IS, SEALED, AUDIO, TICKS, TIME, SKIP, TONE, CONNECT, KEYED, BYE, FRAME, MOVE, HAPPENINGS };
enum { SSRC = 0x01020304, THEIRS = 0x0A0B0C0D, RTP_TAG = 10, RTCP_TAG = 14 };

typedef struct life {
    mm_peer *peer;
    mm_encode_group group[2];
    int at, keyed;
    mm_outbox *outbox;
    int64_t now_ns;
    uint16_t sequence;
    uint32_t timestamp;
    uint64_t ended;
} life;

static void deliver(life *l, const uint8_t *bytes, size_t size, int sealed) {
    alignas(8) uint8_t at[512];
    CHECK(size + RTCP_TAG <= sizeof at);
    memcpy(at, bytes, size);
    const enum mm_datagram_kind kind = mm_datagram_kind(at, size);
    if (sealed) {
        const size_t tag = kind == MM_DATAGRAM_RTCP ? RTCP_TAG : RTP_TAG;
        memset(at + size, 0x5a, tag);
        size += tag;
    }
    uint8_t *exact = aligned_alloc(8, (size + 7) / 8 * 8 + 8);
    CHECK(exact);
    memcpy(exact, at, size);
    mm_peer_receive(l->peer, exact, size, kind, l->now_ns);
    free(exact);
}

static void check_sent(life *l) {
    static mm_rtcp report;
    for (size_t i = 0; i < mm_outbox_waiting(l->outbox); i++) {
        size_t size;
        const mm_destination *to;
        const uint8_t *bytes = mm_outbox_datagram(l->outbox, i, &size, &to);
        const int rtcp = mm_datagram_kind(bytes, size) == MM_DATAGRAM_RTCP;
        if (l->keyed) {
            CHECK(size > (rtcp ? RTCP_TAG : RTP_TAG) && bytes[size - 1] == 0x5a);
            size -= rtcp ? RTCP_TAG : RTP_TAG;
        }
        mm_rtp rtp;
        if (rtcp) {
            CHECK(mm_rtcp_parse(&report, bytes, size) == 0);
            CHECK(report.ssrc == SSRC && report.cname_bytes == 4 && report.bye_count <= 1);
            l->ended += report.bye_count;
        } else {
            CHECK(mm_rtp_parse(&rtp, bytes, size, 1) == 0);
            CHECK(rtp.ssrc == SSRC && rtp.payload_size > 0);
            CHECK(rtp.payload_type == 0 || rtp.payload_type == 101);
            CHECK(l->ended == 0);
        }
    }
    CHECK(l->ended <= 1);
}

static void tick(life *l) {
    int16_t pcm[MM_FRAME_SAMPLES];
    mm_meta meta;
    mm_outbox_flush(l->outbox);
    mm_peer_pull(l->peer, l->now_ns, &meta, pcm);
    CHECK(meta.speaker_count <= MM_SPEAKERS);
    mm_encode_leg *leg = mm_peer_encode_leg(l->peer);
    if (leg) mm_encode_tick(&l->group[l->at], &leg, 1, pcm, (int)MM_FRAME_SAMPLES);
    mm_peer_send(l->peer, l->outbox, l->now_ns, (int8_t)(l->now_ns / MM_FRAME_NS % 128 ? -20 : 1));
    check_sent(l);
    CHECK(mm_ledger_holds(mm_peer_ledger(l->peer)));
    mm_tone tone;
    while (mm_peer_read_tone(l->peer, &tone)) CHECK(tone.ended <= 1 && tone.volume <= MM_TELEPHONE_MAX_VOLUME);
    l->now_ns += MM_FRAME_NS;
}

static void say_audio(life *l, uint8_t kind, const uint8_t *payload, size_t size) {
    static const uint8_t TYPES[4] = {0, 8, 9, 101};
    uint8_t bytes[300];
    const mm_rtp rtp = {.payload_type = TYPES[kind & 3], .marker = kind >> 2 & 1, .sequence = l->sequence++,
                        .timestamp = l->timestamp, .ssrc = THEIRS, .level_dbov = MM_RTP_NO_LEVEL};
    if ((kind & 3) != 3) l->timestamp += 160;
    const size_t head = mm_rtp_write(bytes, sizeof bytes, &rtp, 0);
    memcpy(bytes + head, payload, size);
    deliver(l, bytes, head + size, l->keyed);
}

static void happen(life *l, const uint8_t *record, size_t length) {
    static const uint8_t key[30];
    const uint8_t value = length > 1 ? record[1] : 0;
    int16_t frame[MM_FRAME_SAMPLES] = {0};
    mm_destination *to = NULL;
    mm_meta meta = {.flags = value, .speaker_count = length > 2 ? record[2] : 0, .speakers = {1, 2, 3}};
    switch (record[0] % HAPPENINGS) {
    case AS_IT_IS:
        deliver(l, record + 1, length - 1, 0);
        break;
    case SEALED:
        deliver(l, record + 1, length - 1, 1);
        break;
    case AUDIO:
        say_audio(l, record[0] / HAPPENINGS, record + 1, length - 1);
        tick(l);
        break;
    case TICKS:
        for (int n = 0; n < value % 64; n++) tick(l);
        break;
    case TIME:
        l->now_ns += (int64_t)(int8_t)value * 100000000;
        if (l->now_ns < 0) l->now_ns = 0;
        break;
    case SKIP:
        if (value == 255)
            mm_peer_flush(l->peer, mm_peer_arrivals(l->peer), l->now_ns);
        else
            mm_peer_skip(l->peer, value);
        break;
    case TONE:
        (void)mm_peer_queue_tone(l->peer, value, value / 4, value * 10u, value);
        break;
    case CONNECT:
        if (value & 1) {
            to = calloc(1, sizeof *to);
            CHECK(to);
            to->fd = -1;
        }
        free(mm_peer_set_destination(l->peer, to));
        break;
    case KEYED:
        CHECK(mm_peer_set_keys(l->peer, &TOY, MM_SRTP_AES128_CM_SHA1_80, key, key, sizeof key) ==
              (l->keyed ? -1 : 0));
        l->keyed = 1;
        break;
    case BYE:
        mm_peer_say_bye(l->peer);
        break;
    case FRAME:
        memset(frame, value, sizeof frame);
        CHECK(mm_peer_push_pcm(l->peer, record[0] * 3u, value * 320u, &meta, frame, l->now_ns) == 0);
        break;
    default:
        if (!mm_peer_encode_leg(l->peer)) break;
        mm_encode_leg_part(&l->group[l->at], mm_peer_encode_leg(l->peer));
        l->at = !l->at;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    const long pages = mm_pages_live();
    mm_peer_settings settings = {.receive = {.level_extension_id = 1, .silent_dbov = -60, .cap_ms = 500},
                                 .secure = data[0] & 1, .codec = data[0] & 2 ? MM_CODECS : MM_PCMU,
                                 .event_type = 101, .level_extension_id = data[0] & 4 ? 1 : 0, .ssrc = SSRC,
                                 .sequence = 65530, .timestamp = 0xfffffff0u, .cname = "fuzz"};
    settings.receive.types[0] = 1 + MM_PCMU;
    settings.receive.types[8] = 1 + MM_PCMA;
    settings.receive.types[9] = 1 + MM_G722;
    settings.receive.types[96] = 1 + MM_PCM16K;
    settings.receive.types[13] = MM_TYPE_NOISE;
    settings.receive.types[101] = MM_TYPE_EVENT;
    life l = {.peer = mm_peer_create(&settings), .sequence = 65530};
    l.outbox = aligned_alloc(64, (sizeof(mm_outbox) + 63) / 64 * 64);
    void *memory = mm_pages_alloc(4 * mm_encode_room(MM_PCMU));
    CHECK(l.peer && l.outbox && memory);
    mm_outbox_init(l.outbox);
    for (int g = 0; g < 2; g++)
        CHECK(mm_encode_group_init(&l.group[g], MM_PCMU, &settings.encoder,
                                   (char *)memory + (size_t)g * 2 * mm_encode_room(MM_PCMU)) == 0);
    data++, size--;
    const uint8_t *record;
    size_t length;
    while (next_record(&data, &size, &record, &length))
        if (length) happen(&l, record, length);
    for (int n = 0; n < 30; n++) tick(&l);
    uint64_t all = 0;
    for (int k = 0; k < MM_PEER_COUNTERS; k++) all += mm_peer_count(l.peer, (enum mm_peer_counter)k);
    CHECK(all < UINT64_C(1) << 62);
    mm_peer_destroy(l.peer);
    mm_pages_free(memory);
    free(l.outbox);
    CHECK(mm_pages_live() == pages);
    return 0;
}
