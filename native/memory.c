#define _GNU_SOURCE
#include "memory.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

/* The length stands in front of the block; a cache line keeps the block itself aligned for AVX-512. */
typedef struct header {
    alignas(64) size_t bytes;
} header;

static atomic_long live;

void *mm_pages_alloc(size_t bytes) {
    const size_t whole = bytes + sizeof(header);
    void *pages = mmap(NULL, whole, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (pages == MAP_FAILED) return NULL;
    /* Without the right to lock (RLIMIT_MEMLOCK), populated pages still do not fault until the
       machine swaps: the call is an improvement, not a condition. */
    (void)mlock(pages, whole);
    header *h = pages;
    h->bytes = whole;
    atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return h + 1;
}

void mm_pages_free(void *pages) {
    if (!pages) return;
    header *h = (header *)pages - 1;
    munmap(h, h->bytes);
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
}

long mm_pages_live(void) { return atomic_load_explicit(&live, memory_order_relaxed); }
