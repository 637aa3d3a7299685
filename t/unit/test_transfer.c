#include "state_test.h"

#include <sys/random.h>
#include <sys/sysmacros.h>

#include "state/transfer.h"

#define SHA_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define NOBODY 65534

/* The job is another user when the test may do that, as it is in real life. */
static uid_t job_uid;
static gid_t job_gid;
static char dir[PATH_MAX / 2];
static char state_path[PATH_MAX];
static char store_dir[PATH_MAX / 2];
static const struct store_place place = { scratch, store_dir };
static struct store *store;
static struct backup backup;
static struct record record;
static struct state_id id;

static int set_up(void **state)
{
	char url[PATH_MAX];

	(void)state;
	if (scratch_make() < 0)
		return -1;
	job_uid = geteuid() == 0 ? NOBODY : geteuid();
	job_gid = geteuid() == 0 ? NOBODY : getegid();
	snprintf(dir, sizeof(dir), "%s/work/orders", scratch);
	snprintf(state_path, sizeof(state_path), "%s/" STATE_FILE, dir);
	snprintf(store_dir, sizeof(store_dir), "%s/store", scratch);
	snprintf(url, sizeof(url), "file://%s", store_dir);
	store = store_open(url, &place, &err);
	backup = (struct backup){
		.dir = dir,
		.owner = job_uid,
		.max_size = 1000000,
		.inline_max = 16,
		.store = store,
		.job = "orders",
	};
	record = (struct record){ .epoch = 7, .seq = 3, .clean = true };
	strcpy(record.instance, "web-1");
	alarm(60); /* a FIFO that blocks must not hang the suite */
	if (store == NULL || store_prepare(store, &err) < 0 ||
	    transfer_prepare(dir, job_uid, job_gid, &err) < 0)
		return -1;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	alarm(0);
	record_clear(&record);
	store_close(store);
	return scratch_remove("work/small");
}

/* What the job does: writes another file and renames it to its state. */
static void job_dumps(const void *data, size_t len)
{
	const char *new = at("work/orders/new");

	write_file(new, data, len);
	assert_int_equal(lchown(new, job_uid, job_gid), 0);
	assert_int_equal(rename(new, state_path), 0);
}

static void job_dumps_text(const char *text)
{
	job_dumps(text, strlen(text));
}

static int back_up(void)
{
	return transfer_backup(&backup, &record, &id, &err);
}

static int restore(const struct record *r)
{
	return transfer_restore(dir, job_uid, job_gid, store, r, &id, &err);
}

/* How many blobs or parts of some are in the store. */
static int blobs(void)
{
	return is_there(at("store/orders")) ? count(at("store/orders"), "") : 0;
}

/* A backup must fail, say why, and leave nothing behind. */
static void assert_refused(const char *words)
{
	assert_int_equal(back_up(), -1);
	assert_says(words);
	assert_null(record.data);
	assert_null(record.url);
	assert_int_equal(blobs(), 0);
}

static void assert_no_state_file(const char *words)
{
	struct state_id ignored;

	assert_int_equal(transfer_peek(dir, job_uid, &ignored, &err), -1);
	assert_says(words);
	assert_refused(words);
}

static void test_prepare(void **state)
{
	struct stat st = stat_of(dir);

	(void)state;
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(st.st_uid, job_uid);
	assert_int_equal(st.st_gid, job_gid);
	assert_int_equal(stat_of(at("work")).st_mode & 07777, 0711);
	assert_int_equal(stat_of(at("work")).st_uid, geteuid());
}

static void test_prepare_keeps_what_is_there(void **state)
{
	(void)state;
	job_dumps_text("abc");
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(transfer_prepare(dir, (uid_t)-1, (gid_t)-1, &err), 0);
	assert_int_equal(stat_of(dir).st_mode & 07777, 0700);
	assert_int_equal(stat_of(dir).st_uid, job_uid);
	assert_text(state_path, "abc");
}

