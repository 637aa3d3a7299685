#include "coord/etcd_view.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/etcd_wire.h"

static int out_of_memory(struct err *e)
{
	return err_set(e, "cannot follow the lock: out of memory");
}

static char *join(const char *a, const char *b)
{
	char *text;

	return asprintf(&text, "%s%s", a, b) >= 0 ? text : NULL;
}

int view_init(struct view *v, const char *ns, const char *job, struct err *e)
{
	memset(v, 0, sizeof(*v));
	if (asprintf(&v->prefix, "%s/jobs/%s/", ns, job) < 0) {
		v->prefix = NULL; /* asprintf leaves it undefined */
		return out_of_memory(e);
	}
	v->locks = join(v->prefix, "lock/");
	v->state_key = join(v->prefix, "state");
	v->owner_key = join(v->prefix, "owner");
	if (v->locks != NULL && v->state_key != NULL && v->owner_key != NULL)
		return 0;
	view_clear(v);
	return out_of_memory(e);
}

static void forget_place(struct view_place *p)
{
	free(p->key);
	free(p->value);
}

static void forget_state(struct view *v)
{
	free(v->state);
	v->state = NULL;
	v->state_len = 0;
	v->state_mod = 0;
}

static void forget(struct view *v)
{
	for (size_t i = 0; i < v->n_ahead; i++)
		forget_place(&v->ahead[i]);
	free(v->ahead);
	v->ahead = NULL;
	v->n_ahead = 0;
	forget_state(v);
	v->revision = 0;
	v->own = 0;
	v->owner = 0;
}

void view_clear(struct view *v)
{
	forget(v);
	free(v->prefix);
	free(v->locks);
	free(v->state_key);
	free(v->owner_key);
	free(v->own_key);
	memset(v, 0, sizeof(*v));
}

/* As etcd's own lock recipe does: lower-case hex without padding. */
int view_set_own(struct view *v, uint64_t lease, struct err *e)
{
	forget(v);
	free(v->own_key);
	if (asprintf(&v->own_key, "%s%" PRIx64, v->locks, lease) >= 0)
		return 0;
	v->own_key = NULL;
	return out_of_memory(e);
}

static bool is_lock(const struct view *v, const char *key)
{
	return strncmp(key, v->locks, strlen(v->locks)) == 0;
}

/* Takes the value over. */
static void set_state(struct view *v, struct wire_kv *kv)
{
	forget_state(v);
	v->state = kv->value;
	v->state_len = kv->value_len;
	v->state_mod = kv->mod_revision;
	kv->value = NULL;
}

static void set_owner(struct view *v, const char *value)
{
	size_t len = value != NULL ? strlen(value) : 0;

	v->owner = 0;
	if (len > 0 && len < 19 && strspn(value, "0123456789") == len)
		v->owner = strtoull(value, NULL, 10);
}

/* Takes key and value over. Any lock key at first: whether it is ahead is known when all are read.
 */
static int add_place(struct view *v, struct wire_kv *kv)
{
	struct view_place *more = realloc(v->ahead, (v->n_ahead + 1) * sizeof(*more));

	if (more == NULL)
		return -1;
	v->ahead = more;
	more[v->n_ahead++] = (struct view_place){ kv->key, kv->value, kv->create_revision };
	kv->key = NULL;
	kv->value = NULL;
	return 0;
}

static int take_kv(struct view *v, struct wire_kv *kv)
{
	if (strcmp(kv->key, v->state_key) == 0)
		set_state(v, kv);
	else if (strcmp(kv->key, v->owner_key) == 0)
		set_owner(v, kv->value);
	else if (strcmp(kv->key, v->own_key) == 0)
		v->own = kv->create_revision;
	else if (is_lock(v, kv->key))
		return add_place(v, kv);
	return 0;
}

static int by_create(const void *a, const void *b)
{
	const struct view_place *x = a;
	const struct view_place *y = b;

	return (x->create > y->create) - (x->create < y->create);
}

/* Create revisions are unique here: the recipe creates one key in a transaction. */
static void drop_those_behind(struct view *v)
{
	if (v->n_ahead > 0)
		qsort(v->ahead, v->n_ahead, sizeof(v->ahead[0]), by_create);
	while (v->n_ahead > 0 && v->ahead[v->n_ahead - 1].create > v->own)
		forget_place(&v->ahead[--v->n_ahead]);
}

static int read_all(struct view *v, json_t *body, struct err *e)
{
	struct wire_kv kv;
	int rc;

	if (wire_read_revision(body, &v->revision, e) != 0)
		return -1;
	for (size_t i = 0; (rc = wire_read_kv(body, i, &kv, e)) == 1; i++) {
		rc = take_kv(v, &kv);
		wire_kv_clear(&kv);
		if (rc != 0)
			return out_of_memory(e);
	}
	return rc;
}

int view_read(struct view *v, json_t *body, struct err *e)
{
	forget(v);
	if (read_all(v, body, e) != 0) {
		forget(v);
		return -1;
	}
	drop_those_behind(v);
	return 0;
}

static void remove_place(struct view *v, const char *key)
{
	for (size_t i = 0; i < v->n_ahead; i++) {
		if (strcmp(v->ahead[i].key, key) != 0)
			continue;
		forget_place(&v->ahead[i]);
		v->n_ahead--;
		memmove(&v->ahead[i], &v->ahead[i + 1], (v->n_ahead - i) * sizeof(v->ahead[0]));
		return;
	}
}

/* A lock key that is put is one behind us, or one ahead whose value changes: neither matters. */
static void apply_event(struct view *v, struct wire_event *ev)
{
	bool is_state = strcmp(ev->kv.key, v->state_key) == 0;

	if (is_state && ev->deleted)
		forget_state(v);
	else if (is_state)
		set_state(v, &ev->kv);
	else if (strcmp(ev->kv.key, v->owner_key) == 0)
		set_owner(v, ev->kv.value);
	else if (ev->deleted && strcmp(ev->kv.key, v->own_key) == 0)
		v->own = 0;
	else if (ev->deleted)
		remove_place(v, ev->kv.key);
	/* Not the revision of the message: that one may be ahead of what was delivered. */
	if (ev->kv.mod_revision > v->revision)
		v->revision = ev->kv.mod_revision;
}

int view_apply(struct view *v, json_t *result, struct err *e)
{
	uint64_t known = v->revision; /* a message holds whole revisions, so it may not rise here */
	struct wire_event ev;
	int rc;

	for (size_t i = 0; (rc = wire_read_event(result, i, &ev, e)) == 1; i++) {
		/* A watch may be behind a range that was read since it began. */
		if (ev.kv.mod_revision > known)
			apply_event(v, &ev);
		wire_kv_clear(&ev.kv);
	}
	return rc;
}
