/* The set-up: what the environment tells a job about itself. */
#include "lib/lib.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	bool done;
	pid_t pid; /* of the job */
	char *job;
	char *instance;
	uint64_t epoch;
	int watchdog_msec;
} self;

/* Decimal digits and nothing else; strtoull() alone would take "-1", " 1" and "1x". */
static int parse_number(const char *text, uint64_t *value)
{
	char *end;

	if (*text < '0' || *text > '9') {
		errno = EINVAL;
		return -1;
	}
	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno == 0 && *end == '\0')
		return 0;
	errno = EINVAL;
	return -1;
}

/* A number from the environment, 0 if it is not set. */
static int env_number(const char *name, uint64_t *value)
{
	const char *text = getenv(name);

	*value = 0;
	return text == NULL ? 0 : parse_number(text, value);
}

static int env_copy(const char *name, char **copy)
{
	const char *text = getenv(name);

	*copy = strdup(text == NULL ? "" : text);
	return *copy == NULL ? -1 : 0;
}

static int env_restored(enum graceful_restored *restored)
{
	const char *text = getenv("GRACEFUL_RESTORED");

	if (text == NULL || strcmp(text, "none") == 0)
		*restored = GRACEFUL_NONE;
	else if (strcmp(text, "clean") == 0)
		*restored = GRACEFUL_CLEAN;
	else if (strcmp(text, "crash") == 0)
		*restored = GRACEFUL_CRASH;
	else {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

/* Half of what is allowed, as a ping may be late. WATCHDOG_PID, if set, says whom it is meant for.
 */
static int env_watchdog(int *msec)
{
	uint64_t usec, pid;

	if (env_number("WATCHDOG_USEC", &usec) < 0 || env_number("WATCHDOG_PID", &pid) < 0)
		return -1;
	*msec = 0;
	if (usec == 0 || (pid != 0 && pid != (uint64_t)getpid()))
		return 0;
	usec /= 2000; /* half, in milliseconds */
	*msec = usec > INT_MAX ? INT_MAX : usec == 0 ? 1 : (int)usec;
	return 0;
}

static int setup(const char *state_path)
{
	const char *given = getenv("GRACEFUL_STATE");
	enum graceful_restored restored;

	if (env_number("GRACEFUL_EPOCH", &self.epoch) < 0 || env_restored(&restored) < 0 ||
	    env_watchdog(&self.watchdog_msec) < 0)
		return -1;
	if (env_copy("GRACEFUL_JOB", &self.job) < 0 ||
	    env_copy("GRACEFUL_INSTANCE", &self.instance) < 0)
		return -1;
	self.pid = getpid();
	if (lib_state_setup(given != NULL ? given : state_path, restored) < 0)
		return -1;
	lib_notify_setup(getenv("NOTIFY_SOCKET"));
	return lib_signals_setup();
}

int graceful_init(const char *state_path)
{
	int saved;

	if (self.done) {
		errno = EALREADY;
		return -1;
	}
	self.done = setup(state_path) == 0;
	if (self.done)
		return 0;
	saved = errno;
	free(self.job);
	free(self.instance);
	memset(&self, 0, sizeof(self));
	lib_state_reset();
	lib_notify_setup(NULL);
	errno = saved;
	return -1;
}

bool lib_in_child(void)
{
	return getpid() != self.pid;
}

uint64_t graceful_epoch(void)
{
	return self.epoch;
}

const char *graceful_job(void)
{
	return self.job == NULL ? "" : self.job;
}

const char *graceful_instance(void)
{
	return self.instance == NULL ? "" : self.instance;
}

int graceful_watchdog_msec(void)
{
	return self.watchdog_msec;
}
