#include "coord/local_tenure.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "coord/local_waiters.h"
#include "coord/places.h"
#include "state/transfer.h"

int tenure_init(struct tenure *t, const struct conf *conf, const struct job_conf *job, int anchor,
    struct err *e)
{
	memset(t, 0, sizeof(*t));
	if (local_dir_init(&t->dir, conf, job, e) != 0)
		return -1;
	t->instance = conf->instance;
	t->job = job;
	if (asprintf(&t->job_state, "%s/" CONF_JOBS_DIR "/%s/" STATE_FILE, conf->work_dir,
		job->name) < 0) {
		local_dir_clear(&t->dir);
		return err_set(e, "cannot use the coordinator: out of memory");
	}
	t->anchor = fcntl(anchor, F_DUPFD_CLOEXEC, 3);
	if (t->anchor < 0) {
		err_sys(e, "cannot keep %s open", t->dir.lock);
		free(t->job_state);
		local_dir_clear(&t->dir);
		return -1;
	}
	pthread_mutex_init(&t->gate, NULL);
	return 0;
}

void tenure_destroy(struct tenure *t)
{
	if (t->anchor >= 0)
		close(t->anchor);
	pthread_mutex_destroy(&t->gate);
	record_clear(&t->record);
	free(t->job_state);
	local_dir_clear(&t->dir);
}

/* Errors of places.h do not know the file. Always returns -1. */
static int queue_failed(struct tenure *t)
{
	return err_add(&t->err, "%s", t->dir.lock);
}

int tenure_holds_lock_file(const struct tenure *t, struct err *e)
{
	int rc = local_dir_is_lock(&t->dir, t->anchor, e);

	if (rc == 0)
		err_set(e,
		    "%s was removed or replaced while in use, so others may hold the job: restart "
		    "graceful",
		    t->dir.lock);
	return rc;
}

/*
 * A probe for the lock file. Refuses a file that is not the anchor's: somebody removed or replaced
 * it, others queue at the new one, and a place in the old one excludes nobody.
 */
static int open_probe(struct tenure *t)
{
	int probe = local_dir_open_lock(&t->dir, &t->err);
	int same;

	if (probe < 0)
		return -1;
	pthread_mutex_lock(&t->gate);
	same = t->left ? 1 : tenure_holds_lock_file(t, &t->err);
	pthread_mutex_unlock(&t->gate);
	if (same == 1)
		return probe;
	close(probe);
	return -1;
}

/*
 * The number after all that were ever given out. The counter alone would do if nobody ever touched
 * the directory; a counter that was set back must neither give out an epoch that the record has,
 * nor a place before one that is taken: its holder would not see us come.
 */
static int choose_place(struct tenure *t, int probe)
{
	uint64_t last;
	uint64_t taken;
	struct record r;
	int rc;

	if (local_dir_epoch(&t->dir, &last, &t->err) != 0)
		return -1;
	rc = local_dir_record(&t->dir, &r, &t->err);
	if (rc < 0)
		return -1;
	if (rc == 1 && r.epoch > last)
		last = r.epoch;
	record_clear(&r);
	while ((rc = places_find(probe, last + 1, PLACES_MAX, &taken, &t->err)) == 1)
		last = taken;
	if (rc < 0)
		return queue_failed(t);
	if (last >= PLACES_MAX)
		return err_set(&t->err, "the epoch in %s or %s is too large to count on from",
		    t->dir.epoch, t->dir.state);
	t->place = last + 1;
	return 0;
}

/*
 * Unless we left meanwhile: without the gate the loop could give up our places right before we take
 * this one, which would then block the queue until the anchor is closed.
 */
static int take_place(struct tenure *t)
{
	int rc = 0;

	pthread_mutex_lock(&t->gate);
	if (!t->left)
		rc = places_take(t->anchor, t->place, &t->err);
	pthread_mutex_unlock(&t->gate);
	return rc == 0 ? 0 : queue_failed(t);
}

/*
 * Behind the door. The number is durable before the place is taken: to die in between wastes one,
 * the other order could give it out twice. The place is taken before the door is let go: else a
 * later number could look ahead, see nobody and own the job, and so would we, with a lower one.
 */
static int draw_place(struct tenure *t, int probe)
{
	if (places_enter(probe, &t->err) != 0)
		return queue_failed(t);
	/* After a failure the caller closes the probe, and that lets the door go. */
	if (choose_place(t, probe) != 0 || local_dir_set_epoch(&t->dir, t->place, &t->err) != 0 ||
	    take_place(t) != 0)
		return -1;
	return places_exit(probe, &t->err) == 0 ? 0 : queue_failed(t);
}

static bool has_left(struct tenure *t)
{
	bool left;

	pthread_mutex_lock(&t->gate);
	left = t->left;
	pthread_mutex_unlock(&t->gate);
	return left;
}

