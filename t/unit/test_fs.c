/*
 * Files: made, read and replaced whole, on disks that fail and among things that are no files.
 */
#include "child_test.h"
#include "state_test.h"

#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/vfs.h>

#include "base/fs.h"

static int set_up(void **state)
{
	(void)state;
	umask(022);
	return scratch_make();
}

static int tear_down(void **state)
{
	(void)state;
	umask(022);
	return scratch_remove("small");
}

static mode_t mode_of(const char *name)
{
	return stat_of(at(name)).st_mode & 07777;
}

/* Directories */

static void test_missing_directories_are_made(void **state)
{
	(void)state;
	umask(077);
	assert_int_equal(fs_mkdirs(at("a/b/c"), 0750, &err), 0);
	assert_int_equal(mode_of("a/b/c"), 0750);
	assert_int_equal(mode_of("a"), 0755); /* others must be able to pass */
	assert_int_equal(fs_mkdirs(at("a/b/d/"), 0711, &err), 0);
	assert_int_equal(mode_of("a/b/d"), 0711);
	assert_int_equal(fs_mkdirs(at("a//e///f//"), 0700, &err), 0);
	assert_int_equal(mode_of("a/e"), 0755);
	assert_int_equal(mode_of("a/e/f"), 0700);
}

static void test_existing_directories_stay_as_they_are(void **state)
{
	(void)state;
	assert_int_equal(fs_mkdirs(at("a"), 0700, &err), 0);
	assert_int_equal(fs_mkdirs(at("a"), 0755, &err), 0);
	assert_int_equal(fs_mkdirs(at("a/"), 0755, &err), 0);
	assert_int_equal(mode_of("a"), 0700);
	assert_int_equal(fs_mkdirs("/", 0700, &err), 0);
	assert_int_equal(symlink("a", at("link")), 0);
	assert_int_equal(fs_mkdirs(at("link/b"), 0755, &err), 0);
	assert_true(is_there(at("a/b")));
}

static void test_directories_that_cannot_be(void **state)
{
	char path[PATH_MAX + 10];

	(void)state;
	write_text(at("file"), "x");
	assert_int_equal(fs_mkdirs(at("file"), 0755, &err), -1);
	assert_int_equal(err.code, ENOTDIR);
	assert_says(at("file"));
	assert_says("move it away");
	assert_int_equal(fs_mkdirs(at("file/b"), 0755, &err), -1);
	assert_int_equal(err.code, ENOTDIR);
	assert_int_equal(symlink("nowhere", at("dangling")), 0);
	assert_int_equal(fs_mkdirs(at("dangling"), 0755, &err), -1);
	assert_says("move it away");
	assert_int_equal(fs_mkdirs("", 0755, &err), -1);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	path[0] = '/';
	assert_int_equal(fs_mkdirs(path, 0755, &err), -1);
	assert_int_equal(err.code, ENAMETOOLONG);
}

/* As on a server that does not answer: there may be a directory, and all that is in it. */
static void test_a_directory_that_cannot_be_seen(void **state)
{
	char name[NAME_MAX + 2];

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(symlink(name, at("link")), 0);
	assert_int_equal(fs_mkdirs(at("link"), 0755, &err), -1);
	assert_int_equal(err.code, ENAMETOOLONG);
	assert_says("cannot use");
}

static void test_directories_on_a_read_only_disk(void **state)
{
	(void)state;
	mount_small("small");
	assert_int_equal(fs_mkdirs(at("small/there"), 0755, &err), 0);
	make_read_only("small");
	assert_int_equal(fs_mkdirs(at("small/there"), 0755, &err), 0);
	assert_int_equal(fs_mkdirs(at("small/a/b"), 0755, &err), -1);
	assert_int_equal(err.code, EROFS);
	assert_says(at("small/a"));
}

/* Reading */

static void assert_read(const char *path, size_t max, const char *text)
{
	char *data = NULL;
	size_t len = 0;

	assert_int_equal(fs_read(path, max, &data, &len, &err), 0);
	assert_int_equal(len, strlen(text));
	assert_string_equal(data, text);
	free(data);
}

/* Refused, with a word on why and no descriptor left. */
static void assert_not_read(const char *path, size_t max, const char *why)
{
	int before = count_fds();
	char *data;
	size_t len;

	assert_int_equal(fs_read(path, max, &data, &len, &err), -1);
	assert_says(path);
	assert_says(why);
	assert_int_equal(count_fds(), before);
}

