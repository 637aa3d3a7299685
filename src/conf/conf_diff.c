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

static bool groups_equal(const struct job_conf *a, const struct job_conf *b)
{
	if (a->n_groups != b->n_groups)
		return false;
	return a->n_groups == 0 || memcmp(a->groups, b->groups, a->n_groups * sizeof(gid_t)) == 0;
}

static bool account_equal(const struct job_conf *a, const struct job_conf *b)
{
	return a->switch_user == b->switch_user && a->uid == b->uid && a->gid == b->gid &&
	       text_equal(a->user_name, b->user_name) && text_equal(a->home, b->home) &&
	       groups_equal(a, b);
}

/* The file's order does not show: limits are in the order of their names. */
static bool limits_equal(const struct job_conf *a, const struct job_conf *b)
{
	if (a->n_limits != b->n_limits)
		return false;
	for (size_t i = 0; i < a->n_limits; i++) {
		const struct conf_limit *x = &a->limits[i], *y = &b->limits[i];

		if (x->resource != y->resource || x->value.rlim_cur != y->value.rlim_cur ||
		    x->value.rlim_max != y->value.rlim_max)
			return false;
	}
	return true;
}

static bool process_equal(const struct job_conf *a, const struct job_conf *b)
{
	return list_equal(a->argv, b->argv) && text_equal(a->cwd, b->cwd) && a->umask == b->umask &&
	       a->nice == b->nice && a->no_new_privs == b->no_new_privs && limits_equal(a, b) &&
	       list_equal(a->env, b->env) && list_equal(a->pass_env, b->pass_env);
}

static bool life_equal(const struct job_conf *a, const struct job_conf *b)
{
	return a->stop_signal == b->stop_signal && a->checkpoint_signal == b->checkpoint_signal &&
	       a->checkpoint == b->checkpoint && a->stop_timeout == b->stop_timeout &&
	       a->hurry_timeout == b->hurry_timeout && a->watchdog == b->watchdog &&
	       a->restart_min == b->restart_min && a->restart_max == b->restart_max &&
	       a->max_failures == b->max_failures && a->failure_window == b->failure_window &&
	       a->on_exit == b->on_exit && a->state_max == b->state_max;
}

bool job_conf_equal(const struct job_conf *a, const struct job_conf *b)
{
	return text_equal(a->name, b->name) && account_equal(a, b) && process_equal(a, b) &&
	       life_equal(a, b);
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
