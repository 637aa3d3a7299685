/*
 * Starting a job: what it finds when it begins, whatever its parent looks like; and what is said
 * when it cannot begin. The jobs are small programs that print what they see.
 */
#include "child_test.h"
#include "state_test.h"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/sig.h"
#include "job/spawn.h"

static char *command[4];
static char *no_env[] = { NULL };
static gid_t groups[] = { 12, 34 };
static char user_name[] = "nobody", home[] = "/nonexistent", cwd[] = "/";
static struct job_conf job;
static struct spawn_facts facts;

/* Memory: allocations of the environment that still work; negative: all */

static int until_failure = -1;

static bool is_scarce(void)
{
	if (until_failure > 0)
		until_failure--;
	return until_failure == 0;
}

int asprintf(char **ptr, const char *fmt, ...)
{
	va_list ap;
	int rc;

	if (is_scarce())
		return -1;
	va_start(ap, fmt);
	rc = vasprintf(ptr, fmt, ap);
	va_end(ap);
	return rc;
}

void *reallocarray(void *ptr, size_t nmemb, size_t size)
{
	return is_scarce() ? NULL : realloc(ptr, nmemb * size);
}

/* Descriptors that the child had when it was the job's user already; its memory is ours. */

static int had;
static bool is_stopped; /* there, as its user might do */

int chdir(const char *path)
{
	if (is_stopped)
		kill(getpid(), SIGSTOP);
	had = 0;
	for (int fd = 0; fd < 1024; fd++)
		had += fcntl(fd, F_GETFD) >= 0;
	return (int)syscall(SYS_chdir, path);
}

/* As Yama has it with a ptrace_scope of 2 or 3: nobody gets at the memory of another process. */
ssize_t process_vm_readv(pid_t pid, const struct iovec *lvec, unsigned long liovcnt,
    const struct iovec *rvec, unsigned long riovcnt, unsigned long flags)
{
	(void)pid, (void)lvec, (void)liovcnt, (void)rvec, (void)riovcnt, (void)flags;
	errno = EPERM;
	return -1;
}

static int set_up(void **state)
{
	(void)state;
	job = (struct job_conf){
		.name = "orders",
		.argv = command,
		.user_name = user_name,
		.home = home,
		.cwd = cwd,
		.umask = 022,
		.stop_signal = SIGINT,
	};
	facts = (struct spawn_facts){
		.instance = "web-1",
		.epoch = UINT64_MAX,
		.state_path = "/s/state",
		.restored = "clean",
		.notify_socket = "/r/notify",
	};
	return scratch_make();
}

static int tear_down(void **state)
{
	(void)state;
	return scratch_remove(NULL);
}

static void set_command(const char *path, const char *first, const char *second)
{
	const char *words[] = { path, first, second };

	for (int i = 0; i < 3; i++)
		command[i] = words[i] != NULL ? strdup(words[i]) : NULL;
}

static void free_command(void)
{
	for (int i = 0; i < 3; i++)
		free(command[i]);
	memset(command, 0, sizeof(command));
}

/* The environment */

static const char *value_of(char *const *env, const char *key)
{
	const char *found = NULL;
	size_t len = strlen(key);

	for (; *env != NULL; env++) {
		if (strncmp(*env, key, len) == 0 && (*env)[len] == '=') {
			assert_null(found); /* a second one would win in some programs */
			found = *env + len + 1;
		}
	}
	return found;
}

static size_t length_of(char *const *env)
{
	size_t n = 0;

	while (env != NULL && env[n] != NULL)
		n++;
	return n;
}

static char **make_env(void)
{
	char **env = spawn_env(&job, &facts, &err);

	assert_non_null(env);
	return env;
}

static void assert_value(char *const *env, const char *key, const char *value)
{
	const char *found = value_of(env, key);

	if (found == NULL)
		fail_msg("%s is missing", key);
	else
		assert_string_equal(found, value);
}

