#include "base/task.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/sig.h"

struct task {
	struct ev_loop *loop;
	struct ev_async finished;
	pthread_t thread;
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void *run(void *p)
{
	struct task *t = p;

	t->work(t->arg);
	ev_async_send(t->loop, &t->finished);
	return NULL;
}

static void on_finished(struct ev_loop *loop, struct ev_async *w, int revents)
{
	struct task *t = w->data;
	void (*done)(void *arg) = t->done;
	void *arg = t->arg;

	(void)revents;
	pthread_join(t->thread, NULL);
	ev_async_stop(loop, w);
	free(t);
	done(arg);
}

struct task *task_start(struct ev_loop *loop, void (*work)(void *arg), void (*done)(void *arg),
    void *arg, struct err *e)
{
	struct task *t = calloc(1, sizeof(*t));
	sigset_t old;
	int rc;

	if (t == NULL) {
		err_set(e, "cannot start a thread: out of memory");
		return NULL;
	}
	t->loop = loop;
	t->work = work;
	t->done = done;
	t->arg = arg;
	ev_async_init(&t->finished, on_finished);
	t->finished.data = t;
	ev_async_start(loop, &t->finished);
	/* The thread inherits the mask: every signal stays the loop's. */
	sig_block_all(&old);
	rc = pthread_create(&t->thread, NULL, run, t);
	sig_restore(&old);
	if (rc == 0)
		return t;
	ev_async_stop(loop, &t->finished);
	free(t);
	errno = rc;
	err_sys(e, "cannot start a thread");
	return NULL;
}
