/*
 * clock.h - time as this program counts it.
 *
 * Every deadline is a `msec`: milliseconds of CLOCK_BOOTTIME, which runs on while the machine is
 * suspended (a lease does, too) and never jumps with the wall clock. Wall-clock time is only for
 * people: log lines, the "time" of a state record, the stamps of a hand-over.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

typedef int64_t msec; /* a scalar with a unit, not a hidden struct */

#define MSEC_NEVER INT64_MAX /* a deadline that does not come; "infinity" in a configuration */

msec clock_now(void);

/* a + b that stays MSEC_NEVER when either is; both must be >= 0. */
msec msec_add(msec a, msec b);
msec msec_min(msec a, msec b);

/*
 * One of 0 .. n - 1 by chance, to spread what many would do at the same time; 0 if n is. *random,
 * never 0, is the seed and goes on: the same seed gives the same numbers.
 */
msec msec_roll(uint64_t *random, msec n);

#define CLOCK_STAMP_MAX 32

/* Wall-clock now as "2026-11-22T23:50:19.123Z" (UTC) in buf; returns buf. */
const char *clock_stamp(char buf[CLOCK_STAMP_MAX]);

/* Microseconds of CLOCK_BOOTTIME, and of the wall clock since the epoch. */
int64_t clock_usec(void);
int64_t clock_wall_usec(void);

/* The wall clock in whole seconds since the epoch, for "since" fields. */
int64_t clock_wall(void);
/* The same at that time to come, rounded up; 0 for MSEC_NEVER. */
int64_t clock_wall_at(msec at);

#endif
