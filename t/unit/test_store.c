#include "state_test.h"

#include "state/record.h"
#include "state/store.h"

#define SHA_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static char deep[PATH_MAX / 2];
static struct store *store;

/* Of all stores here. */
static const struct store_place place = { scratch, deep };

static int set_up(void **state)
{
	char url[PATH_MAX];

	(void)state;
	if (scratch_make() < 0)
		return -1;
	snprintf(deep, sizeof(deep), "%s/deep", scratch);
	snprintf(url, sizeof(url), "file://%s/deep/store/", scratch);
	store = store_open(url, &place, &err);
	return store != NULL && store_prepare(store, &err) >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	store_close(store);
	return scratch_remove("small");
}

/* A descriptor of a scratch file that holds data. */
static int file_with(const void *data, size_t len)
{
	int fd;

	write_file(at("source"), data, len);
	fd = open(at("source"), O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* Puts text as <epoch>-<seq> of "orders"; the URL is the caller's, NULL if it failed. */
static char *put(const char *text, uint64_t epoch, uint64_t seq)
{
	char sha256[RECORD_SHA_LEN + 1];
	char *url = NULL;
	int fd = file_with(text, strlen(text));

	if (store_put(store, "orders", epoch, seq, fd, strlen(text), &url, sha256, &err) < 0)
		assert_null(url);
	close(fd);
	return url;
}

static int get(const char *url, uint64_t size, const char *sha256)
{
	int fd = open(at("copy"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc;

	assert_true(fd >= 0);
	rc = store_get(store, url, size, sha256, fd, &err);
	close(fd);
	return rc;
}

static int sweep(uint64_t epoch, const char *keep)
{
	return store_sweep(store, "orders", (struct blob_number){ epoch, 0 }, keep, &err);
}

static void test_put_and_get(void **state)
{
	char expected[PATH_MAX];
	char *url = put("abc", 7, 3);

	(void)state;
	snprintf(expected, sizeof(expected), "file://%s/deep/store/orders/7-3", scratch);
	assert_string_equal(url, expected);
	assert_text(at("deep/store/orders/7-3"), "abc");
	assert_int_equal(count(at("deep/store/orders"), ""), 1);
	assert_int_equal(stat_of(at("deep/store")).st_mode & 07777, 0700);
	assert_int_equal(stat_of(at("deep/store/orders")).st_mode & 07777, 0700);
	assert_int_equal(stat_of(at("deep/store/orders/7-3")).st_mode & 07777, 0600);
	assert_int_equal(get(url, 3, SHA_ABC), 0);
	assert_text(at("copy"), "abc");
	free(url);
}

/* From the scratch directory down to the job's. */
static const char *const way[] = { "", "deep", "deep/ns", "deep/ns/jobs", "deep/ns/jobs/orders" };
#define WAY_LEN (sizeof(way) / sizeof(way[0]))
static int synced[WAY_LEN];

static void note_sync(int fd)
{
	struct stat there, st;

	assert_int_equal(fstat(fd, &st), 0);
	for (size_t i = 0; i < WAY_LEN; i++)
		synced[i] += lstat(at(way[i]), &there) == 0 && there.st_dev == st.st_dev &&
			     there.st_ino == st.st_ino;
}

/* A synced blob may be gone after a power cut if a directory on the way to it was not. */
static void test_new_directories_are_synced_once(void **state)
{
	char url[PATH_MAX];

	(void)state;
	store_close(store);
	snprintf(url, sizeof(url), "file://%s/deep/ns/jobs", scratch);
	store = store_open(url, &place, &err);
	memset(synced, 0, sizeof(synced));
	before_fsync = note_sync;
	free(put("abc", 1, 1));
	for (size_t i = 0; i < WAY_LEN; i++)
		assert_int_equal(synced[i], 1);
	free(put("abc", 1, 2));
	assert_int_equal(synced[0] + synced[1] + synced[2], 3);
}

/* It is used all the same: the user of the one who owns it may be another one on the server. */
static void test_a_store_that_others_may_write_is_told(void **state)
{
	char *url;

	(void)state;
	assert_int_equal(chmod(at("deep"), 0777), 0);
	assert_int_equal(store_prepare(store, &err), 1);
	assert_says("can be written by others");
	url = put("abc", 1, 1);
	assert_non_null(url);
	free(url);
}

static void test_all_of_a_large_one_is_copied_from_its_start(void **state)
{
	size_t len = (1u << 20) + 17;
	unsigned char *data = malloc(len);
	char sha256[RECORD_SHA_LEN + 1];
	char *url;
	int fd;

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)(i * 2654435761u >> 16);
	fd = file_with(data, len);
	lseek(fd, 99, SEEK_SET);
	assert_int_equal(store_put(store, "orders", 1, 1, fd, len, &url, sha256, &err), 0);
	close(fd);
	assert_file(at("deep/store/orders/1-1"), data, len);
	assert_int_equal(get(url, len, sha256), 0);
	assert_file(at("copy"), data, len);
	free(url);
	free(data);
}

static void test_an_empty_one(void **state)
{
	char *url = put("", 1, 1);

	(void)state;
	assert_non_null(url);
	assert_int_equal(
	    get(url, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), 0);
	free(url);
}

static void test_a_source_of_another_length_is_refused(void **state)
{
	char sha256[RECORD_SHA_LEN + 1];
	char *url = NULL;
	int fd = file_with("abc", 3);

	(void)state;
	assert_int_equal(store_put(store, "orders", 1, 1, fd, 4, &url, sha256, &err), -1);
	assert_says("ends after 3 of 4 bytes");
	assert_int_equal(store_put(store, "orders", 1, 1, fd, 2, &url, sha256, &err), -1);
	assert_says("goes on after its 2 bytes");
	assert_null(url);
	assert_int_equal(count(at("deep/store/orders"), ""), 0);
	close(fd);
}

/* It may have been committed: nobody knows, or nobody has asked as yet. */
static void test_a_put_replaces_nothing(void **state)
{
	char *first = put("of unknown outcome", 7, 3);
	char *next = put("likewise", 7, 4);
	char *again = put("abc", 7, 3);

	(void)state;
	assert_non_null(again);
	assert_text(at("deep/store/orders/7-3"), "of unknown outcome");
	assert_text(at("deep/store/orders/7-4"), "likewise");
	assert_string_not_equal(first, again);
	assert_string_not_equal(next, again);
	assert_int_equal(get(again, 3, SHA_ABC), 0);
	assert_int_equal(store_delete(store, again, &err), 0);
	assert_int_equal(count(at("deep/store/orders"), ""), 2);
	free(first);
	free(next);
	free(again);
}

/* The one that was claimed goes with it, and what is there stays. */
static void test_a_put_that_fails_replaces_nothing(void **state)
{
	char *first = put("of unknown outcome", 7, 3);

	(void)state;
	fail_renameat = 1;
	assert_null(put("abc", 7, 3));
	fail_renameat = 0;
	fail_fsync = 3;
	assert_null(put("abc", 7, 3));
	fail_fsync = 0;
	assert_int_equal(count(at("deep/store/orders"), ""), 1);
	assert_text(at("deep/store/orders/7-3"), "of unknown outcome");
	free(first);
}

static void test_delete(void **state)
{
	char *url = put("abc", 7, 3);
	char *other = put("abc", 7, 4);

	(void)state;
	assert_int_equal(store_delete(store, url, &err), 0);
	assert_false(is_there(at("deep/store/orders/7-3")));
	assert_true(is_there(at("deep/store/orders/7-4")));
	assert_int_equal(store_delete(store, url, &err), 0);
	remove_tree(at("deep/store/orders"));
	assert_int_equal(store_delete(store, other, &err), 0);
	free(url);
	free(other);
}

static void test_a_missing_blob_says_what_to_do(void **state)
{
	char *url = put("abc", 7, 3);

	(void)state;
	assert_int_equal(store_delete(store, url, &err), 0);
	assert_int_equal(get(url, 3, SHA_ABC), -1);
	assert_says(url);
	assert_says("is not there: bring it back");
	remove_tree(at("deep/store"));
	assert_int_equal(get(url, 3, SHA_ABC), -1);
	assert_says("is not there: bring it back");
	remove_tree(at("deep"));
	assert_int_equal(get(url, 3, SHA_ABC), -1);
	assert_says("mount what it is on, or bring it back");
	assert_null(put("abc", 7, 4));
	assert_says("mount what it is on, or bring it back");
	free(url);
}

#define ADVICE "bring a good copy back, or delete the job's state record"

static void test_a_damaged_blob_is_refused(void **state)
{
	char *url = put("abc", 7, 3);

	(void)state;
	write_text(at("deep/store/orders/7-3"), "abd");
	assert_int_equal(get(url, 3, SHA_ABC), -1);
	assert_says("damaged");
	assert_says("the record says " SHA_ABC);
	assert_says(ADVICE);
	write_text(at("deep/store/orders/7-3"), "ab");
	assert_int_equal(get(url, 3, SHA_ABC), -1);
	assert_says("ends after 2 of 3 bytes");
	assert_says(ADVICE);
	write_text(at("deep/store/orders/7-3"), "abc and more");
	assert_int_equal(get(url, 3, SHA_ABC), -1);
	assert_says("goes on after its 3 bytes");
	assert_says(ADVICE);
	assert_int_equal(unlink(at("deep/store/orders/7-3")), 0);
	assert_int_equal(symlink("elsewhere", at("deep/store/orders/7-3")), 0);
	assert_int_equal(get(url, 3, SHA_ABC), -1);
	assert_says("is a link: " ADVICE);
	assert_int_equal(unlink(at("deep/store/orders/7-3")), 0);
	assert_int_equal(mkfifo(at("deep/store/orders/7-3"), 0600), 0);
	assert_int_equal(get(url, 3, SHA_ABC), -1);
	assert_says("is no regular file: " ADVICE);
	free(url);
}

/* Every one of these would name a file if the URL were believed. */
static void test_urls_outside_are_refused(void **state)
{
	static const char *const tricks[] = {
		"/outside/orders/7-3",
		"/deep/store2/orders/7-3",
		"/deep/store-orders/7-3",
		"/deep/store/../../outside/orders/7-3",
		"/deep/store/orders/../../../outside/orders/7-3",
		"/deep/store/../7-3",
		"/deep/store/./7-3",
		"/deep/store//7-3",
		"/deep/store/7-3",
		"/deep/store/orders/",
		"/deep/store/orders",
		"/deep/store/orders/..",
		"/deep/store/orders/7-3/",
		"/deep/store/orders/7-3/../7-4",
		"/deep/store/orders/x/7-3",
		"/deep/store/orders/.tmp-7-3",
		"/deep/store/orders/7-",
		"/deep/store/orders/-3",
		"/deep/store/orders/7",
		"/deep/store/orders/ 7-3",
		"/deep/store/orders/7-3x",
		"/deep/store/.hidden/7-3",
		"/deep/store/orders/1234567890123456789012-1234567890123456789012",
	};
	char url[PATH_MAX];

	(void)state;
	mkdir(at("outside"), 0700);
	mkdir(at("outside/orders"), 0700);
	write_text(at("outside/orders/7-3"), "abc");
	free(put("abc", 7, 3));
	write_text(at("deep/store/orders/.tmp-7-3"), "abc");
	write_text(at("deep/store/7-3"), "abc");
	write_text(at("deep/7-3"), "abc");
	for (size_t i = 0; i < sizeof(tricks) / sizeof(tricks[0]); i++) {
		snprintf(url, sizeof(url), "file://%s%s", scratch, tricks[i]);
		if (get(url, 3, SHA_ABC) == 0 || store_delete(store, url, &err) == 0)
			fail_msg("accepted %s", url);
	}
	snprintf(url, sizeof(url), "http://%s/deep/store/orders/7-3", scratch);
	assert_int_equal(store_delete(store, url, &err), -1);
	assert_text(at("outside/orders/7-3"), "abc");
	assert_text(at("deep/store/orders/7-3"), "abc");
	assert_text(at("deep/store/7-3"), "abc");
	assert_text(at("deep/7-3"), "abc");
}

static void test_links_in_the_store_are_not_followed(void **state)
{
	char *url = put("abc", 7, 3);

	(void)state;
	mkdir(at("outside"), 0700);
	write_text(at("outside/7-3"), "abc");
	unlink(at("deep/store/orders/7-3"));
	assert_int_equal(symlink(at("outside/7-3"), at("deep/store/orders/7-3")), 0);
	assert_int_equal(get(url, 3, SHA_ABC), -1);
	remove_tree(at("deep/store/orders"));
	assert_int_equal(symlink(at("outside"), at("deep/store/orders")), 0);
	assert_int_equal(get(url, 3, SHA_ABC), -1);
	assert_int_equal(store_delete(store, url, &err), -1);
	assert_null(put("abc", 7, 4));
	assert_int_equal(count(at("outside"), ""), 1);
	free(url);
}

static void test_job_names_are_checked(void **state)
{
	static const char *const bad[] = { "", ".", "..", "../x", "a/b", "/etc", ".hidden" };
	char sha256[RECORD_SHA_LEN + 1];
	char *url = NULL;
	int fd = file_with("abc", 3);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(store_put(store, bad[i], 1, 1, fd, 3, &url, sha256, &err), -1);
	assert_int_equal(count(at("deep/store"), ""), 0);
	close(fd);
}

static void test_bad_store_urls(void **state)
{
	static const char *const bad[] = { "", "/var/lib", "s3://bucket/x", "file://", "file:///",
		"file://host/dir", "file:/dir", "FILE:///dir" };
	char url[PATH_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(store_open(bad[i], &place, &err));
		assert_says("file:///DIRECTORY");
	}
	snprintf(url, sizeof(url), "file:///%0*d", RECORD_URL_MAX - 80, 0);
	assert_null(store_open(url, &place, &err));
	assert_says("too long");
}

/* Away at first, it is made as soon as it can be. */
static void test_a_store_that_is_away(void **state)
{
	char dir[PATH_MAX / 2], url[PATH_MAX];
	const struct store_place there = { scratch, dir };
	char *blob;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/plain/store", scratch);
	write_text(at("plain"), "a file");
	snprintf(url, sizeof(url), "file://%s/more", dir);
	store_close(store);
	store = store_open(url, &there, &err);
	assert_non_null(store);
	assert_int_equal(store_prepare(store, &err), -1);
	assert_says("plain");
	assert_null(put("abc", 7, 3));
	assert_int_not_equal(err.code, 0); /* that is worth another try */
	assert_int_equal(unlink(at("plain")), 0);
	blob = put("abc", 7, 3);
	assert_non_null(blob);
	assert_text(at("plain/store/more/orders/7-3"), "abc");
	assert_int_equal(access(at("plain/store/.graceful"), F_OK), 0);
	free(blob);
}

/* An empty disk in its place, or another one. */
static void test_another_one_in_its_place(void **state)
{
	char *blob = put("abc", 7, 3);
	int fd = file_with("", 0);

	(void)state;
	assert_non_null(blob);
	write_text(at("deep/.graceful"), "0123456789abcdef0123456789abcdef\n");
	assert_null(put("abc", 7, 4));
	assert_says("is not the directory that was used before");
	assert_int_not_equal(err.code, 0);
	assert_int_equal(store_get(store, blob, 3, SHA_ABC, fd, &err), -1);
	assert_says("is not the directory that was used before");
	assert_int_equal(store_delete(store, blob, &err), -1);
	assert_int_equal(sweep(9, NULL), -1);
	assert_text(at("deep/store/orders/7-3"), "abc");
	assert_int_equal(count(at("deep/store/orders"), ""), 1);
	close(fd);
	free(blob);
}

/* Whichever step of a put fails, it says so and leaves nothing; then it works again. */
static void test_a_failed_put_leaves_nothing(void **state)
{
	int failures = 0;
	char *url;

	(void)state;
	for (int n = 1;; n++) {
		fail_fsync = n;
		url = put("abc", 7, 3);
		if (url != NULL)
			break;
		failures++;
		assert_says("cannot sync");
		assert_says("Input/output error");
		assert_int_equal(count(at("deep/store/orders"), ""), 0);
	}
	/* The store's directory, the file, the job's directory. */
	assert_int_equal(failures, 3);
	fail_fsync = 0;
	free(url);
	fail_renameat = 1;
	assert_null(put("abc", 7, 4));
	assert_says("cannot rename");
	assert_int_equal(count(at("deep/store/orders"), ""), 1);
	assert_text(at("deep/store/orders/7-3"), "abc");
}

static void test_a_file_size_limit(void **state)
{
	char sha256[RECORD_SHA_LEN + 1];
	static char large[100000];
	char *url = NULL;
	int fd = file_with(large, sizeof(large));
	int rc;

	(void)state;
	limit_file_size(50000);
	rc = store_put(store, "orders", 1, 1, fd, sizeof(large), &url, sha256, &err);
	limit_file_size(RLIM_INFINITY);
	assert_int_equal(rc, -1);
	assert_says("File too large");
	assert_says("deep/store/orders");
	assert_int_equal(count(at("deep/store/orders"), ""), 0);
	close(fd);
}

static struct store *store_on_small(void)
{
	char url[PATH_MAX];

	mount_small("small");
	snprintf(url, sizeof(url), "file://%s/small", scratch);
	store_close(store);
	store = store_open(url, &place, &err);
	return store;
}

static void test_a_full_disk(void **state)
{
	char sha256[RECORD_SHA_LEN + 1];
	static char large[100000];
	char *url;
	int fd;

	(void)state;
	assert_non_null(store_on_small());
	fd = file_with(large, sizeof(large));
	assert_int_equal(
	    store_put(store, "orders", 1, 1, fd, sizeof(large), &url, sha256, &err), -1);
	close(fd);
	assert_says("No space left on device");
	assert_int_equal(err.code, ENOSPC);
	assert_int_equal(count(at("small/orders"), ""), 0);
	url = put("abc", 1, 2);
	assert_non_null(url);
	free(url);
}

static void test_a_read_only_disk(void **state)
{
	char *url;

	(void)state;
	assert_non_null(store_on_small());
	url = put("abc", 1, 1);
	make_read_only("small");
	assert_null(put("abc", 1, 2));
	assert_says("Read-only file system");
	assert_int_equal(get(url, 3, SHA_ABC), 0);
	assert_int_equal(store_delete(store, url, &err), -1);
	assert_says("Read-only file system");
	free(url);
}

static void test_left_overs_of_the_dead_are_swept(void **state)
{
	(void)state;
	free(put("abc", 7, 3));
	write_text(at("deep/store/orders/.tmp-6-9"), "a killed worker's");
	write_text(at("deep/store/orders/.tmp-7-4"), "its successor's");
	write_text(at("deep/store/orders/.tmp-7-5"), "of the put after this one, which hung");
	write_text(at("deep/store/orders/.tmp-10-1"), "a newer owner's");
	write_text(at("deep/store/orders/.tmp-notes"), "a person's");
	free(put("abc", 7, 4));
	assert_false(is_there(at("deep/store/orders/.tmp-6-9")));
	assert_false(is_there(at("deep/store/orders/.tmp-7-4")));
	assert_true(is_there(at("deep/store/orders/.tmp-7-5")));
	assert_true(is_there(at("deep/store/orders/.tmp-10-1")));
	assert_true(is_there(at("deep/store/orders/.tmp-notes")));
	assert_text(at("deep/store/orders/7-3"), "abc");
}

/* An owner that lost the lock may still be copying when the new one begins. */
static void steal_temp(void)
{
	before_renameat = NULL;
	unlink(at("deep/store/orders/.tmp-7-3"));
}

/* There is no more to be had from it. */
static void test_a_file_system_that_syncs_no_directory(void **state)
{
	char *url;

	(void)state;
	no_dir_sync = true;
	url = put("abc", 7, 3);
	assert_non_null(url);
	assert_int_equal(get(url, 3, SHA_ABC), 0);
	free(url);
}

static void test_a_put_that_was_swept_fails(void **state)
{
	(void)state;
	before_renameat = steal_temp;
	assert_null(put("abc", 7, 3));
	assert_says("cannot rename");
	assert_int_equal(count(at("deep/store/orders"), ""), 0);
}

static void test_what_earlier_owners_left_is_swept(void **state)
{
	char *kept = put("kept", 5, 9);

	(void)state;
	free(put("a", 5, 10));
	free(put("b", 6, 11));
	free(put("c", 7, 11));
	free(put("d", 8, 12));
	write_text(at("deep/store/orders/.tmp-6-9"), "half");
	write_text(at("deep/store/orders/.tmp-7-9"), "ours");
	write_text(at("deep/store/orders/notes"), "a person's");
	write_text(at("deep/store/orders/5-9.bak"), "a person's");
	assert_int_equal(sweep(7, kept), 0);
	assert_false(is_there(at("deep/store/orders/5-10")));
	assert_false(is_there(at("deep/store/orders/6-11")));
	assert_false(is_there(at("deep/store/orders/.tmp-6-9")));
	assert_text(at("deep/store/orders/5-9"), "kept");
	assert_text(at("deep/store/orders/7-11"), "c");
	assert_text(at("deep/store/orders/8-12"), "d");
	assert_int_equal(count(at("deep/store/orders"), ""), 6);
	free(kept);
}

static void test_what_this_owner_left_is_swept(void **state)
{
	char *kept = put("kept", 7, 10);

	(void)state;
	free(put("a", 6, 99));
	free(put("b", 7, 9));
	free(put("c", 7, 11));
	free(put("d", 7, 12));
	free(put("e", 8, 1));
	write_text(at("deep/store/orders/.tmp-7-10"), "half");
	assert_int_equal(
	    store_sweep(store, "orders", (struct blob_number){ 7, 12 }, kept, &err), 0);
	assert_text(at("deep/store/orders/7-10"), "kept");
	assert_text(at("deep/store/orders/7-12"), "d");
	assert_text(at("deep/store/orders/8-1"), "e");
	assert_int_equal(count(at("deep/store/orders"), ""), 3);
	free(kept);
}

static void test_a_sweep_without_a_blob_to_keep(void **state)
{
	(void)state;
	assert_int_equal(sweep(7, NULL), 0); /* there is no directory yet */
	free(put("a", 5, 10));
	assert_int_equal(sweep(7, NULL), 0);
	assert_int_equal(count(at("deep/store/orders"), ""), 0);
}

static void test_a_sweep_of_the_wrong_store_removes_nothing(void **state)
{
	(void)state;
	free(put("a", 5, 10));
	assert_int_equal(sweep(7, "file:///elsewhere/orders/5-10"), -1);
	assert_says("is not in this store");
	assert_text(at("deep/store/orders/5-10"), "a");
	assert_int_equal(store_sweep(store, "..", (struct blob_number){ 7, 0 }, NULL, &err), -1);
	assert_says("no job name");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_put_and_get),
		TEST(test_a_store_that_others_may_write_is_told),
		TEST(test_new_directories_are_synced_once),
		TEST(test_all_of_a_large_one_is_copied_from_its_start),
		TEST(test_an_empty_one),
		TEST(test_a_source_of_another_length_is_refused),
		TEST(test_a_put_replaces_nothing),
		TEST(test_a_put_that_fails_replaces_nothing),
		TEST(test_delete),
		TEST(test_a_missing_blob_says_what_to_do),
		TEST(test_a_damaged_blob_is_refused),
		TEST(test_urls_outside_are_refused),
		TEST(test_links_in_the_store_are_not_followed),
		TEST(test_job_names_are_checked),
		TEST(test_bad_store_urls),
		TEST(test_a_store_that_is_away),
		TEST(test_another_one_in_its_place),
		TEST(test_a_failed_put_leaves_nothing),
		TEST(test_a_file_size_limit),
		TEST(test_a_full_disk),
		TEST(test_a_read_only_disk),
		TEST(test_left_overs_of_the_dead_are_swept),
		TEST(test_a_file_system_that_syncs_no_directory),
		TEST(test_a_put_that_was_swept_fails),
		TEST(test_what_earlier_owners_left_is_swept),
		TEST(test_what_this_owner_left_is_swept),
		TEST(test_a_sweep_without_a_blob_to_keep),
		TEST(test_a_sweep_of_the_wrong_store_removes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
