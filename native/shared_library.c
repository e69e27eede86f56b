#define _GNU_SOURCE
#include "shared_library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *mm_shared_library_open(const char *path, const char *const *names, void **symbols, size_t count,
                             char *error, size_t error_room) {
    /* Local: pylibsrtp's module exports a whole OpenSSL, which must not become anyone else's. */
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char *said = dlerror();
        snprintf(error, error_room, "%s", said ? said : "dlopen failed");
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        symbols[i] = dlsym(handle, names[i]);
        if (symbols[i]) continue;
        snprintf(error, error_room, "%s has no %s", path, names[i]);
        memset(symbols, 0, count * sizeof *symbols);
        dlclose(handle);
        return NULL;
    }
    return handle;
}

void mm_shared_library_close(void *handle) {
    if (handle) dlclose(handle);
}

/* glibc counts a block in a thread's cache as in use, and malloc looks there first. So with every class of
 * that cache empty, a block that was taken and given back is one more in use than before. */
#define CACHED_CLASSES 64u /* 24, 40, ... 1032 bytes */
#define CACHED_EACH 16u    /* 7 by default */

typedef struct probe {
    void (*call)(void *);
    void *argument;
    int times;
    size_t before, after;
} probe;

/* struct mallinfo2, which the headers of an older glibc do not have. */
typedef struct arenas {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
} arenas;

typedef arenas (*arenas_fn)(void);

static arenas_fn find_arenas(void) {
    void *symbol = dlsym(RTLD_DEFAULT, "mallinfo2"); /* from glibc 2.33 on */
    arenas_fn function = NULL;
    memcpy(&function, &symbol, sizeof function);
    return function;
}

static void *watch(void *argument) {
    probe *p = argument;
    const arenas_fn in_use = find_arenas();
    void **held = calloc(CACHED_CLASSES * CACHED_EACH, sizeof *held);
    p->call(p->argument); /* what is allocated once a thread is allowed */
    for (size_t i = 0; held && i < CACHED_CLASSES * CACHED_EACH; i++)
        held[i] = malloc(24 + i / CACHED_EACH * 16);
    p->before = in_use().uordblks;
    for (int i = 0; i < p->times; i++) p->call(p->argument);
    p->after = in_use().uordblks;
    for (size_t i = 0; held && i < CACHED_CLASSES * CACHED_EACH; i++) free(held[i]);
    free(held);
    return NULL;
}

int mm_shared_library_allocates(void (*call)(void *), void *argument, int times) {
    if (!find_arenas()) return -1;
    for (int attempt = 0; attempt < 5; attempt++) {
        probe p = {call, argument, times, 0, 0};
        pthread_t thread; /* a new one each time: its cache has nothing of the last attempt */
        if (pthread_create(&thread, NULL, watch, &p)) return -1;
        pthread_join(thread, NULL);
        if (p.before == p.after) return 0;
    }
    return 1;
}
