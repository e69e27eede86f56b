/* Any datagrams into a context: its table of SSRCs is libsrtp's, stays small, and every outcome is counted.
 * Linked with toy_srtp.c, which aborts where the real one would be led astray. */
#include "check.h"
#include "srtp.h"

int srtp_protect(void *s, void *packet, int *size);
int srtp_unprotect(void *s, void *packet, int *size);
int srtp_protect_rtcp(void *s, void *packet, int *size);
int srtp_unprotect_rtcp(void *s, void *packet, int *size);
int srtp_create(void **out, const void *policy);
int srtp_dealloc(void *s);
int srtp_remove_stream(void *s, uint32_t ssrc);
int srtp_crypto_policy_set_from_profile_for_rtp(void *policy, int profile);
int srtp_crypto_policy_set_from_profile_for_rtcp(void *policy, int profile);
uint32_t toy_streams(const void *s);

static const mm_srtp_library TOY = {.protect = srtp_protect,
                                    .unprotect = srtp_unprotect,
                                    .protect_rtcp = srtp_protect_rtcp,
                                    .unprotect_rtcp = srtp_unprotect_rtcp,
                                    .create = srtp_create,
                                    .dealloc = srtp_dealloc,
                                    .remove_stream = srtp_remove_stream,
                                    .policy_rtp = srtp_crypto_policy_set_from_profile_for_rtp,
                                    .policy_rtcp = srtp_crypto_policy_set_from_profile_for_rtcp};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t key[30];
    mm_srtp in, out;
    CHECK(mm_srtp_init_in(&in, &TOY, MM_SRTP_AES128_CM_SHA1_80, key, sizeof key) == 0);
    CHECK(mm_srtp_init_out(&out, &TOY, MM_SRTP_AES128_CM_SHA1_80, key, sizeof key, 0x01020304) == 0);
    int64_t now_ns = 0;
    uint64_t calls = 0;
    const uint8_t *record;
    size_t length;
    while (next_record(&data, &size, &record, &length)) {
        if (!length) continue;
        now_ns += (record[0] >> 2) * INT64_C(100000000);
        const size_t bytes = length - 1, room = bytes + MM_SRTP_TRAILER_BYTES;
        for (int sent = 0; sent < 2; sent++, calls++) {
            /* As it came, and as our own sender would have sealed it. */
            size_t now = bytes;
            uint8_t *packet = malloc(room);
            CHECK(packet);
            memcpy(packet, record + 1, bytes);
            if (sent && bytes) {
                memset(packet + bytes, 0x5a, MM_SRTP_TRAILER_BYTES);
                now = bytes + (record[0] & 1 ? 14 : 10);
            }
            const size_t before = now;
            const int result = record[0] & 1 ? mm_srtp_unprotect_rtcp(&in, packet, &now, now_ns)
                                             : mm_srtp_unprotect(&in, packet, &now, now_ns);
            CHECK(result <= 0 && result > -MM_SRTP_COUNTERS);
            CHECK(now == (result ? before : before - (record[0] & 1 ? 14 : 10)));
            CHECK(toy_streams(in.session) == in.stream_count && in.stream_count <= MM_SRTP_STREAMS);
            free(packet);
        }
        size_t now = bytes;
        const size_t tight = bytes + (record[0] & 2 ? 13 : 9) + (length & 1);
        uint8_t *packet = malloc(tight);
        CHECK(packet);
        memcpy(packet, record + 1, bytes);
        const int result = record[0] & 2 ? mm_srtp_protect_rtcp(&out, packet, &now, tight)
                                         : mm_srtp_protect(&out, packet, &now, tight);
        CHECK(result <= 0 && (result || now == tight));
        free(packet);
    }
    uint64_t counted = 0;
    for (int i = 0; i < MM_SRTP_COUNTERS; i++) counted += mm_srtp_count(&in, i);
    CHECK(counted == calls);
    mm_srtp_destroy(&in);
    mm_srtp_destroy(&out);
    return 0;
}
