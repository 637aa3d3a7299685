/*
 * The local coordinator, with real processes: each actor below is a worker with an event loop of
 * its own that takes orders through a pipe and reports every hook through another. The test waits
 * for reports and for deaths, never for time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "coord/coord.h"
#include "coord/leftover.h"
#include "coord/places.h"
#include "coord_test.h"

#define PATIENCE_MS 120000 /* until a test that hangs fails; no test depends on it */
#define NO_RECORD UINT64_MAX
#define NOBODY 65534

static char base_dir[PATH_MAX];
static char job_dir[PATH_MAX];
static struct conf conf;
static struct job_conf job;

static uint64_t fail_sync; /* which one from now on; 0: none */

int fsync(int fd)
{
	if (fail_sync > 0 && --fail_sync == 0) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

/* ---- Files ---- */

static const char *in_job_dir(const char *name)
{
	static char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/%s", job_dir, name);
	return path;
}

static bool exists(const char *name)
{
	return access(in_job_dir(name), F_OK) == 0;
}

static void put_file(const char *name, const char *text)
{
	assert_int_equal(fs_replace(in_job_dir(name), text, strlen(text), 0600, false, NULL), 0);
}

/* The content, valid until the next call. */
static const char *get_file(const char *name)
{
	static char text[4096];
	char *data;
	size_t len;

	assert_int_equal(fs_read(in_job_dir(name), sizeof(text) - 1, &data, &len, NULL), 0);
	memcpy(text, data, len + 1);
	free(data);
	return text;
}

static bool place_is_taken(uint64_t place)
{
	int probe = open(in_job_dir("lock"), O_RDWR | O_CLOEXEC);
	uint64_t found;
	int rc;

	assert_true(probe >= 0);
	rc = places_find(probe, place, place, &found, NULL);
	close(probe);
	assert_true(rc >= 0);
	return rc == 1;
}

/* ---- Records ---- */

static void put_record(uint64_t epoch, uint64_t seq)
{
	struct record r;
	char *text;

	make_record(&r, epoch, seq, "test");
	text = record_encode(&r, NULL);
	assert_non_null(text);
	put_file("state", text);
	free(text);
	record_clear(&r);
}

/* The seq of the record on disk. */
static uint64_t committed_seq(void)
{
	const char *text = get_file("state");
	struct record r;
	uint64_t seq;

	assert_int_equal(record_decode(text, strlen(text), &r, NULL), 0);
	assert_true(record_is_whole(&r));
	seq = r.seq;
	record_clear(&r);
	return seq;
}

/* ---- Actors ---- */

enum order_kind {
	ACQUIRE,
	ADOPT,          /* n: the epoch */
	COMMIT,         /* n: the seq */
	COMMIT_RELEASE, /* n: the seq */
	RELEASE,
	COMMIT_THEN_RELEASE, /* coord_commit() and coord_release() without waiting */
	FORBID_THREADS,
	FAIL_SYNC, /* n: which one from now on */
};

enum report_kind {
	READY,
	GRANTED,
	FREED,
	WAITING,
	FAILED,
	WAVERING,
	KEPT,
	COMMITTED,
	RELEASED,
	LOST,
	DONE
};

struct order {
	enum order_kind kind;
	uint64_t n;
};

struct report {
	enum report_kind kind;
	enum coord_result result;
	uint64_t epoch;
	uint64_t seq;
	uint64_t predecessor;
	char text[ERR_TEXT_MAX];
};

struct actor {
	pid_t pid;
	int orders;
	int reports;
	int anchor;
};

struct puppet {
	int orders;
	int reports;
	uint64_t epoch;
	struct coord *coord;
	struct conf conf;
};

static void report(struct puppet *p, struct report r)
{
	if (write(p->reports, &r, sizeof(r)) != (ssize_t)sizeof(r))
		_exit(2);
}

static void report_text(struct puppet *p, enum report_kind kind, const char *text)
{
	struct report r = { .kind = kind };

	snprintf(r.text, sizeof(r.text), "%s", text);
	report(p, r);
}

static void on_granted(void *ctx, uint64_t epoch, const struct record *record)
{
	struct puppet *p = ctx;

	if (record != NULL && !record_is_whole(record))
		_exit(3);
	p->epoch = epoch;
	report(p, (struct report){ .kind = GRANTED,
		      .epoch = epoch,
		      .seq = record != NULL ? record->seq : NO_RECORD,
		      .predecessor = coord_predecessor(p->coord) });
}

static void on_freed(void *ctx, const struct record *record)
{
	report(
	    ctx, (struct report){ .kind = FREED, .seq = record != NULL ? record->seq : NO_RECORD });
}

static void on_waiting(void *ctx, const char *holder)
{
	report_text(ctx, WAITING, holder);
}

static void on_failed(void *ctx, enum coord_trouble why, const struct err *e)
{
	assert_int_equal(why, COORD_UNUSABLE);
	report_text(ctx, FAILED, e->text);
}

static void on_wavering(void *ctx, enum coord_trouble why, const struct err *e)
{
	(void)why;
	report_text(ctx, WAVERING, e->text);
}

static void on_kept(void *ctx)
{
	report_text(ctx, KEPT, "");
}

static void on_lost(void *ctx, msec until, const struct err *e)
{
	(void)until;
	report_text(ctx, LOST, e->text);
}

static void report_result(
    struct puppet *p, enum report_kind kind, enum coord_result result, const struct err *e)
{
	struct report r = { .kind = kind, .result = result };

	if ((e == NULL) != (result == COORD_OK))
		_exit(4);
	snprintf(r.text, sizeof(r.text), "%s", e != NULL ? e->text : "");
	report(p, r);
}

static void on_committed(void *ctx, enum coord_result result, const struct err *e)
{
	report_result(ctx, COMMITTED, result, e);
}

static void on_released(void *ctx, enum coord_result result, const struct err *e)
{
	report_result(ctx, RELEASED, result, e);
}

static const struct coord_hooks puppet_hooks = {
	.granted = on_granted,
	.freed = on_freed,
	.waiting = on_waiting,
	.failed = on_failed,
	.wavering = on_wavering,
	.kept = on_kept,
	.lost = on_lost,
	.committed = on_committed,
	.released = on_released,
};

static void puppet_commit(struct puppet *p, uint64_t seq, bool release)
{
	struct record r;

	make_record(&r, p->epoch, seq, "test");
	coord_commit(p->coord, &r, release);
	record_clear(&r);
}

static void forbid_threads(struct puppet *p)
{
	struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_NPROC, &none) != 0)
		_exit(5);
	report_text(p, DONE, "");
}

static void obey(struct puppet *p, const struct order *o)
{
	switch (o->kind) {
	case ACQUIRE: coord_acquire(p->coord); break;
	case ADOPT: coord_adopt(p->coord, 0, o->n); break;
	case COMMIT: puppet_commit(p, o->n, false); break;
	case COMMIT_RELEASE: puppet_commit(p, o->n, true); break;
	case RELEASE: coord_release(p->coord, false); break;
	case COMMIT_THEN_RELEASE:
		puppet_commit(p, o->n, false);
		coord_release(p->coord, false);
		break;
	case FORBID_THREADS: forbid_threads(p); break;
	case FAIL_SYNC:
		fail_sync = o->n;
		report_text(p, DONE, "");
		break;
	}
}

static void on_order(struct ev_loop *loop, struct ev_io *w, int revents)
{
	struct puppet *p = w->data;
	struct order o;

	(void)loop;
	(void)revents;
	if (read(p->orders, &o, sizeof(o)) != (ssize_t)sizeof(o)) {
		coord_close(p->coord);
		_exit(0);
	}
	obey(p, &o);
}

