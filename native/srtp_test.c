/* What a libsrtp must show before it gets a call: known answers, refusals, no allocation. */
#include <stdio.h>
#include <string.h>

#include "shared_library.h"
#include "srtp.h"
#include "wire.h"

#define PLAIN_BYTES 28u
#define ROOM 64u
#define SSRC 0xcafebabeu
#define TIMES 100

typedef struct answer {
    enum mm_srtp_profile profile;
    const char *name;
    uint8_t key[30];
    size_t key_bytes;
    uint8_t cipher[44];
    size_t cipher_bytes;
} answer;

static const uint8_t PLAIN[PLAIN_BYTES] = {
    0x80, 0x0f, 0x12, 0x34, 0xde, 0xca, 0xfb, 0xad, 0xca, 0xfe, 0xba, 0xbe, 0xab, 0xab,
    0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab, 0xab};

/* The first key is that of RFC 3711 appendix B.3; both answers agree with the model in the tests. */
static const answer CM = {
    MM_SRTP_AES128_CM_SHA1_80, "AES_CM_128_HMAC_SHA1_80",
    {0xe1, 0xf9, 0x7a, 0x0d, 0x3e, 0x01, 0x8b, 0xe0, 0xd6, 0x4f, 0xa3, 0x2c, 0x06, 0xde, 0x41,
     0x39, 0x0e, 0xc6, 0x75, 0xad, 0x49, 0x8a, 0xfe, 0xeb, 0xb6, 0x96, 0x0b, 0x3a, 0xab, 0xe6},
    30,
    {0x80, 0x0f, 0x12, 0x34, 0xde, 0xca, 0xfb, 0xad, 0xca, 0xfe, 0xba, 0xbe, 0x4e,
     0x55, 0xdc, 0x4c, 0xe7, 0x99, 0x78, 0xd8, 0x8c, 0xa4, 0xd2, 0x15, 0x94, 0x9d,
     0x24, 0x02, 0xb7, 0x8d, 0x6a, 0xcc, 0x99, 0xea, 0x17, 0x9b, 0x8d, 0xbb},
    38};

static const answer GCM = {
    MM_SRTP_AEAD_AES_128_GCM, "AEAD_AES_128_GCM",
    {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d,
     0x0e, 0x0f, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab},
    28,
    {0x80, 0x0f, 0x12, 0x34, 0xde, 0xca, 0xfb, 0xad, 0xca, 0xfe, 0xba, 0xbe, 0xc5, 0x00, 0x2e,
     0xde, 0x04, 0xcf, 0xdd, 0x2e, 0xb9, 0x11, 0x59, 0xe0, 0x88, 0x0a, 0xa0, 0x6e, 0xd2, 0x97,
     0x68, 0x26, 0xf7, 0x96, 0xb2, 0x01, 0xdf, 0x31, 0x31, 0xa1, 0x27, 0xe8, 0xa3, 0x92},
    44};

typedef struct pair {
    mm_srtp out, in;
    uint16_t sequence;
    int failed;
} pair;

/* What does not hold, or NULL. */
static const char *answers(pair *p, const answer *a) {
    _Alignas(8) uint8_t packet[ROOM];
    size_t size = PLAIN_BYTES;
    memcpy(packet, PLAIN, PLAIN_BYTES);
    if (mm_srtp_protect(&p->out, packet, &size, ROOM)) return "does not protect";
    if (size != a->cipher_bytes || memcmp(packet, a->cipher, size)) return "protects wrongly";
    packet[PLAIN_BYTES - 1] ^= 1;
    if (mm_srtp_unprotect(&p->in, packet, &size, 0) != -MM_SRTP_FORGED) return "lets a forgery pass";
    memcpy(packet, a->cipher, size = a->cipher_bytes);
    if (mm_srtp_unprotect(&p->in, packet, &size, 0)) return "does not unprotect";
    if (size != PLAIN_BYTES || memcmp(packet, PLAIN, size)) return "unprotects wrongly";
    memcpy(packet, a->cipher, size = a->cipher_bytes);
    if (mm_srtp_unprotect(&p->in, packet, &size, 0) != -MM_SRTP_REPLAYED) return "lets a replay pass";
    return NULL;
}

static void exchange(void *argument) {
    pair *p = argument;
    _Alignas(8) uint8_t packet[ROOM];
    size_t size = PLAIN_BYTES;
    memcpy(packet, PLAIN, PLAIN_BYTES);
    mm_put16_unchecked(packet + 2, 0x1235u + p->sequence++);
    p->failed |= mm_srtp_protect(&p->out, packet, &size, ROOM);
    p->failed |= mm_srtp_unprotect(&p->in, packet, &size, 0);
    const uint8_t report[8] = {0x80, 201, 0, 1, 0xca, 0xfe, 0xba, 0xbe};
    memcpy(packet, report, size = sizeof report);
    p->failed |= mm_srtp_protect_rtcp(&p->out, packet, &size, ROOM);
    p->failed |= mm_srtp_unprotect_rtcp(&p->in, packet, &size, 0);
    p->failed |= size != sizeof report || memcmp(packet, report, size) != 0;
}

static int test(mm_srtp_library *library, const answer *a, char *error, size_t error_room) {
    pair p;
    const char *wrong = "makes no context";
    memset(&p, 0, sizeof p);
    if (mm_srtp_init_out(&p.out, library, a->profile, a->key, a->key_bytes, SSRC) == 0 &&
        mm_srtp_init_in(&p.in, library, a->profile, a->key, a->key_bytes) == 0) {
        wrong = answers(&p, a);
        if (!wrong) {
            library->allocates = mm_shared_library_allocates(exchange, &p, TIMES);
            if (p.failed) wrong = "fails in a run of packets";
            else if (library->allocates > 0) wrong = "allocates memory for each packet";
        }
    }
    mm_srtp_destroy(&p.out);
    mm_srtp_destroy(&p.in);
    if (wrong) snprintf(error, error_room, "libsrtp's self-test: %s %s", a->name, wrong);
    return wrong ? -1 : 0;
}

int mm_srtp_library_test(mm_srtp_library *library, char *error, size_t error_room) {
    if (test(library, &CM, error, error_room)) return -1;
    /* A libsrtp without OpenSSL or NSS has no GCM and makes no policy of it: then it is not offered. */
    uint8_t unused[64];
    library->has_gcm = library->policy_rtp(unused, MM_SRTP_AEAD_AES_128_GCM) == 0;
    return library->has_gcm ? test(library, &GCM, error, error_room) : 0;
}
