#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/task.h"
#include "role/worker_impl.h"

#define LOOK_MS 1000 /* between two looks at a state file that cannot be watched */

static uid_t owner_uid(const struct worker *w)
{
	return w->job->switch_user ? w->job->uid : geteuid();
}

static gid_t owner_gid(const struct worker *w)
{
	return w->job->switch_user ? w->job->gid : getegid();
}

/* Watching the state file */

static int peek(const struct worker *w, struct state_id *id)
{
	struct err e;

	return transfer_peek(w->dir, owner_uid(w), id, &e);
}

/* There is a file, and it is not the one that was saved last. What is no proper file counts, so
 * that the backup says why. */
static bool is_unsaved(struct worker *w)
{
	struct state_id id;
	int rc = peek(w, &id);

	return rc < 0 || (rc > 0 && !(w->have_saved_id && state_id_equal(&id, &w->saved_id)));
}

bool worker_state_unsaved(const struct worker *w, struct state_id *id)
{
	return peek(w, id) > 0 && !(w->have_saved_id && state_id_equal(id, &w->saved_id));
}

static bool names_state(const struct inotify_event *ev)
{
	return (ev->mask & IN_Q_OVERFLOW) != 0 ||
	       (ev->len > 0 && strcmp(ev->name, STATE_FILE) == 0);
}

static void on_watch(struct ev_loop *loop, struct ev_io *io, int revents)
{
	struct worker *w = io->data;
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool changed = false;
	ssize_t n;

	(void)loop;
	(void)revents;
	n = read(io->fd, buf, sizeof(buf));
	for (char *p = buf; n > 0 && p < buf + n;) {
		const struct inotify_event *ev = (const struct inotify_event *)(const void *)p;

		changed |= names_state(ev);
		p += sizeof(*ev) + ev->len;
	}
	if (changed)
		worker_pace(w, pacer_changed(&w->pacer, clock_now()));
}

int worker_state_open(struct worker *w, struct err *e)
{
	ev_io_init(&w->watch, on_watch, -1, EV_READ);
	w->watch.data = w;
	snprintf(w->dir, sizeof(w->dir), "%s/jobs/%s", w->conf->work_dir, w->job->name);
	if (w->conf->state_dir != NULL) {
		char url[2 * PATH_MAX];

		/* As in the coordinator: in another namespace a job of this name is another job,
		 * and counts its epochs from 1, too. */
		snprintf(url, sizeof(url), "file://%s%s/jobs", w->conf->state_dir, w->conf->ns);
		w->store = store_open(url, e);
		if (w->store == NULL)
			return -1;
	}
	return 0;
}

/*
 * Begins when the job runs, so that a standby takes nothing: the kernel grants all processes of a
 * user together a few instances of inotify, by default 128.
 */
static int open_watch(struct worker *w, struct err *e)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd < 0)
		return err_sys(e,
		    "cannot watch %s by inotify (see sysctl fs.inotify.max_user_instances)",
		    w->dir);
	w->watched = inotify_add_watch(fd, w->dir, IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR);
	if (w->watched < 0) {
		err_sys(e, "cannot watch %s (see sysctl fs.inotify.max_user_watches)", w->dir);
		close(fd);
		return -1;
	}
	ev_io_set(&w->watch, fd, EV_READ);
	ev_io_start(w->loop, &w->watch);
	return 0;
}

void worker_state_look(struct worker *w)
{
	w->look_at = MSEC_NEVER;
	if (!w->pacer.on)
		return;
	w->look_at = msec_add(clock_now(), LOOK_MS);
	if (is_unsaved(w))
		worker_pace(w, pacer_changed(&w->pacer, clock_now()));
}

/* The watch first, then a look: a file that came between the two is seen by the look. */
void worker_state_watch(struct worker *w)
{
	struct err e;

	if (w->watched < 0 && open_watch(w, &e) != 0) {
		log_warn("a new state is noticed late, by looking: %s", e.text);
		w->look_at = msec_add(clock_now(), LOOK_MS);
	} else {
		w->look_at = MSEC_NEVER;
	}
	pacer_start(&w->pacer, clock_now());
	/* "clean" says that nothing happened since the dump. The job runs now, so should the whole
	 * machine go down, the next owner must find "crash", also if no checkpoint came before. */
	if ((w->have_record && w->record.clean) || w->goes_on)
		worker_pace(w, pacer_stale(&w->pacer, clock_now()));
	else if (is_unsaved(w))
		worker_pace(w, pacer_changed(&w->pacer, clock_now()));
}