static void puppet_run(struct puppet *p, int anchor)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct ev_io io;
	struct err e;

	if (anchor < 0 && coord_anchor(&p->conf, &job, &anchor, &e) != 0) {
		report_text(p, FAILED, e.text);
		_exit(0);
	}
	p->coord = coord_open(loop, &p->conf, &job, anchor, &puppet_hooks, p, &e);
	if (p->coord == NULL)
		_exit(6);
	ev_io_init(&io, on_order, p->orders, EV_READ);
	io.data = p;
	ev_io_start(loop, &io);
	report_text(p, READY, "");
	ev_run(loop, 0);
	_exit(7);
}

/* What ran before in a child of this process must not hold another actor's anchor or pipe. */
static void puppet_main(const char *instance, int anchor, int orders, int reports, bool as_nobody)
{
	struct puppet p = { .orders = orders, .reports = reports, .conf = conf };
	int keep[] = { anchor, orders, reports };

	fs_close_others(keep, 3);
	if (as_nobody && geteuid() == 0 &&
	    (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
		setresuid(NOBODY, NOBODY, NOBODY) != 0))
		_exit(8);
	snprintf(p.conf.instance, sizeof(p.conf.instance), "%s", instance);
	puppet_run(&p, anchor);
}

static struct actor spawn(const char *instance, int anchor, bool as_nobody)
{
	struct actor a = { .anchor = anchor };
	int orders[2];
	int reports[2];

	assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
	assert_int_equal(pipe2(reports, O_CLOEXEC), 0);
	fflush(NULL);
	a.pid = fork();
	assert_true(a.pid >= 0);
	if (a.pid == 0)
		puppet_main(instance, anchor, orders[0], reports[1], as_nobody);
	close(orders[0]);
	close(reports[1]);
	a.orders = orders[1];
	a.reports = reports[0];
	return a;
}

static void next_report(struct actor *a, struct report *r)
{
	struct pollfd p = { .fd = a->reports, .events = POLLIN };

	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	assert_int_equal(read(a->reports, r, sizeof(*r)), sizeof(*r));
}

static struct report expect(struct actor *a, enum report_kind kind)
{
	struct report r;

	next_report(a, &r);
	if (r.kind != kind)
		print_error("report %d instead of %d: %s\n", (int)r.kind, (int)kind, r.text);
	assert_int_equal(r.kind, kind);
	return r;
}

/* Passes over what an actor in the queue hears about those before it. */
static struct report expect_grant(struct actor *a)
{
	struct report r;

	do
		next_report(a, &r);
	while (r.kind == WAITING);
	if (r.kind != GRANTED)
		print_error("report %d instead of a grant: %s\n", (int)r.kind, r.text);
	assert_int_equal(r.kind, GRANTED);
	return r;
}

static void expect_nothing(struct actor *a)
{
	struct pollfd p = { .fd = a->reports, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 0), 0);
}

static void order(struct actor *a, enum order_kind kind, uint64_t n)
{
	struct order o = { .kind = kind, .n = n };

	assert_int_equal(write(a->orders, &o, sizeof(o)), sizeof(o));
}

/* A worker that dies with its anchor, as if its master had died, too. */
static struct actor enter(const char *instance)
{
	struct actor a = spawn(instance, -1, false);

	expect(&a, READY);
	return a;
}

/* A worker whose master, this process, keeps the anchor. */
static struct actor enter_anchored(const char *instance)
{
	struct actor a;
	struct err e;
	int anchor;

	assert_int_equal(coord_anchor(&conf, &job, &anchor, &e), 0);
	a = spawn(instance, anchor, false);
	expect(&a, READY);
	return a;
}

static void reap(struct actor *a, bool killed)
{
	int status;

	close(a->orders);
	assert_int_equal(waitpid(a->pid, &status, 0), a->pid);
	close(a->reports);
	if (killed)
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	else
		assert_int_equal(status, 0);
}

static void leave(struct actor *a)
{
	reap(a, false);
	if (a->anchor >= 0)
		close(a->anchor);
}

/* The anchor, if there is one, stays with us. */
static void murder(struct actor *a)
{
	assert_int_equal(kill(a->pid, SIGKILL), 0);
	reap(a, true);
}

static void own(struct actor *a, uint64_t epoch)
{
	order(a, ACQUIRE, 0);
	assert_int_equal(expect(a, GRANTED).epoch, epoch);
}

static void queue_up(struct actor *a)
{
	order(a, ACQUIRE, 0);
	expect(a, WAITING);
}

/* Of an owner whose lock file is another one: its guard, which looks once a second, may have seen
 * that by itself. */
static struct report expect_past_loss(struct actor *a, enum report_kind kind)
{
	struct report r;

	do
		next_report(a, &r);
	while (r.kind == LOST);
	assert_int_equal(r.kind, kind);
	return r;
}

static void commit(struct actor *a, uint64_t seq, bool release, enum coord_result result)
{
	struct report r;

	order(a, release ? COMMIT_RELEASE : COMMIT, seq);
	r = result == COORD_LOST ? expect_past_loss(a, COMMITTED) : expect(a, COMMITTED);
	assert_int_equal(r.result, result);
}

static void release(struct actor *a)
{
	order(a, RELEASE, 0);
	assert_int_equal(expect(a, RELEASED).result, COORD_OK);
}

