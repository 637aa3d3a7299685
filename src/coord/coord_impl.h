/*
 * coord_impl.h - what a coordinator implements. Only coord.c and the implementations include this.
 *
 * An implementation embeds `struct coord` as its first member and fills `ops` and the members below
 * it in open(). The functions keep the contract of coord.h word for word.
 */
#ifndef COORD_COORD_IMPL_H
#define COORD_COORD_IMPL_H

#include "coord/check_impl.h"
#include "coord/coord.h"
#include "coord/survey.h"

struct coord_setup {
	struct ev_loop *loop;
	const struct conf *conf;
	const struct job_conf *job;
	const struct coord_hooks *hooks;
	void *ctx;
	int anchor;
};

struct coord_ops {
	int (*anchor)(const struct conf *conf, const struct job_conf *job, int *fd, struct err *e);
	struct coord *(*open)(const struct coord_setup *setup, struct err *e);
	void (*acquire)(struct coord *c);
	void (*adopt)(struct coord *c, uint64_t lease, uint64_t epoch);
	void (*bury)(struct coord *c, uint64_t lease);
	int (*started)(struct coord *c, pid_t job, struct err *e);
	void (*commit)(struct coord *c, const struct record *record, bool release);
	void (*release)(struct coord *c, bool left_nothing);
	void (*step_aside)(const struct coord *c); /* NULL: nobody is in the way */
	void (*farewell)(struct coord *c);
	void (*close)(struct coord *c);
	bool (*is_announced)(const struct coord *c);
	uint64_t (*predecessor)(const struct coord *c);
	uint64_t (*lease)(const struct coord *c);
	msec (*safe_until)(const struct coord *c);
	msec (*mute_by)(const struct coord *c);
	void (*check)(const struct check *c);
	int (*survey)(
	    const struct conf *conf, msec patience, survey_each *each, void *ctx, struct err *e);
};

struct coord {
	const struct coord_ops *ops;
	struct ev_loop *loop;
	const struct conf *conf;
	const struct job_conf *job;
	struct coord_hooks hooks;
	void *ctx;
};

extern const struct coord_ops coord_local_ops;
extern const struct coord_ops coord_etcd_ops;

#endif