/* Restore */

struct restore {
	struct worker *w;
	uint64_t predecessor;
	bool goes_on, clean; /* see worker_left_take() */
	struct state_id id;
	struct err e;
	int rc;
};

void worker_state_granted(struct worker *w, const struct record *record)
{
	struct err e;

	record_clear(&w->record);
	w->have_record = record != NULL;
	if (record == NULL)
		return;
	/* A rescue finds one of the tenure that it ends. */
	w->began = record->epoch == w->epoch
		       ? record->after
		       : (struct record_trace){ record->epoch, record->seq, record->clean };
	if (record_copy(&w->record, record, &e) == 0)
		return;
	/* Going on without it would start the job from nothing. The lock goes with the anchor;
	 * nothing has begun. */
	log_error("%s", e.text);
	_exit(1);
}

static const struct record *state_to_restore(const struct worker *w)
{
	return w->have_record && !w->record.empty ? &w->record : NULL;
}

static void restore_work(void *arg)
{
	struct restore *r = arg;
	const struct worker *w = r->w;

	FAULT("in_restore");
	r->rc = transfer_prepare(w->dir, owner_uid(w), owner_gid(w), &r->e);
	r->goes_on = r->rc == 0 && worker_left_take(w, r->predecessor, &r->clean);
	if (r->rc == 0 && !r->goes_on)
		r->rc = transfer_restore(w->dir, owner_uid(w), owner_gid(w), w->store,
		    state_to_restore(w), &r->id, &r->e);
}

static void note_restored(struct worker *w, const struct restore *r)
{
	w->have_saved_id = state_to_restore(w) != NULL;
	w->saved_id = r->id;
	w->run_clean = w->have_record && w->record.clean;
	if (w->have_saved_id)
		log_info("restored the state epoch=%" PRIu64 " seq=%" PRIu64 " size=%" PRIu64
			 " clean=%d",
		    w->record.epoch, w->record.seq, w->record.size, w->record.clean);
}

/* Newer than the record, and not in it: it is committed as soon as the job runs. */
static void note_left(struct worker *w, const struct restore *r)
{
	w->have_saved_id = false;
	w->goes_on = true;
	w->run_clean = r->clean;
	log_info("nobody owned the job since it lost its lock here under epoch %" PRIu64
		 ": it goes on from the state that it left",
	    r->predecessor);
}

static void restore_done(void *arg)
{
	struct restore *r = arg;
	struct worker *w = r->w;

	FAULT("after_restore");
	if (r->rc != 0)
		log_error("cannot restore the state, so the job is not started: %s", r->e.text);
	else if (r->goes_on)
		note_left(w, r);
	else
		note_restored(w, r);
	worker_stamp(w, STAMP_RESTORED);
	w->restore_done = true;
	w->restore_ev = r->rc == 0 ? LIFE_EV_RESTORED : LIFE_EV_RESTORE_FAILED;
	free(r);
	worker_state_announced(w);
}

/* A lock that is lost is not announced any more, and the life waits for its answer all the same. */
void worker_state_announced(struct worker *w)
{
	if (!w->restore_done || !(coord_is_announced(w->coord) || w->life.lost))
		return;
	w->restore_done = false;
	worker_tell(w, w->restore_ev, 0);
}

/* The record went while this master was running: an empty directory must not pass for a job that
 * never had a state. */
static bool has_lost_record(const struct worker *w)
{
	return w->setup->known_seq > (w->have_record ? w->record.seq : 0);
}