static void test_a_file_is_read(void **state)
{
	int before = count_fds();

	(void)state;
	write_text(at("file"), "0123456789");
	assert_read(at("file"), 10, "0123456789");
	assert_read(at("file"), 1000000, "0123456789");
	assert_read(at("file"), SIZE_MAX / 2, "0123456789");
	write_text(at("empty"), "");
	assert_read(at("empty"), 0, "");
	assert_read(at("empty"), 10, "");
	assert_int_equal(count_fds(), before);
}

static void test_a_large_file_is_read_whole(void **state)
{
	size_t len = 300000, got;
	char *data = malloc(len), *back;

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i * 7 % 251);
	write_file(at("file"), data, len);
	assert_int_equal(fs_read(at("file"), len, &back, &got, &err), 0);
	assert_int_equal(got, len);
	assert_memory_equal(back, data, len);
	assert_int_equal(back[len], '\0');
	free(data);
	free(back);
}

static void test_a_file_that_is_too_large(void **state)
{
	(void)state;
	write_text(at("file"), "0123456789");
	assert_not_read(at("file"), 9, "larger than 9 bytes");
	assert_not_read(at("file"), 0, "larger than 0 bytes");
}

/* Says that it is empty, and is not: as a file does that grows while it is read. */
static void test_a_file_that_says_it_is_smaller(void **state)
{
	char *data = NULL;
	size_t len;

	(void)state;
	if (access("/proc/self/smaps", R_OK) != 0)
		skip();
	assert_int_equal(fs_read("/proc/self/smaps", 1 << 24, &data, &len, &err), 0);
	assert_true(len > 10000);
	assert_int_equal(strlen(data), len);
	free(data);
	assert_not_read("/proc/self/smaps", 9999, "larger than 9999 bytes");
}

