#include "srtp.h"

#include <stdio.h>
#include <string.h>

#include "shared_library.h"
#include "wire.h"

/* What libsrtp 2 expects and answers; its major version says that these hold. */
enum { STATUS_OK = 0, STATUS_BAD_PARAM = 2, STATUS_AUTH_FAIL = 7, STATUS_REPLAY_FAIL = 9, STATUS_REPLAY_OLD = 10 };
enum { SSRC_SPECIFIC = 1, SSRC_ANY_INBOUND = 2 };

typedef struct crypto_policy {
    uint32_t cipher_type;
    int cipher_key_bytes;
    uint32_t auth_type;
    int auth_key_bytes, tag_bytes, services;
} crypto_policy;

typedef struct policy {
    int ssrc_type;
    unsigned ssrc;
    crypto_policy rtp, rtcp;
    const uint8_t *key;
    void *keys;
    unsigned long key_count;
    void *unused;
    unsigned long window_packets;
    int allow_repeat;
    int *encrypted_extensions;
    int encrypted_extension_count;
    void *next;
} policy;

_Static_assert(sizeof(crypto_policy) == 24 && sizeof(policy) == 128, "libsrtp 2 on a 64-bit machine");

#define MAJOR_VERSION 2u
#define CM_KEY_BYTES 30u  /* 16 and a salt of 14 */
#define GCM_KEY_BYTES 28u /* 16 and a salt of 12 */
#define CM_TAG_BYTES 10u
#define GCM_TAG_BYTES 16u
#define INDEX_BYTES 4u /* of SRTCP */
#define RTP_BYTES 12u
#define RTCP_BYTES 8u

/* ---- the library ----------------------------------------------------------------------------- */

int mm_srtp_library_bind(mm_srtp_library *library, const char *path, char *error, size_t error_room) {
    static const char *const NAMES[] = {
        "srtp_get_version", "srtp_init", "srtp_protect", "srtp_unprotect", "srtp_protect_rtcp",
        "srtp_unprotect_rtcp", "srtp_create", "srtp_dealloc", "srtp_remove_stream",
        "srtp_crypto_policy_set_from_profile_for_rtp", "srtp_crypto_policy_set_from_profile_for_rtcp"};
    enum { COUNT = sizeof NAMES / sizeof *NAMES };
    void *symbols[COUNT];
    unsigned (*get_version)(void);
    int (*init)(void);
    memset(library, 0, sizeof *library);
    void *handle = mm_shared_library_open(path, NAMES, symbols, COUNT, error, error_room);
    if (!handle) return -1;
    memcpy(&get_version, &symbols[0], sizeof get_version);
    memcpy(&init, &symbols[1], sizeof init);
    const unsigned version = get_version();
    /* Python's binding may have initialised the same library: the second time it tests its ciphers again and
     * then says that its debug module is there already. */
    int ready;
    if (version >> 24 != MAJOR_VERSION) {
        snprintf(error, error_room, "%s is libsrtp %u.%u, expected 2.x", path, version >> 24,
                 version >> 16 & 255);
    } else if ((ready = init()) != STATUS_OK && ready != STATUS_BAD_PARAM) {
        snprintf(error, error_room, "%s: srtp_init failed", path);
    } else {
        library->handle = handle;
        library->version = version;
        memcpy(&library->protect, &symbols[2], sizeof symbols[2]);
        memcpy(&library->unprotect, &symbols[3], sizeof symbols[3]);
        memcpy(&library->protect_rtcp, &symbols[4], sizeof symbols[4]);
        memcpy(&library->unprotect_rtcp, &symbols[5], sizeof symbols[5]);
        memcpy(&library->create, &symbols[6], sizeof symbols[6]);
        memcpy(&library->dealloc, &symbols[7], sizeof symbols[7]);
        memcpy(&library->remove_stream, &symbols[8], sizeof symbols[8]);
        memcpy(&library->policy_rtp, &symbols[9], sizeof symbols[9]);
        memcpy(&library->policy_rtcp, &symbols[10], sizeof symbols[10]);
        return 0;
    }
    mm_shared_library_close(handle);
    return -1;
}

