/* The jobs of a local coordinator: a directory each. Nothing is made, locked or changed. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coord/local_dir.h"
#include "coord/local_waiters.h"
#include "coord/places.h"
#include "coord/survey_impl.h"

#define PLACES_SEEN_MAX 1000 /* of a job */

/* Any of them is found first, so that those on both sides of it are still to be looked for. */
static int find_places(int probe, uint64_t from, uint64_t to, struct survey_job *job, struct err *e)
{
	uint64_t place;
	size_t at;
	int rc = 0;

	while (job->n_places < PLACES_SEEN_MAX &&
	       (rc = places_find(probe, from, to, &place, e)) == 1) {
		survey_add_place(job, place, &at);
		if (place > from && find_places(probe, from, place - 1, job, e) < 0)
			return -1;
		from = place + 1;
	}
	return rc < 0 ? -1 : 0;
}

/* Places themselves tell nothing of who has them. */
static void read_names(const struct local_dir *d, struct survey_job *job)
{
	for (size_t i = 0; i < job->n_places && i < SURVEY_PLACES_MAX; i++) {
		struct survey_place *p = &job->places[i];

		p->has_holder = i == 0 ? local_dir_read_holder(d, p->epoch, &p->holder)
				       : waiters_read(d, p->epoch, &p->holder);
	}
}

static int read_places(const struct local_dir *d, struct survey_job *job, struct err *e)
{
	int probe = local_dir_open_lock(d, e);
	int rc;

	if (probe < 0)
		return e->code == ENOENT ? 0 : -1;
	rc = find_places(probe, 1, PLACES_MAX, job, e);
	close(probe);
	if (rc == 0)
		read_names(d, job);
	return rc;
}

static void read_record(const struct local_dir *d, struct survey_job *job)
{
	struct record r;
	int rc = local_dir_record(d, &r, &job->damage);

	if (rc == 1)
		survey_take_record(job, &r);
	if (rc >= 0)
		job->damage.text[0] = '\0';
	record_clear(&r);
}

/* name: conf_job_name_ok() */
static int survey_one(
    const struct conf *conf, const char *name, struct survey_job *job, struct err *e)
{
	struct job_conf named = { 0 };
	struct local_dir d;
	int rc;

	*job = (struct survey_job){ .time = -1 };
	strcpy(job->name, name);
	strcpy(named.name, name);
	if (local_dir_init(&d, conf, &named, e) != 0)
		return -1;
	rc = read_places(&d, job, e);
	read_record(&d, job);
	local_dir_clear(&d);
	return rc;
}

static int is_job(const struct dirent *entry)
{
	return conf_job_name_ok(entry->d_name);
}

int local_survey(
    const struct conf *conf, msec patience, survey_each *each, void *ctx, struct err *e)
{
	char path[PATH_MAX];
	struct survey_job job;
	struct dirent **names;
	bool on = true;
	int n, rc = 0;

	(void)patience; /* the directory is on this machine */
	snprintf(path, sizeof(path), "%s%s/jobs", conf->local_path, conf->ns);
	n = scandir(path, &names, is_job, alphasort);
	if (n < 0 && errno == ENOENT)
		return 0; /* no master ever used it */
	if (n < 0)
		return err_sys(e, "cannot look into %s", path);
	for (int i = 0; i < n; i++) {
		if (on && rc == 0)
			rc = survey_one(conf, names[i]->d_name, &job, e);
		if (on && rc == 0)
			on = each(ctx, &job);
		free(names[i]);
	}
	free(names);
	return rc;
}