static void test_prepare_refuses_a_link_or_file(void **state)
{
	(void)state;
	mkdir(at("victim"), 0755);
	assert_int_equal(symlink(at("victim"), at("work/link")), 0);
	assert_int_equal(symlink(at("nowhere"), at("work/dangling")), 0);
	write_text(at("work/file"), "");
	assert_int_equal(transfer_prepare(at("work/link"), job_uid, job_gid, &err), -1);
	assert_says("is a link or a file");
	assert_int_equal(transfer_prepare(at("work/link/"), job_uid, job_gid, &err), -1);
	assert_says("is a link or a file");
	assert_int_equal(transfer_prepare(at("work/dangling"), job_uid, job_gid, &err), -1);
	assert_false(is_there(at("nowhere")));
	assert_int_equal(transfer_prepare(at("work/file"), job_uid, job_gid, &err), -1);
	assert_int_equal(stat_of(at("victim")).st_mode & 07777, 0755);
	assert_int_equal(stat_of(at("victim")).st_uid, geteuid());
}

static void test_no_state_file(void **state)
{
	(void)state;
	assert_int_equal(transfer_peek(dir, job_uid, &id, &err), 0);
	assert_int_equal(back_up(), 0);
	assert_null(record.data);
	rmdir(dir);
	assert_int_equal(transfer_peek(dir, job_uid, &id, &err), -1);
	assert_says(dir);
	assert_refused(dir);
}

static void test_a_small_state_goes_into_the_record(void **state)
{
	struct state_id peeked;

	(void)state;
	job_dumps_text("abc");
	assert_int_equal(transfer_peek(dir, job_uid, &peeked, &err), 1);
	assert_int_equal(back_up(), 1);
	assert_true(state_id_equal(&peeked, &id));
	assert_int_equal(record.size, 3);
	assert_memory_equal(record.data, "abc", 3);
	assert_string_equal(record.sha256, SHA_ABC);
	assert_null(record.url);
	assert_false(record.empty);
	assert_int_equal(record.epoch, 7);
	assert_true(record.clean);
	assert_int_equal(strlen(record.time), strlen("2026-11-22T23:50:19.123Z"));
	assert_int_equal(blobs(), 0);
}

static void test_the_limit_of_a_small_one(void **state)
{
	(void)state;
	backup.inline_max = 3;
	job_dumps_text("abc");
	assert_int_equal(back_up(), 1);
	assert_non_null(record.data);
	record_clear(&record);
	backup.inline_max = 2;
	record.epoch = 7;
	record.seq = 3;
	assert_int_equal(back_up(), 1);
	assert_null(record.data);
	assert_non_null(strstr(record.url, "/store/orders/7-3"));
	assert_string_equal(record.sha256, SHA_ABC);
	assert_text(at("store/orders/7-3"), "abc");
}

static void test_an_empty_file_is_a_state(void **state)
{
	(void)state;
	job_dumps_text("");
	backup.inline_max = 0;
	assert_int_equal(back_up(), 1);
	assert_non_null(record.data);
	assert_false(record.empty);
	assert_int_equal(record.size, 0);
	unlink(state_path);
	assert_int_equal(restore(&record), 0);
	assert_text(state_path, "");
}

static void test_too_large(void **state)
{
	(void)state;
	job_dumps_text("abc");
	backup.max_size = 2;
	assert_refused("too large");
	assert_says("state_max");
	backup.max_size = 3;
	backup.inline_max = 2;
	backup.store = NULL;
	assert_refused("set \"state\": {\"url\"");
}

static void test_a_replaced_file_has_another_id(void **state)
{
	struct state_id old;

	(void)state;
	job_dumps_text("abc");
	assert_int_equal(transfer_peek(dir, job_uid, &old, &err), 1);
	assert_int_equal(transfer_peek(dir, job_uid, &id, &err), 1);
	assert_true(state_id_equal(&old, &id));
	job_dumps_text("abc");
	assert_int_equal(transfer_peek(dir, job_uid, &id, &err), 1);
	assert_false(state_id_equal(&old, &id));
}

/* The clock of the file system may stand still while a file replaces another and gets its number.
 */