int mm_srtp_library_open(mm_srtp_library *library, const char *path, char *error, size_t error_room) {
    if (mm_srtp_library_bind(library, path, error, error_room)) return -1;
    if (mm_srtp_library_test(library, error, error_room) == 0) return 0;
    mm_srtp_library_close(library);
    return -1;
}

/* No srtp_shutdown: Python's binding may share the library with us, and goes on using it. */
void mm_srtp_library_close(mm_srtp_library *library) {
    mm_shared_library_close(library->handle);
    memset(library, 0, sizeof *library);
}

/* ---- a context ------------------------------------------------------------------------------- */

static int is_gcm(enum mm_srtp_profile profile) { return profile == MM_SRTP_AEAD_AES_128_GCM; }

size_t mm_srtp_key_bytes(const mm_srtp_library *library, enum mm_srtp_profile profile) {
    if (profile == MM_SRTP_AES128_CM_SHA1_80) return CM_KEY_BYTES;
    return is_gcm(profile) && library->has_gcm ? GCM_KEY_BYTES : 0;
}

static int init(mm_srtp *s, const mm_srtp_library *library, enum mm_srtp_profile profile,
                const uint8_t *key, policy *p) {
    memset(s, 0, sizeof *s);
    p->key = key;
    p->window_packets = MM_SRTP_WINDOW;
    if (library->policy_rtp(&p->rtp, (int)profile) != STATUS_OK) return -1;
    if (library->policy_rtcp(&p->rtcp, (int)profile) != STATUS_OK) return -1;
    if (library->create(&s->session, p) != STATUS_OK) {
        s->session = NULL;
        return -1;
    }
    s->library = library;
    s->tag_bytes = is_gcm(profile) ? GCM_TAG_BYTES : CM_TAG_BYTES;
    return 0;
}

int mm_srtp_init_out(mm_srtp *s, const mm_srtp_library *library, enum mm_srtp_profile profile,
                     const uint8_t *key, size_t key_bytes, uint32_t ssrc) {
    /* By name, not by template: a template would allocate at the first packet, which a tick sends. */
    policy p = {.ssrc_type = SSRC_SPECIFIC, .ssrc = ssrc};
    if (key_bytes == 0 || key_bytes != mm_srtp_key_bytes(library, profile)) return -1;
    if (init(s, library, profile, key, &p)) return -1;
    s->outbound = 1;
    s->stream_count = 1;
    s->stream[0].ssrc = ssrc;
    return 0;
}

int mm_srtp_init_in(mm_srtp *s, const mm_srtp_library *library, enum mm_srtp_profile profile,
                    const uint8_t *key, size_t key_bytes) {
    policy p = {.ssrc_type = SSRC_ANY_INBOUND};
    if (key_bytes == 0 || key_bytes != mm_srtp_key_bytes(library, profile)) return -1;
    return init(s, library, profile, key, &p);
}

void mm_srtp_destroy(mm_srtp *s) {
    if (s->session) s->library->dealloc(s->session);
    s->session = NULL;
}

uint64_t mm_srtp_count(const mm_srtp *s, enum mm_srtp_counter which) {
    return atomic_load_explicit(&s->counters[which], memory_order_relaxed);
}

static int counted(mm_srtp *s, enum mm_srtp_counter which) {
    atomic_store_explicit(&s->counters[which], mm_srtp_count(s, which) + 1, memory_order_relaxed);
    return -(int)which;
}

static int outcome(mm_srtp *s, int status) {
    switch (status) {
    case STATUS_OK:
        return counted(s, MM_SRTP_GOOD);
    case STATUS_AUTH_FAIL:
        return counted(s, MM_SRTP_FORGED);
    case STATUS_REPLAY_FAIL:
    case STATUS_REPLAY_OLD:
        return counted(s, MM_SRTP_REPLAYED);
    default:
        return counted(s, MM_SRTP_FAILED);
    }
}

/* ---- out ------------------------------------------------------------------------------------- */

