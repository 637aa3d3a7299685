#include "conf/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "conf/conf_check.h"
#include "conf/conf_read.h"

#define CONF_FILE_MAX (1 << 20)
/* One, and one more for each time that a key is repeated. */
#define READINGS_MAX 8

/* What conf_free() gets back: the configuration lives in the arena that it takes along. */
struct conf_box {
	struct conf conf; /* first: a pointer to it is one to the box */
	struct arena arena;
};

bool conf_job_name_ok(const char *name)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	    "._-";
	size_t len = strspn(name, letters);

	return name[len] == '\0' && len > 0 && len <= JOB_NAME_MAX &&
	       strchr("._-", name[0]) == NULL;
}

/* The instance is the host's name unless the file gives one. */
static void default_instance(struct reader *rd, const struct node *root, struct conf *conf)
{
	char host[CONF_INSTANCE_MAX + 1] = "";

	if (node_get(root, "instance") != NULL)
		return;
	/* A longer name is cut, and then the call may leave out the NUL and fail. */
	gethostname(host, sizeof(host));
	host[CONF_INSTANCE_MAX] = '\0';
	if (conf_job_name_ok(host))
		strcpy(conf->instance, host);
	else
		report_error(rd->report, root,
		    "the host's name, \"%s\", cannot serve as \"instance\"; set one", host);
}

static void read_section(struct reader *rd, const struct node *root, const char *name,
    const struct schema *schema, struct conf *conf)
{
	const struct node *n = node_get(root, name);

	if (n != NULL && !read_object(rd, n, schema))
		n = NULL;
	read_fields(rd, n, NULL, schema, conf);
}

static void read_account(
    struct reader *rd, const struct node *n, const struct node *defaults, struct job_conf *job)
{
	const struct node *user = node_get(n, "user"), *group = node_get(n, "group");

	/* An inherited group belongs to the inherited user and not to the job's own. */
	if (user == NULL) {
		user = node_get(defaults, "user");
		if (group == NULL)
			group = node_get(defaults, "group");
	}
	read_user(rd, n, user, group, job);
}

/* Reads "defaults" into a job that nobody runs, to find what is wrong in it. */
static void read_defaults(struct reader *rd, const struct node *defaults)
{
	const struct node *command = node_get(defaults, "command");
	struct job_conf scratch = { .name = "" };

	if (defaults == NULL || !read_object(rd, defaults, &schema_job))
		return;
	if (command != NULL)
		report_error(rd->report, command, "every job has its own; it cannot be a default");
	read_fields(rd, defaults, NULL, &schema_job, &scratch);
	read_account(rd, defaults, NULL, &scratch);
}

static struct job_conf *read_job(
    struct reader *rd, const struct node *n, const struct node *defaults)
{
	struct job_conf *job = arena_alloc(rd->arena, 1, sizeof(*job));

	if (job == NULL)
		return NULL;
	if (!conf_job_name_ok(n->key))
		report_error(rd->report, n,
		    "a job's name is 1 to 63 of A-Z a-z 0-9 . _ -, beginning with a letter or "
		    "digit");
	snprintf(job->name, sizeof(job->name), "%s", n->key);
	if (!read_object(rd, n, &schema_job))
		return job;
	if (node_get(n, "command") == NULL)
		report_error(rd->report, n, "\"command\" is missing");
	read_fields(rd, n, defaults, &schema_job, job);
	read_account(rd, n, defaults, job);
	check_fit_defaults(n, defaults, job);
	return job;
}

static void read_jobs(struct reader *rd, const struct node *root, struct conf *conf)
{
	const struct node *jobs = node_get(root, "jobs"), *defaults = node_get(root, "defaults");

	read_defaults(rd, defaults);
	if (jobs == NULL) {
		report_error(rd->report, root, "\"jobs\" is missing");
		return;
	}
	if (!json_is_object(jobs->value)) {
		read_refuse(rd, jobs, "an object: { \"NAME\": { \"command\": [...] }, ... }");
		return;
	}
	if (jobs->n_children == 0)
		report_warning(rd->report, jobs, "is empty: there is nothing to run");
	conf->jobs = arena_alloc(rd->arena, jobs->n_children + 1, sizeof(struct job_conf *));
	if (conf->jobs == NULL)
		return;
	/* What is wrong in "defaults" has been told; not again for each of thousands of jobs. */
	rd->report->muted = defaults;
	for (size_t i = 0; i < jobs->n_children && !rd->arena->failed; i++)
		conf->jobs[conf->n_jobs++] = read_job(rd, jobs->children[i], defaults);
	rd->report->muted = NULL;
}

static void read_root(struct reader *rd, const struct node *root, struct conf *conf)
{
	if (!read_object(rd, root, &schema_top))
		return;
	read_fields(rd, root, NULL, &schema_top, conf);
	default_instance(rd, root, conf);
	read_section(rd, root, "coordinator", &schema_coordinator, conf);
	read_section(rd, root, "state", &schema_state, conf);
	read_section(rd, root, "log", &schema_log, conf);
	read_jobs(rd, root, conf);
	if (!rd->arena->failed)
		check_all(rd, root, conf);
}

