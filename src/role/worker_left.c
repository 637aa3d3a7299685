#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "coord/leftover.h"
#include "role/worker_impl.h"
#include "state/left.h"

#define NOTE_MAX (PATH_MAX + JOB_NAME_MAX + 32)

/* Beside the job's directory: no job's name begins with a dot. */
static void note_path(const struct worker *w, char path[NOTE_MAX])
{
	snprintf(path, NOTE_MAX, "%s/" CONF_JOBS_DIR "/.left-%s", w->conf->work_dir, w->job->name);
}

static int write_note(const struct worker *w, const struct left *left, struct err *e)
{
	char boot[LEFTOVER_BOOT_MAX];
	char path[NOTE_MAX];

	note_path(w, path);
	leftover_boot(boot);
	return left_write(path, left, boot, e);
}

void worker_left_keep(const struct worker *w)
{
	/* A rescue may have lost it before it was granted. */
	struct left left = { .epoch = w->setup->rescue ? w->setup->rescue_epoch : w->epoch,
		.clean = w->life.clean };
	struct err e;

	if (!w->life.lost || !w->life.ran || !worker_state_unsaved(w, &left.id))
		return;
	if (write_note(w, &left, &e) == 0)
		log_warn("%s/" STATE_FILE
			 " could not be committed and stays there: the job goes on "
			 "from it if nobody owns the job before this machine does epoch=%" PRIu64,
		    w->dir, left.epoch);
	else
		log_error("%s/" STATE_FILE " could not be committed, and will be replaced by the "
			  "last committed state: %s",
		    w->dir, e.text);
}

/* Names the new epoch in the note: until a commit, this process may die, too. */
bool worker_left_take(const struct worker *w, uint64_t predecessor, bool *clean)
{
	char boot[LEFTOVER_BOOT_MAX];
	char path[NOTE_MAX];
	struct state_id id;
	struct left left;
	struct err e;

	note_path(w, path);
	leftover_boot(boot);
	if (predecessor != 0 && left_read(path, boot, &left) && left.epoch == predecessor &&
	    worker_state_unsaved(w, &id) && state_id_equal(&id, &left.id)) {
		left.epoch = w->epoch;
		*clean = left.clean;
		return write_note(w, &left, &e) == 0;
	}
	left_remove(path);
	return false;
}

void worker_left_committed(struct worker *w)
{
	char path[NOTE_MAX];

	if (!w->goes_on)
		return;
	w->goes_on = false;
	note_path(w, path);
	left_remove(path);
}