static void assert_contains(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* ---- One owner ---- */

static void owner_starts_from_nothing_and_commits(void **state)
{
	struct actor a = enter("web-1");
	struct report r;
	struct stat st;

	(void)state;
	order(&a, ACQUIRE, 0);
	r = expect(&a, GRANTED);
	assert_int_equal(r.epoch, 1);
	assert_true(r.seq == NO_RECORD);
	assert_int_equal(stat(job_dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_true(exists("holder"));
	commit(&a, 1, false, COORD_OK);
	commit(&a, 2, false, COORD_OK);
	assert_int_equal(committed_seq(), 2);
	release(&a);
	assert_false(exists("holder"));
	assert_false(place_is_taken(1));
	assert_string_equal(get_file("epoch"), "1\n");
	leave(&a);
}

/* Also those who have committed nothing, and those who went without a word. */
static void owner_knows_the_one_before(void **state)
{
	struct actor a = enter("a");
	struct actor b = enter("b");
	struct actor c = enter("c");

	(void)state;
	order(&a, ACQUIRE, 0);
	assert_int_equal(expect(&a, GRANTED).predecessor, 0);
	queue_up(&b);
	queue_up(&c);
	murder(&b);
	release(&a);
	assert_int_equal(expect_grant(&c).predecessor, 1);
	murder(&c);
	b = enter("b");
	order(&b, ACQUIRE, 0);
	assert_int_equal(expect(&b, GRANTED).predecessor, 3);
	release(&b);
	put_file("owner", "nonsense");
	c = enter("c");
	order(&c, ACQUIRE, 0);
	assert_int_equal(expect(&c, GRANTED).predecessor, 0);
	leave(&a);
	leave(&b);
	leave(&c);
}

static void next_owner_gets_the_record_and_a_larger_epoch(void **state)
{
	struct actor a = enter("web-1");
	struct actor b = enter("web-2");
	struct report r;

	(void)state;
	own(&a, 1);
	commit(&a, 1, true, COORD_OK);
	leave(&a);
	order(&b, ACQUIRE, 0);
	r = expect(&b, GRANTED);
	assert_int_equal(r.epoch, 2);
	assert_int_equal(r.seq, 1);
	leave(&b);
}

static void release_of_nothing_is_answered(void **state)
{
	struct actor a = enter("web-1");

	(void)state;
	release(&a);
	leave(&a);
}

/* The commit must be over before the lock goes, and both are answered, in this order. */
static void release_waits_for_the_commit_under_way(void **state)
{
	struct actor a = enter("web-1");
	struct actor b = enter("web-2");

	(void)state;
	own(&a, 1);
	queue_up(&b);
	order(&a, COMMIT_THEN_RELEASE, 5);
	assert_int_equal(expect(&a, COMMITTED).result, COORD_OK);
	assert_int_equal(expect(&a, RELEASED).result, COORD_OK);
	assert_int_equal(expect_grant(&b).seq, 5);
	leave(&a);
	leave(&b);
}

/* ---- The queue ---- */

static void waiter_hears_of_the_holder_and_is_woken(void **state)
{
	struct actor a = enter("web-1");
	struct actor b = enter("web-2");
	char pid[32];
	struct report r;

	(void)state;
	own(&a, 1);
	order(&b, ACQUIRE, 0);
	r = expect(&b, WAITING);
	snprintf(pid, sizeof(pid), "(pid %d) since 20", (int)a.pid);
	assert_contains(r.text, "web-1 on ");
	assert_contains(r.text, pid);
	expect_nothing(&b);
	release(&a);
	assert_int_equal(expect_grant(&b).epoch, 2);
	leave(&a);
	leave(&b);
}

static void queue_is_fair_and_a_second_turn_goes_behind(void **state)
{
	struct actor a = enter("a");
	struct actor b = enter("b");
	struct actor c = enter("c");
	struct actor again = enter("a");

	(void)state;
	own(&a, 1);
	queue_up(&b);
	queue_up(&c);
	release(&a);
	assert_int_equal(expect_grant(&b).epoch, 2);
	queue_up(&again);
	release(&b);
	assert_int_equal(expect_grant(&c).epoch, 3);
	expect_nothing(&again);
	release(&c);
	assert_int_equal(expect_grant(&again).epoch, 4);
	leave(&a);
	leave(&b);
	leave(&c);
	leave(&again);
}

/* Those that have waited hold some for a moment, and must not be waited for. */
static void read_locks_are_no_places(void **state)
{
	struct err e;
	int anchor;
	int other;

	(void)state;
	assert_int_equal(coord_anchor(&conf, &job, &anchor, &e), 0);
	assert_int_equal(places_wait(anchor, 1, &e), 0);
	assert_false(place_is_taken(1));
	assert_int_equal(places_take(anchor, 1, &e), 0);
	assert_true(place_is_taken(1));
	other = open(in_job_dir("lock"), O_RDWR | O_CLOEXEC);
	assert_int_equal(places_take(other, 1, &e), -1);
	close(other);
	close(anchor);
}

static void last_commit_wakes_the_waiter_with_the_final_record(void **state)
{
	struct actor a = enter("a");
	struct actor b = enter("b");

	(void)state;
	own(&a, 1);
	commit(&a, 1, false, COORD_OK);
	queue_up(&b);
	commit(&a, 2, true, COORD_OK);
	assert_int_equal(expect_grant(&b).seq, 2);
	leave(&a);
	leave(&b);
}

static void waiter_can_leave_without_waiting(void **state)
{
	struct actor a = enter("a");
	struct actor b = enter("b");
	struct actor c = enter("c");

	(void)state;
	own(&a, 1);
	queue_up(&b);
	queue_up(&c);
	release(&b);
	assert_false(place_is_taken(2));
	/* c wakes for b, and sees a. */
	assert_contains(expect(&c, WAITING).text, "a on ");
	release(&a);
	assert_int_equal(expect_grant(&c).epoch, 3);
	expect_nothing(&b);
	leave(&a);
	leave(&b);
	leave(&c);
}

/* ---- Death ---- */

static void dead_owner_frees_the_lock_at_once(void **state)
{
	struct actor a = enter("a");
	struct actor b = enter("b");

	(void)state;
	own(&a, 1);
	commit(&a, 7, false, COORD_OK);
	queue_up(&b);
	murder(&a);
	assert_int_equal(expect_grant(&b).seq, 7);
	leave(&b);
}

static void anchor_keeps_the_lock_of_a_dead_owner(void **state)
{
	struct actor a = enter_anchored("a");
	struct actor b = enter("b");

	(void)state;
	own(&a, 1);
	queue_up(&b);
	murder(&a);
	assert_true(place_is_taken(1));
	expect_nothing(&b);
	close(a.anchor);
	assert_int_equal(expect_grant(&b).epoch, 2);
	leave(&b);
}

static void dead_waiter_is_passed_over(void **state)
{
	struct actor a = enter("a");
	struct actor b = enter("b");
	struct actor c = enter("c");

	(void)state;
	own(&a, 1);
	queue_up(&b);
	queue_up(&c);
	murder(&b);
	/* It wakes for the death of b, and must see a, who is before both. */
	assert_contains(expect(&c, WAITING).text, "a on ");
	release(&a);
	assert_int_equal(expect_grant(&c).epoch, 3);
	leave(&a);
	leave(&c);
}

static void anchor_keeps_the_place_of_a_dead_waiter(void **state)
{
	struct actor a = enter("a");
	struct actor b = enter_anchored("b");
	struct actor c = enter("c");

	(void)state;
	own(&a, 1);
	queue_up(&b);
	queue_up(&c);
	murder(&b);
	release(&a);
	assert_true(place_is_taken(2));
	expect_nothing(&c);
	close(b.anchor);
	assert_int_equal(expect_grant(&c).epoch, 3);
	leave(&a);
	leave(&c);
}

/* ---- Rescue ---- */

static struct actor rescue(int anchor)
{
	struct actor a = spawn("rescue", anchor, false);

	expect(&a, READY);
	return a;
}

static void rescue_adopts_commits_and_hands_over(void **state)
{
	struct actor a = enter_anchored("a");
	struct actor b = enter("b");
	struct actor r;
	struct report granted;

	(void)state;
	own(&a, 1);
	commit(&a, 3, false, COORD_OK);
	queue_up(&b);
	murder(&a);
	r = rescue(a.anchor);
	order(&r, ADOPT, 1);
	granted = expect(&r, GRANTED);
	assert_int_equal(granted.epoch, 1);
	assert_int_equal(granted.seq, 3);
	expect_nothing(&b);
	commit(&r, 4, true, COORD_OK);
	assert_int_equal(expect_grant(&b).seq, 4);
	leave(&r);
	leave(&b);
}

static void adopt_is_refused(int anchor, uint64_t epoch, const char *why)
{
	struct actor r = rescue(anchor);

	order(&r, ADOPT, epoch);
	assert_contains(expect(&r, FAILED).text, why);
	reap(&r, false);
}

static void adopt_finds_it_freed(int anchor, uint64_t epoch, uint64_t seq)
{
	struct actor r = rescue(anchor);

	order(&r, ADOPT, epoch);
	assert_int_equal(expect(&r, FREED).seq, seq);
	reap(&r, false);
}

static void adopt_tells_of_a_lock_that_was_released(void **state)
{
	struct actor a = enter_anchored("a");
	struct actor b;

	(void)state;
	own(&a, 1);
	release(&a);
	murder(&a);
	adopt_finds_it_freed(a.anchor, 1, NO_RECORD);
	assert_false(place_is_taken(1));
	close(a.anchor);
	a = enter_anchored("a");
	own(&a, 2);
	commit(&a, 5, true, COORD_OK);
	murder(&a);
	adopt_finds_it_freed(a.anchor, 2, 5);
	/* Whoever is the owner now is not concerned, and its record is the one that counts. */
	b = enter("b");
	own(&b, 3);
	commit(&b, 6, false, COORD_OK);
	adopt_finds_it_freed(a.anchor, 2, 6);
	commit(&b, 7, true, COORD_OK);
	leave(&b);
	put_file("state", "{");
	adopt_is_refused(a.anchor, 2, "put a good copy back");
	close(a.anchor);
}

static void adopt_refuses_what_is_no_epoch(void **state)
{
	struct actor a = enter_anchored("a");

	(void)state;
	own(&a, 1);
	adopt_is_refused(a.anchor, 0, "there is no epoch 0");
	adopt_is_refused(a.anchor, UINT64_MAX, "there is no epoch");
	leave(&a);
}

static void adopt_refuses_the_lock_of_another_master(void **state)
{
	struct actor a = enter("a");
	struct actor b = enter_anchored("b");

	(void)state;
	own(&a, 1);
	queue_up(&b);
	murder(&b);
	/* Not by us, so nobody of ours is to release it. */
	adopt_finds_it_freed(b.anchor, 1, NO_RECORD);
	/* b's own place is held, but it is not the first. */
	adopt_is_refused(b.anchor, 2, "epoch 1 owns the job before epoch 2");
	close(b.anchor);
	commit(&a, 1, true, COORD_OK);
	leave(&a);
}

/* The job may be dumping: a moment in which the disk does not answer must not cost it that. */
static void adopt_waits_for_the_disk(void **state)
{
	struct actor a = enter_anchored("a");
	struct actor r;

	(void)state;
	own(&a, 1);
	murder(&a);
	assert_int_equal(mknod(in_job_dir("state"), S_IFSOCK | 0600, 0), 0);
	r = rescue(a.anchor);
	order(&r, ADOPT, 1);
	assert_contains(expect(&r, WAVERING).text, "No such device");
	assert_true(place_is_taken(1));
	put_record(1, 3);
	assert_int_equal(expect(&r, GRANTED).seq, 3);
	leave(&r);
}

/* The processes of the job may still run: a rescue that fails must not let others in. */
static void failed_adopt_keeps_the_lock(void **state)
{
	struct actor a = enter_anchored("a");

	(void)state;
	own(&a, 1);
	murder(&a);
	put_record(2, 1);
	adopt_is_refused(a.anchor, 1, "newer owner");
	assert_true(place_is_taken(1));
	put_file("state", "{");
	adopt_is_refused(a.anchor, 1, "put a good copy back");
	assert_true(place_is_taken(1));
	close(a.anchor);
}

/* ---- The fence ---- */

static void commit_yields_to_a_newer_epoch(void **state)
{
	struct actor a = enter("a");
	struct report r;

	(void)state;
	own(&a, 1);
	commit(&a, 1, false, COORD_OK);
	put_record(2, 9);
	order(&a, COMMIT_RELEASE, 2);
	r = expect(&a, COMMITTED);
	assert_int_equal(r.result, COORD_LOST);
	assert_contains(r.text, "newer owner");
	assert_int_equal(committed_seq(), 9);
	release(&a);
	leave(&a);
}

static void replaced_lock_file_loses_the_lock(void **state)
{
	struct actor a = enter("a");
	struct actor b = enter("b");
	struct actor c;

	(void)state;
	own(&a, 1);
	commit(&a, 1, false, COORD_OK);
	put_file("lock", "");
	commit(&a, 2, false, COORD_LOST);
	order(&b, ACQUIRE, 0);
	assert_contains(expect(&b, FAILED).text, "removed or replaced");
	c = enter("c");
	own(&c, 2);
	assert_int_equal(unlink(in_job_dir("lock")), 0);
	commit(&c, 2, true, COORD_LOST);
	assert_int_equal(committed_seq(), 1);
	leave(&a);
	leave(&b);
	leave(&c);
}

/* As a copy of the directory may have left it: who may read the file may lock it. */
static void open_lock_file_is_closed(void **state)
{
	struct stat st;
	struct err e;
	int anchor;

	(void)state;
	assert_int_equal(coord_anchor(&conf, &job, &anchor, &e), 0);
	close(anchor);
	assert_int_equal(chmod(in_job_dir("lock"), 0644), 0);
	assert_int_equal(coord_anchor(&conf, &job, &anchor, &e), 0);
	assert_int_equal(fstat(anchor, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	close(anchor);
}

static void note_of_the_next_owner_is_left_alone(void **state)
{
	struct actor a = enter("a");
	struct actor b;

	(void)state;
	own(&a, 1);
	put_file("lock", "");
	b = enter("b");
	own(&b, 2);
	order(&a, RELEASE, 0);
	assert_int_equal(expect_past_loss(&a, RELEASED).result, COORD_OK);
	assert_true(exists("holder"));
	leave(&a);
	leave(&b);
}

/* ---- Damage ---- */

static void acquire_fails_with(const char *file, const char *content, const char *advice)
{
	struct actor a = enter("a");

	put_file(file, content);
	order(&a, ACQUIRE, 0);
	assert_contains(expect(&a, FAILED).text, advice);
	assert_string_equal(get_file(file), content);
	for (uint64_t place = 1; place < 10; place++)
		assert_false(place_is_taken(place));
	assert_int_equal(unlink(in_job_dir(file)), 0);
	order(&a, ACQUIRE, 0);
	assert_int_not_equal(expect(&a, GRANTED).epoch, 0);
	leave(&a);
}

static void damaged_record_is_never_a_start_from_nothing(void **state)
{
	(void)state;
	acquire_fails_with("state", "", "put a good copy back");
	acquire_fails_with("state", "{\"epoch\": 1", "put a good copy back");
	acquire_fails_with("state", "{\"epoch\": 1}", "move it away");
}

static void damaged_counter_is_not_guessed(void **state)
{
	static const char *const bad[] = { "", "\n", "x\n", "-1\n", " 1\n", "12", "1 2\n",
		"99999999999999999999\n", "9223372036854775807\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		acquire_fails_with("epoch", bad[i], "larger than every GRACEFUL_EPOCH");
	acquire_fails_with("epoch", "9223372036854775806\n", "too large to count on");
}

/* Found damaged only when its turn has come: the place must not block those behind. */
static void damage_found_in_the_queue_frees_the_place(void **state)
{
	struct actor a = enter("a");
	struct actor b = enter("b");

	(void)state;
	own(&a, 1);
	queue_up(&b);
	put_file("state", "damage");
	release(&a);
	assert_contains(expect(&b, FAILED).text, "put a good copy back");
	assert_false(place_is_taken(2));
	assert_string_equal(get_file("state"), "damage");
	leave(&a);
	leave(&b);
}

static void owner_mends_a_damaged_record(void **state)
{
	struct actor a = enter("a");

	(void)state;
	own(&a, 1);
	put_file("state", "damage");
	commit(&a, 4, false, COORD_OK);
	assert_int_equal(committed_seq(), 4);
	leave(&a);
}

static void counter_that_was_set_back_gives_no_number_twice(void **state)
{
	struct actor a = enter("a");
	struct actor b = enter("b");
	struct actor c = enter("c");
	struct actor d = enter("d");

	(void)state;
	put_file("epoch", "40\n");
	own(&a, 41);
	queue_up(&b);
	assert_int_equal(unlink(in_job_dir("epoch")), 0);
	queue_up(&c);
	assert_string_equal(get_file("epoch"), "43\n");
	release(&a);
	assert_int_equal(expect_grant(&b).epoch, 42);
	commit(&b, 1, true, COORD_OK);
	assert_int_equal(expect_grant(&c).epoch, 43);
	release(&c);
	put_record(70, 1);
	own(&d, 71);
	leave(&a);
	leave(&b);
	leave(&c);
	leave(&d);
}

#define NOTE(instance, since, epoch)                                               \
	"{\"instance\":\"" instance "\",\"host\":\"h\",\"pid\":1,\"since\":" since \
	",\"epoch\":" epoch "}"

/* The note is a hint: it may be stale, hostile or missing. */
static void note_about_the_holder_is_not_trusted(void **state)
{
	static const char *const notes[] = { "", "[]", "{\"instance\": 1}", NOTE("x", "1", "999"),
		NOTE("x\\u001b[2J", "1", "1"), NOTE("x", "1e99", "1"),
		NOTE("x", "99999999999999999", "1") };
	struct actor a = enter("a");

	(void)state;
	own(&a, 1);
	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
		struct actor b = enter("b");

		put_file("holder", notes[i]);
		order(&b, ACQUIRE, 0);
		assert_string_equal(expect(&b, WAITING).text, "another worker (epoch 1)");
		leave(&b);
	}
	leave(&a);
}

/* A note that says that the owner with epoch 1 left this process of its job running. */
static void put_note_of_leftover(pid_t pid)
{
	char boot[LEFTOVER_BOOT_MAX], note[256];

	leftover_boot(boot);
	snprintf(note, sizeof(note),
	    "{\"epoch\":1,\"boot\":\"%s\",\"state\":\"/s\",\"job\":%d,\"born\":%ju}", boot,
	    (int)pid, (uintmax_t)leftover_birth(pid));
	put_file("holder", note);
	put_file("epoch", "1\n");
}

static void set_descriptors(struct actor *a, const struct rlimit *limit, struct rlimit *before)
{
	assert_int_equal(prlimit(a->pid, RLIMIT_NOFILE, limit, before), 0);
}

/* It looked after the leftover while it was first, and failed: behind another owner it just waits.
 */
static void failure_beside_a_leftover_leaves_it_to_the_next_owner(void **state)
{
	struct rlimit before, none;
	struct actor a, b;
	pid_t left = fork();

	(void)state;
	assert_true(left >= 0);
	if (left == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
	}
	job.stop_timeout = MSEC_NEVER;
	a = enter("a");
	b = enter("b");
	put_note_of_leftover(left);
	order(&a, ACQUIRE, 0);
	assert_contains(expect(&a, WAITING).text, "left the job running");
	set_descriptors(&a, NULL, &before);
	none = (struct rlimit){ 0, before.rlim_max };
	set_descriptors(&a, &none, NULL);
	assert_contains(expect(&a, FAILED).text, "Too many open files");
	set_descriptors(&a, &before, NULL);

	assert_int_equal(unlink(in_job_dir("holder")), 0);
	own(&b, 3);
	queue_up(&a);
	release(&b);
	assert_int_equal(expect(&a, GRANTED).epoch, 4);
	assert_int_equal(waitpid(left, NULL, WNOHANG), 0);
	assert_int_equal(kill(left, SIGKILL), 0);
	assert_int_equal(waitpid(left, NULL, 0), left);
	leave(&a);
	leave(&b);
}

/* ---- A directory that refuses ---- */

/* A worker without root's powers, in a directory of its own. Skips where it cannot be had. */
static struct actor enter_as_nobody(void)
{
	struct actor a;
	struct err e;
	int anchor;

	assert_int_equal(coord_anchor(&conf, &job, &anchor, &e), 0);
	close(anchor);
	if (geteuid() == 0) {
		assert_int_equal(chown(base_dir, NOBODY, NOBODY), 0);
		assert_int_equal(chown(job_dir, NOBODY, NOBODY), 0);
		assert_int_equal(chown(in_job_dir("lock"), NOBODY, NOBODY), 0);
	}
	a = spawn("nobody", -1, true);
	return a;
}

static void closed_directory_says_what_to_do(void **state)
{
	struct actor a;
	struct report r;

	(void)state;
	assert_int_equal(chmod(base_dir, 0500), 0);
	a = spawn("nobody", -1, true);
	r = expect(&a, FAILED);
	assert_contains(r.text, base_dir);
	assert_contains(r.text, "Permission denied: run as root or set coordinator.path");
	assert_int_equal(chmod(base_dir, 0700), 0);
	leave(&a);
}

/* What it says may still run. */
static void note_that_cannot_be_read_lets_nobody_in(void **state)
{
	struct actor a = enter_as_nobody();

	(void)state;
	expect(&a, READY);
	put_file("holder", "{}");
	assert_int_equal(chmod(in_job_dir("holder"), 0), 0);
	order(&a, ACQUIRE, 0);
	assert_contains(expect(&a, FAILED).text, "remove the note");
	assert_false(place_is_taken(1));
	assert_int_equal(unlink(in_job_dir("holder")), 0);
	own(&a, 2);
	leave(&a);
}

static void commit_that_cannot_be_written_may_be_tried_again(void **state)
{
	struct actor a = enter_as_nobody();

	(void)state;
	expect(&a, READY);
	own(&a, 1);
	commit(&a, 1, false, COORD_OK);
	assert_int_equal(chmod(job_dir, 0500), 0);
	commit(&a, 2, true, COORD_FAILED);
	assert_int_equal(committed_seq(), 1);
	assert_true(place_is_taken(1));
	assert_int_equal(chmod(job_dir, 0700), 0);
	commit(&a, 3, true, COORD_OK);
	assert_int_equal(committed_seq(), 3);
	assert_false(place_is_taken(1));
	leave(&a);
}

/* The kernel holds the lock all the same. */
static void lock_file_out_of_sight_is_not_lost(void **state)
{
	struct actor a = enter_as_nobody();

	(void)state;
	expect(&a, READY);
	own(&a, 1);
	assert_int_equal(chmod(job_dir, 0), 0);
	assert_contains(expect(&a, WAVERING).text, "Permission denied");
	commit(&a, 1, false, COORD_FAILED);
	assert_int_equal(chmod(job_dir, 0700), 0);
	expect(&a, KEPT);
	commit(&a, 2, false, COORD_OK);
	assert_int_equal(unlink(in_job_dir("lock")), 0);
	assert_contains(expect(&a, LOST).text,
	    "removed or replaced while in use, so others may hold the job: restart graceful");
	leave(&a);
}

/* The rename is done and the sync of the directory is not: a power cut may bring back the record
 * before, so what that one names must stay, and the lock, too. That a sync succeeds afterwards
 * proves nothing: an error is told of once. */
static void commit_that_may_not_last_is_unsure(void **state)
{
	struct actor a = enter("a");

	(void)state;
	own(&a, 1);
	commit(&a, 1, false, COORD_OK);
	for (uint64_t seq = 2; seq < 4; seq++) {
		order(&a, FAIL_SYNC, 2); /* of the file, of the directory */
		expect(&a, DONE);
		commit(&a, seq, seq == 3, COORD_UNSURE);
		assert_int_equal(committed_seq(), seq);
		assert_true(place_is_taken(1));
	}
	commit(&a, 4, true, COORD_OK);
	assert_int_equal(committed_seq(), 4);
	assert_false(place_is_taken(1));
	leave(&a);
}

/* Who waited meanwhile has drawn its place, and synced the directory, long before. */
static void owner_makes_sure_of_a_record_that_may_not_last(void **state)
{
	struct actor a = enter_as_nobody();
	struct actor b = enter_as_nobody();
	struct report r;

	(void)state;
	expect(&a, READY);
	expect(&b, READY);
	own(&a, 1);
	queue_up(&b);
	assert_int_equal(chmod(job_dir, 0300), 0);
	commit(&a, 1, false, COORD_UNSURE);
	murder(&a);
	assert_contains(expect(&b, FAILED).text, "cannot open directory");
	assert_false(place_is_taken(2));
	assert_int_equal(chmod(job_dir, 0700), 0);
	order(&b, ACQUIRE, 0);
	r = expect(&b, GRANTED);
	assert_int_equal(r.epoch, 3);
	assert_int_equal(r.seq, 1);
	leave(&b);
}

static void without_threads_nothing_is_stuck(void **state)
{
	struct actor a = enter_as_nobody();
	struct actor b = enter_as_nobody();

	(void)state;
	expect(&a, READY);
	expect(&b, READY);
	order(&b, FORBID_THREADS, 0);
	expect(&b, DONE);
	order(&b, ACQUIRE, 0);
	assert_contains(expect(&b, FAILED).text, "thread");
	own(&a, 1);
	order(&a, FORBID_THREADS, 0);
	expect(&a, DONE);
	commit(&a, 1, true, COORD_FAILED);
	assert_true(place_is_taken(1));
	order(&a, COMMIT_THEN_RELEASE, 1);
	assert_int_equal(expect(&a, COMMITTED).result, COORD_FAILED);
	assert_int_equal(expect(&a, RELEASED).result, COORD_OK);
	assert_false(place_is_taken(1));
	assert_false(exists("holder"));
	leave(&a);
	leave(&b);
}

static void an_anchor_is_needed(void **state)
{
	struct coord_hooks hooks = { 0 };
	struct err e;

	(void)state;
	assert_null(coord_open(EV_DEFAULT, &conf, &job, -1, &hooks, NULL, &e));
	assert_contains(e.text, "cannot keep");
}

/* ---- In this process, where the sanitizers look for leaks and late writes ---- */

struct watched {
	struct coord *coord;
	int anchor;
	int calls[LOST + 1];
	enum report_kind close_in; /* the hook that closes the coord */
};

static void note_call(struct watched *w, enum report_kind kind)
{
	w->calls[kind]++;
	if (kind != w->close_in)
		return;
	coord_close(w->coord);
	w->coord = NULL;
}

static void watched_granted(void *ctx, uint64_t epoch, const struct record *record)
{
	(void)epoch;
	(void)record;
	note_call(ctx, GRANTED);
}

static void watched_waiting(void *ctx, const char *holder)
{
	(void)holder;
	note_call(ctx, WAITING);
}

static void watched_failed(void *ctx, enum coord_trouble why, const struct err *e)
{
	(void)why;
	(void)e;
	note_call(ctx, FAILED);
}

static void watched_lost(void *ctx, msec until, const struct err *e)
{
	(void)until;
	(void)e;
	note_call(ctx, LOST);
}

static void watched_committed(void *ctx, enum coord_result result, const struct err *e)
{
	(void)result;
	(void)e;
	note_call(ctx, COMMITTED);
}

static void watched_released(void *ctx, enum coord_result result, const struct err *e)
{
	(void)result;
	(void)e;
	note_call(ctx, RELEASED);
}

static const struct coord_hooks watched_hooks = {
	.granted = watched_granted,
	.waiting = watched_waiting,
	.failed = watched_failed,
	.lost = watched_lost,
	.committed = watched_committed,
	.released = watched_released,
};

static void watch(struct watched *w, struct ev_loop *loop)
{
	struct err e;

	memset(w, 0, sizeof(*w));
	assert_int_equal(coord_anchor(&conf, &job, &w->anchor, &e), 0);
	w->coord = coord_open(loop, &conf, &job, w->anchor, &watched_hooks, w, &e);
	assert_non_null(w->coord);
	assert_int_equal(coord_lease(w->coord), 0);
	assert_true(coord_safe_until(w->coord) == MSEC_NEVER);
}

static void run_until(struct ev_loop *loop, const int *count)
{
	while (*count == 0)
		ev_run(loop, EVRUN_ONCE);
}

static void watch_owner(struct watched *w, struct ev_loop *loop)
{
	watch(w, loop);
	coord_acquire(w->coord);
	assert_int_equal(w->calls[GRANTED], 0);
	run_until(loop, &w->calls[GRANTED]);
}

static void commit_watched(struct watched *w, uint64_t epoch, bool release_too)
{
	struct record r;

	make_record(&r, epoch, 1, "test");
	coord_commit(w->coord, &r, release_too);
	record_clear(&r);
}

static void closed_waiter_gives_its_place_to_the_anchor(void **state)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct watched owner;
	struct watched waiter;

	(void)state;
	watch_owner(&owner, loop);
	watch(&waiter, loop);
	coord_acquire(waiter.coord);
	run_until(loop, &waiter.calls[WAITING]);
	coord_close(waiter.coord);
	assert_true(place_is_taken(2));
	close(waiter.anchor);
	assert_false(place_is_taken(2));
	coord_close(owner.coord);
	assert_true(place_is_taken(1));
	close(owner.anchor);
	/* Ends when the waiting task is over and has freed what it kept. */
	ev_run(loop, 0);
	assert_int_equal(waiter.calls[GRANTED], 0);
	ev_loop_destroy(loop);
}

/* Released, or closed, while its task stands before the door: no place may be taken any more. */
static void leaving_before_the_door_takes_no_place(void **state)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct watched owner;

	(void)state;
	watch_owner(&owner, loop);
	for (uint64_t place = 2; place < 4; place++) {
		int door = open(in_job_dir("lock"), O_RDWR | O_CLOEXEC);
		bool close_it = place == 3;
		struct watched w;

		assert_int_equal(places_enter(door, NULL), 0);
		watch(&w, loop);
		coord_acquire(w.coord);
		if (close_it) {
			coord_close(w.coord);
		} else {
			coord_release(w.coord, false);
			run_until(loop, &w.calls[RELEASED]);
		}
		close(door);
		/* Until the task is over. */
		ev_run(loop, 0);
		assert_int_equal(strtoull(get_file("epoch"), NULL, 10), place);
		assert_false(place_is_taken(place));
		assert_int_equal(w.calls[WAITING] + w.calls[FAILED] + w.calls[GRANTED], 0);
		if (!close_it)
			coord_close(w.coord);
		close(w.anchor);
	}
	coord_close(owner.coord);
	close(owner.anchor);
	ev_loop_destroy(loop);
}

static size_t count_threads(void)
{
	size_t n = 0;
	glob_t found;

	if (glob("/proc/self/task/*", 0, NULL, &found) == 0) {
		n = found.gl_pathc;
		globfree(&found);
	}
	return n;
}

/* Its task has found it first, but it leaves before it hears of that: it was no owner, and notes
 * that say so would hide what the owner before it left. */
static void leaving_before_the_grant_leaves_no_notes(void **state)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	size_t threads = count_threads();
	struct watched w;

	(void)state;
	watch(&w, loop);
	put_file("epoch", "7\n");
	put_file("owner", "7\n");
	coord_acquire(w.coord);
	while (count_threads() > threads || !place_is_taken(8))
		poll(NULL, 0, 1);
	coord_release(w.coord, false);
	run_until(loop, &w.calls[RELEASED]);
	ev_run(loop, 0);
	assert_int_equal(w.calls[GRANTED], 0);
	assert_string_equal(get_file("owner"), "7\n");
	assert_false(exists("holder"));
	coord_close(w.coord);
	close(w.anchor);
	ev_loop_destroy(loop);
}

static void close_at_every_step_is_safe(void **state)
{
	static const enum report_kind steps[] = { GRANTED, WAITING, FAILED, COMMITTED, RELEASED };
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct watched owner;
		struct watched w;
		char *epoch;

		watch(&w, loop);
		w.close_in = steps[i];
		if (steps[i] == WAITING)
			watch_owner(&owner, loop);
		if (steps[i] == FAILED)
			put_file("epoch", "damage");
		coord_acquire(w.coord);
		if (steps[i] == COMMITTED || steps[i] == RELEASED)
			run_until(loop, &w.calls[GRANTED]);
		if (steps[i] == COMMITTED) {
			epoch = strdup(get_file("epoch"));
			commit_watched(&w, strtoull(epoch, NULL, 10), true);
			free(epoch);
		}
		if (steps[i] == RELEASED)
			coord_release(w.coord, false);
		run_until(loop, &w.calls[steps[i]]);
		assert_null(w.coord);
		close(w.anchor);
		if (steps[i] == WAITING) {
			coord_close(owner.coord);
			close(owner.anchor);
		}
		if (steps[i] == FAILED)
			assert_int_equal(unlink(in_job_dir("epoch")), 0);
		ev_run(loop, 0);
	}
	ev_loop_destroy(loop);
}

static void close_with_a_task_under_way_frees_everything(void **state)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);

	(void)state;
	for (int i = 0; i < 40; i++) {
		struct watched w;

		watch(&w, loop);
		coord_acquire(w.coord);
		if (i % 2)
			coord_release(w.coord, false);
		coord_close(w.coord);
		close(w.anchor);
		ev_run(loop, 0);
		for (int kind = 0; kind <= LOST; kind++)
			assert_int_equal(w.calls[kind], 0);
		assert_false(place_is_taken((uint64_t)i + 1));
	}
	ev_loop_destroy(loop);
}

