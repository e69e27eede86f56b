/* A library bound at run time: every symbol or none, and whether its calls allocate. Control side only. */
#ifndef MM_SHARED_LIBRARY_H
#define MM_SHARED_LIBRARY_H

#include <stddef.h>

/* Open the library at *path* for this caller alone and fill symbols[i] with the address of names[i]. The
 * handle, or NULL with one line about what was missing in *error*. Opening runs the library's constructors;
 * it stays mapped while the handle is open. */
void *mm_shared_library_open(const char *path, const char *const *names, void **symbols, size_t count,
                             char *error, size_t error_room);
void mm_shared_library_close(void *handle);

/* Does call(argument), made *times* over after one that may, allocate? 1 or 0; -1: this libc cannot tell. It
 * looks at glibc's arenas with the calling thread's cache drained, so that a block taken shows even when it
 * was given back. Blocks above 1 KiB that are given back may escape it; other threads' noise is told apart
 * by trying again. */
int mm_shared_library_allocates(void (*call)(void *), void *argument, int times);

#endif