static int protect(mm_srtp *s, int (*call)(void *, void *, int *), uint8_t *packet, size_t *size,
                   size_t room, size_t head, size_t ssrc_at, size_t trailer) {
    if (*size < head || room > INT32_MAX || *size > room || room - *size < trailer)
        return counted(s, MM_SRTP_SHORT);
    if (mm_get32_unchecked(packet + ssrc_at) != s->stream[0].ssrc) return counted(s, MM_SRTP_REFUSED);
    int bytes = (int)*size;
    const int status = call(s->session, packet, &bytes);
    if (status == STATUS_OK) *size = (size_t)bytes;
    return outcome(s, status);
}

int mm_srtp_protect(mm_srtp *s, uint8_t *packet, size_t *size, size_t room) {
    return protect(s, s->library->protect, packet, size, room, RTP_BYTES, 8, s->tag_bytes);
}

int mm_srtp_protect_rtcp(mm_srtp *s, uint8_t *packet, size_t *size, size_t room) {
    return protect(s, s->library->protect_rtcp, packet, size, room, RTCP_BYTES, 4,
                   s->tag_bytes + INDEX_BYTES);
}

/* ---- in -------------------------------------------------------------------------------------- */

static uint32_t find(const mm_srtp *s, uint32_t ssrc) {
    uint32_t i = 0;
    while (i < s->stream_count && s->stream[i].ssrc != ssrc) i++;
    return i;
}

static uint32_t least_used(const mm_srtp *s) {
    uint32_t least = 0;
    for (uint32_t i = 1; i < s->stream_count; i++)
        if (s->stream[i].used_ns < s->stream[least].used_ns) least = i;
    return least;
}

static uint32_t network_order(uint32_t value) {
    uint32_t out;
    uint8_t bytes[4];
    mm_put32_unchecked(bytes, value);
    memcpy(&out, bytes, sizeof out);
    return out;
}

/* libsrtp makes a stream of the template when a packet of a new SSRC proves good: here is where that is
 * kept to a few. One that was quiet gives way; its replay window goes with it, which only the peer itself
 * can bring about, by using more SSRCs than a leg has. */
static void admit(mm_srtp *s, uint32_t ssrc) {
    uint32_t at = s->stream_count;
    if (at == MM_SRTP_STREAMS) {
        at = least_used(s);
        s->library->remove_stream(s->session, network_order(s->stream[at].ssrc));
    } else {
        s->stream_count++;
    }
    s->stream[at].ssrc = ssrc;
}

static int may_admit(const mm_srtp *s, int64_t now_ns) {
    return s->stream_count < MM_SRTP_STREAMS ||
           now_ns - s->stream[least_used(s)].used_ns >= MM_SRTP_IDLE_NS;
}

static int unprotect(mm_srtp *s, int (*call)(void *, void *, int *), uint8_t *packet, size_t *size,
                     int64_t now_ns, size_t least, size_t ssrc_at) {
    if (*size < least || *size > INT32_MAX) return counted(s, MM_SRTP_SHORT);
    const uint32_t ssrc = mm_get32_unchecked(packet + ssrc_at);
    uint32_t at = find(s, ssrc);
    const int known = at < s->stream_count;
    if (!known && !may_admit(s, now_ns)) return counted(s, MM_SRTP_REFUSED);
    int bytes = (int)*size;
    const int status = call(s->session, packet, &bytes);
    if (status != STATUS_OK) return outcome(s, status);
    if (!known) admit(s, ssrc);
    at = find(s, ssrc);
    s->stream[at].used_ns = now_ns;
    *size = (size_t)bytes;
    return outcome(s, status);
}

int mm_srtp_unprotect(mm_srtp *s, uint8_t *packet, size_t *size, int64_t now_ns) {
    return unprotect(s, s->library->unprotect, packet, size, now_ns, RTP_BYTES + s->tag_bytes, 8);
}

int mm_srtp_unprotect_rtcp(mm_srtp *s, uint8_t *packet, size_t *size, int64_t now_ns) {
    return unprotect(s, s->library->unprotect_rtcp, packet, size, now_ns,
                     RTCP_BYTES + s->tag_bytes + INDEX_BYTES, 4);
}