int tenure_started(const struct tenure *t, pid_t job, struct err *e)
{
	struct local_note note = {
		.instance = t->instance,
		.epoch = t->place,
		.state = t->job_state,
		.job = job,
		.uid = leftover_uid(t->job),
	};

	return local_dir_set_holder(&t->dir, &note, e);
}

/*
 * An owner before us that went without a word may have left its job behind, when its master died
 * with it: the kernel freed the lock, and told the job to stop, but it may not be gone yet.
 */
static int look_for_leftover(struct tenure *t)
{
	int rc = local_dir_leftover(&t->dir, t->place, &t->leftover, &t->err);

	if (rc <= 0)
		return rc;
	rc = leftover_any(&t->leftover, &t->err);
	if (rc <= 0)
		return rc;
	t->haunted = true;
	local_dir_holder(&t->dir, t->leftover.epoch, t->holder);
	snprintf(t->holder + strlen(t->holder), sizeof(t->holder) - strlen(t->holder),
	    ", who died and left the job running");
	return 1;
}

void tenure_begin(struct tenure *t)
{
	t->predecessor = local_dir_succeed(&t->dir, t->place);
	tenure_started(t, 0, NULL);
	waiters_forget_to(&t->dir, t->place);
}

/*
 * We are first, and nobody can come before us, as numbers only rise. Only now is the record read:
 * one that was read before would miss the last commit of the owner before us.
 */
static enum tenure_step find_state(struct tenure *t, bool adopts)
{
	int rc;

	if (has_left(t))
		return TENURE_LEFT;
	/* Whoever adopts a lock sees to what is left of the job itself. */
	rc = look_for_leftover(t);
	if (rc > 0 || (rc < 0 && !adopts))
		return rc < 0 ? TENURE_FAILED : TENURE_BEHIND;
	rc = local_dir_record(&t->dir, &t->record, &t->err);
	if (rc < 0)
		return TENURE_FAILED;
	t->has_record = rc == 1;
	/* After the record: removed before that, its absence would mean nothing. */
	if (tenure_holds_lock_file(t, &t->err) != 1) {
		record_clear(&t->record);
		return TENURE_FAILED;
	}
	if (t->has_record && t->record.epoch > t->place) {
		err_set(&t->err, "%s was written by a newer owner: epoch %ju, ours is %ju",
		    t->dir.state, (uintmax_t)t->record.epoch, (uintmax_t)t->place);
		record_clear(&t->record);
		return TENURE_FAILED;
	}
	return TENURE_FIRST;
}

/*
 * Who committed the record may have died before it was synced. What it replaced is removed by the
 * new owner, so it must be certain that no power cut brings the old one back.
 */
static enum tenure_step become_owner(struct tenure *t)
{
	enum tenure_step step = find_state(t, false);

	if (step != TENURE_FIRST || !t->has_record || fs_sync_dir_of(t->dir.state, &t->err) == 0)
		return step;
	record_clear(&t->record);
	return TENURE_FAILED;
}

static enum tenure_step look_ahead(struct tenure *t, int probe)
{
	uint64_t owner;
	int rc = places_nearest(probe, t->place, &t->ahead, &t->err);

	/* As it was found before, from a place that was given up, say. */
	t->haunted = false;
	if (rc == 0)
		return become_owner(t);
	if (rc == 1)
		rc = places_first(probe, t->place, &owner, &t->err);
	if (rc < 0) {
		queue_failed(t);
		return TENURE_FAILED;
	}
	/* When all of them went in between, the wait for the nearest ends at once. */
	local_dir_holder(&t->dir, rc == 1 ? owner : t->ahead, t->holder);
	return TENURE_BEHIND;
}

/* Behind the gate, as whoever gives the place up takes the note away, too. */
static void note_waiting(struct tenure *t)
{
	pthread_mutex_lock(&t->gate);
	if (!t->left) {
		t->noted = t->place;
		waiters_note(&t->dir, t->noted, t->instance);
	}
	pthread_mutex_unlock(&t->gate);
}

enum tenure_step tenure_queue_up(struct tenure *t)
{
	enum tenure_step step = TENURE_FAILED;
	int probe = open_probe(t);

	if (probe < 0)
		return step;
	if (draw_place(t, probe) == 0)
		step = look_ahead(t, probe);
	close(probe);
	if (step == TENURE_BEHIND)
		note_waiting(t);
	return step;
}

static bool is_off(void *ctx)
{
	return has_left(ctx);
}

static enum tenure_step wait_for_leftover(struct tenure *t, int probe)
{
	if (leftover_wait(&t->leftover, t->job, is_off, t, &t->err) == 0)
		return look_ahead(t, probe);
	return has_left(t) ? TENURE_LEFT : TENURE_FAILED;
}

/*
 * Everybody waits for the one next before him, so that a release wakes one worker and not all. That
 * one may have died in the queue with others still before it: hence the look ahead. The read lock
 * that ends the wait is on a place that nobody will take again, and goes with the probe.
 */