static void test_the_environment_is_built(void **state)
{
	char **env;

	(void)state;
	setenv("GRACEFUL_TEST_SECRET", "x", 1);
	job.watchdog = 30000;
	env = make_env();
	assert_int_equal(length_of(env), 12);
	assert_non_null(strstr(value_of(env, "PATH"), "/usr/bin:"));
	assert_value(env, "SHELL", "/bin/sh");
	assert_value(env, "HOME", home);
	assert_value(env, "USER", user_name);
	assert_value(env, "LOGNAME", user_name);
	assert_value(env, "GRACEFUL_JOB", "orders");
	assert_value(env, "GRACEFUL_INSTANCE", "web-1");
	assert_value(env, "GRACEFUL_STATE", "/s/state");
	assert_value(env, "GRACEFUL_RESTORED", "clean");
	assert_value(env, "GRACEFUL_EPOCH", "18446744073709551615");
	assert_value(env, "NOTIFY_SOCKET", "/r/notify");
	assert_value(env, "WATCHDOG_USEC", "30000000");
	spawn_env_free(env);
}

static void test_what_does_not_apply_is_left_out(void **state)
{
	char **env;

	(void)state;
	env = make_env();
	assert_null(value_of(env, "WATCHDOG_USEC"));
	spawn_env_free(env);
	job.watchdog = 30000;
	facts.notify_socket = NULL;
	env = make_env();
	assert_null(value_of(env, "NOTIFY_SOCKET"));
	assert_null(value_of(env, "WATCHDOG_USEC")); /* it could not answer */
	assert_int_equal(length_of(env), 10);
	spawn_env_free(env);
	spawn_env_free(NULL);
}

static void test_later_variables_win(void **state)
{
	char *passed[] = { (char[]){ "T_PASSED" }, (char[]){ "T_BOTH" }, (char[]){ "T_UNSET" },
		(char[]){ "HOME" }, (char[]){ "GRACEFUL_JOB" }, NULL };
	char *set[] = { (char[]){ "T_BOTH=set" }, (char[]){ "USER=root=x" }, (char[]){ "T_EMPTY=" },
		(char[]){ "GRACEFUL_EPOCH=1" }, (char[]){ "T_LONGER=1" }, (char[]){ "T_LONG=2" },
		NULL };
	char **env;

	(void)state;
	setenv("T_PASSED", "passed", 1);
	setenv("T_BOTH", "passed", 1);
	setenv("HOME", "/passed", 1);
	setenv("GRACEFUL_JOB", "passed", 1);
	unsetenv("T_UNSET");
	job.pass_env = passed;
	job.env = set;
	env = make_env();
	assert_value(env, "T_PASSED", "passed");
	assert_value(env, "T_BOTH", "set");
	assert_null(value_of(env, "T_UNSET"));
	assert_value(env, "HOME", "/passed");
	assert_value(env, "USER", "root=x");
	assert_value(env, "T_LONGER", "1");
	assert_value(env, "T_LONG", "2");
	assert_value(env, "LOGNAME", user_name);
	assert_value(env, "T_EMPTY", "");
	assert_value(env, "GRACEFUL_JOB", "orders");
	assert_value(env, "GRACEFUL_EPOCH", "18446744073709551615");
	spawn_env_free(env);
}

static void test_a_large_environment(void **state)
{
	char text[100][32];
	char *set[101] = { NULL };
	char **env;

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(text[i], sizeof(text[i]), "T_%d=%d", i, i);
		set[i] = text[i];
	}
	job.env = set;
	env = make_env();
	assert_int_equal(length_of(env), 111);
	assert_value(env, "T_99", "99");
	spawn_env_free(env);
}

/* Fails the nth allocation, for every n, until all is well: nothing half-built gets out. */
static void test_an_environment_without_memory(void **state)
{
	char **env = NULL;
	int n;

	(void)state;
	for (n = 1; env == NULL && n < 100; n++) {
		strcpy(err.text, "");
		until_failure = n;
		env = spawn_env(&job, &facts, &err);
		if (env == NULL)
			assert_says("out of memory");
	}
	until_failure = -1;
	assert_non_null(env);
	assert_int_equal(length_of(env), 11);
	spawn_env_free(env);
	if (n < 11)
		skip(); /* the compiler put a checked asprintf() in the place of ours */
}

/* What the job finds */

static msec patience = 600000;

static int spawn(const char *dir, char *const env[], int output_fd, pid_t *pid)
{
	return spawn_job(&job, dir, env, output_fd, clock_now() + patience, pid, &err);
}

