#include <stdlib.h>

#include "base/log.h"
#include "base/task.h"
#include "role/worker_impl.h"

struct drop {
	struct store *store;
	char *url;
	struct err e;
	int rc;
};

static void drop_work(void *arg)
{
	struct drop *d = arg;

	d->rc = store_delete(d->store, d->url, &d->e);
}

static void drop_done(void *arg)
{
	struct drop *d = arg;

	if (d->rc != 0)
		log_warn("an old state could not be removed: %s", d->e.text);
	free(d->url);
	free(d);
}

/* Failing to remove garbage harms nobody: it is told, not tried again. */
void worker_garbage_drop(struct worker *w, char *url)
{
	struct drop *d;
	struct err e;

	if (url == NULL)
		return;
	d = calloc(1, sizeof(*d));
	if (d == NULL || w->store == NULL) {
		free(d);
		free(url);
		return;
	}
	d->store = w->store;
	d->url = url;
	if (task_start(w->loop, drop_work, drop_done, d, &e) != NULL)
		return;
	drop_work(d);
	drop_done(d);
}

void worker_garbage_tidy(struct worker *w)
{
	struct drop d = { .store = w->store, .url = w->stale_url };

	if (d.url == NULL || d.store == NULL)
		return;
	drop_work(&d);
	if (d.rc != 0)
		log_warn("an old state could not be removed: %s", d.e.text);
}
