#include "coord/coord.h"

#include "coord/coord_impl.h"

static const struct coord_ops *ops_for(const struct conf *conf)
{
	return conf->coord == CONF_COORD_ETCD ? &coord_etcd_ops : &coord_local_ops;
}

int coord_anchor(const struct conf *conf, const struct job_conf *job, int *fd, struct err *e)
{
	*fd = -1;
	return ops_for(conf)->anchor(conf, job, fd, e);
}

struct coord *coord_open(struct ev_loop *loop, const struct conf *conf, const struct job_conf *job,
    int anchor, const struct coord_hooks *hooks, void *ctx, struct err *e)
{
	const struct coord_ops *ops = ops_for(conf);
	struct coord_setup setup = {
		.loop = loop,
		.conf = conf,
		.job = job,
		.hooks = hooks,
		.ctx = ctx,
		.anchor = anchor,
	};
	struct coord *c;

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

void coord_adopt(struct coord *c, uint64_t lease, uint64_t epoch)
{
	c->ops->adopt(c, lease, epoch);
}

void coord_bury(struct coord *c, uint64_t lease)
{
	c->ops->bury(c, lease);
}

int coord_started(struct coord *c, pid_t job, struct err *e)
{
	return c->ops->started(c, job, e);
}

void coord_commit(struct coord *c, const struct record *record, bool release)
{
	c->ops->commit(c, record, release);
}

void coord_release(struct coord *c, bool left_nothing)
{
	c->ops->release(c, left_nothing);
}

void coord_step_aside(struct coord *c)
{
	if (c->ops->step_aside != NULL)
		c->ops->step_aside(c);
}

void coord_farewell(struct coord *c)
{
	c->ops->farewell(c);
}

void coord_close(struct coord *c)
{
	if (c != NULL)
		c->ops->close(c);
}

bool coord_is_announced(const struct coord *c)
{
	return c->ops->is_announced(c);
}

uint64_t coord_predecessor(const struct coord *c)
{
	return c->ops->predecessor(c);
}

uint64_t coord_lease(const struct coord *c)
{
	return c->ops->lease(c);
}

msec coord_safe_until(const struct coord *c)
{
	return c->ops->safe_until(c);
}

msec coord_mute_by(const struct coord *c)
{
	return c->ops->mute_by(c);
}