void worker_state_restore(struct worker *w)
{
	struct restore *r;
	struct err e;

	FAULT("before_restore");
	if (has_lost_record(w)) {
		log_error("the coordinator has lost the record of the state, so the job is not "
			  "started: put it back (seq=%" PRIu64 "), or restart graceful to go on "
			  "without it",
		    w->setup->known_seq);
		worker_tell(w, LIFE_EV_RESTORE_FAILED, 0);
		return;
	}
	r = calloc(1, sizeof(*r));
	err_set(&e, "out of memory");
	if (r != NULL) {
		r->w = w;
		r->predecessor = coord_predecessor(w->coord);
		if (task_start(w->loop, restore_work, restore_done, r, &e) != NULL)
			return;
		free(r);
	}
	log_error("cannot restore the state: %s", e.text);
	worker_tell(w, LIFE_EV_RESTORE_FAILED, 0);
}

const char *worker_state_restored(const struct worker *w)
{
	struct state_id id;
	struct err e;

	if (transfer_peek(w->dir, owner_uid(w), &id, &e) <= 0)
		return "none";
	return w->run_clean ? "clean" : "crash";
}

/* Save: look at the file, back it up if it is new, commit, forget the blob before it */

struct save {
	struct worker *w;
	struct backup backup;
	struct record record;
	struct state_id id, known;
	bool have_known;
	bool unchanged; /* the file is the one of the last record */
	bool at_work;   /* its thread has it */
	bool abandoned; /* nobody waits for it any more */
	struct err e;
	int rc; /* as of transfer_backup() */
};

static void save_free(struct save *s)
{
	if (s == NULL)
		return;
	record_clear(&s->record);
	free(s);
}

static void save_work(void *arg)
{
	struct save *s = arg;

	s->rc = transfer_peek(s->backup.dir, s->backup.owner, &s->id, &s->e);
	s->unchanged = s->rc > 0 && s->have_known && state_id_equal(&s->id, &s->known);
	if (s->rc > 0 && !s->unchanged)
		s->rc = transfer_backup(&s->backup, &s->record, &s->id, &s->e);
	FAULT("after_upload");
}

/* The one end of every save. */
static void finish(struct worker *w, enum life_event ev, msec arg)
{
	enum save_kind kind = w->saving;
	enum save_kind next = w->save_next;

	save_free(w->save);
	w->save = NULL;
	w->saving = SAVE_NONE;
	w->save_next = SAVE_NONE;
	if (kind == SAVE_PACED)
		worker_pace(w, pacer_saved(&w->pacer, ev == LIFE_EV_SAVED, clock_now()));
	else
		worker_tell(w, ev, arg);
	/* A loss concerns the life whoever came upon it; a paced save's success is not the answer
	 * that it may be waiting for. */
	if (kind == SAVE_PACED && ev == LIFE_EV_LOST)
		worker_tell(w, ev, arg);
	else if (next != SAVE_NONE)
		worker_state_save(w, next);
	worker_report(w);
}

static void fail(struct worker *w, const struct err *e, bool for_good)
{
	if (w->have_record)
		log_error("cannot save the state, the last good one stays (seq=%" PRIu64
			  " clean=%d): %s",
		    w->record.seq, w->record.clean, e->text);
	else
		log_error("cannot save the state, and there is no older one: %s", e->text);
	w->report.backup_failures++;
	finish(w, LIFE_EV_SAVE_FAILED, for_good);
}

static bool releases(enum save_kind kind)
{
	return kind == SAVE_RELEASE || kind == SAVE_MARK;
}

/* What a record says besides the bytes. */
static void label(struct worker *w, struct record *r)
{
	bool final = w->saving != SAVE_PACED;

	r->epoch = w->epoch;
	/* What was abandoned may still write under its number. */
	r->seq = (w->have_record ? w->record.seq : 0) + 1 + w->abandoned;
	r->clean = final && w->saving != SAVE_MARK && w->life.clean;
	r->done = final && w->life.done;
	r->after = w->began;
	snprintf(r->instance, sizeof(r->instance), "%s", w->conf->instance);
}

static void commit(struct worker *w)
{
	if (releases(w->saving)) {
		worker_stamp(w, STAMP_UPLOADED);
		w->save->record.stamps = w->gave.stamps;
	}
	FAULT(releases(w->saving) ? "before_final_commit" : "before_commit");
	coord_commit(w->coord, &w->save->record, releases(w->saving));
}

