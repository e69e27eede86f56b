#define _GNU_SOURCE
#include "schedule.h"

#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NICE (-10)

static const int FAULTS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};

/* A container's user who is not root has CAP_SYS_NICE only as a file's permitted capability, which no program
 * uses unless it says so: an effective one would keep the program from starting where it is not granted. */
static bool raise_priority_capability(void) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
    if (syscall(SYS_capget, &head, data) != 0) return false;
    const size_t word = CAP_TO_INDEX(CAP_SYS_NICE);
    const uint32_t bit = CAP_TO_MASK(CAP_SYS_NICE);
    if ((data[word].permitted & bit) == 0 || (data[word].effective & bit) != 0) return false;
    data[word].effective |= bit;
    return syscall(SYS_capset, &head, data) == 0; /* this thread's alone */
}

mm_scheduling mm_schedule_urgent(int fifo_priority) {
    const struct sched_param fifo = {.sched_priority = fifo_priority};
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &fifo) == 0) return MM_SCHED_FIFO;
    if (raise_priority_capability() && pthread_setschedparam(pthread_self(), SCHED_FIFO, &fifo) == 0)
        return MM_SCHED_FIFO;
    const id_t self = (id_t)syscall(SYS_gettid);
    return setpriority(PRIO_PROCESS, self, NICE) == 0 ? MM_SCHED_NICE : MM_SCHED_NORMAL;
}

int mm_schedule_start(pthread_t *thread, void *(*run)(void *), void *argument) {
    sigset_t all, before;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof FAULTS / sizeof *FAULTS; i++) sigdelset(&all, FAULTS[i]);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const int error = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

int64_t mm_monotonic_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}