/* A commit that is under way must not write when another one owns the job. */
static void closed_commit_keeps_the_lock_to_its_end(void **state)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct watched w;
	uint64_t seq;

	(void)state;
	watch_owner(&w, loop);
	commit_watched(&w, 1, false);
	coord_close(w.coord);
	close(w.anchor);
	/* Whatever the task has done by now: free and not committed cannot be. */
	if (!place_is_taken(1))
		assert_true(exists("state"));
	ev_run(loop, 0);
	assert_false(place_is_taken(1));
	assert_int_equal(w.calls[COMMITTED], 0);
	seq = committed_seq();
	assert_int_equal(seq, 1);
	ev_loop_destroy(loop);
}

/* ---- Storm: many tenures, and death at any moment ---- */

#define STORM_WORKERS 4
#define STORM_TENURES 2000
#define STORM_SEED 20261123u

/* Shared by all: what must be true of every tenure, whoever dies. */
struct storm {
	_Atomic uint64_t epoch;     /* of the last owner that came to life */
	_Atomic uint64_t attempted; /* the largest seq that anybody tried to commit */
	_Atomic uint64_t committed; /* the largest seq that anybody knows to be committed */
	_Atomic uint64_t tenures;
	char wrong[256];
};

struct stormer {
	struct storm *storm;
	struct ev_loop *loop;
	struct coord *coord;
	int witness;
	int ticks;
	unsigned rand;
	uint64_t epoch;
	uint64_t seq;
	int commits_left;
};

