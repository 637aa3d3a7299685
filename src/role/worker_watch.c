#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/task.h"
#include "role/worker_impl.h"

#define LOOK_MS 1000 /* between two looks at a state file that cannot be watched */
#define REST_MS 1000 /* who writes in place and pauses for longer may be taken for ready */

/*
 * A look at the state file while the job runs: on a thread, as the disk of work_dir may hang, and
 * the lease must be renewed all the same. With what it needs of the worker, as that was at its
 * start.
 */
struct glance {
	struct worker *w;
	bool any; /* a file that was merely written in place is news, too */
	bool had_saved;
	struct state_id saved;
	/* What was seen. */
	struct state_id id;
	int rc; /* of worker_state_peek() */
};

static void peek(struct glance *g)
{
	struct err e;

	FAULT("in_look");
	g->rc = worker_state_peek(g->w, &g->id, &e);
}

/* What is no proper file counts, so that the backup says why. */
static bool is_news(const struct glance *g)
{
	if (g->rc <= 0 || !g->had_saved)
		return g->rc != 0;
	if (g->any)
		return !state_id_equal(&g->id, &g->saved);
	return g->id.dev != g->saved.dev || g->id.ino != g->saved.ino;
}

/* A new file that is still being written to will tell of its end by an event. */
static void glance_work(void *arg)
{
	static const struct timespec rest = { .tv_sec = REST_MS / 1000 };
	struct glance *g = arg;
	struct state_id before;

	peek(g);
	if (g->any || g->rc <= 0 || !is_news(g))
		return;
	before = g->id;
	nanosleep(&rest, NULL);
	FAULT("before_next_look");
	peek(g);
	if (g->rc > 0 && !state_id_equal(&g->id, &before))
		g->rc = 0;
}

static void look(struct worker *w, bool any);

/* A change that is known, or on its way, is not to be saved twice. What came without an event was
 * there before a signal to the job, and is not its answer. */
static void tell_news(struct worker *w, const struct glance *g)
{
	struct pacer *p = &w->pacer;

	if (!p->on || !is_news(g))
		return;
	if (g->any)
		worker_pace(w, pacer_changed(p, clock_now()));
	else if (!p->saving && !p->changed)
		worker_pace(w, pacer_stale(p, clock_now()));
}

static void glance_done(void *arg)
{
	struct glance *g = arg;
	struct worker *w = g->w;

	w->looking = false;
	tell_news(w, g);
	free(g);
	if (w->look_again)
		look(w, w->look_at_any);
}

/* One at a time; what is asked for meanwhile may have come behind it. A look that cannot be had is
 * no loss: the next is not far. */
static void look(struct worker *w, bool any)
{
	struct glance *g;
	struct err e;

	w->look_again = w->looking;
	w->look_at_any = any || (w->looking && w->look_at_any);
	if (w->looking)
		return;
	g = calloc(1, sizeof(*g));
	if (g == NULL)
		return;
	*g = (struct glance){
		.w = w, .any = any, .had_saved = w->have_saved_id, .saved = w->saved_id
	};
	w->looking = task_start(w->loop, glance_work, glance_done, g, &e) != NULL;
	if (!w->looking)
		free(g);
}

static bool names_state(const struct inotify_event *ev)
{
	return (ev->mask & IN_Q_OVERFLOW) != 0 ||
	       (ev->len > 0 && strcmp(ev->name, STATE_FILE) == 0);
}

/* The directory was removed. There may be another one of its name before the job starts anew. */
static void lose_watch(struct worker *w)
{
	w->watched = -1;
	worker_watch_look(w);
	worker_rearm(w);
}

static void on_watch(struct ev_loop *loop, struct ev_io *io, int revents)
{
	struct worker *w = io->data;
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool changed = false, gone = false;
	ssize_t n;

	(void)loop;
	(void)revents;
	n = read(io->fd, buf, sizeof(buf));
	for (char *p = buf; n > 0 && p < buf + n;) {
		const struct inotify_event *ev = (const struct inotify_event *)(const void *)p;

		changed |= names_state(ev);
		gone |= (ev->mask & IN_IGNORED) != 0 && ev->wd == w->watched;
		p += sizeof(*ev) + ev->len;
	}
	if (changed)
		worker_pace(w, pacer_changed(&w->pacer, clock_now()));
	if (gone)
		lose_watch(w);
}

void worker_watch_open(struct worker *w)
{
	ev_io_init(&w->watch, on_watch, -1, EV_READ);
	w->watch.data = w;
	w->watched = -1;
	w->look_at = MSEC_NEVER;
}

/*
 * Begins when the job runs, so that a standby takes nothing: the kernel grants all processes of a
 * user together a few instances of inotify, by default 128.
 */
static int open_inotify(struct worker *w, struct err *e)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd < 0)
		return err_sys(e,
		    "cannot watch %s by inotify (see sysctl fs.inotify.max_user_instances)",
		    w->dir);
	ev_io_set(&w->watch, fd, EV_READ);
	ev_io_start(w->loop, &w->watch);
	return 0;
}

/* Anew at each start of the job: the directory may be another one since. */
static int watch_dir(struct worker *w, struct err *e)
{
	int old = w->watched;

	if (w->watch.fd < 0 && open_inotify(w, e) != 0)
		return -1;
	w->watched =
	    inotify_add_watch(w->watch.fd, w->dir, IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR);
	if (w->watched < 0)
		err_sys(e, "cannot watch %s (see sysctl fs.inotify.max_user_watches)", w->dir);
	if (old >= 0 && old != w->watched)
		inotify_rm_watch(w->watch.fd, old);
	return w->watched < 0 ? -1 : 0;
}

void worker_watch_look(struct worker *w)
{
	w->look_at = MSEC_NEVER;
	if (!w->pacer.on)
		return;
	w->look_at = msec_add(clock_now(), LOOK_MS);
	look(w, true);
}

/* A name by link(2), and what is no file at all, tell of no end of writing. */
void worker_watch_check(struct worker *w)
{
	if (w->pacer.on && !w->pacer.saving && !w->pacer.changed)
		look(w, false);
}

/* The watch first, then a look: a file that came between the two is seen by the look. */
void worker_watch_begin(struct worker *w)
{
	struct err e;

	if (watch_dir(w, &e) != 0) {
		log_warn("a new state is noticed late, by looking: %s", e.text);
		w->look_at = msec_add(clock_now(), LOOK_MS);
	} else {
		w->look_at = MSEC_NEVER;
	}
	pacer_start(&w->pacer, clock_now());
	/* "clean" says that nothing happened since the dump. The job runs now, so should the whole
	 * machine go down, the next owner must find "crash", also if no checkpoint came before. */
	if ((w->have_record && w->record.clean) || w->goes_on)
		worker_pace(w, pacer_stale(&w->pacer, clock_now()));
	else
		look(w, true);
}