static void test_what_is_no_file_is_not_read(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_not_read(at("missing"), 10, "No such file");
	assert_int_equal(err.code, ENOENT);
	assert_not_read(scratch, 10, "Is a directory");
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	assert_not_read(at("fifo"), 10, "not a regular file"); /* and does not wait for a writer */
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", at("socket"));
	assert_int_equal(bind(fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_not_read(at("socket"), 10, "cannot open");
	assert_not_read("/dev/null", 10, "not a regular file");
	close(fd);
}

/* Replacing */

static int replace(const char *name, const char *text, bool durable)
{
	return fs_replace(at(name), text, strlen(text), 0640, durable, &err);
}

/* It failed with that errno, the old file is whole, and there is nothing else. */
static void assert_kept(const char *dir, const char *name, int code)
{
	assert_int_equal(err.code, code);
	assert_text(at(name), "old");
	assert_int_equal(count(at(dir), ""), 1);
}

static void test_a_file_is_replaced(void **state)
{
	int before = count_fds();
	char text[4] = "";
	int fd;

	(void)state;
	umask(077);
	assert_int_equal(replace("file", "old", true), 0);
	assert_text(at("file"), "old");
	assert_int_equal(mode_of("file"), 0640);
	fd = open(at("file"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(replace("file", "newer", false), 0);
	assert_text(at("file"), "newer");
	assert_int_equal(read(fd, text, 3), 3); /* who has it open goes on reading the old one */
	assert_string_equal(text, "old");
	close(fd);
	assert_int_equal(replace("file", "", false), 0);
	assert_text(at("file"), "");
	assert_int_equal(count(scratch, ""), 1);
	assert_int_equal(count_fds(), before);
}

static void test_only_the_durable_is_synced(void **state)
{
	(void)state;
	fail_fsync = 1;
	assert_int_equal(replace("file", "x", false), 0);
	assert_int_equal(fail_fsync, 1);
	fail_fsync = 3; /* the file and its directory, and no third time */
	assert_int_equal(replace("file", "x", true), 0);
	assert_int_equal(fail_fsync, 1);
}

static void test_a_file_that_cannot_be_synced(void **state)
{
	(void)state;
	write_text(at("file"), "old");
	fail_fsync = 1;
	assert_int_equal(replace("file", "new", true), -1);
	assert_kept("", "file", EIO);
	assert_says("file.tmp");
}

/* The new file may or may not survive a power cut, so this is no success. */
static void test_a_directory_that_cannot_be_synced(void **state)
{
	(void)state;
	write_text(at("file"), "old");
	fail_fsync = 2;
	assert_int_equal(replace("file", "new", true), -1);
	assert_says("cannot sync directory");
	assert_int_equal(count(scratch, ""), 1);
}

static void test_a_full_disk(void **state)
{
	size_t len = 1 << 20;
	char *much = calloc(1, len);

	(void)state;
	mount_small("small");
	assert_non_null(much);
	write_text(at("small/file"), "old");
	assert_int_equal(fs_replace(at("small/file"), much, len, 0600, true, &err), -1);
	assert_kept("small", "small/file", ENOSPC);
	assert_says("small/file.tmp");
	free(much);
}

static void test_a_file_size_limit(void **state)
{
	(void)state;
	write_text(at("file"), "old");
	limit_file_size(4);
	assert_int_equal(replace("file", "longer", false), -1);
	assert_kept("", "file", EFBIG);
}

static void test_a_read_only_disk(void **state)
{
	(void)state;
	mount_small("small");
	write_text(at("small/file"), "old");
	make_read_only("small");
	assert_int_equal(replace("small/file", "new", true), -1);
	assert_kept("small", "small/file", EROFS);
}

static void replace_elsewhere(void)
{
	become_nobody();
	CHECK(replace("closed/file", "new", false) == -1);
	CHECK(err.code == EACCES);
}

static void test_a_directory_without_permission(void **state)
{
	(void)state;
	assert_int_equal(chmod(scratch, 0755), 0);
	assert_int_equal(mkdir(at("closed"), 0555), 0);
	in_child(replace_elsewhere);
	assert_int_equal(count(at("closed"), ""), 0);
}

static void test_a_directory_in_the_place_of_the_file(void **state)
{
	(void)state;
	assert_int_equal(mkdir(at("file"), 0755), 0);
	assert_int_equal(replace("file", "new", false), -1);
	assert_says("cannot replace");
	assert_int_equal(count(scratch, ""), 1);
	assert_int_equal(replace("no/where", "new", false), -1);
	assert_int_equal(err.code, ENOENT);
}

static void test_a_path_that_is_too_long(void **state)
{
	char path[PATH_MAX];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(fs_replace(path, "x", 1, 0600, false, &err), -1);
	assert_int_equal(err.code, ENAMETOOLONG);
}

/* Whatever a crash or somebody else left under the name of the temporary file. */
static void test_left_overs_are_in_nobodys_way(void **state)
{
	(void)state;
	write_text(at("other"), "precious");
	write_text(at("file.tmp"), "left over, and longer");
	assert_int_equal(chmod(at("file.tmp"), 0), 0);
	assert_int_equal(replace("file", "1", false), 0);
	assert_text(at("file"), "1");
	assert_int_equal(symlink("other", at("file.tmp")), 0);
	assert_int_equal(replace("file", "2", false), 0);
	assert_text(at("file"), "2");
	assert_int_equal(link(at("other"), at("file.tmp")), 0);
	assert_int_equal(replace("file", "3", false), 0);
	assert_text(at("file"), "3");
	assert_int_equal(mkfifo(at("file.tmp"), 0600), 0);
	assert_int_equal(replace("file", "4", false), 0); /* and waits for no reader */
	assert_text(at("file"), "4");
	assert_text(at("other"), "precious");
	assert_int_equal(count(scratch, ""), 2);
}

static void test_syncing_a_directory(void **state)
{
	(void)state;
	assert_int_equal(fs_sync_dir_of(at("anything"), &err), 0);
	assert_int_equal(fs_sync_dir_of("in-the-working-directory", &err), 0);
	assert_int_equal(fs_sync_dir_of("/in-the-root", &err), 0);
	assert_int_equal(fs_sync_dir_of("/proc/uptime", &err), 0); /* there is nothing to sync */
	assert_int_equal(fs_sync_dir_of(at("no/where"), &err), -1);
	assert_int_equal(err.code, ENOENT);
	write_text(at("file"), "");
	assert_int_equal(fs_sync_dir_of(at("file/x"), &err), -1);
}

/* Descriptors */

static int go[2]; /* a byte: read now */

/* The writer waits at a full pipe until it was interrupted a few times: then the reader begins. */
static void interrupt(int signo)
{
	static int times;
	ssize_t ignored = 0;

	(void)signo;
	if (++times == 5)
		ignored = write(go[1], "x", 1);
	(void)ignored;
}

static pid_t start_checker(const int pipe_fds[2], size_t len)
{
	pid_t pid = fork();
	size_t got = 0;
	ssize_t n;
	char buf[777];

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	close(pipe_fds[1]);
	close(go[1]);
	CHECK(read(go[0], buf, 1) == 1);
	while ((n = read(pipe_fds[0], buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++, got++)
			CHECK(buf[i] == (char)(got % 251));
	}
	CHECK(got == len);
	_exit(0);
}

static void test_all_is_written(void **state)
{
	const struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = { 0 };
	const struct sigaction act = { .sa_handler = interrupt }; /* without SA_RESTART */
	size_t len = 2000000;
	char *data = malloc(len);
	int fds[2];
	pid_t pid;

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i % 251);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pipe(go), 0);
	pid = start_checker(fds, len);
	close(fds[0]);
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	assert_int_equal(fs_write_all(fds[1], data, len, &err), 0);
	setitimer(ITIMER_REAL, &never, NULL);
	close(fds[1]);
	assert_int_equal(wait_for(pid), 0);
	assert_int_equal(fs_write_all(fds[1], data, 1, &err), -1);
	assert_int_equal(err.code, EBADF);
	close(go[0]);
	close(go[1]);
	free(data);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool old_kernel;

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the names are reserved */
int close_range(unsigned first, unsigned last, int flags)
{
	if (!old_kernel)
		return (int)syscall(SYS_close_range, first, last, flags);
	errno = ENOSYS;
	return -1;
}

static void close_all_but_three(void)
{
	const int keep[] = { 60, -1, 5, 300, 1 };

	for (int fd = 3; fd < 400; fd++)
		CHECK(dup2(0, fd) == fd);
	fs_close_others(keep, 5);
	for (int fd = 0; fd < 1000; fd++)
		CHECK(is_open(fd) == (fd < 3 || fd == 5 || fd == 60 || fd == 300));
}

static void close_all(void)
{
	for (int fd = 3; fd < 400; fd++)
		CHECK(dup2(0, fd) == fd);
	fs_close_others(NULL, 0);
	for (int fd = 0; fd < 1000; fd++)
		CHECK(is_open(fd) == (fd < 3));
}

static uint32_t file_system; /* what everything is on; 0: what it is on */

int statfs(const char *file, struct statfs *buf)
{
	int rc = (int)syscall(SYS_statfs, file, buf);

	if (rc == 0 && file_system != 0)
		buf->f_type = file_system;
	return rc;
}

static void test_locks_on_network_file_systems(void **state)
{
	static const struct {
		uint32_t magic;
		const char *name;
	} known[] = { { NFS_SUPER_MAGIC, "(NFS)" }, { SMB2_SUPER_MAGIC, "(SMB)" },
		{ CIFS_SUPER_MAGIC, "(SMB)" }, { CEPH_SUPER_MAGIC, "(Ceph)" },
		{ AFS_FS_MAGIC, "(AFS)" }, { V9FS_MAGIC, "(9P)" } };

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		file_system = known[i].magic;
		assert_int_equal(fs_keeps_locks(at(""), &err), -1);
		assert_says(known[i].name);
	}
	assert_int_equal(fs_keeps_locks(at("missing"), &err), 0);
	file_system = TMPFS_MAGIC;
	assert_int_equal(fs_keeps_locks(at(""), &err), 0);
	file_system = 0;
}

static void test_closing_the_others(void **state)
{
	(void)state;
	in_child(close_all_but_three);
	in_child(close_all);
	old_kernel = true;
	in_child(close_all_but_three);
	in_child(close_all);
	old_kernel = false;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_missing_directories_are_made),
		TEST(test_existing_directories_stay_as_they_are),
		TEST(test_directories_that_cannot_be),
		TEST(test_a_directory_that_cannot_be_seen),
		TEST(test_directories_on_a_read_only_disk),
		TEST(test_a_file_is_read),
		TEST(test_a_large_file_is_read_whole),
		TEST(test_a_file_that_is_too_large),
		TEST(test_a_file_that_says_it_is_smaller),
		TEST(test_what_is_no_file_is_not_read),
		TEST(test_a_file_is_replaced),
		TEST(test_only_the_durable_is_synced),
		TEST(test_a_file_that_cannot_be_synced),
		TEST(test_a_directory_that_cannot_be_synced),
		TEST(test_a_full_disk),
		TEST(test_a_file_size_limit),
		TEST(test_a_read_only_disk),
		TEST(test_a_directory_without_permission),
		TEST(test_a_directory_in_the_place_of_the_file),
		TEST(test_a_path_that_is_too_long),
		TEST(test_left_overs_are_in_nobodys_way),
		TEST(test_syncing_a_directory),
		TEST(test_all_is_written),
		TEST(test_locks_on_network_file_systems),
		TEST(test_closing_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
