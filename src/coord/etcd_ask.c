#include "coord/etcd_ask.h"

#include <assert.h>
#include <string.h>

#define CALL_MAX 5000     /* for one round of the endpoints */
#define ATTEMPT_FULL 1200 /* what a server gets to answer */
#define ATTEMPT_MIN 200   /* what is left for one must be worth it */
#define DELAY_MIN 100
#define DELAY_MAX 1000
#define BLIP_MAX 1000 /* such as an election */

static void finish(struct ask *a, const struct etcd_answer *answer)
{
	json_decref(a->body);
	a->body = NULL;
	a->done(a->ctx, answer);
}

/* What the deadline has cut short says less than an attempt before it. */
static const struct etcd_answer *note_failure(
    struct ask *a, const struct etcd_answer *answer, struct etcd_answer *told)
{
	if (a->until - a->sent >= ATTEMPT_FULL || a->failed.code == ETCD_OK) {
		a->failed = *answer;
		a->failed.body = NULL;
		return answer;
	}
	*told = a->failed;
	told->unknown = answer->unknown;
	return told;
}

static void wait_for(struct ask *a, msec delay)
{
	ev_timer_set(&a->pause, (double)delay / 1000., 0.);
	ev_timer_start(a->loop, &a->pause);
}

static bool is_silent(const struct ask *a)
{
	return a->misses >= etcd_client_endpoints(a->client) && clock_now() - a->began >= BLIP_MAX;
}

static void on_missed(void *ctx, const struct etcd_answer *answer)
{
	struct ask *a = ctx;
	bool told = a->told;

	a->misses++;
	a->told |= is_silent(a);
	if (a->told && !told && a->silent != NULL)
		a->silent(a->ctx, answer);
}

static void on_answer(void *ctx, const struct etcd_answer *answer)
{
	struct etcd_answer told;
	struct ask *a = ctx;
	msec delay = a->delay;

	a->call = NULL;
	if (etcd_is_passing(answer))
		answer = note_failure(a, answer, &told);
	if (!etcd_is_passing(answer) || msec_add(clock_now(), delay + ATTEMPT_MIN) >= a->until) {
		finish(a, answer);
		return;
	}
	a->unsure |= answer->unknown;
	a->delay = delay == 0 ? DELAY_MIN : msec_min(2 * delay, DELAY_MAX);
	wait_for(a, delay);
	on_missed(a, answer);
}

/* Without a body: the answer is that memory ran out, given from the loop like every other. */
static void attempt(struct ask *a)
{
	struct err e;

	if (a->body != NULL) {
		a->sent = clock_now();
		/* Not repeatable: a second attempt must show here, in `sent` and `unsure`. */
		a->call = etcd_call(a->client, a->path, a->body,
		    msec_min(a->until, a->sent + CALL_MAX), false, on_answer, a, &e);
	}
	if (a->call != NULL) {
		etcd_call_missed(a->call, on_missed);
		return;
	}
	json_decref(a->body);
	a->body = NULL;
	wait_for(a, 0);
}

static void on_pause(struct ev_loop *loop, struct ev_timer *w, int revents)
{
	struct etcd_answer answer = { .code = ETCD_UNAVAILABLE };
	struct ask *a = w->data;

	(void)loop;
	(void)revents;
	if (a->body != NULL) {
		attempt(a);
		return;
	}
	err_set(&answer.e, "cannot ask etcd: out of memory");
	finish(a, &answer);
}

void ask_init(struct ask *a, struct ev_loop *loop, struct etcd_client *client)
{
	memset(a, 0, sizeof(*a));
	a->loop = loop;
	a->client = client;
	ev_timer_init(&a->pause, on_pause, 0., 0.);
	a->pause.data = a;
}

void ask_start(struct ask *a, const char *path, json_t *body, msec until,
    void (*done)(void *ctx, const struct etcd_answer *answer), void *ctx)
{
	assert(!ask_is_busy(a));
	a->path = path;
	a->body = body;
	a->until = until;
	a->delay = 0;
	a->unsure = false;
	a->failed.code = ETCD_OK;
	a->began = clock_now();
	a->misses = 0;
	a->told = false;
	a->done = done;
	a->ctx = ctx;
	attempt(a);
}

void ask_when_silent(struct ask *a, void (*silent)(void *ctx, const struct etcd_answer *last))
{
	a->silent = silent;
}

bool ask_is_busy(struct ask *a)
{
	return a->call != NULL || ev_is_active(&a->pause);
}

void ask_hurry(struct ask *a, msec until)
{
	if (!ask_is_busy(a) || a->until <= until)
		return;
	a->until = until;
	if (a->call == NULL)
		return; /* its pause is short */
	etcd_cancel(a->call);
	a->call = NULL;
	a->unsure = true;
	attempt(a);
}

void ask_cancel(struct ask *a)
{
	if (a->call != NULL)
		etcd_cancel(a->call);
	a->call = NULL;
	ev_timer_stop(a->loop, &a->pause);
	json_decref(a->body);
	a->body = NULL;
}
