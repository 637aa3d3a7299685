#include "coord/coord.h"

#include "coord/coord_impl.h"

/* NULL, with e filled, for a coordinator that this build does not have. */
static const struct coord_ops *ops_for(const struct conf *conf, struct err *e)
{
	switch (conf->coord) {
	case CONF_COORD_LOCAL: return &coord_local_ops;
	case CONF_COORD_ETCD: break;
	}
	err_set(e, "this version has no coordinator of type \"etcd\": set coordinator.type to "
		   "\"local\"");
	return NULL;
}

int coord_anchor(const struct conf *conf, const struct job_conf *job, int *fd, struct err *e)
{
	const struct coord_ops *ops = ops_for(conf, e);

	*fd = -1;
	return ops != NULL ? ops->anchor(conf, job, fd, e) : -1;
}

struct coord *coord_open(struct ev_loop *loop, const struct conf *conf, const struct job_conf *job,
    int anchor, const struct coord_hooks *hooks, void *ctx, struct err *e)
{
	const struct coord_ops *ops = ops_for(conf, e);
	struct coord_setup setup = {
		.loop = loop,
		.conf = conf,
		.job = job,
		.hooks = hooks,
		.ctx = ctx,
		.anchor = anchor,
	};
	struct coord *c;

	if (ops == NULL)
		return NULL;
	c = ops->open(&setup, e);
	if (c == NULL)
		return NULL;
	c->ops = ops;
	c->loop = loop;
	c->conf = conf;
	c->job = job;
	c->hooks = *hooks;
	c->ctx = ctx;
	return c;
}

void coord_acquire(struct coord *c)
{
	c->ops->acquire(c);
}

void coord_adopt(struct coord *c, uint64_t epoch)
{
	c->ops->adopt(c, epoch);
}

int coord_started(struct coord *c, pid_t job, struct err *e)
{
	return c->ops->started(c, job, e);
}

void coord_commit(struct coord *c, const struct record *record, bool release)
{
	c->ops->commit(c, record, release);
}

void coord_release(struct coord *c)
{
	c->ops->release(c);
}

void coord_close(struct coord *c)
{
	if (c != NULL)
		c->ops->close(c);
}

uint64_t coord_lease(const struct coord *c)
{
	return c->ops->lease(c);
}

msec coord_safe_until(const struct coord *c)
{
	return c->ops->safe_until(c);
}
