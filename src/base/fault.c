#include "base/fault.h"

#ifdef GRACEFUL_DEVELOPER

#include <ctype.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RULES_MAX 16
#define EVERY_TIME 0
#define LOOK_US 10000
#define SLOW_US 200000

enum action { ACTION_KILL, ACTION_STOP, ACTION_BLOCK, ACTION_SLOW, ACTION_FAIL };

static const char *const action_names[] = {
	[ACTION_KILL] = "kill",
	[ACTION_STOP] = "stop",
	[ACTION_BLOCK] = "block",
	[ACTION_SLOW] = "slow",
	[ACTION_FAIL] = "fail",
};

struct rule {
	char *role, *point, *job; /* "" for any */
	enum action action;
	unsigned long when;
};

static struct {
	struct rule rules[RULES_MAX];
	size_t n;
	char *text; /* that the rules point into */
	char *go;
	const char *role, *job;
	atomic_ulong *hits; /* one a rule, shared by all processes */
} faults;

static _Noreturn void bad_rule(const char *rule, const char *why)
{
	fprintf(stderr, "GRACEFUL_FAULT: %s: %s\n", rule, why);
	abort();
}

static enum action read_action(const char *name, const char *rule)
{
	for (size_t i = 0; i < sizeof(action_names) / sizeof(action_names[0]); i++) {
		if (strcmp(name, action_names[i]) == 0)
			return (enum action)i;
	}
	bad_rule(rule, "no such action");
}

static unsigned long read_when(const char *text, const char *rule)
{
	char *end;
	unsigned long n;

	if (text == NULL)
		return 1;
	if (strcmp(text, "*") == 0)
		return EVERY_TIME;
	n = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end != '\0' || n == 0)
		bad_rule(rule, "N is a number from 1, or *");
	return n;
}

/* Cuts text to pieces, which the rule keeps. */
static void read_rule(char *text, struct rule *r)
{
	char *whole = strdup(text);
	char *what = strchr(text, '=');
	char *dot;

	if (whole == NULL || what == NULL)
		bad_rule(text, "is not POINT=ACTION");
	*what++ = '\0';
	dot = strchr(text, '.');
	if (dot != NULL)
		*dot++ = '\0';
	r->role = dot != NULL ? text : NULL;
	r->point = dot != NULL ? dot : text;
	r->action = read_action(strsep(&what, ":"), whole);
	r->job = strsep(&what, ":");
	r->when = read_when(what, whole);
	free(whole);
}

static void read_rules(char *text)
{
	char *rule;

	while ((rule = strsep(&text, ",")) != NULL) {
		if (*rule == '\0')
			continue;
		if (faults.n == RULES_MAX)
			bad_rule(rule, "one rule too many");
		read_rule(rule, &faults.rules[faults.n++]);
	}
}

static char *take_variable(const char *name)
{
	const char *value = getenv(name);
	char *copy = value != NULL ? strdup(value) : NULL;

	unsetenv(name);
	return copy;
}

void fault_open(void)
{
	faults.text = take_variable("GRACEFUL_FAULT");
	faults.go = take_variable("GRACEFUL_FAULT_GO");
	if (faults.text == NULL)
		return;
	faults.hits = mmap(NULL, RULES_MAX * sizeof(*faults.hits), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (faults.hits == MAP_FAILED)
		bad_rule(faults.text, "out of memory");
	read_rules(faults.text);
}

void fault_who(const char *role, const char *job)
{
	faults.role = role;
	faults.job = job;
}

static bool is_meant(const char *wanted, const char *is)
{
	return wanted == NULL || *wanted == '\0' || (is != NULL && strcmp(wanted, is) == 0);
}

static bool applies(const struct rule *r, const char *point)
{
	return strcmp(r->point, point) == 0 && is_meant(r->role, faults.role) &&
	       is_meant(r->job, faults.job);
}

static void tell(const struct rule *r)
{
	dprintf(STDERR_FILENO, "fault: %s: %s %s job=%s pid=%d\n", r->point,
	    action_names[r->action], faults.role != NULL ? faults.role : "-",
	    faults.job != NULL ? faults.job : "-", (int)getpid());
}

static bool act(const struct rule *r)
{
	tell(r);
	switch (r->action) {
	case ACTION_KILL: raise(SIGKILL); break;
	case ACTION_STOP: kill(getpid(), SIGSTOP); break;
	case ACTION_BLOCK:
		while (faults.go == NULL || access(faults.go, F_OK) != 0)
			usleep(LOOK_US);
		break;
	case ACTION_SLOW: usleep(SLOW_US); break;
	case ACTION_FAIL: return true;
	}
	return false;
}

bool fault_hit(const char *point)
{
	bool refused = false;

	for (size_t i = 0; i < faults.n; i++) {
		const struct rule *r = &faults.rules[i];
		unsigned long n;

		if (!applies(r, point))
			continue;
		n = atomic_fetch_add(&faults.hits[i], 1) + 1;
		if (r->when == EVERY_TIME || r->when == n)
			refused |= act(r);
	}
	return refused;
}

#endif