/* Starts the command and returns all that it printed until it ended; *status as from waitpid(). */
static const char *run_job(char *const env[], int *status)
{
	static char text[16384];
	size_t len = 0;
	int fds[2];
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(spawn(NULL, env, fds[1], &pid), 0);
	close(fds[1]);
	while ((n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fds[0]);
	*status = wait_for(pid);
	return text;
}

static const char *output_of(const char *path, const char *first, const char *second)
{
	int status;
	const char *text;

	set_command(path, first, second);
	text = run_job(no_env, &status);
	assert_int_equal(status, 0);
	free_command();
	return text;
}

/* A field of /proc/PID/status, without the blanks in front, as if alone. */
static const char *field(const char *text, const char *name)
{
	static char value[256];
	const char *p = strstr(text, name);

	assert_non_null(p);
	p += strlen(name);
	p += strspn(p, "\t ");
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(p, "\n"), p);
	return value;
}

static void test_nothing_is_inherited(void **state)
{
	char *env[] = { (char[]){ "ONLY=this" }, NULL };
	int status;

	(void)state;
	set_command("/usr/bin/env", NULL, NULL);
	assert_string_equal(run_job(env, &status), "ONLY=this\n");
	assert_int_equal(status, 0);
	free_command();
}

static void test_only_three_descriptors(void **state)
{
	int low = dup(0), high = dup2(0, 700); /* neither is close-on-exec */

	(void)state;
	/* The next number is the one with which ls reads the directory. */
	assert_string_equal(output_of("/bin/ls", "/proc/self/fd", NULL), "0\n1\n2\n3\n");
	close(low);
	close(high);
	assert_string_equal(output_of("/bin/readlink", "/proc/self/fd/0", NULL), "/dev/null\n");
	assert_string_equal(output_of("/bin/sh", "-c", "echo out; echo err >&2"), "out\nerr\n");
}

static void start_with_bad_signals(void)
{
	const char *status;

	for (int s = 1; s <= SIGRTMAX; s++) {
		if (s != SIGCHLD)
			signal(s, SIG_IGN);
	}
	sig_block_all(NULL);
	status = output_of("/bin/cat", "/proc/self/status", NULL);
	CHECK(strcmp(field(status, "SigBlk:"), "0000000000000000") == 0);
	CHECK(strcmp(field(status, "SigIgn:"), "0000000000000000") == 0);
}

static void test_signals_are_at_their_default(void **state)
{
	(void)state;
	in_child(start_with_bad_signals);
}

static void test_a_session_of_its_own(void **state)
{
	const char *status = output_of("/bin/cat", "/proc/self/status", NULL);
	int pid = atoi(field(status, "\nPid:"));

	(void)state;
	assert_int_not_equal(pid, 0);
	assert_int_equal(atoi(field(status, "NSsid:")), pid);
	assert_int_equal(atoi(field(status, "NSpgid:")), pid);
	assert_int_equal(atoi(field(status, "PPid:")), getpid());
}

static void test_place_mask_and_limits(void **state)
{
	struct conf_limit limits[] = { { "nofile", RLIMIT_NOFILE, { 77, 99 } },
		{ "core", RLIMIT_CORE, { 0, 0 } } };
	char dir[PATH_MAX];
	const char *text;

	(void)state;
	assert_non_null(realpath(scratch, dir));
	job.cwd = dir;
	job.umask = 027;
	job.limits = limits;
	job.n_limits = 2;
	text = output_of("/bin/pwd", "-P", NULL);
	assert_memory_equal(text, dir, strlen(dir));
	assert_string_equal(
	    field(output_of("/bin/cat", "/proc/self/status", NULL), "Umask:"), "0027");
	text = field(output_of("/bin/cat", "/proc/self/limits", NULL), "Max open files");
	assert_non_null(strstr(text, "77"));
	assert_non_null(strstr(text, "99"));
	text = output_of("/usr/bin/nice", NULL, NULL);
	assert_int_equal(atoi(text), getpriority(PRIO_PROCESS, 0));
	job.nice = 11;
	assert_string_equal(output_of("/usr/bin/nice", NULL, NULL), "11\n");
}

static void be_nobody(void)
{
	job.switch_user = true;
	job.uid = NOBODY;
	job.gid = NOBODY - 1;
	job.groups = groups;
	job.n_groups = 2;
}

