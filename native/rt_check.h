/* In a build with MM_RT_CHECK, malloc, free and pthread_mutex_lock abort while a tick runs (the wrapping
 * is in tests/native/rt_guard.c). In any other build this is nothing. */
#ifndef MM_RT_CHECK_H
#define MM_RT_CHECK_H

#ifdef MM_RT_CHECK
extern _Thread_local int mm_rt_depth;
#define MM_RT_ENTER() (mm_rt_depth++)
#define MM_RT_LEAVE() (mm_rt_depth--)
#else
#define MM_RT_ENTER() ((void)0)
#define MM_RT_LEAVE() ((void)0)
#endif

#endif