static unsigned draw(unsigned *seed, unsigned below)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % below;
}

static void wrong(struct storm *storm, const char *what, uint64_t a, uint64_t b)
{
	snprintf(
	    storm->wrong, sizeof(storm->wrong), "%s: %ju, %ju", what, (uintmax_t)a, (uintmax_t)b);
	_exit(9);
}

/*
 * A second opinion on exclusion: a POSIX lock, which the kernel takes from a dead process before it
 * takes the open-file-description locks, so that a correct hand-over never finds it held.
 */
static int witness(struct stormer *s, short type)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_len = 1 };

	return fcntl(s->witness, F_SETLK, &fl);
}

static void storm_next(struct stormer *s)
{
	struct record r;
	bool last = s->commits_left <= 1;

	if (last)
		witness(s, F_UNLCK);
	if (s->commits_left <= 0) {
		coord_release(s->coord, false);
		return;
	}
	s->commits_left--;
	make_record(&r, s->epoch, ++s->seq, "test");
	atomic_store(&s->storm->attempted, s->seq);
	coord_commit(s->coord, &r, last);
	record_clear(&r);
	if (last)
		s->commits_left = -1;
}

static void storm_granted(void *ctx, uint64_t epoch, const struct record *record)
{
	struct stormer *s = ctx;
	uint64_t before;

	if (witness(s, F_WRLCK) != 0)
		wrong(s->storm, "two owners", epoch, atomic_load(&s->storm->epoch));
	before = atomic_exchange(&s->storm->epoch, epoch);
	if (epoch <= before)
		wrong(s->storm, "the epoch did not rise", before, epoch);
	s->seq = record != NULL ? record->seq : 0;
	if (s->seq < atomic_load(&s->storm->committed))
		wrong(s->storm, "a commit was lost", atomic_load(&s->storm->committed), s->seq);
	if (s->seq > atomic_load(&s->storm->attempted))
		wrong(s->storm, "an unknown commit", s->seq, 0);
	if (record != NULL && !record_is_whole(record))
		wrong(s->storm, "part of a record", s->seq, 0);
	s->epoch = epoch;
	s->commits_left = (int)draw(&s->rand, 3);
	atomic_fetch_add(&s->storm->tenures, 1);
	if (write(s->ticks, "", 1) != 1)
		_exit(10);
	storm_next(s);
}