static void test_user_and_groups(void **state)
{
	const char *status;

	(void)state;
	if (geteuid() != 0)
		skip();
	be_nobody();
	status = output_of("/bin/cat", "/proc/self/status", NULL);
	assert_string_equal(field(status, "Uid:"), "65534\t65534\t65534\t65534");
	assert_string_equal(field(status, "\nGid:"), "65533\t65533\t65533\t65533");
	assert_string_equal(field(status, "Groups:"), "12 34 ");
	assert_string_equal(field(status, "CapEff:"), "0000000000000000");
	/* It can open its output by name, which a file of root's would refuse. */
	assert_string_equal(output_of("/bin/sh", "-c", "echo x >/dev/stdout"), "x\n");
	job.n_groups = 0; /* and none of root's */
	status = output_of("/bin/cat", "/proc/self/status", NULL);
	assert_string_equal(field(status, "Groups:"), "");
}

static int count_blocked(void)
{
	sigset_t mask;
	int n = 0;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int s = 1; s <= SIGRTMAX; s++)
		n += sigismember(&mask, s) == 1;
	return n;
}

/* Its user may stop it there, for ever; nobody must have to wait for what else it holds. */
static void test_what_it_holds_once_it_is_of_the_user(void **state)
{
	int low = dup(0);

	(void)state;
	if (geteuid() == 0)
		be_nobody();
	output_of("/bin/true", NULL, NULL);
	assert_int_equal(had, 4); /* the fourth tells us of the exec */
	close(low);
}

static void test_the_parent_stays_as_it_was(void **state)
{
	int before = count_fds();
	mode_t mask = umask(021);
	sigset_t none;

	(void)state;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	job.umask = 077;
	output_of("/bin/true", NULL, NULL);
	assert_int_equal(count_fds(), before);
	assert_int_equal(count_blocked(), 0);
	assert_int_equal(umask(mask), 021);
}

/* Whose user it was for a moment, as the child's: the kernel marks the memory of both. */
static void test_what_the_parent_said_of_its_memory_counts(void **state)
{
	int before = prctl(PR_GET_DUMPABLE);

	(void)state;
	if (geteuid() != 0)
		skip();
	be_nobody();
	for (int dumpable = 0; dumpable <= 1; dumpable++) {
		assert_int_equal(prctl(PR_SET_DUMPABLE, dumpable), 0);
		output_of("/bin/true", NULL, NULL);
		assert_int_equal(prctl(PR_GET_DUMPABLE), dumpable);
	}
	prctl(PR_SET_DUMPABLE, before);
}

/* The death of the parent */

static int told[2]; /* pid of the job */

static void start_and_die(void)
{
	int output[2];
	pid_t pid;

	CHECK(pipe(output) == 0);
	CHECK(spawn(NULL, no_env, output[1], &pid) == 0);
	CHECK(write(told[1], &pid, sizeof(pid)) == sizeof(pid));
}

/* The job loses its parent, becomes ours, and ends by the signal. */
static void assert_told_of_death(const char *sleep, int signo)
{
	int status;
	pid_t pid;

	job.stop_signal = signo;
	set_command(sleep, "60", NULL);
	assert_int_equal(pipe(told), 0);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	in_child(start_and_die);
	assert_int_equal(read(told[0], &pid, sizeof(pid)), sizeof(pid));
	status = wait_for(pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), signo);
	close(told[0]);
	close(told[1]);
	free_command();
}

static void test_it_is_told_when_its_parent_dies(void **state)
{
	(void)state;
	assert_told_of_death("/bin/sleep", SIGINT);
	assert_told_of_death("/bin/sleep", SIGUSR2);
	if (geteuid() != 0)
		return;
	be_nobody();
	assert_told_of_death("/bin/sleep", SIGTERM);
}

/* Failures */

static const char *job_dir; /* NULL: of no concern */

/* Nothing is left of it: no process, no descriptor, no changed mask. */
static void check_failed(int code, const char *words)
{
	int fds, blocked = count_blocked(), output[2];
	pid_t pid;

	CHECK(pipe(output) == 0);
	fds = count_fds();
	CHECK(spawn(job_dir, no_env, output[1], &pid) == -1);
	printf("# %s\n", err.text);
	CHECK(err.code == code);
	CHECK(strstr(err.text, words) != NULL);
	CHECK(strstr(err.text, command[0]) != NULL);
	CHECK(count_fds() == fds);
	CHECK(count_blocked() == blocked);
	CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
}

