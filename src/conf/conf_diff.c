#include "conf/conf_diff.h"

#include <string.h>

static bool text_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool list_equal(char *const *a, char *const *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	for (; *a != NULL && *b != NULL; a++, b++) {
		if (!text_equal(*a, *b))
			return false;
	}
	return *a == *b;
}

/* How etcd is spoken to; that it is etcd, and under which names, is fixed. */
static bool access_equal(const struct conf *a, const struct conf *b)
{
	return list_equal(a->endpoints, b->endpoints) && a->ttl == b->ttl &&
	       text_equal(a->ca_file, b->ca_file) && text_equal(a->cert_file, b->cert_file) &&
	       text_equal(a->key_file, b->key_file) && text_equal(a->user, b->user) &&
	       text_equal(a->password_file, b->password_file);
}

bool conf_same_work(const struct conf *in_a, const struct job_conf *a, const struct conf *in_b,
    const struct job_conf *b)
{
	return job_conf_equal(a, b) && access_equal(in_a, in_b) &&
	       text_equal(in_a->state_dir, in_b->state_dir) && in_a->inline_max == in_b->inline_max;
}

enum conf_fate conf_fate(const struct conf *before, const struct conf *after, const char *name)
{
	const struct job_conf *a = conf_job(before, name), *b = conf_job(after, name);

	if (b == NULL)
		return CONF_REMOVED;
	if (a == NULL)
		return CONF_ADDED;
	return conf_same_work(before, a, after, b) ? CONF_UNCHANGED : CONF_CHANGED;
}

size_t conf_fixed(
    const struct conf *before, const struct conf *after, const char *keys[CONF_FIXED_MAX])
{
	const struct {
		const char *key;
		bool equal;
	} fixed[CONF_FIXED_MAX] = {
		{ "instance", text_equal(before->instance, after->instance) },
		{ "namespace", text_equal(before->ns, after->ns) },
		{ "coordinator.type", before->coord == after->coord },
		{ "coordinator.path", before->coord != after->coord ||
					  before->coord != CONF_COORD_LOCAL ||
					  text_equal(before->local_path, after->local_path) },
		{ "run_dir", text_equal(before->run_dir, after->run_dir) },
		{ "work_dir", text_equal(before->work_dir, after->work_dir) },
	};
	size_t n = 0;

	for (size_t i = 0; i < CONF_FIXED_MAX; i++) {
		if (!fixed[i].equal)
			keys[n++] = fixed[i].key;
	}
	return n;
}
