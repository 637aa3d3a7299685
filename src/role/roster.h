/*
 * roster.h - the posts of a master, in the order of their names, and the configurations they live
 * by.
 *
 * A reload hands over a newer configuration. A post whose job means the same follows it at once;
 * one that changed or goes keeps the old one until its fleet says FLEET_RENEW or FLEET_FREE, as
 * its worker, what that left, and a rescue worker are dealt with under the definition that they
 * began with. A configuration is freed when no post lives by it. Workers have copies, by fork.
 */
#ifndef ROLE_ROSTER_H
#define ROLE_ROSTER_H

#include "conf/conf.h"
#include "policy/fleet.h"
#include "role/post.h"

struct roster {
	struct conf *conf; /* the newest; its own */
	struct fleet fleet;
	void *master; /* for the posts */
	struct conf **old;
	size_t n_old;
};

static inline struct post *roster_post(const struct roster *r, size_t i)
{
	return post_of(r->fleet.seats[i]);
}

/* One post a job, each due at once. Takes conf over in any case; roster_close() is due, too. */
int roster_open(struct roster *r, struct conf *conf, void *master, msec now, struct err *e);
void roster_close(struct roster *r);

/*
 * Has the posts live by a newer configuration, which becomes the roster's; on failure (out of
 * memory) nothing changed, and it is still the caller's.
 */
int roster_adopt(struct roster *r, struct conf *conf, msec now, struct err *e);

/* The fleet's FLEET_RENEW and FLEET_FREE. */
void roster_renew(struct roster *r, struct post *p, msec now);
void roster_free(struct roster *r, struct post *p);

#endif