static void test_the_id_of_a_young_file_proves_nothing(void **state)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };

	(void)state;
	clock_gettime(CLOCK_REALTIME, &times[1]);
	times[1].tv_sec -= 3600;
	do { /* the machine may be slow */
		job_dumps_text("abc");
		assert_int_equal(transfer_peek(dir, job_uid, &id, &err), 1);
	} while (!id.young);
	assert_true(state_id_equal(&id, &id) && !state_id_proves(&id, &id));
	assert_int_equal(utimensat(AT_FDCWD, state_path, times, 0), 0);
	assert_int_equal(transfer_peek(dir, job_uid, &id, &err), 1);
	assert_true(!id.young && state_id_proves(&id, &id));
}

/* It may have been copied from a machine whose clock is ahead. */
static void test_a_file_of_the_future_grows_old(void **state)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	msec until = clock_now() + 30000;

	(void)state;
	clock_gettime(CLOCK_REALTIME, &times[1]);
	times[1].tv_sec += 3600;
	job_dumps_text("abc");
	do {
		assert_int_equal(utimensat(AT_FDCWD, state_path, times, 0), 0);
		assert_int_equal(transfer_peek(dir, job_uid, &id, &err), 1);
	} while (!id.young);
	do
		assert_int_equal(transfer_peek(dir, job_uid, &id, &err), 1);
	while (id.young && clock_now() < until);
	assert_true(!id.young && state_id_proves(&id, &id));
}

static void test_ids_differ_in_anything(void **state)
{
	const struct state_id a = { 1, 2, 3, { 4, 5 }, { 6, 7 }, false };
	const struct state_id others[] = {
		{ 0, 2, 3, { 4, 5 }, { 6, 7 }, false },
		{ 1, 0, 3, { 4, 5 }, { 6, 7 }, false },
		{ 1, 2, 0, { 4, 5 }, { 6, 7 }, false },
		{ 1, 2, 3, { 0, 5 }, { 6, 7 }, false },
		{ 1, 2, 3, { 4, 0 }, { 6, 7 }, false },
		{ 1, 2, 3, { 4, 5 }, { 0, 7 }, false },
		{ 1, 2, 3, { 4, 5 }, { 6, 0 }, false },
	};

	(void)state;
	assert_true(state_id_equal(&a, &a));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(state_id_equal(&a, &others[i]));
}

static void test_a_link_is_no_state(void **state)
{
	(void)state;
	write_text(at("secret"), "abc");
	assert_int_equal(lchown(at("secret"), job_uid, job_gid), 0);
	assert_int_equal(symlink(at("secret"), state_path), 0);
	assert_no_state_file("is a symbolic link");
	unlink(at("secret"));
	assert_no_state_file("is a symbolic link");
}

static void test_a_second_name_is_no_state(void **state)
{
	(void)state;
	job_dumps_text("abc");
	assert_int_equal(link(state_path, at("work/orders/other")), 0);
	assert_no_state_file("has 2 names");
}

static void test_other_kinds_are_no_state(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(state_path, 0666), 0);
	assert_no_state_file("is a FIFO");
	unlink(state_path);
	assert_int_equal(mkdir(state_path, 0777), 0);
	assert_no_state_file("is a directory");
	rmdir(state_path);
	assert_int_equal(mknod(state_path, S_IFSOCK | 0666, 0), 0);
	assert_no_state_file("is a socket");
	unlink(state_path);
	if (mknod(state_path, S_IFCHR | 0666, makedev(1, 5)) < 0)
		skip();
	assert_no_state_file("is a device");
}

/* Between the look at the file and its opening. */
static void job_puts_a_fifo(void)
{
	assert_int_equal(unlink(state_path), 0);
	assert_int_equal(mkfifo(state_path, 0666), 0);
}

static void job_puts_a_link(void)
{
	assert_int_equal(unlink(state_path), 0);
	assert_int_equal(symlink(at("secret"), state_path), 0);
}

static void job_puts_a_second_name(void)
{
	assert_int_equal(unlink(state_path), 0);
	assert_int_equal(link(at("secret"), state_path), 0);
}

static void job_removes(void)
{
	assert_int_equal(unlink(state_path), 0);
}

