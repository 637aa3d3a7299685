#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/task.h"
#include "role/worker_impl.h"

/* Which bytes its record is of. */
enum save_bytes {
	BYTES_NEW,       /* those of the file */
	BYTES_COMMITTED, /* those of the last record */
	BYTES_DOUBTED,   /* those of the record that is in doubt */
};

enum save_stage {
	STAGE_LOOP,      /* the loop has it, or the coordinator */
	STAGE_LATE,      /* its time is over: it ends with what the coordinator has */
	STAGE_THREAD,    /* its thread has it */
	STAGE_ABANDONED, /* likewise, and nobody waits for it any more */
};

/* Threads that hang, each with a file and a buffer, before no other is begun. */
#define ABANDONED_MAX 4

/* Looks at the file, backs it up if it is new, commits, forgets the blob before it. */
struct save {
	struct worker *w;
	struct backup backup;
	struct record record;
	uint64_t number;                /* of the record, which its thread may be writing */
	struct state_id known, doubted; /* files that need no backup; all zero: none */
	enum save_stage stage;
	bool last;    /* nobody will compare with this file again */
	bool settles; /* no file is looked at, until what is in doubt is certain */
	/* Of the file, from here on. */
	struct state_id id;
	bool found;
	enum save_bytes bytes;
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

static void look(struct save *s)
{
	s->rc = transfer_peek(s->backup.dir, s->backup.owner, &s->id, &s->e);
	s->found = s->rc > 0;
}

static enum save_bytes find_bytes(const struct save *s)
{
	if (state_id_proves(&s->doubted, &s->id))
		return BYTES_DOUBTED;
	return state_id_proves(&s->known, &s->id) ? BYTES_COMMITTED : BYTES_NEW;
}

/*
 * A moment, and the id of this file proves which bytes it has: else those would have to be uploaded
 * once more at the end, when somebody waits for the job.
 */
static void look_at_last(struct save *s)
{
	static const struct timespec moment = { .tv_nsec = STATE_YOUNG_MS * 1000000L };

	look(s);
	if (!s->found || !s->id.young || s->last)
		return;
	nanosleep(&moment, NULL);
	look(s);
}

/* After look(). */
static void back_up(struct save *s)
{
	s->bytes = s->found ? find_bytes(s) : BYTES_NEW;
	if (s->found && s->bytes == BYTES_NEW)
		s->rc = transfer_backup(&s->backup, &s->record, &s->id, &s->e);
	FAULT("after_upload");
}

static void save_work(void *arg)
{
	look_at_last(arg);
	back_up(arg);
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
		worker_save_begin(w, next);
	if (kind == SAVE_PACED)
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
	if (w->save != NULL)
		w->spent = w->save->number;
	w->report.backup_failures++;
	finish(w, LIFE_EV_SAVE_FAILED, for_good);
}

static bool releases(enum save_kind kind)
{
	return kind == SAVE_RELEASE || kind == SAVE_MARK;
}

/*
 * Every record of a tenure has its own number, as it is known by it (struct record_trace): also
 * those that came to nothing, for all we know, and of a save that was abandoned.
 */
static uint64_t next_number(const struct worker *w)
{
	uint64_t last = w->have_record ? w->record.seq : 0;

	return (last > w->spent ? last : w->spent) + 1;
}

/* What a record says besides the bytes. */
static void label(struct worker *w, struct record *r)
{
	bool final = w->saving != SAVE_PACED && !w->save->settles;

	r->epoch = w->epoch;
	r->seq = next_number(w);
	r->clean = final && w->saving != SAVE_MARK && w->life.clean;
	r->done = final && w->life.done;
	r->after = w->began;
	snprintf(r->instance, sizeof(r->instance), "%s", w->conf->instance);
}

static void release(struct worker *w, bool left_nothing)
{
	w->release_asked = true;
	coord_release(w->coord, left_nothing);
}

/* There was no state when the release was asked for, which was refused. A commit cannot follow
 * (coord.h): what has come to its place meanwhile is as good as left behind. */
static void commit_too_late(struct worker *w)
{
	struct err e;

	if (w->saving == SAVE_MARK) {
		release(w, false);
		return;
	}
	err_set(&e, "%s/" STATE_FILE " came when the lock was being released already", w->dir);
	fail(w, &e, true);
}

static void commit(struct worker *w)
{
	if (w->release_asked) {
		commit_too_late(w);
		return;
	}
	if (releases(w->saving)) {
		worker_stamp(w, STAMP_UPLOADED);
		w->save->record.stamps = w->gave.stamps;
	}
	FAULT(releases(w->saving) ? "before_final_commit" : "before_commit");
	coord_commit(w->coord, &w->save->record, releases(w->saving));
}

/* The bytes of a record before under a new label. */
static void commit_again(struct worker *w, enum save_bytes bytes)
{
	const struct record *from = bytes == BYTES_DOUBTED ? &w->doubt.record : &w->record;
	struct record *r = &w->save->record;
	struct err e;

	w->save->bytes = bytes;
	record_clear(r);
	if (record_copy(r, from, &e) != 0) {
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
		release(w, true);
	} else {
		finish(w, LIFE_EV_SAVED, 0);
	}
}

/*
 * Whether no other try can do better, as there is no state: a FIFO is in its place, it is too
 * large, it was taken away, or the job took from itself the right to have one. Once a proper file
 * was seen, whatever came with an error number concerns where its bytes go to, and may pass - a
 * full disk, a store that is not mounted: what the job left is as good as before. So it is on a
 * disk that cannot be looked at.
 */
static bool refuse(struct worker *w, const struct save *s)
{
	int code = s->e.code;

	if (s->found ? code != 0 : !fs_is_none(code) && code != EACCES)
		return false;
	w->refused_id = s->id;
	return true;
}

/* Its blob has a name that no record will ever have. */
static void forget_late(struct save *s)
{
	char *url = s->record.url;

	log_warn("the state store has answered after all, too late");
	s->w->abandoned--;
	s->record.url = NULL;
	worker_garbage_drop(s->w, url);
	save_free(s);
}

/* Nothing is new, and the record says so already, for certain. */
static bool is_saved(const struct worker *w)
{
	const struct save *s = w->save;

	return s->bytes == BYTES_COMMITTED && !releases(w->saving) && !worker_is_in_doubt(w) &&
	       w->record.clean == s->record.clean;
}

static void save_done(void *arg)
{
	struct save *s = arg;
	struct worker *w = s->w;

	if (s->stage == STAGE_ABANDONED) {
		forget_late(s);
		return;
	}
	s->stage = STAGE_LOOP;
	if (s->rc < 0)
		fail(w, &s->e, refuse(w, s));
	else if (s->rc == 0)
		save_without_file(w);
	else if (s->bytes == BYTES_NEW)
		commit(w);
	else if (is_saved(w))
		finish(w, LIFE_EV_SAVED, 0);
	else
		commit_again(w, s->bytes);
}

/* Nothing of the job lives that could replace what is seen here. */
static bool is_saved_quickly(const struct worker *w, struct save *s)
{
	if (w->kin)
		return false;
	look(s);
	return s->rc >= 0 && s->id.size <= (off_t)WORKER_QUICK_MAX &&
	       s->id.size <= (off_t)w->conf->inline_max;
}

/* What is known of the state by now. */
static void prepare(struct worker *w)
{
	static const struct state_id none;
	struct save *s = w->save;

	s->known = w->have_saved_id && w->have_record ? w->saved_id : none;
	s->doubted = worker_is_in_doubt(w) ? w->doubt.id : none;
	s->last = releases(w->saving);
	s->settles = !releases(w->saving) && worker_doubt_comes_first(w);
	label(w, &s->record);
	s->number = s->record.seq;
}

static int start_thread(struct worker *w, struct save *s, struct err *e)
{
	/* The last one is worth a thread: the store may be another one by now. */
	if (w->abandoned >= ABANDONED_MAX && !s->last)
		return err_set(e, "the state store does not answer: %d uploads hang", w->abandoned);
	if (task_start(w->loop, save_work, save_done, s, e) == NULL)
		return -1;
	s->stage = STAGE_THREAD;
	return 0;
}

/*
 * A release does not wait for what is in doubt to become certain: its own tries are of one file,
 * and mostly upload it once. And what may count is the newest: to mark the record before it would
 * put an older state over it.
 */
static void begin(struct worker *w)
{
	struct save *s = w->save;
	struct err e;

	prepare(w);
	if (s->settles || (w->saving == SAVE_MARK && worker_is_in_doubt(w))) {
		s->id = w->doubt.id;
		commit_again(w, BYTES_DOUBTED);
	} else if (w->saving == SAVE_MARK && w->have_record) {
		commit_again(w, BYTES_COMMITTED);
	} else if (w->saving == SAVE_MARK) {
		release(w, false);
	} else if (is_saved_quickly(w, s)) {
		back_up(s);
		save_done(s);
	} else if (start_thread(w, s, &e) != 0) {
		fail(w, &e, false);
	}
}

/*
 * The thread cannot be ended, so its save is left to it, and the next one gets another number. What
 * the coordinator has already is answered by the coordinator: a commit that was begun may still
 * happen.
 */
void worker_save_abandon(struct worker *w)
{
	struct err e;

	if (w->save == NULL)
		return;
	if (w->save->stage != STAGE_THREAD) {
		w->save->stage = STAGE_LATE;
		return;
	}
	w->save->stage = STAGE_ABANDONED;
	w->abandoned++;
	w->spent = w->save->number;
	w->save = NULL;
	if (w->saving == SAVE_PACED) {
		/* It was in the way of the one that the life waits for. */
		w->saving = w->save_next;
		w->save_next = SAVE_NONE;
		pacer_saved(&w->pacer, false, clock_now());
	}
	err_set(&e, "the state store does not answer; the dump stays in %s/" STATE_FILE, w->dir);
	fail(w, &e, false);
}

void worker_save_begin(struct worker *w, enum save_kind kind)
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
	w->save->backup = (struct backup){
		.dir = w->dir,
		.owner = worker_job_uid(w),
		.max_size = w->job->state_max,
		.inline_max = w->conf->inline_max,
		.store = w->store,
		.job = w->job->name,
	};
	begin(w);
}

