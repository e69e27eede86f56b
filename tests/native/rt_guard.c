/* Linked into a build with MM_RT_CHECK by -Wl,--wrap: what a tick may not do aborts. */
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Thread_local int mm_rt_depth;

static void forbid(const char *what) {
    if (!mm_rt_depth) return;
    const ssize_t written = write(2, what, strlen(what));
    (void)written;
    abort();
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void __real_free(void *memory);
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, long offset);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void __wrap_free(void *memory);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, long offset);

void *__wrap_malloc(size_t bytes) {
    forbid("malloc in a tick\n");
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes) {
    forbid("calloc in a tick\n");
    return __real_calloc(count, bytes);
}

void __wrap_free(void *memory) {
    forbid("free in a tick\n");
    __real_free(memory);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex) {
    forbid("lock in a tick\n");
    return __real_pthread_mutex_lock(mutex);
}

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, long offset) {
    forbid("mmap in a tick\n");
    return __real_mmap(at, bytes, protection, flags, fd, offset);
}