/* The same bytes as before under a new label. */
static void commit_again(struct worker *w)
{
	struct record *r = &w->save->record;
	struct err e;

	record_clear(r);
	if (record_copy(r, &w->record, &e) != 0) {
		fail(w, &e, false);
		return;
	}
	memset(&r->stamps, 0, sizeof(r->stamps));
	label(w, r);
	clock_stamp(r->time);
	commit(w);
}

static void commit_without_state(struct worker *w)
{
	static const char sha256_of_nothing[] =
	    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	struct record *r = &w->save->record;

	r->empty = true;
	memcpy(r->sha256, sha256_of_nothing, sizeof(sha256_of_nothing));
	clock_stamp(r->time);
	commit(w);
}

/* The job has never had a state, or took it away. */
static void save_without_file(struct worker *w)
{
	struct err e;

	if (w->have_record && !w->record.empty) {
		err_set(&e, "%s/" STATE_FILE " is gone: the job removed it", w->dir);
		fail(w, &e, true);
	} else if (w->save->record.done) {
		commit_without_state(w);
	} else if (releases(w->saving)) {
		coord_release(w->coord);
	} else {
		finish(w, LIFE_EV_SAVED, 0);
	}
}

/* Whether another try may do better once the job is gone: a full disk may, a FIFO in the place of
 * the state will not. */
static bool is_passing(int code)
{
	switch (code) {
	case ENOSPC:
	case EDQUOT:
	case EIO:
	case EROFS:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EAGAIN:
	case ETIMEDOUT:
	case ESTALE: return true;
	}
	return false;
}

static void drop_blob(struct worker *w, char *url);

/* Its blob has a name that no record will ever have. */
static void forget_late(struct save *s)
{
	char *url = s->record.url;

	log_warn("the state store has answered after all, too late");
	s->record.url = NULL;
	drop_blob(s->w, url);
	save_free(s);
}

static void save_done(void *arg)
{
	struct save *s = arg;
	struct worker *w = s->w;

	s->at_work = false;
	if (s->abandoned)
		forget_late(s);
	else if (s->rc < 0)
		fail(w, &s->e, !is_passing(s->e.code));
	else if (s->rc == 0)
		save_without_file(w);
	else if (!s->unchanged)
		commit(w);
	else if (!releases(w->saving) && w->record.clean == s->record.clean)
		finish(w, LIFE_EV_SAVED, 0);
	else
		commit_again(w);
}

static void begin(struct worker *w)
{
	struct save *s = w->save;
	struct err e;

	label(w, &s->record);
	if (w->saving == SAVE_MARK && w->have_record) {
		commit_again(w);
	} else if (w->saving == SAVE_MARK) {
		coord_release(w->coord);
	} else {
		s->at_work = task_start(w->loop, save_work, save_done, s, &e) != NULL;
		if (!s->at_work)
			fail(w, &e, false);
	}
}

/*
 * The thread cannot be ended, so its save is left to it, and the next one gets another number. What
 * the coordinator has already is answered by the coordinator: a commit that was begun may still
 * happen.
 */
void worker_state_abandon(struct worker *w)
{
	struct err e;

	if (w->save == NULL || !w->save->at_work)
		return;
	w->save->abandoned = true;
	w->save = NULL;
	w->abandoned++;
	if (w->saving == SAVE_PACED) {
		/* It was in the way of the one that the life waits for. */
		w->saving = w->save_next;
		w->save_next = SAVE_NONE;
		pacer_saved(&w->pacer, false, clock_now());
	}
	err_set(&e, "the state store does not answer; the dump stays in %s/" STATE_FILE, w->dir);
	fail(w, &e, false);
}