/* Of the jobs their names. */
static void read_names(struct reader *rd, const struct node *jobs, struct conf *conf)
{
	if (jobs == NULL || !json_is_object(jobs->value))
		return;
	conf->jobs = arena_alloc(rd->arena, jobs->n_children + 1, sizeof(struct job_conf *));
	for (size_t i = 0; i < jobs->n_children && !rd->arena->failed; i++) {
		struct job_conf *job = arena_alloc(rd->arena, 1, sizeof(*job));

		if (job == NULL || !conf_job_name_ok(jobs->children[i]->key))
			continue;
		strcpy(job->name, jobs->children[i]->key);
		conf->jobs[conf->n_jobs++] = job;
	}
}

static void read_part(struct reader *rd, const struct node *root, struct conf *conf)
{
	if (!read_object(rd, root, &schema_top))
		return;
	read_fields(rd, root, NULL, &schema_top, conf);
	if (report_wants(rd->report, "coordinator"))
		read_section(rd, root, "coordinator", &schema_coordinator, conf);
	if (report_wants(rd->report, "coordinator") && !rd->arena->failed)
		check_coordinator(rd, root, conf);
	read_names(rd, node_get(root, "jobs"), conf);
}

static struct conf_box *build(const struct tree *t, const char *name, struct report *report)
{
	struct arena arena = { 0 };
	struct reader rd = { .report = report, .arena = &arena };
	struct conf_box *box = arena_alloc(&arena, 1, sizeof(*box));

	if (box == NULL)
		return NULL;
	box->conf.file = arena_strdup(&arena, name);
	(report->only == NULL ? read_root : read_part)(&rd, t->root, &box->conf);
	box->arena = arena;
	return box;
}

struct reading {
	struct report report;
	struct conf_box *box;
	bool no_memory;
	bool covered; /* a key is given twice, so that something was not read */
};

/* Reads the text once. What covers something is blanked in it for the next time. */
static void read_once(struct reading *r, char *text, size_t len)
{
	struct tree tree;

	if (r->box != NULL)
		conf_free(&r->box->conf);
	r->box = NULL;
	if (tree_parse(&tree, text, len, &r->report))
		r->box = build(&tree, r->report.file, &r->report);
	r->no_memory |=
	    tree.arena.failed || (tree.root != NULL && (r->box == NULL || r->box->arena.failed));
	r->covered = tree.root != NULL && tree_uncover(&tree, text);
	tree_free(&tree);
}

struct conf *conf_parse_part(const char *text, size_t len, const char *name,
    const char *const *only, struct conf_errors *errors)
{
	struct reading r = { .report = { .file = name, .only = only } };
	char *copy = arena_malloc(len + 1);
	struct conf_box *box;

	r.no_memory = copy == NULL;
	r.covered = copy != NULL;
	if (copy != NULL)
		memcpy(copy, text, len);
	for (int i = 0; i < READINGS_MAX && r.covered && !r.no_memory; i++)
		read_once(&r, copy, len);
	free(copy);
	box = r.box;
	if (report_finish(&r.report, r.no_memory, errors))
		return &box->conf;
	conf_free(box == NULL ? NULL : &box->conf);
	return NULL;
}

struct conf *conf_parse(const char *text, size_t len, const char *name, struct conf_errors *errors)
{
	return conf_parse_part(text, len, name, NULL, errors);
}

/* It names commands and users: who can write it can run anything. */
static int read_file(const char *path, char **text, size_t *len, struct err *e)
{
	struct stat st = { 0 };
	int fd = fs_open_regular(path, &st, e);
	int rc;

	if (fd < 0 && S_ISDIR(st.st_mode))
		return err_set(e, "Is a directory: name a file by -c");
	if (fd < 0 && access(path, F_OK) != 0 && errno == ENOENT)
		return err_set(e,
		    "No such file or directory: write one, as the examples of graceful.json(5), or "
		    "name another by -c");
	if (fd < 0 && e->code == EACCES)
		return err_set(e,
		    "Permission denied: be root or the user that graceful runs as, or chmod it or "
		    "the directories above it");
	if (fd < 0)
		return -1;
	if ((st.st_mode & S_IWOTH) != 0)
		rc = err_set(e,
		    "can be written by everybody (mode %04o), who could have anything run by it: "
		    "chmod o-w",
		    (unsigned)st.st_mode & 07777);
	else
		rc = fs_read_fd(fd, path, CONF_FILE_MAX, text, len, e);
	close(fd);
	return rc;
}

struct conf *conf_load_part(const char *path, const char *const *only, struct conf_errors *errors)
{
	struct report report = { .file = path };
	struct conf *conf;
	struct err e;
	char *text;
	size_t len;

	if (read_file(path, &text, &len, &e) < 0) {
		report_text_error(&report, 0, 0, "%s", e.text);
		report_finish(&report, false, errors);
		return NULL;
	}
	conf = conf_parse_part(text, len, path, only, errors);
	free(text);
	return conf;
}

struct conf *conf_load(const char *path, struct conf_errors *errors)
{
	return conf_load_part(path, NULL, errors);
}

void conf_free(struct conf *conf)
{
	struct arena arena;

	if (conf == NULL)
		return;
	arena = ((struct conf_box *)conf)->arena;
	arena_free(&arena);
}

static int compare_name(const void *name, const void *job)
{
	return strcmp(name, (*(struct job_conf *const *)job)->name);
}

const struct job_conf *conf_job(const struct conf *conf, const char *name)
{
	struct job_conf **found;

	if (conf->n_jobs == 0)
		return NULL;
	found = bsearch(name, conf->jobs, conf->n_jobs, sizeof(*conf->jobs), compare_name);
	return found == NULL ? NULL : *found;
}
