/* Whether a directory can serve as the local coordinator, and what is kept there can be used. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "coord/check_impl.h"
#include "coord/local_dir.h"
#include "coord/places.h"

/* On a file without a name, which is gone with its descriptor. */
static int try_locks(const char *path, struct err *e)
{
	int fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), rc;

	/* Not every file system has such files; locks may work all the same. */
	if (fd < 0)
		return errno == EOPNOTSUPP || errno == EISDIR
			   ? 0
			   : err_sys(e, "cannot make files in %s", path);
	rc = places_take(fd, 1, e);
	if (rc == 0 && fsync(fd) != 0)
		rc = err_sys(e, "cannot sync files");
	close(fd);
	return rc == 0 ? 0 : err_add(e, "%s", path);
}

static void check_directory(const struct check *c)
{
	const char *path = c->conf->local_path;
	struct err e;

	if (access(path, F_OK) != 0 && errno == ENOENT)
		check_found(c, CHECK_NOTE, "coordinator.path",
		    "%s is not there yet; the first master makes it", path);
	else if (try_locks(path, &e) != 0)
		check_found(c, CHECK_MISTAKE, "coordinator.path",
		    "%s: run as root, or choose a directory on a file system with locks", e.text);
	else if (fs_keeps_locks(path, &e) != 0)
		check_found(c, CHECK_NOTE, "coordinator.path", "%s", e.text);
	else
		check_found(c, CHECK_FINE, "coordinator.path",
		    "files in %s can be locked and synced", path);
}

/* True if it is in order. */
static bool check_job(const struct check *c, const struct job_conf *job)
{
	struct record record = { 0 };
	struct local_dir d;
	uint64_t epoch;
	struct err e;
	bool good;

	if (local_dir_init(&d, c->conf, job, &e) != 0) {
		check_found(c, CHECK_UNREACHABLE, "coordinator.path", "%s", e.text);
		return false;
	}
	good = local_dir_epoch(&d, &epoch, &e) == 0 && local_dir_record(&d, &record, &e) >= 0;
	if (!good)
		check_found(c, CHECK_MISTAKE, "coordinator.path", "%s", e.text);
	record_clear(&record);
	local_dir_clear(&d);
	return good;
}

void local_check(const struct check *c)
{
	size_t good = 0;

	check_directory(c);
	for (size_t i = 0; i < c->conf->n_jobs; i++)
		good += check_job(c, c->conf->jobs[i]);
	if (good == c->conf->n_jobs)
		check_found(c, CHECK_FINE, "coordinator.path",
		    "what is kept there of the jobs can be used");
}