static int expected_code;
static const char *expected_words;

static void fail_to_start(void)
{
	check_failed(expected_code, expected_words);
}

static void assert_fails(const char *path, int code, const char *words)
{
	set_command(path, NULL, NULL);
	expected_code = code;
	expected_words = words;
	in_child(fail_to_start);
	free_command();
}

static void test_commands_that_cannot_run(void **state)
{
	(void)state;
	assert_fails("/no/such/command", ENOENT, "No such file");
	write_text(at("plain"), "#!/bin/sh\n");
	assert_fails(at("plain"), EACCES, "cannot run its command: Permission denied");
	assert_fails("/", EACCES, "cannot run its command");
	write_text(at("empty"), "");
	assert_int_equal(chmod(at("empty"), 0755), 0);
	assert_fails(at("empty"), ENOEXEC,
	    "Exec format error: a script needs a first line such as #!/bin/sh");
	write_text(at("script"), "#!/no/such/interpreter\n");
	assert_int_equal(chmod(at("script"), 0755), 0);
	assert_fails(at("script"), ENOENT, "cannot run its interpreter");
}

static void test_directories_that_cannot_be_entered(void **state)
{
	char dir[PATH_MAX];

	(void)state;
	job.cwd = dir;
	snprintf(dir, sizeof(dir), "%s", at("missing"));
	assert_fails("/bin/true", ENOENT, "\"cwd\"");
	if (geteuid() != 0)
		return;
	be_nobody(); /* it is the user of the job who must be able to enter it */
	snprintf(dir, sizeof(dir), "%s", at("private"));
	assert_int_equal(chmod(scratch, 0755), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_fails("/bin/true", EACCES, "\"cwd\"");
}

static void test_a_state_that_could_not_be_written(void **state)
{
	char dir[PATH_MAX];

	(void)state;
	job_dir = dir;
	snprintf(dir, sizeof(dir), "%s", at("missing"));
	assert_fails("/bin/true", ENOENT, "\"work_dir\"");
	if (geteuid() == 0) {
		be_nobody();
		snprintf(dir, sizeof(dir), "%s", at("open"));
		assert_int_equal(chmod(scratch, 0700), 0);
		assert_int_equal(mkdir(dir, 0755), 0);
		assert_fails("/bin/true", EACCES, "\"work_dir\""); /* no way there */
		assert_int_equal(chmod(scratch, 0755), 0);
		assert_fails("/bin/true", EACCES, "\"work_dir\""); /* not its own */
	}
	job_dir = NULL;
}

/* However early the deadline is, it is killed before it runs, or at the latest where it stops. */
static void test_a_child_that_is_stopped_before_exec(void **state)
{
	(void)state;
	if (geteuid() == 0)
		be_nobody();
	is_stopped = true;
	patience = 200;
	assert_fails("/bin/true", 0, "its user has stopped it (SIGSTOP)");
	is_stopped = false;
	patience = 600000;
}

static void test_limits_that_are_refused(void **state)
{
	struct conf_limit limit = { "nofile", RLIMIT_NOFILE, { 99, 77 } };

	(void)state;
	job.limits = &limit;
	job.n_limits = 1;
	assert_fails("/bin/true", EINVAL, "\"limits.nofile\": Invalid");
}

static void fail_as_nobody(void)
{
	become_nobody();
	check_failed(expected_code, expected_words);
}

static void test_what_only_root_may_do(void **state)
{
	(void)state;
	set_command("/bin/true", NULL, NULL);
	job.nice = -5;
	expected_code = EACCES;
	expected_words = "\"nice\"";
	in_child(fail_as_nobody);
	job.nice = 0;
	be_nobody();
	expected_code = EPERM;
	expected_words = "\"user\"";
	in_child(fail_as_nobody);
	free_command();
}

static void fail_to_fork(void)
{
	const struct rlimit none = { 0, 0 };

	become_nobody();
	CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
	check_failed(EAGAIN, "cannot fork");
}

static void fail_to_open(void)
{
	struct rlimit limit;
	pid_t pid;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 0;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(spawn(NULL, no_env, STDOUT_FILENO, &pid) == -1);
	CHECK(err.code == EMFILE);
	CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
}

static void live_as_nobody(void)
{
	become_nobody();
	CHECK(write(told[1], "x", 1) == 1);
	alarm(60); /* it does not outlive a test that fails */
	pause();
}

/* A job that says a line when it is ready; whether it would have been told. */
static void assert_would_be_told(const char *perl, const char *script, bool yes)
{
	int output[2];
	pid_t pid;
	char c;

	set_command(perl, "-e", script);
	assert_int_equal(pipe(output), 0);
	assert_int_equal(spawn(NULL, no_env, output[1], &pid), 0);
	assert_int_equal(read(output[0], &c, 1), 1);
	assert_int_equal(spawn_was_told(&job, pid), yes);
	kill(pid, SIGKILL);
	wait_for(pid);
	close(output[0]);
	close(output[1]);
	free_command();
}

static void test_whom_the_kernel_does_not_tell(void **state)
{
	static const char perl[] = "/usr/bin/perl";

	(void)state;
	assert_would_be_told(perl, "syswrite(STDOUT, 1); sleep 60", true);
	if (geteuid() != 0)
		return;
	assert_would_be_told(perl, "$> = 65534; syswrite(STDOUT, 1); sleep 60", false);
	assert_would_be_told(perl, "$> = 65534; $> = 0; syswrite(STDOUT, 1); sleep 60", false);
	assert_would_be_told(perl, "$) = 65534; $) = 0; syswrite(STDOUT, 1); sleep 60", false);
	be_nobody();
	assert_would_be_told(perl, "syswrite(STDOUT, 1); sleep 60", true);
}

/* A program that its user may run but not read: the kernel hides its memory from him, too. */
static void test_a_program_that_nobody_may_read(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	output_of("/bin/cp", "/usr/bin/perl", at("perl"));
	output_of("/bin/cp", "/bin/sleep", at("sleep"));
	assert_int_equal(chmod(scratch, 0755), 0);
	assert_int_equal(chmod(at("perl"), 0711), 0);
	assert_int_equal(chmod(at("sleep"), 0711), 0);
	be_nobody();
	job.no_new_privs = true;
	assert_told_of_death(at("sleep"), SIGINT);
	assert_would_be_told(at("perl"), "syswrite(STDOUT, 1); sleep 60", true);
}

/* The user of the job has a process already, which is one more than the limit says. */
static void test_a_user_with_too_many_processes(void **state)
{
	struct conf_limit none = { "nproc", RLIMIT_NPROC, { 0, 0 } };
	pid_t pid;
	char c;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(pipe(told), 0);
	pid = start_child(live_as_nobody);
	assert_int_equal(read(told[0], &c, 1), 1);
	be_nobody();
	job.limits = &none;
	job.n_limits = 1;
	assert_fails("/bin/true", EAGAIN, "cannot run its command");
	kill(pid, SIGKILL);
	wait_for(pid);
	close(told[0]);
	close(told[1]);
}

static void test_out_of_processes_or_descriptors(void **state)
{
	(void)state;
	set_command("/bin/true", NULL, NULL);
	in_child(fail_to_fork);
	in_child(fail_to_open);
	free_command();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_environment_is_built),
		TEST(test_what_does_not_apply_is_left_out),
		TEST(test_later_variables_win),
		TEST(test_a_large_environment),
		TEST(test_an_environment_without_memory),
		TEST(test_nothing_is_inherited),
		TEST(test_only_three_descriptors),
		TEST(test_signals_are_at_their_default),
		TEST(test_a_session_of_its_own),
		TEST(test_place_mask_and_limits),
		TEST(test_user_and_groups),
		TEST(test_what_it_holds_once_it_is_of_the_user),
		TEST(test_the_parent_stays_as_it_was),
		TEST(test_what_the_parent_said_of_its_memory_counts),
		TEST(test_it_is_told_when_its_parent_dies),
		TEST(test_whom_the_kernel_does_not_tell),
		TEST(test_a_program_that_nobody_may_read),
		TEST(test_commands_that_cannot_run),
		TEST(test_directories_that_cannot_be_entered),
		TEST(test_a_state_that_could_not_be_written),
		TEST(test_a_child_that_is_stopped_before_exec),
		TEST(test_limits_that_are_refused),
		TEST(test_what_only_root_may_do),
		TEST(test_out_of_processes_or_descriptors),
		TEST(test_a_user_with_too_many_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