/* The new record counts. The blob of the one before goes - if the lock was just released, with the
 * next owner's sweep: the store may hang, and nothing may keep this process from its end. */
static void adopt_record(struct worker *w)
{
	struct record *r = &w->save->record;
	char *old = w->have_record ? w->record.url : NULL;

	if (releases(w->saving) || w->save->bytes == BYTES_COMMITTED)
		free(old);
	else
		worker_garbage_drop(w, old);
	w->record.url = NULL;
	record_clear(&w->record);
	w->record = *r;
	memset(r, 0, sizeof(*r));
	w->have_record = true;
	if (w->save->bytes != BYTES_COMMITTED && !w->record.empty) {
		w->saved_id = w->save->id;
		w->have_saved_id = true;
	}
	w->report.saved = clock_wall();
	w->report.backups++;
	/* A mark does not commit what was left. */
	if (w->save->bytes != BYTES_COMMITTED)
		worker_left_committed(w);
	if (!releases(w->saving))
		worker_doubt_end(w);
}

/* No record will ever name the blob of the new bytes. */
static void forget_blob(struct worker *w)
{
	struct save *s = w->save;

	if (s->bytes != BYTES_NEW)
		return;
	worker_garbage_drop(w, s->record.url);
	s->record.url = NULL;
}

/* Its blob stays. */
static void doubt(struct worker *w)
{
	struct save *s = w->save;

	if (s->bytes == BYTES_NEW)
		worker_doubt_begin(w, &s->record, &s->id);
	else
		worker_doubt_goes_on(w);
}