static void test_swapped_before_it_is_opened(void **state)
{
	static const struct {
		void (*act)(void);
		const char *says;
	} swaps[] = {
		{ job_puts_a_fifo, "is a FIFO" },
		{ job_puts_a_link, "cannot open" },
		{ job_puts_a_second_name, "has 2 names" },
	};

	(void)state;
	write_text(at("secret"), "abc");
	for (size_t i = 0; i < sizeof(swaps) / sizeof(swaps[0]); i++) {
		job_dumps_text("abc");
		before_openat = swaps[i].act;
		assert_refused(swaps[i].says);
	}
	job_dumps_text("abc");
	before_openat = job_removes;
	assert_int_equal(back_up(), 0);
}

static void test_whose_file_it_is(void **state)
{

	(void)state;
	if (geteuid() != 0)
		skip();
	write_text(state_path, "abc");
	assert_int_equal(lchown(state_path, 1, 1), 0);
	assert_no_state_file("belongs to uid 1: chown it to the job's");
	assert_int_equal(lchown(state_path, 0, 0), 0);
	assert_int_equal(chmod(state_path, 0640), 0);
	assert_no_state_file("belongs to uid 0");
	assert_int_equal(chmod(state_path, 0644), 0);
	assert_int_equal(back_up(), 1);
}

static void test_the_callers_own(void **state)
{
	(void)state;
	write_text(state_path, "abc");
	assert_int_equal(chmod(state_path, 0600), 0);
	backup.owner = (uid_t)-1;
	assert_int_equal(back_up(), 1);
}

/* The job, at the moment in which its file is read. */
static int changes_left;

static void job_writes_in_place(void)
{
	struct timespec times[2] = { { .tv_sec = changes_left }, { .tv_sec = changes_left } };

	if (changes_left == 0)
		return;
	changes_left--;
	write_text(state_path, "xyz");
	/* The clock of the file system is too coarse to be waited for. */
	assert_int_equal(utimensat(AT_FDCWD, state_path, times, 0), 0);
}

/* And keeps the old time: within one tick of a coarse clock it would be the same. */
static void job_appends(void)
{
	int fd = open(state_path, O_WRONLY | O_APPEND | O_CLOEXEC);
	struct stat st = stat_of(state_path);

	assert_int_equal(write(fd, "more", 4), 4);
	assert_int_equal(futimens(fd, (struct timespec[]){ st.st_atim, st.st_mtim }), 0);
	close(fd);
}

static void job_truncates(void)
{
	assert_int_equal(truncate(state_path, 1), 0);
	before_pread = job_appends;
}

static void job_replaces(void)
{
	before_pread = NULL;
	job_dumps_text("new");
}

static void test_changed_while_read(void **state)
{
	static void (*const ways[])(void) = { job_writes_in_place, job_appends, job_truncates };

	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		for (backup.inline_max = 0; backup.inline_max <= 1000; backup.inline_max += 1000) {
			before_pread = NULL;
			job_dumps_text("abc");
			changes_left = 1000;
			before_pread = ways[i];
			assert_refused("changed while it was read, 3 times");
			assert_says("rename");
		}
}

static void test_changed_while_read_but_once(void **state)
{
	(void)state;
	job_dumps_text("abc");
	changes_left = 1;
	before_pread = job_writes_in_place;
	backup.inline_max = 0;
	assert_int_equal(back_up(), 1);
	assert_text(at("store/orders/7-3"), "xyz");
	assert_int_equal(blobs(), 1);
}

static void test_replaced_while_read(void **state)
{
	struct state_id later;

	(void)state;
	job_dumps_text("abc");
	before_pread = job_replaces;
	assert_int_equal(back_up(), 1);
	assert_memory_equal(record.data, "abc", 3);
	assert_int_equal(transfer_peek(dir, job_uid, &later, &err), 1);
	assert_false(state_id_equal(&id, &later));
}

static void test_backup_to_a_failing_store(void **state)
{
	(void)state;
	job_dumps_text("more than the sixteen bytes that go into a record");
	for (int n = 1; n <= 3; n++) {
		fail_fsync = n;
		assert_refused("cannot sync");
		assert_int_equal(err.code, EIO);
	}
	fail_fsync = 0;
	fail_renameat = 1;
	assert_refused("cannot rename");
	assert_int_equal(back_up(), 1);
}

