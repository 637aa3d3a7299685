#include "base/clock.h"

#include <stdio.h>
#include <time.h>

msec clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (msec)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

msec msec_add(msec a, msec b)
{
	if (a == MSEC_NEVER || b == MSEC_NEVER || a > MSEC_NEVER - b)
		return MSEC_NEVER;
	return a + b;
}

msec msec_min(msec a, msec b)
{
	return a < b ? a : b;
}

/* xorshift64 */
msec msec_roll(uint64_t *random, msec n)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return n > 0 ? (msec)(*random % (uint64_t)n) : 0;
}

const char *clock_stamp(char buf[CLOCK_STAMP_MAX])
{
	struct timespec ts;
	struct tm tm;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	len = strftime(buf, CLOCK_STAMP_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + len, CLOCK_STAMP_MAX - len, ".%03dZ", (int)(ts.tv_nsec / 1000000));
	return buf;
}

static int64_t usec_of(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_usec(void)
{
	return usec_of(CLOCK_BOOTTIME);
}

int64_t clock_wall_usec(void)
{
	return usec_of(CLOCK_REALTIME);
}

int64_t clock_wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec;
}

int64_t clock_wall_at(msec at)
{
	if (at == MSEC_NEVER)
		return 0;
	return (clock_wall_usec() / 1000 + at - clock_now() + 999) / 1000;
}
