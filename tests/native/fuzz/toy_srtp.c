/* A libsrtp that protects nothing, for what surrounds it: the calls and answers of version 2, a tag of ten
 * equal bytes, a stream made at the first good packet of an SSRC. It counts its streams, and lets no
 * packet pass twice in a row. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define STREAMS 16
#ifndef TOY_VERSION
#define TOY_VERSION 0x02070000u
#endif

enum { OK = 0, BAD = 2, AUTH = 7, NO_CONTEXT = 13, REPLAY = 9 };

typedef struct session {
    int any;
    uint32_t count;
    uint32_t ssrc[STREAMS];
    uint16_t last[STREAMS];
} session;

EXPORT unsigned srtp_get_version(void);
EXPORT int srtp_init(void);
EXPORT int srtp_create(void **out, const void *policy);
EXPORT int srtp_dealloc(void *s);
EXPORT int srtp_remove_stream(void *s, uint32_t ssrc);
EXPORT int srtp_protect(void *s, void *packet, int *size);
EXPORT int srtp_unprotect(void *s, void *packet, int *size);
EXPORT int srtp_protect_rtcp(void *s, void *packet, int *size);
EXPORT int srtp_unprotect_rtcp(void *s, void *packet, int *size);
EXPORT int srtp_crypto_policy_set_from_profile_for_rtp(void *policy, int profile);
EXPORT int srtp_crypto_policy_set_from_profile_for_rtcp(void *policy, int profile);
EXPORT uint32_t toy_streams(const void *s);

unsigned srtp_get_version(void) { return TOY_VERSION; }
int srtp_init(void) { return OK; }

static uint32_t word(const uint8_t *at) { /* network order, as the library keeps it */
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

int srtp_create(void **out, const void *policy) {
    session *s = calloc(1, sizeof *s);
    if (!s) return BAD;
    int head[2];
    memcpy(head, policy, sizeof head);
    s->any = head[0] != 1;
    if (!s->any) s->ssrc[s->count++] = __builtin_bswap32((uint32_t)head[1]);
    *out = s;
    return OK;
}

int srtp_dealloc(void *s) {
    free(s);
    return OK;
}

uint32_t toy_streams(const void *s) { return ((const session *)s)->count; }

int srtp_remove_stream(void *memory, uint32_t ssrc) {
    session *s = memory;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->ssrc[i] != ssrc) continue;
        s->count--;
        s->ssrc[i] = s->ssrc[s->count];
        s->last[i] = s->last[s->count];
        return OK;
    }
    abort(); /* the caller only removes what it knows to be there */
}

static int protect(uint8_t *packet, int *size, int trailer) {
    memset(packet + *size, 0x5a, (size_t)trailer);
    *size += trailer;
    return OK;
}

static int unprotect(session *s, uint8_t *packet, int *size, int ssrc_at, int trailer) {
    if (*size < ssrc_at + 4 + trailer) abort(); /* the caller has checked */
    for (int i = *size - trailer; i < *size; i++)
        if (packet[i] != 0x5a) return AUTH;
    const uint32_t ssrc = word(packet + ssrc_at);
    const uint16_t sequence = (uint16_t)(packet[2] << 8 | packet[3]);
    uint32_t at = 0;
    while (at < s->count && s->ssrc[at] != ssrc) at++;
    if (at == s->count) {
        if (!s->any) return NO_CONTEXT;
        if (s->count == STREAMS) abort(); /* the caller lets in a few */
        s->ssrc[s->count++] = ssrc;
    } else if (s->last[at] == sequence) {
        return REPLAY;
    }
    s->last[at] = sequence;
    *size -= trailer;
    return OK;
}

int srtp_protect(void *s, void *packet, int *size) {
    (void)s;
    return protect(packet, size, 10);
}
int srtp_protect_rtcp(void *s, void *packet, int *size) {
    (void)s;
    return protect(packet, size, 14);
}
int srtp_unprotect(void *s, void *packet, int *size) { return unprotect(s, packet, size, 8, 10); }
int srtp_unprotect_rtcp(void *s, void *packet, int *size) { return unprotect(s, packet, size, 4, 14); }

int srtp_crypto_policy_set_from_profile_for_rtp(void *policy, int profile) {
    memset(policy, 0, 24);
    return profile == 1 ? OK : BAD;
}
int srtp_crypto_policy_set_from_profile_for_rtcp(void *policy, int profile) {
    return srtp_crypto_policy_set_from_profile_for_rtp(policy, profile);
}
