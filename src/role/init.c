#include "role/init.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf.h"
#include "role/post.h"
#include "role/status.h"
#include "role/worker.h"

/* The environment */

/* A decimal number and nothing else; 0 if it is not that. */
static uint64_t number(const char *text)
{
	char *end;
	unsigned long long n;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	n = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' ? n : 0;
}

/* Between two signs of life, 0: none are asked for, or of another process. */
static msec watchdog(void)
{
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t usec = number(getenv("WATCHDOG_USEC"));

	if (pid != NULL && number(pid) != (uint64_t)getpid())
		return 0;
	if (usec == 0 || usec / 1000 > INT32_MAX)
		return 0;
	return usec < 1000 ? 1 : (msec)(usec / 1000);
}

/* A worker or job that had them could speak, or be taken, for the master. */
static void clean_environment(void)
{
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

int init_open(struct init *i, enum init_ready how, struct err *e)
{
	const char *name = getenv("NOTIFY_SOCKET");
	int rc = 0;

	*i = (struct init){ .how = how };
	herald_init(&i->herald, watchdog(), clock_now());
	if (name == NULL || *name == '\0') {
		if (how == INIT_READY_NOTIFY)
			rc = err_set(e,
			    "--ready=notify, but NOTIFY_SOCKET is not set: is this started by "
			    "systemd, with Type=notify?");
	} else if (sdnotify_address(name, &i->to) != 0) {
		rc = err_set(e,
		    "cannot tell NOTIFY_SOCKET that this master is ready: \"%s\" is neither a path "
		    "nor an abstract name",
		    name);
	}
	clean_environment();
	return rc;
}

/* Telling */

static bool speaks(const struct init *i)
{
	return i->to.len > 0;
}

static bool send_text(struct init *i, const char *text)
{
	bool ok = sdnotify_send(&i->to, text, 0) == 0;

	/* Once per outage. */
	if (!ok && !i->failed)
		log_warn("cannot tell the init system how things are, the jobs go on: %s",
		    strerror(errno));
	else if (ok && i->failed)
		log_info("the init system hears of this master again");
	i->failed = !ok;
	return ok;
}

static int percent_moved(const struct report *r)
{
	return r->to_move > 0 ? (int)((double)r->moved / (double)r->to_move * 100) : -1;
}

/* Nothing of it is held here, nor will be while a stop lasts. */
static bool is_gone(const struct seat *s)
{
	return s->state == SEAT_VACANT || s->state == SEAT_PARKED || s->state == SEAT_FINISHED;
}

/* By then nothing of a job is held any more. When its worker died, what that left gets the same
 * time again. */
static msec ends_by(const struct post *p, msec stop_began)
{
	msec began = p->seat.state == SEAT_WORKING || p->seat.ended < stop_began ? stop_began
										 : p->seat.ended;
	msec by = msec_add(began, p->job->stop_timeout);

	if (p->report.stop_by > by)
		by = p->report.stop_by;
	if (p->seat.stop_by > by) /* of a worker that died; the report may be its rescue's */
		by = p->seat.stop_by;
	return msec_add(by, worker_stop_tail(p->job));
}

static void look(struct herald_view *v, const struct fleet *fleet, msec stop_began)
{
	herald_view_init(v);
	v->up = true;
	v->stopping = fleet->level != STOP_NOT;
	v->ends = 0;
	for (size_t i = 0; i < fleet->n; i++) {
		const struct post *p = post_of(fleet->seats[i]);
		msec by;

		herald_view_add(v, status_of_job(p));
		if (is_gone(&p->seat)) {
			v->gone++;
			continue;
		}
		if (v->job == NULL) {
			v->job = p->job->name;
			v->words = p->report.status;
			v->percent = percent_moved(&p->report);
		}
		by = ends_by(p, stop_began);
		v->ends = by > v->ends ? by : v->ends;
	}
}

void init_up(struct init *i)
{
	i->up = true;
	if (i->how != INIT_READY_SIGSTOP)
		return;
	if (getpid() == 1) {
		log_warn("--ready=sigstop: process 1 cannot be stopped, and needs no such sign");
		return;
	}
	log_debug("ready: stopping until SIGCONT");
	raise(SIGSTOP);
}

void init_reloading(struct init *i)
{
	char text[HERALD_MAX];
	struct timespec now;

	if (!speaks(i))
		return;
	/* The protocol wants this very clock. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	herald_reload(
	    &i->herald, (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000, text);
	send_text(i, text);
}

void init_tell(struct init *i, const struct fleet *fleet, msec stop_began)
{
	char text[HERALD_MAX];
	struct herald_view view;

	if (!speaks(i) || !i->up)
		return;
	look(&view, fleet, stop_began);
	if (herald_next(&i->herald, &view, clock_now(), text))
		herald_sent(&i->herald, send_text(i, text), clock_now());
}

msec init_deadline(const struct init *i)
{
	return speaks(i) && i->up ? herald_deadline(&i->herald) : MSEC_NEVER;
}
