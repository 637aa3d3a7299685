/*
 * etcd_view.h - one job's keys in etcd as a waiter sees them: who is before it in the queue, and
 * the state record. Pure: read from a range, then carried on by the messages of a watch.
 *
 *   <prefix>lock/<lease id, hex>   the queue: the lowest create revision owns the lock
 *   <prefix>state                  the record
 *   <prefix>owner                  the epoch of the last owner
 *
 * Why a take-over needs no further read. The range is the truth at its revision R. The watch starts
 * at R + 1, and etcd delivers every change after that in the order of revisions, never a part of
 * one revision. So when the message with the last deletion ahead of us (revision D) has been
 * applied, the view is the truth at D or later:
 *  - nobody is before us, and nobody can come: create revisions only rise;
 *  - the record is the last one. Commits are conditional on the lock key of their owner, and the
 *    last such key before ours was deleted at D. One that was committed with that deletion is of
 *    the same revision D, and so in the same message.
 * What the view does not tell is whether our own key still lives *now*; for that the lease must
 * have been renewed lately (lease_is_fresh()). If the chain breaks - the watch ends, was compacted,
 * says nonsense - it begins anew with a range.
 */
#ifndef COORD_ETCD_VIEW_H
#define COORD_ETCD_VIEW_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct view_place {
	char *key;
	char *value; /* for people: who it is */
	uint64_t create;
};

struct view {
	char *prefix; /* "/graceful/jobs/orders/" */
	char *locks;  /* "/graceful/jobs/orders/lock/" */
	char *state_key;
	char *owner_key;
	char *own_key; /* NULL until view_set_own() */

	uint64_t revision;        /* all up to here is in it */
	uint64_t own;             /* create revision of the own key, 0: it is not there */
	struct view_place *ahead; /* by create revision: the first one owns the lock */
	size_t n_ahead;
	char *state; /* text of the record, NULL: there is none */
	size_t state_len;
	uint64_t state_mod; /* mod revision of the record, 0: there is none */
	uint64_t owner;     /* 0: it is not there, or no number */
};

int view_init(struct view *v, const char *ns, const char *job, struct err *e);
void view_clear(struct view *v);
/* Names the own key after the lease. Forgets what was seen. */
int view_set_own(struct view *v, uint64_t lease, struct err *e);

/* From an answer to wire_get_prefix(v->prefix). After -1 the view is empty and of no use. */
int view_read(struct view *v, json_t *body, struct err *e);
/* From a watch message of the prefix, or of a part of it. After -1 the view is not to be trusted:
 * read it anew. */
int view_apply(struct view *v, json_t *result, struct err *e);

#endif
