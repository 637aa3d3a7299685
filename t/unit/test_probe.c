/*
 * What graceful check tries as the job's user, without putting itself into that user's hands.
 */
#include "child_test.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
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

static void test_what_only_root_may(void **state)
{
	static char dir[] = "/tmp/graceful-probe-XXXXXX", file[64];
	struct probe_job found;

	(void)state;
	if (geteuid() != 0)
		skip();
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
	assert_int_equal(chmod(file, 0755), 0);
	probe(&found);
	assert_int_equal(found.command, 0);
	unlink(file);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_user_cannot_stop_it),
		cmocka_unit_test(test_what_only_root_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
