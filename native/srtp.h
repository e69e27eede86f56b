/* SRTP and SRTCP through a libsrtp found at run time (RFC 3711, RFC 7714, keys from RFC 5764).
 *
 * A context is one direction of one leg and has one owner thread: in, the packet thread; out, the leg's tick
 * thread. It calls nothing but libsrtp on its path, and libsrtp was shown not to allocate there, with one
 * exception: the first good packet of a new inbound SSRC, at most MM_SRTP_STREAMS of them and then one
 * for each that has been quiet for MM_SRTP_IDLE_NS.
 */
#ifndef MM_SRTP_H
#define MM_SRTP_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define MM_SRTP_TRAILER_BYTES 20u /* at most added: GCM's tag and SRTCP's index */
#define MM_SRTP_STREAMS 4u        /* inbound SSRCs of one leg at a time */
#define MM_SRTP_IDLE_NS INT64_C(2000000000)
#define MM_SRTP_WINDOW 1024u /* packets: 20 s of audio, beyond any reordering worth playing */

/* The numbers of RFC 5764 and RFC 7714, as libsrtp and DTLS have them. */
enum mm_srtp_profile { MM_SRTP_AES128_CM_SHA1_80 = 1, MM_SRTP_AEAD_AES_128_GCM = 7 };

enum mm_srtp_counter {
    MM_SRTP_GOOD,
    MM_SRTP_SHORT,    /* less than a header and a tag, or more than there is room for */
    MM_SRTP_FORGED,   /* the tag is wrong */
    MM_SRTP_REPLAYED, /* had been here before, or is older than the window */
    MM_SRTP_REFUSED,  /* an SSRC more than a leg may have (in), not the leg's own (out) */
    MM_SRTP_FAILED,   /* anything else libsrtp said */
    MM_SRTP_COUNTERS
};

typedef struct mm_srtp_library {
    void *handle;
    uint32_t version; /* 0x02070000 is 2.7.0 */
    int has_gcm;
    int allocates; /* per packet: 0; -1 when this libc cannot tell */
    int (*protect)(void *session, void *packet, int *size);
    int (*unprotect)(void *session, void *packet, int *size);
    int (*protect_rtcp)(void *session, void *packet, int *size);
    int (*unprotect_rtcp)(void *session, void *packet, int *size);
    int (*create)(void **session, const void *policy);
    int (*dealloc)(void *session);
    int (*remove_stream)(void *session, uint32_t ssrc);
    int (*policy_rtp)(void *crypto_policy, int profile);
    int (*policy_rtcp)(void *crypto_policy, int profile);
} mm_srtp_library;

typedef struct mm_srtp {
    const mm_srtp_library *library;
    void *session;
    uint32_t tag_bytes;
    int outbound;
    uint32_t stream_count;
    struct {
        uint32_t ssrc;
        int64_t used_ns;
    } stream[MM_SRTP_STREAMS];
    _Atomic uint64_t counters[MM_SRTP_COUNTERS];
} mm_srtp;

/* Control side. 0; -1 with one line in *error*: nothing is held then. Open runs srtp_init and the self-test:
 * major version 2, known answers, a forged and a replayed packet refused, 100 packets without an
 * allocation. One at a time in a process (srtp_init is not thread-safe): call it with the GIL. */
int mm_srtp_library_open(mm_srtp_library *library, const char *path, char *error, size_t error_room);
void mm_srtp_library_close(mm_srtp_library *library);
/* The two halves of opening. */
int mm_srtp_library_bind(mm_srtp_library *library, const char *path, char *error, size_t error_room);
int mm_srtp_library_test(mm_srtp_library *library, char *error, size_t error_room);

/* Key and salt as DTLS exports them, one after the other; 0 for a profile that the library has not. */
size_t mm_srtp_key_bytes(const mm_srtp_library *library, enum mm_srtp_profile profile);
/* 0 or -1. The key is not kept. Out: the one SSRC that is sent. */
int mm_srtp_init_out(mm_srtp *s, const mm_srtp_library *library, enum mm_srtp_profile profile,
                     const uint8_t *key, size_t key_bytes, uint32_t ssrc);
int mm_srtp_init_in(mm_srtp *s, const mm_srtp_library *library, enum mm_srtp_profile profile,
                    const uint8_t *key, size_t key_bytes);
void mm_srtp_destroy(mm_srtp *s);

/* Owner thread, in place. packet is aligned to 4 bytes. 0 and the new size, or a counter negated: the bytes are
 * then of no use. Every outcome is counted. */
int mm_srtp_protect(mm_srtp *s, uint8_t *packet, size_t *size, size_t room);
int mm_srtp_protect_rtcp(mm_srtp *s, uint8_t *packet, size_t *size, size_t room);
int mm_srtp_unprotect(mm_srtp *s, uint8_t *packet, size_t *size, int64_t now_ns);
int mm_srtp_unprotect_rtcp(mm_srtp *s, uint8_t *packet, size_t *size, int64_t now_ns);

/* Any thread. */
uint64_t mm_srtp_count(const mm_srtp *s, enum mm_srtp_counter which);

#endif
