/* What a reload asks: does this job have to be restarted? */
#include <string.h>

#include "conf/conf.h"

static bool text_equal(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static bool list_equal(char *const *a, char *const *b)
{
	for (; *a != NULL && *b != NULL; a++, b++) {
		if (!text_equal(*a, *b))
			return false;
	}
	return *a == NULL && *b == NULL;
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
