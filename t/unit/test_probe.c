/*
 * What graceful check tries as the job's user, without putting itself into that user's hands.
 */
#include "child_test.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "cli/probe.h"

static char name[] = "nobody", cwd[] = "/", program[] = "/bin/true";
static char run_dir[] = "/run", work_dir[] = "/var";
static char *command[] = { program, NULL };
static gid_t groups[] = { NOBODY };
static struct conf conf = { .run_dir = run_dir, .work_dir = work_dir };
static struct job_conf job = { .argv = command,
	.user_name = name,
	.cwd = cwd,
	.switch_user = true,
	.uid = NOBODY,
	.gid = NOBODY,
	.groups = groups,
	.n_groups = 1 };

/* Another process of that user: what it gets when it would signal the one that tries. */
static void signal_parent(void)
{
	CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0);
	CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
	_exit(kill(getppid(), 0) == 0 ? 0 : errno);
}

static bool is_asked; /* in the middle */

int chdir(const char *path)
{
	int status = 0;
	pid_t pid = is_asked ? fork() : -1;

	if (pid == 0)
		signal_parent();
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		;
	if (pid < 0)
		return (int)syscall(SYS_chdir, path);
	errno = WEXITSTATUS(status);
	return -1;
}

static void probe(struct probe_job *found)
{
	struct err e = { 0 };

	assert_int_equal(probe_job(&conf, &job, found, &e), 0);
	assert_int_equal(found->user, 0);
}

static void test_the_user_cannot_stop_it(void **state)
{
	struct probe_job found;

	(void)state;
	if (geteuid() != 0)
		skip();
	is_asked = true;
	probe(&found);
	is_asked = false;
	assert_int_equal(found.cwd, EPERM);
}

static void look_where_only_root_may(void)
{
	static char dir[64], file[80];
	struct probe_job found;

	snprintf(dir, sizeof(dir), "/tmp/graceful-probe-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/program", dir);
	fclose(fopen(file, "w"));
	job.cwd = conf.work_dir = dir;
	command[0] = file;
	probe(&found);
	assert_int_equal(found.cwd, EACCES);
	assert_int_equal(found.work_dir, EACCES);
	assert_int_equal(found.command, EACCES);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(chmod(file, 0700), 0);
	probe(&found);
	assert_int_equal(found.cwd, 0);
	assert_int_equal(found.work_dir, 0);
	assert_int_equal(found.command, EACCES);
	/* Nor may its group, which root's is not. */
	assert_int_equal(chown(file, NOBODY, NOBODY), 0);
	assert_int_equal(chmod(file, 0601), 0);
	probe(&found);
	assert_int_equal(found.command, EACCES);
	assert_int_equal(chown(file, 0, NOBODY), 0);
	probe(&found);
	assert_int_equal(found.command, EACCES);
	assert_int_equal(chmod(file, 0610), 0);
	probe(&found);
	assert_int_equal(found.command, 0);
	unlink(file);
	rmdir(dir);
}

static void test_what_only_root_may(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	look_where_only_root_may();
}

/* As a master that was started by nice(1). */
static void ask_for_more(void)
{
	struct job_conf mine = { .argv = command, .user_name = name, .cwd = cwd };
	struct probe_job found;
	struct rlimit none = { 0, 0 };
	struct err e = { 0 };

	CHECK(setrlimit(RLIMIT_NICE, &none) == 0);
	become_nobody();
	CHECK(getpriority(PRIO_PROCESS, 0) >= 10 || setpriority(PRIO_PROCESS, 0, 10) == 0);
	mine.nice = getpriority(PRIO_PROCESS, 0) - 1;
	CHECK(probe_job(&conf, &mine, &found, &e) == 0);
	CHECK(found.nice != 0);
	mine.nice = 19;
	CHECK(probe_job(&conf, &mine, &found, &e) == 0);
	CHECK(found.nice == 0);
}

static void test_a_priority_that_is_higher_than_ours(void **state)
{
	(void)state;
	in_child(ask_for_more);
}

/* All that is left is kept for root. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the names are reserved */
int statvfs(const char *path, struct statvfs *fs)
{
	(void)path;
	*fs = (struct statvfs){ .f_blocks = 100, .f_bfree = 5, .f_files = 100, .f_ffree = 100 };
	fs->f_favail = fs->f_ffree;
	return 0;
}

static void test_a_disk_that_is_full_for_users(void **state)
{
	struct err e = { 0 };
	struct stat st;
	dev_t disk;

	(void)state;
	assert_int_equal(probe_room("/", &disk, &e), -1);
	assert_non_null(strstr(e.text, "is full"));
	assert_int_equal(stat("/", &st), 0);
	assert_int_equal(disk, st.st_dev);
}

/* As before Linux 5.8. For good: nothing that needs it may come after this. */
static void forget_faccessat2(void)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_faccessat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(steps) / sizeof(steps[0]), steps };

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
		skip();
}

static void test_what_only_root_may_on_an_old_kernel(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	forget_faccessat2();
	look_where_only_root_may();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_user_cannot_stop_it),
		cmocka_unit_test(test_what_only_root_may),
		cmocka_unit_test(test_a_priority_that_is_higher_than_ours),
		cmocka_unit_test(test_a_disk_that_is_full_for_users),
		cmocka_unit_test(test_what_only_root_may_on_an_old_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
