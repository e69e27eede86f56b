/* A few words from one thread to another; what does not fit is refused. Zeroed memory is empty. */
#ifndef MM_WORDS_H
#define MM_WORDS_H

#include <stdatomic.h>
#include <stdint.h>

#define MM_WORDS 32u

typedef struct mm_words {
    _Atomic uint32_t written, taken;
    uint64_t word[MM_WORDS];
} mm_words;

/* Writer's thread: 0 when there is no room. */
static inline int mm_words_put(mm_words *w, uint64_t word) {
    const uint32_t n = atomic_load_explicit(&w->written, memory_order_relaxed);
    if (n - atomic_load_explicit(&w->taken, memory_order_acquire) == MM_WORDS) return 0;
    w->word[n % MM_WORDS] = word;
    atomic_store_explicit(&w->written, n + 1, memory_order_release);
    return 1;
}

/* Reader's thread: 0 when there is none. */
static inline int mm_words_take(mm_words *w, uint64_t *word) {
    const uint32_t n = atomic_load_explicit(&w->taken, memory_order_relaxed);
    if (n == atomic_load_explicit(&w->written, memory_order_acquire)) return 0;
    *word = w->word[n % MM_WORDS];
    atomic_store_explicit(&w->taken, n + 1, memory_order_release);
    return 1;
}

#endif