/* The record of a state that was backed up before. */
static void record_of(const char *text)
{
	job_dumps_text(text);
	assert_int_equal(back_up(), 1);
	assert_int_equal(unlink(state_path), 0);
}

/* A restore must fail, say why, leave no part of a state, and the file that was there as it was. */
static void assert_not_restored(const char *words)
{
	job_dumps_text("older");
	assert_int_equal(restore(&record), -1);
	assert_says("cannot restore the state of epoch 7");
	assert_says(words);
	assert_text(state_path, "older");
	assert_int_equal(count(dir, ""), 1);
}

static void test_restore(void **state)
{
	static const char *const texts[] = { "abc", "more than sixteen bytes: from the store" };
	struct state_id peeked;
	struct stat st;

	(void)state;
	for (int i = 0; i < 2; i++) {
		record_of(texts[i]);
		job_dumps_text("older");
		assert_int_equal(restore(&record), 0);
		assert_text(state_path, texts[i]);
		assert_int_equal(count(dir, ""), 1);
		st = stat_of(state_path);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_int_equal(st.st_uid, job_uid);
		assert_int_equal(st.st_gid, job_gid);
		assert_int_equal(transfer_peek(dir, job_uid, &peeked, &err), 1);
		assert_true(state_id_equal(&peeked, &id) && state_id_proves(&id, &peeked));
		record.epoch = 7;
		record.seq = 3;
		free(record.data);
		record.data = NULL;
	}
	/* Nobody asks for the id, and nobody's user is given. */
	assert_int_equal(
	    transfer_restore(dir, (uid_t)-1, (gid_t)-1, store, &record, NULL, &err), 0);
	assert_int_equal(stat_of(state_path).st_uid, geteuid());
}

static void test_restore_nothing(void **state)
{
	static const struct state_id none;
	struct record empty = { .empty = true };

	(void)state;
	job_dumps_text("older");
	assert_int_equal(restore(NULL), 0);
	assert_memory_equal(&id, &none, sizeof(id));
	assert_int_equal(count(dir, ""), 0);
	assert_int_equal(restore(NULL), 0);
	job_dumps_text("older");
	assert_int_equal(restore(&empty), 0);
	assert_int_equal(count(dir, ""), 0);
	assert_int_equal(mkdir(state_path, 0700), 0);
	write_text(at("work/orders/state/file"), "");
	assert_int_equal(restore(NULL), 0);
	assert_false(is_there(state_path));
	assert_int_equal(count(dir, "rejected-"), 1);
}

static void test_restore_of_a_damaged_record(void **state)
{
	(void)state;
	record_of("abc");
	record.data[2] = 'd';
	assert_not_restored("damaged");
}

static void test_restore_of_a_damaged_blob(void **state)
{
	const char *text = "more than sixteen bytes: from the store";
	char path[PATH_MAX];

	(void)state;
	snprintf(path, sizeof(path), "%s/store/orders/7-3", scratch);
	record_of(text);
	write_text(path, "more than sixteen bytes: from the st0re");
	assert_not_restored("damaged");
	write_text(path, "more than");
	assert_not_restored("ends after 9 of 39 bytes");
	write_text(path, "more than sixteen bytes: from the store, and more");
	assert_not_restored("goes on after its 39 bytes");
	unlink(path);
	assert_not_restored("is not there: bring it back");
	assert_says(record.url);
	strcpy(strrchr(record.url, '/'), "/..");
	assert_not_restored("does not name a state");
}

static void test_restore_without_a_store(void **state)
{
	(void)state;
	record_of("more than sixteen bytes: from the store");
	store_close(store);
	store = NULL;
	assert_not_restored("no store is configured here");
}

