#include "role/roster.h"

#include <stdlib.h>
#include <string.h>

#include "conf/conf_diff.h"

static size_t places_of(const struct conf *conf)
{
	return conf->max_jobs == CONF_ALL_JOBS ? FLEET_ALL : (size_t)conf->max_jobs;
}

/* Old configurations */

static bool lives_by(const struct roster *r, const struct conf *conf)
{
	for (size_t i = 0; i < r->fleet.n; i++) {
		const struct post *p = roster_post(r, i);

		if (p->conf == conf || p->next_conf == conf)
			return true;
	}
	return false;
}

static void sweep(struct roster *r)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->n_old; i++) {
		if (lives_by(r, r->old[i]))
			r->old[kept++] = r->old[i];
		else
			conf_free(r->old[i]);
	}
	r->n_old = kept;
}

/* A newer one */

static int by_name(const void *a, const void *b)
{
	return strcmp(post_of(*(struct seat *const *)a)->job->name,
	    post_of(*(struct seat *const *)b)->job->name);
}

static int compare_name(const void *name, const void *seat)
{
	return strcmp(name, post_of(*(struct seat *const *)seat)->job->name);
}

static bool is_on(const struct roster *r, const char *name)
{
	const struct fleet *f = &r->fleet;

	return f->n > 0 &&
	       bsearch(name, f->seats, f->n, sizeof(struct seat *), compare_name) != NULL;
}

/* Posts for jobs that have none, behind the others in seats. Returns how many, -1: no memory. */
static int add_posts(const struct roster *r, const struct conf *conf, struct seat **seats, msec now)
{
	int added = 0;

	for (size_t i = 0; i < conf->n_jobs; i++) {
		struct post *p;

		if (is_on(r, conf->jobs[i]->name))
			continue;
		p = malloc(sizeof(*p));
		if (p == NULL) {
			while (added > 0)
				free(post_of(seats[--added]));
			return -1;
		}
		post_init(p, conf, conf->jobs[i], r->master, now);
		seats[added++] = &p->seat;
	}
	return added;
}

static void direct(struct post *p, const struct conf *conf)
{
	const struct job_conf *job = conf_job(conf, p->job->name);

	if (job == NULL)
		fleet_retire(&p->seat);
	else if (p->seat.wish == SEAT_STAYS && conf_same_work(p->conf, p->job, conf, job))
		post_follow(p, conf, job);
	else
		post_change(p, conf, job);
}

int roster_adopt(struct roster *r, struct conf *conf, msec now, struct err *e)
{
	struct fleet *f = &r->fleet;
	struct seat **seats = calloc(f->n + conf->n_jobs + 1, sizeof(struct seat *));
	struct conf **old = reallocarray(r->old, r->n_old + 1, sizeof(struct conf *));
	int added = -1;

	if (old != NULL)
		r->old = old;
	if (seats != NULL && old != NULL)
		added = add_posts(r, conf, seats + f->n, now);
	if (added < 0) {
		free(seats);
		return err_set(e, "out of memory for %zu jobs", conf->n_jobs);
	}
	for (size_t i = 0; i < f->n; i++) {
		direct(roster_post(r, i), conf);
		seats[i] = f->seats[i];
	}
	if (conf->max_jobs != r->conf->max_jobs)
		fleet_set_places(f, places_of(conf));
	qsort(seats, f->n + (size_t)added, sizeof(struct seat *), by_name);
	free(f->seats);
	fleet_reseat(f, seats, f->n + (size_t)added);
	r->old[r->n_old++] = r->conf;
	r->conf = conf;
	sweep(r);
	return 0;
}

void roster_renew(struct roster *r, struct post *p, msec now)
{
	post_renew(p, now);
	sweep(r);
}

void roster_free(struct roster *r, struct post *p)
{
	fleet_remove(&r->fleet, &p->seat);
	post_close(p);
	free(p);
	sweep(r);
}

int roster_open(struct roster *r, struct conf *conf, void *master, msec now, struct err *e)
{
	struct seat **seats = calloc(conf->n_jobs + 1, sizeof(struct seat *));
	int n = -1;

	*r = (struct roster){ .conf = conf, .master = master };
	if (seats != NULL)
		n = add_posts(r, conf, seats, now);
	fleet_init(&r->fleet, seats, n > 0 ? (size_t)n : 0, places_of(conf));
	return n < 0 ? err_set(e, "out of memory for %zu jobs", conf->n_jobs) : 0;
}

void roster_close(struct roster *r)
{
	for (size_t i = 0; i < r->fleet.n; i++) {
		post_close(roster_post(r, i));
		free(roster_post(r, i));
	}
	free(r->fleet.seats);
	for (size_t i = 0; i < r->n_old; i++)
		conf_free(r->old[i]);
	free(r->old);
	conf_free(r->conf);
}
