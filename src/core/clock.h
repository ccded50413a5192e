/* clock - the time that only goes forward (CLOCK_MONOTONIC), for deadlines and intervals. */
#ifndef FA_CORE_CLOCK_H
#define FA_CORE_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* Since some moment in the past, in nanoseconds and in milliseconds. */
int64_t clock_ns(void);
int64_t clock_ms(void);

/* Such milliseconds for pthread_cond_timedwait(), on a condition made by clock_cond_init(). */
struct timespec clock_timespec(int64_t ms);

/* A condition that waits by this clock. */
void clock_cond_init(pthread_cond_t *cond);

#endif