static void test_restore_over_whatever_is_there(void **state)
{
	int n = 0;

	(void)state;
	write_text(at("victim"), "mine");
	record_of("abc");
	assert_int_equal(symlink(at("victim"), state_path), 0);
	assert_int_equal(restore(&record), 0);
	assert_text(state_path, "abc");
	unlink(state_path);
	assert_int_equal(link(at("victim"), state_path), 0);
	assert_int_equal(restore(&record), 0);
	assert_text(state_path, "abc");
	assert_text(at("victim"), "mine");
	assert_int_equal(stat_of(at("victim")).st_uid, geteuid());
	unlink(state_path);
	assert_int_equal(mkfifo(state_path, 0666), 0);
	assert_int_equal(restore(&record), 0);
	assert_text(state_path, "abc");
	for (; n < 2; n++) {
		unlink(state_path);
		assert_int_equal(mkdir(state_path, 0755), 0);
		write_text(at("work/orders/state/file"), "");
		assert_int_equal(restore(&record), 0);
		assert_text(state_path, "abc");
		assert_int_equal(count(dir, "rejected-"), n + 1);
	}
	assert_int_equal(count(dir, ""), n + 1);
}

static void test_restore_sweeps_left_overs(void **state)
{
	(void)state;
	record_of("abc");
	write_text(at("victim"), "mine");
	write_text(at("work/orders/.restore-0123456789abcdef"), "half a st");
	assert_int_equal(symlink(at("victim"), at("work/orders/.restore-link")), 0);
	write_text(at("work/orders/.mine"), "the job's");
	assert_int_equal(restore(&record), 0);
	assert_int_equal(count(dir, ""), 2);
	assert_text(at("work/orders/.mine"), "the job's");
	assert_text(at("victim"), "mine");
}

static void test_reject_keeps_the_file(void **state)
{
	char name[REJECTED_MAX];
	char path[PATH_MAX];

	(void)state;
	job_dumps_text("newer");
	assert_int_equal(transfer_reject(dir, name, &err), 0);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_text(path, "newer");
	assert_false(is_there(state_path));
	assert_int_equal(count(dir, ""), 1);
	assert_int_equal(transfer_tidy(dir, job_uid, &err), 0);
	assert_text(path, "newer");
}

