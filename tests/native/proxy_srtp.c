/* A libsrtp with one fault, made of a good one: -DREAL="path" and one of ALLOCATES, REPEATS, FORGETS. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *real(const char *name) {
    static void *handle;
    if (!handle) handle = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
    return handle ? dlsym(handle, name) : NULL;
}

#define FORWARD(name, parameters, arguments)           \
    int name parameters;                               \
    int name parameters {                              \
        int(*call) parameters;                         \
        void *symbol = real(#name);                    \
        memcpy(&call, &symbol, sizeof call);           \
        FAULT(name) return call arguments;             \
    }

static void *volatile kept;

static void touch(void) { /* taken and given back: nothing leaks, and yet it is an allocation */
    kept = malloc(40);
    free(kept);
}

#if defined(ALLOCATES)
#define FAULT(name) touch();
#else
#define FAULT(name) (void)touch;
#endif

FORWARD(srtp_get_version, (void), ())
FORWARD(srtp_init, (void), ())
FORWARD(srtp_create, (void **s, const void *p), (s, p))
FORWARD(srtp_dealloc, (void *s), (s))
FORWARD(srtp_remove_stream, (void *s, uint32_t ssrc), (s, ssrc))
FORWARD(srtp_protect, (void *s, void *p, int *n), (s, p, n))
FORWARD(srtp_protect_rtcp, (void *s, void *p, int *n), (s, p, n))
FORWARD(srtp_unprotect_rtcp, (void *s, void *p, int *n), (s, p, n))
FORWARD(srtp_crypto_policy_set_from_profile_for_rtp, (void *p, int n), (p, n))
FORWARD(srtp_crypto_policy_set_from_profile_for_rtcp, (void *p, int n), (p, n))

int srtp_unprotect(void *s, void *packet, int *size);
int srtp_unprotect(void *s, void *packet, int *size) {
    int (*call)(void *, void *, int *);
    void *symbol = real("srtp_unprotect");
    memcpy(&call, &symbol, sizeof call);
    const int before = *size, status = call(s, packet, size);
#if defined(REPEATS)
    if (status == 9 || status == 10) {
        *size = before - 10;
        return 0;
    }
#elif defined(FORGETS)
    if (status == 7) {
        *size = before - 10;
        return 0;
    }
#endif
    (void)before;
    return status;
}
