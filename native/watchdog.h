/* Says on stderr what has been running for too long, from a thread that needs no GIL.
 *
 * One thread tells when it begins and ends something (a plugin's frame); that costs some 100 ns and never waits. When
 * something runs beyond the limit, one line names it, once.
 */
#ifndef MM_WATCHDOG_H
#define MM_WATCHDOG_H

#include <stddef.h>
#include <stdint.h>

#define MM_WATCHDOG_NAME 64u /* bytes of a name, with its end */

typedef struct mm_watchdog mm_watchdog;

/* Starts its thread. NULL with errno. */
mm_watchdog *mm_watchdog_create(int64_t limit_ns);
/* Ends its thread. Nobody may enter any more. */
void mm_watchdog_destroy(mm_watchdog *w);

/* The watched thread. name: cut to what fits. Entering again is another beginning. */
void mm_watchdog_enter(mm_watchdog *w, const char *name, size_t bytes);
void mm_watchdog_leave(mm_watchdog *w);

/* Any thread. 1 when something has run for longer than the limit: its name, and how long. */
int mm_watchdog_stuck(const mm_watchdog *w, char name[MM_WATCHDOG_NAME], int64_t *ran_ns);

#endif
