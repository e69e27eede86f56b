/* Whole pages for what a tick thread touches: populated and locked, so that it never faults. */
#ifndef MM_MEMORY_H
#define MM_MEMORY_H

#include <stddef.h>

/* Zeroed, page-aligned memory, or NULL. Locked where RLIMIT_MEMLOCK allows. Any thread but a tick thread. */
void *mm_pages_alloc(size_t bytes);
void mm_pages_free(void *pages);
/* Blocks now allocated by mm_pages_alloc: what the leak tests look at. */
long mm_pages_live(void);

#endif
