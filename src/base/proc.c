#include "base/proc.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

FILE *proc_open(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return fopen(path, "re");
}

/* Why what was read is not what was looked for. */
static int close_and_fail(FILE *f)
{
	int code = ferror(f) != 0 ? errno : EPROTO;

	fclose(f);
	errno = code;
	return -1;
}

#define FORKED_ONLY 0x40 /* the kernel's PF_FORKNOEXEC, which process accounting tells, too */

/* The fields are explained in proc_pid_stat(5); what is wanted is well within the first 1 KiB. */
static int parse_stat(const char *text, struct proc_stat *to)
{
	unsigned flags;
	const char *rest = strrchr(text, ')'); /* of the command's name, which may hold anything */

	if (rest != NULL &&
	    sscanf(rest + 1,
		" %c %d %*s %d %*s %*s %u %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld %*s "
		"%" SCNu64,
		&to->state, &to->parent, &to->session, &flags, &to->threads, &to->born) == 6) {
		to->forked_only = (flags & FORKED_ONLY) != 0;
		return 0;
	}
	*to = (struct proc_stat){ 0 };
	return -1;
}

int proc_stat(pid_t pid, struct proc_stat *to)
{
	char text[1024];
	FILE *f = proc_open(pid, "stat");

	*to = (struct proc_stat){ 0 };
	if (f == NULL)
		return -1;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	if (parse_stat(text, to) < 0)
		return close_and_fail(f);
	fclose(f);
	return 0;
}

#define STATUS_LINES 5

/* Whether it is one of the lines that are wanted. */
static bool parse_status_line(const char *line, struct proc_status *to)
{
	uid_t *uid = to->uid;
	gid_t *gid = to->gid;

	return sscanf(line, "Uid: %u %u %u %u", &uid[0], &uid[1], &uid[2], &uid[3]) == 4 ||
	       sscanf(line, "Gid: %u %u %u %u", &gid[0], &gid[1], &gid[2], &gid[3]) == 4 ||
	       sscanf(line, "SigBlk: %" SCNx64, &to->blocked) == 1 ||
	       sscanf(line, "SigIgn: %" SCNx64, &to->ignored) == 1 ||
	       sscanf(line, "SigCgt: %" SCNx64, &to->caught) == 1;
}

int proc_status(pid_t pid, struct proc_status *to)
{
	char line[256]; /* longer ones come in parts, and none of them looks like one of ours */
	int found = 0;
	FILE *f = proc_open(pid, "status");

	*to = (struct proc_status){ 0 };
	if (f == NULL)
		return -1;
	while (fgets(line, sizeof(line), f) != NULL)
		found += parse_status_line(line, to);
	if (found < STATUS_LINES) {
		*to = (struct proc_status){ 0 };
		return close_and_fail(f);
	}
	fclose(f);
	return 0;
}
