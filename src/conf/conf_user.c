/*
 * Who a job runs as. The accounts are looked up when the file is read, so that nothing between fork
 * and exec can wait for a directory server. A reload waits for it, and the master with it.
 */
#include <bsd/stdlib.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf_read.h"

struct account {
	uid_t uid;
	gid_t gid;
	bool has_gid; /* it has a primary group: a number without an entry has none */
	bool named;   /* it has an entry, hence supplementary groups */
	char *name;
	char *home;
};

/* An id in decimal; the largest means "none" to the kernel. */
static bool parse_id(const char *text, unsigned *id)
{
	const char *why;

	if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
		return false;
	*id = (unsigned)strtonum(text, 0, UINT_MAX - 1, &why);
	return why == NULL;
}

/*
 * After a look-up without a result, errno being 0 before. A name that does not exist is not the
 * same as a directory server that is away: else a reload meanwhile would restart jobs as changed.
 */
static bool look_up_failed(void)
{
	return errno != 0 && errno != ENOENT && errno != ESRCH;
}

static void report_missing(
    struct reader *rd, const struct node *n, const char *what, const char *name)
{
	if (look_up_failed())
		report_passing(rd->report, n, "%s \"%.80s\" cannot be looked up: %s", what, name,
		    strerror(errno));
	else
		report_error(rd->report, n, "there is no %s \"%.80s\" on this machine", what, name);
}

static void fill_account(struct reader *rd, struct account *a, const struct passwd *pw)
{
	a->uid = pw->pw_uid;
	a->gid = pw->pw_gid;
	a->has_gid = true;
	a->named = true;
	a->name = arena_strdup(rd->arena, pw->pw_name);
	a->home = arena_strdup(rd->arena, pw->pw_dir[0] == '/' ? pw->pw_dir : "/");
}

static void fill_nameless(struct reader *rd, struct account *a, uid_t uid)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", uid);
	a->uid = uid;
	a->name = arena_strdup(rd->arena, number);
	a->home = arena_strdup(rd->arena, "/");
}

/* A failure is one of the whole file: for all jobs together it is told once. */
static bool own_account(struct reader *rd, const struct node *at, struct account *a)
{
	const struct passwd *pw;

	errno = 0;
	pw = getpwuid(geteuid());
	if (pw == NULL && look_up_failed()) {
		while (at->parent != NULL)
			at = at->parent;
		report_passing(rd->report, at,
		    "the account of uid %u, which this runs as, cannot be looked up: %s",
		    (unsigned)geteuid(), strerror(errno));
		return false;
	}
	if (pw != NULL)
		fill_account(rd, a, pw);
	else
		fill_nameless(rd, a, geteuid());
	return true;
}

static bool find_account(struct reader *rd, const struct node *n, struct account *a)
{
	const char *text = read_text(rd, n, "the name or number of a user, in quotes");
	const struct passwd *pw;
	unsigned id = 0;
	bool is_id;

	if (text == NULL)
		return false;
	is_id = parse_id(text, &id);
	errno = 0;
	pw = is_id ? getpwuid(id) : getpwnam(text);
	if (pw != NULL)
		fill_account(rd, a, pw);
	else if (is_id && !look_up_failed())
		fill_nameless(rd, a, id);
	else {
		report_missing(rd, n, "user", text);
		return false;
	}
	return true;
}

static bool find_group(struct reader *rd, const struct node *n, gid_t *gid)
{
	const char *text = read_text(rd, n, "the name or number of a group, in quotes");
	const struct group *gr;

	if (text == NULL)
		return false;
	if (parse_id(text, gid))
		return true;
	errno = 0;
	gr = getgrnam(text);
	if (gr == NULL) {
		report_missing(rd, n, "group", text);
		return false;
	}
	*gid = gr->gr_gid;
	return true;
}

static void read_groups(struct reader *rd, const struct account *a, struct job_conf *job)
{
	int n = 1, room = 0;

	do {
		/* getgrouplist() puts the number it needs into n. */
		room = n > room ? n : room * 2;
		n = room;
		job->groups = arena_alloc(rd->arena, (size_t)room, sizeof(*job->groups));
		if (job->groups == NULL || a->name == NULL)
			return;
		job->groups[0] = a->gid;
	} while (a->named && getgrouplist(a->name, a->gid, job->groups, &n) < 0);
	job->n_groups = (size_t)n;
}

/* Whether a job may run as this account, given who runs the master. */
static bool may_switch(
    struct reader *rd, const struct node *user, const struct node *group, const struct account *a)
{
	if (geteuid() == 0)
		return true;
	if (user != NULL && a->uid != geteuid())
		report_error(rd->report, user,
		    "only root may run a job as another user; run graceful as root or take this "
		    "out");
	else if (group != NULL && a->gid != getegid())
		report_error(rd->report, group,
		    "only root may run a job as another group; run graceful as root or take this "
		    "out");
	else
		return true;
	return false;
}

void read_user(struct reader *rd, const struct node *at, const struct node *user,
    const struct node *group, struct job_conf *job)
{
	struct account a = { 0 };
	bool found = user == NULL ? own_account(rd, at, &a) : find_account(rd, user, &a);

	if (group != NULL)
		found = find_group(rd, group, &a.gid) && found;
	else if (found && user != NULL && !a.has_gid) {
		report_error(rd->report, user,
		    "this number has no account, hence no group; set \"group\", too");
		found = false;
	}
	if (!found || !may_switch(rd, user, group, &a))
		return;
	job->uid = a.uid;
	job->gid = a.gid;
	job->user_name = a.name;
	job->home = a.home;
	job->switch_user = geteuid() == 0 && (user != NULL || group != NULL);
	if (job->switch_user)
		read_groups(rd, &a, job);
}
