#include "policy/herald.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Figures change often; who reads them is a person. */
#define STATUS_PAUSE 1000
#define RETRY 500
/* So much time is asked for, and again when less than EXTEND_LEFT of it is left: a busy machine is
 * no reason to be killed. Gains below EXTEND_STEP are not worth a message. */
#define EXTEND 30000
#define EXTEND_LEFT 20000
#define EXTEND_STEP 1000

/* In this order they are told. */
static const char *const state_names[HERALD_STATES] = { "running", "standby", "starting",
	"restoring", "dumping", "releasing", "backoff", "parked", "done", "stopped" };

void herald_view_init(struct herald_view *v)
{
	*v = (struct herald_view){ .ends = MSEC_NEVER, .percent = -1 };
}

void herald_view_add(struct herald_view *v, const char *state)
{
	v->jobs++;
	for (size_t i = 0; i < HERALD_STATES && state_names[i] != NULL; i++)
		v->in_state[i] += strcmp(state, state_names[i]) == 0;
}

void herald_init(struct herald *h, msec watchdog, msec now)
{
	memset(h, 0, sizeof(*h));
	h->watchdog = watchdog == 1 ? 1 : watchdog / 2;
	h->alive_at = h->watchdog > 0 ? now : MSEC_NEVER;
}

static void add(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* What does not fit is cut. */
static void add(char *buf, size_t size, const char *fmt, ...)
{
	size_t len = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + len, size - len, fmt, ap);
	va_end(ap);
}

/* "12 jobs: 10 running, 2 standby" */
static void tell_states(const struct herald_view *v, char buf[HERALD_STATUS_MAX])
{
	const char *sep = ": ";

	add(buf, HERALD_STATUS_MAX, "%zu job%s", v->jobs, v->jobs == 1 ? "" : "s");
	for (size_t i = 0; i < HERALD_STATES; i++) {
		if (v->in_state[i] == 0)
			continue;
		add(buf, HERALD_STATUS_MAX, "%s%zu %s", sep, v->in_state[i], state_names[i]);
		sep = ", ";
	}
}

/* "7 of 12 jobs dumped, orders: 43 %" */
static void tell_stop(const struct herald_view *v, char buf[HERALD_STATUS_MAX])
{
	add(buf, HERALD_STATUS_MAX, "%zu of %zu job%s dumped", v->gone, v->jobs,
	    v->jobs == 1 ? "" : "s");
	if (v->job == NULL)
		return;
	if (v->percent >= 0)
		add(buf, HERALD_STATUS_MAX, ", %s: %d %%", v->job, v->percent);
	else if (v->words[0] != '\0')
		add(buf, HERALD_STATUS_MAX, ", %s: %s", v->job, v->words);
	else
		add(buf, HERALD_STATUS_MAX, ", waiting for %s", v->job);
}

void herald_reload(struct herald *h, uint64_t monotonic_usec, char buf[HERALD_MAX])
{
	snprintf(buf, HERALD_MAX, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, monotonic_usec);
	h->said.ready = false;
}

static void say_status(
    struct herald *h, const struct herald_view *v, msec now, char buf[HERALD_MAX])
{
	char text[HERALD_STATUS_MAX] = "";

	(v->stopping ? tell_stop : tell_states)(v, text);
	h->status_waits = strcmp(text, h->said.status) != 0;
	if (!h->status_waits || now < h->status_at)
		return;
	memcpy(h->saying.status, text, sizeof(text));
	h->says_status = true;
	add(buf, HERALD_MAX, "STATUS=%s\n", text);
}

/* When more time has to be asked for, if there is more to be had. */
static msec extend_at(const struct herald *h)
{
	return h->ends < msec_add(h->extended_to, EXTEND_STEP) ? MSEC_NEVER
							       : h->extended_to - EXTEND_LEFT;
}

static void ask_time(struct herald *h, const struct herald_view *v, msec now, char buf[HERALD_MAX])
{
	h->ends = v->stopping ? v->ends : 0;
	h->extends_to = h->extended_to;
	if (now < extend_at(h))
		return;
	/* It has passed already: nothing to be had by asking. */
	if (h->ends <= now) {
		h->extended_to = h->extends_to = h->ends;
		return;
	}
	h->extends_to = msec_min(h->ends, now + EXTEND);
	add(buf, HERALD_MAX, "EXTEND_TIMEOUT_USEC=%" PRId64 "\n", (h->extends_to - now) * 1000);
}

bool herald_next(struct herald *h, const struct herald_view *v, msec now, char buf[HERALD_MAX])
{
	buf[0] = '\0';
	h->saying = h->said;
	h->says_status = h->says_alive = false;
	if (!v->up || now < h->retry_at)
		return false;
	h->saying.ready = !v->stopping;
	h->saying.stopping = v->stopping;
	if (v->stopping && !h->said.stopping) {
		add(buf, HERALD_MAX, "STOPPING=1\n");
		h->status_at = now;
	} else if (!v->stopping && !h->said.ready) {
		add(buf, HERALD_MAX, "READY=1\n");
	}
	say_status(h, v, now, buf);
	h->says_alive = now >= h->alive_at;
	if (h->says_alive)
		add(buf, HERALD_MAX, "WATCHDOG=1\n");
	ask_time(h, v, now, buf);
	return buf[0] != '\0';
}

void herald_sent(struct herald *h, bool ok, msec now)
{
	h->retry_at = ok ? 0 : msec_add(now, RETRY);
	if (!ok)
		return;
	h->said = h->saying;
	if (h->says_status) {
		h->status_at = msec_add(now, STATUS_PAUSE);
		h->status_waits = false;
	}
	if (h->says_alive)
		h->alive_at = msec_add(now, h->watchdog);
	h->extended_to = h->extends_to;
}

msec herald_deadline(const struct herald *h)
{
	msec at = msec_min(h->alive_at, extend_at(h));

	if (h->retry_at > 0)
		return h->retry_at;
	return h->status_waits ? msec_min(at, h->status_at) : at;
}