/* Makes the job's directory number n that was moved aside, with something in it. */
static const char *rejected(int n)
{
	static char path[PATH_MAX];
	char file[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/rejected-%016x", dir, n);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(file, sizeof(file), "%s/file", path);
	write_text(file, "");
	assert_int_equal(chown(path, job_uid, job_gid), 0);
	return path;
}

/* The clock that a file's times are taken from ticks slowly. */
static void wait_for_younger(const char *path)
{
	struct timespec since = stat_of(path).st_ctim;
	struct timespec now;

	do {
		write_text(at("clock"), "");
		now = stat_of(at("clock")).st_ctim;
	} while (now.tv_sec == since.tv_sec && now.tv_nsec == since.tv_nsec);
}

static void test_tidy_keeps_the_newest(void **state)
{
	(void)state;
	write_text(at("victim"), "mine");
	rejected(9);
	assert_int_equal(
	    symlink(at("victim"), at("work/orders/rejected-0000000000000009/link")), 0);
	assert_int_equal(mkdir(at("work/orders/rejected-0000000000000009/sub"), 0700), 0);
	assert_int_equal(
	    chown(at("work/orders/rejected-0000000000000009/sub"), job_uid, job_gid), 0);
	assert_int_equal(symlink(at(""), at("work/orders/rejected-0000000000000008")), 0);
	wait_for_younger(at("work/orders/rejected-0000000000000008"));
	for (int n = 0; n < 3; n++)
		rejected(n);
	write_text(at("work/orders/rejected-by-me"), "the job's");
	assert_int_equal(transfer_tidy(dir, job_uid, &err), 0);
	assert_int_equal(count(dir, "rejected-0"), 3);
	assert_false(is_there(at("work/orders/rejected-0000000000000009")));
	assert_false(is_there(at("work/orders/rejected-0000000000000008")));
	assert_text(at("work/orders/rejected-by-me"), "the job's");
	assert_text(at("victim"), "mine");
}

static void test_tidy_leaves_alone_what_is_not_the_jobs(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	for (int n = 0; n < 4; n++)
		assert_int_equal(chown(rejected(n), 0, 0), 0);
	assert_int_equal(transfer_tidy(dir, job_uid, &err), -1);
	assert_says("it is not the job's");
	assert_int_equal(count(dir, "rejected-"), 4);
}

static bool numbers_are_known;

ssize_t getrandom(void *buffer, size_t length, unsigned int flags)
{
	if (!numbers_are_known)
		return syscall(SYS_getrandom, buffer, length, flags);
	memset(buffer, 0, length);
	return (ssize_t)length;
}

static void plant_at_temp(void)
{
	assert_int_equal(link(at("victim"), at("work/orders/.restore-0000000000000000")), 0);
}

/* The first directory or file that is opened is the one that the sweep reads. */
static void plant_at_temp_after_sweep(void)
{
	before_openat = plant_at_temp;
}

static void test_restore_writes_through_no_planted_name(void **state)
{
	(void)state;
	write_text(at("victim"), "mine");
	record_of("abc");
	numbers_are_known = true;
	before_openat = plant_at_temp_after_sweep;
	assert_int_equal(restore(&record), -1);
	numbers_are_known = false;
	assert_says("File exists");
	assert_text(at("victim"), "mine");
	assert_int_equal(stat_of(at("victim")).st_uid, geteuid());
	assert_int_equal(restore(&record), 0);
}

/* A process of the job, at the moment before the copy gets its name. */
static void swap_temp(void)
{
	DIR *list = opendir(dir);
	const struct dirent *entry;

	before_renameat = NULL;
	while ((entry = readdir(list)) != NULL)
		if (strncmp(entry->d_name, ".restore-", 9) == 0) {
			assert_int_equal(unlinkat(dirfd(list), entry->d_name, 0), 0);
			assert_int_equal(symlinkat(at("victim"), dirfd(list), entry->d_name), 0);
		}
	closedir(list);
}

static void test_restore_beside_a_hostile_process(void **state)
{
	(void)state;
	write_text(at("victim"), "mine");
	record_of("abc");
	before_renameat = swap_temp;
	assert_int_equal(restore(&record), -1);
	assert_says("another process replaced");
	assert_text(at("victim"), "mine");
	assert_int_equal(stat_of(at("victim")).st_uid, geteuid());
	assert_int_equal(restore(&record), 0);
	assert_text(state_path, "abc");
}

static void make_directory(void)
{
	mkdir(state_path, 0755);
}

static void test_restore_gives_up_on_directories(void **state)
{
	(void)state;
	record_of("abc");
	before_renameat = make_directory;
	assert_int_equal(restore(&record), -1);
	assert_says("keeps becoming a directory");
	assert_int_equal(count(dir, ".restore-"), 0);
}

static void test_restore_into_a_link(void **state)
{
	(void)state;
	record_of("abc");
	mkdir(at("victim"), 0755);
	rmdir(dir);
	assert_int_equal(symlink(at("victim"), dir), 0);
	assert_int_equal(restore(&record), -1);
	assert_says("is a link or a file");
	record_clear(&record);
	assert_refused("is a link or a file");
	assert_int_equal(count(at("victim"), ""), 0);
}

static void test_a_failed_restore_leaves_nothing(void **state)
{
	(void)state;
	record_of("abc");
	fail_renameat = 1;
	assert_not_restored("cannot rename");
}

/* A record of a state that does not fit on a small disk, once inline and once in the store. */
static bool writes_late; /* a file system that tells of write errors only at a close */

int close(int fd)
{
	bool fails = writes_late && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
	int rc = (int)syscall(SYS_close, fd);

	if (!fails)
		return rc;
	errno = EIO;
	return -1;
}

static void test_restore_where_errors_come_late(void **state)
{
	int rc;

	(void)state;
	for (int i = 0; i < 2; i++) {
		record_of(i == 0 ? "abc" : "more than sixteen bytes: from the store");
		job_dumps_text("older");
		writes_late = true;
		rc = restore(&record);
		writes_late = false;
		assert_int_equal(rc, -1);
		assert_says("Input/output error");
		assert_text(state_path, "older");
		assert_int_equal(count(dir, ""), 1);
		record_clear(&record);
		record.epoch = 7;
	}
}

static void large_record(bool inlined)
{
	static char large[100000];

	record_clear(&record);
	record.epoch = 7;
	backup.inline_max = inlined ? sizeof(large) : 0;
	job_dumps(large, sizeof(large));
	assert_int_equal(back_up(), 1);
}

static void test_restore_under_a_file_size_limit(void **state)
{
	int rc;

	(void)state;
	for (int i = 0; i < 2; i++) {
		large_record(i == 1);
		job_dumps_text("older");
		limit_file_size(50000);
		rc = restore(&record);
		limit_file_size(RLIM_INFINITY);
		assert_int_equal(rc, -1);
		assert_says("File too large");
		assert_text(state_path, "older");
		assert_int_equal(count(dir, ""), 1);
	}
}

static void test_restore_to_a_full_disk(void **state)
{
	(void)state;
	mount_small("work/small");
	for (int i = 0; i < 2; i++) {
		large_record(i == 1);
		assert_int_equal(
		    transfer_restore(at("work/small"), job_uid, job_gid, store, &record, &id, &err),
		    -1);
		assert_says("No space left on device");
		assert_int_equal(err.code, ENOSPC);
		assert_int_equal(count(at("work/small"), ""), 0);
	}
}

static void test_restore_to_a_read_only_disk(void **state)
{
	(void)state;
	record_of("abc");
	mount_small("work/small");
	write_text(at("work/small/state"), "older");
	make_read_only("work/small");
	assert_int_equal(
	    transfer_restore(at("work/small"), job_uid, job_gid, store, &record, &id, &err), -1);
	assert_says("Read-only file system");
	assert_int_equal(
	    transfer_restore(at("work/small"), job_uid, job_gid, store, NULL, &id, &err), -1);
	assert_says("Read-only file system");
	assert_int_equal(transfer_prepare(at("work/small/new"), job_uid, job_gid, &err), -1);
	assert_says("Read-only file system");
	assert_text(at("work/small/state"), "older");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_prepare),
		TEST(test_prepare_keeps_what_is_there),
		TEST(test_prepare_refuses_a_link_or_file),
		TEST(test_no_state_file),
		TEST(test_a_small_state_goes_into_the_record),
		TEST(test_the_limit_of_a_small_one),
		TEST(test_an_empty_file_is_a_state),
		TEST(test_too_large),
		TEST(test_a_replaced_file_has_another_id),
		TEST(test_the_id_of_a_young_file_proves_nothing),
		TEST(test_a_file_of_the_future_grows_old),
		TEST(test_ids_differ_in_anything),
		TEST(test_a_link_is_no_state),
		TEST(test_a_second_name_is_no_state),
		TEST(test_other_kinds_are_no_state),
		TEST(test_swapped_before_it_is_opened),
		TEST(test_whose_file_it_is),
		TEST(test_the_callers_own),
		TEST(test_changed_while_read),
		TEST(test_changed_while_read_but_once),
		TEST(test_replaced_while_read),
		TEST(test_backup_to_a_failing_store),
		TEST(test_restore),
		TEST(test_restore_nothing),
		TEST(test_restore_of_a_damaged_record),
		TEST(test_restore_of_a_damaged_blob),
		TEST(test_restore_without_a_store),
		TEST(test_restore_over_whatever_is_there),
		TEST(test_restore_sweeps_left_overs),
		TEST(test_reject_keeps_the_file),
		TEST(test_tidy_keeps_the_newest),
		TEST(test_tidy_leaves_alone_what_is_not_the_jobs),
		TEST(test_restore_writes_through_no_planted_name),
		TEST(test_restore_beside_a_hostile_process),
		TEST(test_restore_gives_up_on_directories),
		TEST(test_restore_into_a_link),
		TEST(test_a_failed_restore_leaves_nothing),
		TEST(test_restore_under_a_file_size_limit),
		TEST(test_restore_where_errors_come_late),
		TEST(test_restore_to_a_full_disk),
		TEST(test_restore_to_a_read_only_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