enum tenure_step tenure_wait(struct tenure *t)
{
	enum tenure_step step = TENURE_FAILED;
	int probe = open_probe(t);

	if (probe < 0)
		return step;
	if (t->haunted)
		step = wait_for_leftover(t, probe);
	else if (places_wait(probe, t->ahead, &t->err) == 0)
		step = look_ahead(t, probe);
	else
		queue_failed(t);
	close(probe);
	return step;
}

/* 1 or 0; -1 if it cannot be found out. */
static int holds_place(struct tenure *t, int probe)
{
	uint64_t found;
	int rc = places_find(probe, t->place, t->place, &found, &t->err);

	if (rc != 1)
		return rc < 0 ? queue_failed(t) : 0;
	/*
	 * It is taken. By our anchor? A lock through it then changes nothing, and is refused when
	 * the place is another's. Without the look before, it would take a place that is free.
	 */
	return take_place(t) == 0;
}

/* What became of the job since is in the record, whoever wrote it. */
static enum tenure_step find_freed(struct tenure *t)
{
	int rc = local_dir_record(&t->dir, &t->record, &t->err);

	t->has_record = rc == 1;
	return rc < 0 ? TENURE_FAILED : TENURE_FREED;
}

/* The notes stay those of the dead owner: they lead to its job, which may live on. */
static enum tenure_step adopt_place(struct tenure *t, int probe)
{
	uint64_t ahead;
	int rc = places_nearest(probe, t->place, &ahead, &t->err);

	if (rc == 0)
		return find_state(t, true);
	if (rc == 1)
		err_set(&t->err, "epoch %ju owns the job before epoch %ju", (uintmax_t)ahead,
		    (uintmax_t)t->place);
	queue_failed(t);
	return TENURE_FAILED;
}

enum tenure_step tenure_adopt(struct tenure *t)
{
	enum tenure_step step = TENURE_FAILED;
	int probe;
	int rc;

	if (t->place < 1 || t->place > PLACES_MAX) {
		err_set(&t->err, "%s: there is no epoch %ju", t->dir.lock, (uintmax_t)t->place);
		return step;
	}
	probe = open_probe(t);
	if (probe < 0)
		return step;
	rc = holds_place(t, probe);
	if (rc == 1)
		step = adopt_place(t, probe);
	else if (rc == 0)
		step = find_freed(t);
	close(probe);
	return step;
}

/*
 * The kernel's lock keeps others out. This notices when it does not - somebody replaced the lock
 * file, or put back a record - before we overwrite what the other owner committed.
 */
static enum coord_result check_fence(struct tenure *t)
{
	struct record found;
	uint64_t epoch;
	int held = tenure_holds_lock_file(t, &t->err);

	if (held != 1)
		return held == 0 ? COORD_LOST : COORD_FAILED;
	/* Damage (code 0) is mended by the record that we are about to write. */
	if (local_dir_record(&t->dir, &found, &t->err) < 0)
		return t->err.code == 0 ? COORD_OK : COORD_FAILED;
	epoch = found.epoch;
	record_clear(&found);
	if (epoch <= t->place)
		return COORD_OK;
	err_set(&t->err, "%s was written by a newer owner: epoch %ju, ours is %ju", t->dir.state,
	    (uintmax_t)epoch, (uintmax_t)t->place);
	return COORD_LOST;
}

enum coord_result tenure_commit(struct tenure *t)
{
	enum coord_result result = check_fence(t);

	if (result != COORD_OK)
		return result;
	switch (local_dir_set_record(&t->dir, &t->record, &t->err)) {
	case LOCAL_OLD: return COORD_FAILED;
	case LOCAL_UNSURE: return COORD_UNSURE;
	case LOCAL_LASTING: return COORD_OK;
	}
	return COORD_FAILED;
}

/* The note about the holder goes first, while it is certain to be ours and not the next owner's. */
enum coord_result tenure_leave(struct tenure *t)
{
	if (local_dir_is_lock(&t->dir, t->anchor, NULL) == 1)
		local_dir_remove_holder(&t->dir);
	if (places_leave(t->anchor, &t->err) == 0)
		return COORD_OK;
	queue_failed(t);
	return COORD_FAILED;
}

int tenure_give_up(struct tenure *t, struct err *e)
{
	int rc;

	pthread_mutex_lock(&t->gate);
	t->left = true;
	rc = places_leave(t->anchor, e);
	if (t->noted != 0)
		waiters_forget(&t->dir, t->noted);
	pthread_mutex_unlock(&t->gate);
	return rc == 0 ? 0 : err_add(e, "%s", t->dir.lock);
}

void tenure_abandon(struct tenure *t)
{
	pthread_mutex_lock(&t->gate);
	t->left = true;
	close(t->anchor);
	t->anchor = -1;
	pthread_mutex_unlock(&t->gate);
}
