#include "coord/etcd_wait.h"

#include <string.h>

int etcd_waiter_open(struct etcd_waiter *w, const struct conf *conf, struct err *e)
{
	memset(w, 0, sizeof(*w));
	w->loop = ev_loop_new(EVFLAG_AUTO);
	if (w->loop == NULL)
		return err_set(e, "cannot make an event loop");
	w->conf = *conf;
	w->conf.run_dir = NULL;
	w->client = etcd_client_open(w->loop, &w->conf, e);
	if (w->client == NULL) {
		ev_loop_destroy(w->loop);
		return -1;
	}
	ask_init(&w->ask, w->loop, w->client);
	return 0;
}

void etcd_waiter_close(struct etcd_waiter *w)
{
	ask_cancel(&w->ask);
	etcd_client_close(w->client);
	ev_loop_destroy(w->loop);
	json_decref(w->body);
}

static void on_answer(void *ctx, const struct etcd_answer *answer)
{
	struct etcd_waiter *w = ctx;

	w->answered = true;
	w->code = answer->code;
	w->unknown = answer->unknown;
	w->body = json_incref(answer->body);
	w->date = answer->date;
	w->e = answer->e;
}

enum etcd_code etcd_wait(struct etcd_waiter *w, const char *path, json_t *request, msec patience)
{
	json_decref(w->body);
	w->body = NULL;
	w->answered = false;
	ask_start(&w->ask, path, request, msec_add(clock_now(), patience), on_answer, w);
	while (!w->answered)
		ev_run(w->loop, EVRUN_ONCE);
	return w->code;
}