/* Nothing is in doubt any more: on with what was asked for, unless nobody waits for that. */
static void settled(struct worker *w)
{
	struct err e;

	if (w->saving == SAVE_PACED && (w->save_next != SAVE_NONE || !w->pacer.on)) {
		finish(w, LIFE_EV_SAVED, 0);
	} else if (w->save->stage == STAGE_LATE) {
		err_set(&e, "no time was left to look at it");
		fail(w, &e, false);
	} else {
		begin(w);
	}
}

void worker_save_committed(struct worker *w, enum coord_result result, const struct err *e)
{
	bool release = releases(w->saving);

	if (result == COORD_FAILED)
		forget_blob(w);
	else if (result == COORD_UNSURE)
		doubt(w);
	if (result == COORD_FAILED || result == COORD_UNSURE) {
		fail(w, e, false);
		return;
	}
	if (result == COORD_LOST) {
		log_error("the state was not committed, the lock is lost: %s", e->text);
		finish(w, LIFE_EV_LOST, 0);
		return;
	}
	if (release)
		worker_released(w);
	FAULT(release ? "after_release_before_ack" : "after_commit");
	adopt_record(w);
	log_info("committed the state%s epoch=%" PRIu64 " seq=%" PRIu64 " size=%" PRIu64
		 " clean=%d",
	    release ? " and released the lock" : "", w->record.epoch, w->record.seq, w->record.size,
	    w->record.clean);
	if (w->save->settles)
		settled(w);
	else
		finish(w, LIFE_EV_SAVED, 0);
}

void worker_save_released(struct worker *w, enum coord_result result, const struct err *e)
{
	if (result == COORD_FAILED) {
		fail(w, e, false);
		return;
	}
	if (result == COORD_OK)
		worker_released(w);
	log_info("released the lock epoch=%" PRIu64 ", %s", w->epoch,
	    w->saving == SAVE_MARK ? "no state was ever committed" : "there is no state to commit");
	FAULT("after_release_before_ack");
	finish(w, result == COORD_OK ? LIFE_EV_SAVED : LIFE_EV_LOST, 0);
}
