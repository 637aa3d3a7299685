/*
 * fault.h - named points at which a test makes a process die, stop, hang, or be refused something.
 *
 * Only in developer builds: otherwise FAULT() is the constant false, and nothing of this is there,
 * not even the names.
 *
 * GRACEFUL_FAULT holds rules, separated by commas:
 *
 *   [ROLE.]POINT=ACTION[:[JOB][:N]]
 *
 *   ROLE    "master", "worker" or "rescue"; without it, any
 *   ACTION  "kill" (SIGKILL), "stop" (SIGSTOP), "block" (the thread waits until the file
 *           GRACEFUL_FAULT_GO exists), "slow" (the thread waits a fifth of a second), "fail"
 *           (FAULT() is true: what stands there is refused, or a guard is left out)
 *   JOB     only in its worker; without it, in any
 *   N       only the N-th time, counted over all processes of a master; without it the first time;
 *           "*": every time
 *
 * A point that does something says so on standard error first. The variables are taken out of the
 * environment. Any thread may come to a point. In a policy there are none, as those only compute.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

#ifdef GRACEFUL_DEVELOPER

/* Once, before the first fork, so that all count together. A rule that makes no sense aborts. */
void fault_open(void);
/* Who this process is from now on; job may be NULL. The strings must last. */
void fault_who(const char *role, const char *job);
bool fault_hit(const char *point);
#define FAULT(point) fault_hit(point)

#else

static inline void fault_open(void)
{
}

static inline void fault_who(const char *role, const char *job)
{
	(void)role;
	(void)job;
}

/* The name of the point is not even compiled. */
static inline bool fault_none(void)
{
	return false;
}
#define FAULT(point) fault_none()

#endif

#endif