void worker_state_save(struct worker *w, enum save_kind kind)
{
	struct err e;

	if (w->saving != SAVE_NONE) {
		w->save_next =
		    kind; /* only the pacer's own can be under way, and it does not ask again */
		return;
	}
	if (releases(kind))
		FAULT("before_dump_backup");
	w->saving = kind;
	w->save = calloc(1, sizeof(*w->save));
	if (w->save == NULL) {
		err_set(&e, "out of memory");
		fail(w, &e, false);
		return;
	}
	w->save->w = w;
	w->save->known = w->saved_id;
	w->save->have_known = w->have_saved_id && w->have_record;
	w->save->backup = (struct backup){
		.dir = w->dir,
		.owner = owner_uid(w),
		.max_size = w->job->state_max,
		.inline_max = w->conf->inline_max,
		.store = w->store,
		.job = w->job->name,
	};
	begin(w);
}

/* Blobs that no record names any more */

struct drop {
	struct store *store;
	char *url;
	struct err e;
	int rc;
};

static void drop_work(void *arg)
{
	struct drop *d = arg;

	d->rc = store_delete(d->store, d->url, &d->e);
}

static void drop_done(void *arg)
{
	struct drop *d = arg;

	if (d->rc != 0)
		log_warn("an old state could not be removed: %s", d->e.text);
	free(d->url);
	free(d);
}

/* Takes url over. Failing to remove garbage harms nobody: it is told, not tried again. */
static void drop_blob(struct worker *w, char *url)
{
	struct drop *d;
	struct err e;

	if (url == NULL)
		return;
	d = calloc(1, sizeof(*d));
	if (d == NULL || w->store == NULL) {
		free(d);
		free(url);
		return;
	}
	d->store = w->store;
	d->url = url;
	if (task_start(w->loop, drop_work, drop_done, d, &e) != NULL)
		return;
	drop_work(d);
	drop_done(d);
}

void worker_state_tidy(struct worker *w)
{
	struct drop d = { .store = w->store, .url = w->stale_url };

	if (d.url == NULL || d.store == NULL)
		return;
	drop_work(&d);
	if (d.rc != 0)
		log_warn("an old state could not be removed: %s", d.e.text);
}

/* The new record counts. The blob of the one before goes - later, if the lock was just released and
 * the process is about to. */
static void adopt_record(struct worker *w)
{
	struct record *r = &w->save->record;
	char *old = w->have_record ? w->record.url : NULL;

	if (old != NULL && r->url != NULL && strcmp(old, r->url) == 0)
		free(old);
	else if (releases(w->saving))
		w->stale_url = old;
	else
		drop_blob(w, old);
	w->record.url = NULL;
	record_clear(&w->record);
	w->record = *r;
	memset(r, 0, sizeof(*r));
	w->have_record = true;
	if (w->saving != SAVE_MARK && !w->record.empty) {
		w->saved_id = w->save->id;
		w->have_saved_id = true;
	}
	w->report.saved = clock_wall();
	w->report.backups++;
	worker_left_committed(w);
}

void worker_state_committed(struct worker *w, enum coord_result result, const struct err *e)
{
	bool release = releases(w->saving);

	if (result == COORD_FAILED) {
		fail(w, e, false);
		return;
	}
	if (result == COORD_LOST) {
		log_error("the state was not committed, the lock is lost: %s", e->text);
		finish(w, LIFE_EV_LOST, 0);
		return;
	}
	if (release)
		worker_stamp(w, STAMP_RELEASED);
	FAULT(release ? "after_release_before_ack" : "after_commit");
	adopt_record(w);
	log_info("committed the state%s epoch=%" PRIu64 " seq=%" PRIu64 " size=%" PRIu64
		 " clean=%d",
	    release ? " and released the lock" : "", w->record.epoch, w->record.seq, w->record.size,
	    w->record.clean);
	finish(w, LIFE_EV_SAVED, 0);
}

void worker_state_released(struct worker *w, enum coord_result result, const struct err *e)
{
	if (result == COORD_FAILED) {
		fail(w, e, false);
		return;
	}
	log_info("released the lock epoch=%" PRIu64 ", there is no state to commit", w->epoch);
	if (result == COORD_OK)
		worker_stamp(w, STAMP_RELEASED);
	FAULT("after_release_before_ack");
	finish(w, result == COORD_OK ? LIFE_EV_SAVED : LIFE_EV_LOST, 0);
}