static void storm_waiting(void *ctx, const char *holder)
{
	(void)ctx;
	(void)holder;
}

static void storm_failed(void *ctx, enum coord_trouble why, const struct err *e)
{
	struct stormer *s = ctx;

	(void)why;
	snprintf(s->storm->wrong, sizeof(s->storm->wrong), "failed: %.200s", e->text);
	_exit(11);
}

static void storm_lost(void *ctx, msec until, const struct err *e)
{
	(void)until;
	storm_failed(ctx, COORD_UNUSABLE, e);
}

static void storm_released(void *ctx, enum coord_result result, const struct err *e)
{
	struct stormer *s = ctx;

	if (result != COORD_OK)
		storm_failed(ctx, COORD_UNUSABLE, e);
	ev_break(s->loop, EVBREAK_ALL);
}

/* Others may be ahead already when a commit released: the figure only rises. */
static void storm_committed(void *ctx, enum coord_result result, const struct err *e)
{
	struct stormer *s = ctx;
	uint64_t known = atomic_load(&s->storm->committed);

	if (result != COORD_OK)
		storm_failed(ctx, COORD_UNUSABLE, e);
	while (
	    known < s->seq && !atomic_compare_exchange_weak(&s->storm->committed, &known, s->seq))
		;
	if (s->commits_left < 0)
		ev_break(s->loop, EVBREAK_ALL);
	else
		storm_next(s);
}

