/*
 * time_test.h - lets hours pass in no time: what clock.h and alarm.h are made of, with a test's
 * hand on it. Included once per executable.
 */
#ifndef T_UNIT_TIME_TEST_H
#define T_UNIT_TIME_TEST_H

#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define TIMERS 64

static msec skipped;
static struct {
	bool armed;
	struct itimerspec at; /* as the program sees the time */
} timers[TIMERS];

static inline void shift(struct timespec *t, msec by)
{
	t->tv_sec += by / 1000;
	t->tv_nsec += by % 1000 * 1000000;
	if (t->tv_nsec >= 1000000000) {
		t->tv_nsec -= 1000000000;
		t->tv_sec++;
	}
	if (t->tv_nsec < 0) {
		t->tv_nsec += 1000000000;
		t->tv_sec--;
	}
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	long rc = syscall(SYS_clock_gettime, clock, t);

	if (rc == 0 && clock == CLOCK_BOOTTIME)
		shift(t, skipped);
	return (int)rc;
}

static inline int arm(int fd, struct itimerspec at)
{
	shift(&at.it_value, -skipped);
	if (at.it_value.tv_sec < 0 || (at.it_value.tv_sec == 0 && at.it_value.tv_nsec == 0))
		at.it_value = (struct timespec){ .tv_nsec = 1 };
	return (int)syscall(SYS_timerfd_settime, fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Only as alarm.c calls it. */
int timerfd_settime(int fd, int flags, const struct itimerspec *at, struct itimerspec *old)
{
	(void)old;
	if (fd >= TIMERS || flags != TFD_TIMER_ABSTIME)
		abort();
	timers[fd].armed = at->it_value.tv_sec != 0 || at->it_value.tv_nsec != 0;
	timers[fd].at = *at;
	if (!timers[fd].armed)
		return (int)syscall(SYS_timerfd_settime, fd, flags, at, NULL);
	return arm(fd, *at);
}

/* Timers of the past ring when the loop runs next. */
static inline void skip_time(msec by)
{
	skipped += by;
	for (int fd = 0; fd < TIMERS; fd++) {
		if (timers[fd].armed)
			arm(fd, timers[fd].at); /* fails where it was closed meanwhile */
	}
}

#endif