static const struct coord_hooks storm_hooks = {
	.granted = storm_granted,
	.waiting = storm_waiting,
	.failed = storm_failed,
	.lost = storm_lost,
	.committed = storm_committed,
	.released = storm_released,
};

static void storm_main(struct stormer *s)
{
	s->loop = ev_loop_new(EVFLAG_AUTO);
	s->witness = open(in_job_dir("witness"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->witness < 0)
		_exit(12);
	while (atomic_load(&s->storm->tenures) < STORM_TENURES) {
		struct err e;
		int anchor;

		if (coord_anchor(&conf, &job, &anchor, &e) != 0)
			storm_failed(s, COORD_UNUSABLE, &e);
		s->coord = coord_open(s->loop, &conf, &job, anchor, &storm_hooks, s, &e);
		if (s->coord == NULL)
			storm_failed(s, COORD_UNUSABLE, &e);
		coord_acquire(s->coord);
		ev_run(s->loop, 0);
		coord_close(s->coord);
		close(anchor);
	}
	_exit(0);
}

static pid_t storm_spawn(struct storm *storm, int ticks, unsigned seed)
{
	struct stormer s = { .storm = storm, .ticks = ticks, .rand = seed };
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		storm_main(&s);
	return pid;
}

static void storm_bury(struct storm *storm, pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		fail_msg(
		    "seed %u: %s (exit status %d)", STORM_SEED, storm->wrong, WEXITSTATUS(status));
	assert_true(WIFEXITED(status) || WTERMSIG(status) == SIGKILL);
}

/* Counts grants, and between two of them, at no moment in particular, kills somebody. */
static int storm_rage(struct storm *storm, pid_t *workers, int reads, int ticks)
{
	unsigned seed = STORM_SEED;
	struct pollfd p = { .fd = reads, .events = POLLIN };
	int kills = 0;
	char tick;

	while (atomic_load(&storm->tenures) < STORM_TENURES) {
		for (unsigned n = draw(&seed, 8) + 1; n > 0; n--) {
			/* At the goal all leave, and there is nobody to wait for. */
			if (poll(&p, 1, PATIENCE_MS) != 1 || read(reads, &tick, 1) != 1)
				fail_msg("seed %u: nobody gets the job any more: %s", STORM_SEED,
				    storm->wrong);
			if (atomic_load(&storm->tenures) >= STORM_TENURES)
				return kills;
		}
		unsigned i = draw(&seed, STORM_WORKERS);

		kill(workers[i], SIGKILL);
		storm_bury(storm, workers[i]);
		workers[i] = storm_spawn(storm, ticks, draw(&seed, 1u << 15));
		kills++;
	}
	return kills;
}

static void storm_of_deaths_loses_nothing(void **state)
{
	struct storm *storm =
	    mmap(NULL, sizeof(*storm), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t workers[STORM_WORKERS];
	int ticks[2];
	int kills;

	(void)state;
	assert_true(storm != MAP_FAILED);
	assert_int_equal(pipe2(ticks, O_CLOEXEC), 0);
	assert_int_equal(fs_mkdirs(job_dir, 0700, NULL), 0);
	for (unsigned i = 0; i < STORM_WORKERS; i++)
		workers[i] = storm_spawn(storm, ticks[1], i);
	kills = storm_rage(storm, workers, ticks[0], ticks[1]);
	for (unsigned i = 0; i < STORM_WORKERS; i++)
		storm_bury(storm, workers[i]);
	print_message("%ju tenures, %d killed, last epoch %ju, last seq %ju\n",
	    (uintmax_t)storm->tenures, kills, (uintmax_t)storm->epoch, (uintmax_t)storm->committed);
	assert_true(kills > 100);
	assert_true(committed_seq() >= storm->committed);
	close(ticks[0]);
	close(ticks[1]);
	munmap(storm, sizeof(*storm));
}

/* ---- Set-up ---- */

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(base_dir, sizeof(base_dir), "%s/test_coord_local.XXXXXX",
	    tmp != NULL && *tmp == '/' ? tmp : "/tmp");
	if (mkdtemp(base_dir) == NULL)
		return -1;
	memset(&conf, 0, sizeof(conf));
	memset(&job, 0, sizeof(job));
	conf.coord = CONF_COORD_LOCAL;
	conf.ttl = 60000;
	conf.local_path = base_dir;
	conf.ns = strdup("/space");
	strcpy(conf.instance, "here");
	strcpy(job.name, "orders");
	snprintf(job_dir, sizeof(job_dir), "%.*s/space/jobs/orders", PATH_MAX - 32, base_dir);
	return conf.ns != NULL ? 0 : -1;
}

/* Of those that were killed. */
static void remove_notes_of_waiters(void)
{
	glob_t found;

	if (glob(in_job_dir("waiting-*"), 0, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		unlink(found.gl_pathv[i]);
	globfree(&found);
}

static int remove_dir(void **state)
{
	static const char *const files[] = { "lock", "epoch", "state", "holder", "owner", "witness",
		"epoch.tmp", "state.tmp", "holder.tmp" };
	char path[PATH_MAX + 16];

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(in_job_dir(files[i]));
	remove_notes_of_waiters();
	rmdir(job_dir);
	snprintf(path, sizeof(path), "%s/space/jobs", base_dir);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/space", base_dir);
	rmdir(path);
	free(conf.ns);
	return rmdir(base_dir);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIR(owner_starts_from_nothing_and_commits),
		IN_DIR(owner_knows_the_one_before),
		IN_DIR(next_owner_gets_the_record_and_a_larger_epoch),
		IN_DIR(release_of_nothing_is_answered),
		IN_DIR(release_waits_for_the_commit_under_way),
		IN_DIR(waiter_hears_of_the_holder_and_is_woken),
		IN_DIR(queue_is_fair_and_a_second_turn_goes_behind),
		IN_DIR(last_commit_wakes_the_waiter_with_the_final_record),
		IN_DIR(waiter_can_leave_without_waiting),
		IN_DIR(read_locks_are_no_places),
		IN_DIR(dead_owner_frees_the_lock_at_once),
		IN_DIR(anchor_keeps_the_lock_of_a_dead_owner),
		IN_DIR(dead_waiter_is_passed_over),
		IN_DIR(anchor_keeps_the_place_of_a_dead_waiter),
		IN_DIR(rescue_adopts_commits_and_hands_over),
		IN_DIR(adopt_tells_of_a_lock_that_was_released),
		IN_DIR(adopt_refuses_what_is_no_epoch),
		IN_DIR(adopt_refuses_the_lock_of_another_master),
		IN_DIR(adopt_waits_for_the_disk),
		IN_DIR(failed_adopt_keeps_the_lock),
		IN_DIR(commit_yields_to_a_newer_epoch),
		IN_DIR(replaced_lock_file_loses_the_lock),
		IN_DIR(open_lock_file_is_closed),
		IN_DIR(note_of_the_next_owner_is_left_alone),
		IN_DIR(damaged_record_is_never_a_start_from_nothing),
		IN_DIR(damaged_counter_is_not_guessed),
		IN_DIR(damage_found_in_the_queue_frees_the_place),
		IN_DIR(owner_mends_a_damaged_record),
		IN_DIR(counter_that_was_set_back_gives_no_number_twice),
		IN_DIR(note_about_the_holder_is_not_trusted),
		IN_DIR(failure_beside_a_leftover_leaves_it_to_the_next_owner),
		IN_DIR(closed_directory_says_what_to_do),
		IN_DIR(note_that_cannot_be_read_lets_nobody_in),
		IN_DIR(commit_that_cannot_be_written_may_be_tried_again),
		IN_DIR(lock_file_out_of_sight_is_not_lost),
		IN_DIR(commit_that_may_not_last_is_unsure),
		IN_DIR(owner_makes_sure_of_a_record_that_may_not_last),
		IN_DIR(without_threads_nothing_is_stuck),
		IN_DIR(an_anchor_is_needed),
		IN_DIR(closed_waiter_gives_its_place_to_the_anchor),
		IN_DIR(leaving_before_the_door_takes_no_place),
		IN_DIR(leaving_before_the_grant_leaves_no_notes),
		IN_DIR(close_at_every_step_is_safe),
		IN_DIR(close_with_a_task_under_way_frees_everything),
		IN_DIR(closed_commit_keeps_the_lock_to_its_end),
		IN_DIR(storm_of_deaths_loses_nothing),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(10 * PATIENCE_MS / 1000); /* a hang is a failure */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
