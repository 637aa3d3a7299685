#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/arena.h"
#include "conf/conf.h"
#include "conf/conf_diff.h"
#include "conf/conf_schema.h"

#define NOBODY 65534
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A configuration with one more line, its second: that of the top or of the job "a". */
#define TOP(line) "{ 'jobs': { 'a': { 'command': ['/bin/a'] } },\n" line " }"
#define JOB(line) \
	"{ 'state': { 'url': 'file:///s' }, 'jobs': { 'a': { 'command': ['/a'],\n" line " } } }"

/* ' stands for " in the texts here. The file is named "f". */
static struct conf *parse_part(
    const char *text, const char *const *only, struct conf_errors *errors)
{
	char *json = strdup(text);
	struct conf *conf;

	assert_non_null(json);
	for (char *p = json; *p != '\0'; p++) {
		if (*p == '\'')
			*p = '"';
	}
	conf = conf_parse_part(json, strlen(json), "f", only, errors);
	free(json);
	return conf;
}

static struct conf *parse(const char *text, struct conf_errors *errors)
{
	return parse_part(text, NULL, errors);
}

static struct conf *parse_good(const char *text)
{
	struct conf_errors errors;
	struct conf *conf = parse(text, &errors);

	if (conf == NULL)
		print_error("%s\n", errors.lines[0]);
	conf_errors_free(&errors);
	assert_non_null(conf);
	return conf;
}

/* The file is refused, with just this line beside warnings. */
static void assert_refused_as(const char *text, const char *line, bool passing)
{
	struct conf_errors errors;
	struct conf *conf = parse(text, &errors);
	size_t n = 0;

	if (conf != NULL)
		fail_msg("taken, though it should say %s", line);
	for (size_t i = 0; i < errors.n; i++) {
		if (strstr(errors.lines[i], ": warning: ") != NULL)
			continue;
		assert_string_equal(errors.lines[i], line);
		n++;
	}
	assert_int_equal(n, 1);
	assert_int_equal(errors.passing, passing);
	conf_errors_free(&errors);
}

static void assert_refused(const char *text, const char *line)
{
	assert_refused_as(text, line, false);
}

/* Likewise, with all of these beside warnings. */
static void assert_all_told(const char *text, const char *const *lines, size_t n_lines)
{
	struct conf_errors errors;
	size_t n = 0;

	assert_null(parse(text, &errors));
	for (size_t i = 0; i < errors.n; i++) {
		if (strstr(errors.lines[i], ": warning: ") != NULL)
			continue;
		assert_string_equal(errors.lines[i], n < n_lines ? lines[n] : "(no more)");
		n++;
	}
	assert_int_equal(n, n_lines);
	conf_errors_free(&errors);
}

/* The file is taken, with this one warning; NULL: without any. */
static void assert_warned(const char *text, const char *line)
{
	struct conf_errors errors;
	struct conf *conf = parse(text, &errors);

	assert_non_null(conf);
	assert_int_equal(errors.n, line == NULL ? 0 : 1);
	if (line != NULL)
		assert_string_equal(errors.lines[0], line);
	conf_free(conf);
	conf_errors_free(&errors);
}

static void defaults_are_filled_in(void **state)
{
	struct conf *conf = parse_good(TOP("'log': {}"));
	const struct job_conf *job = conf_job(conf, "a");

	(void)state;
	assert_string_equal(conf->file, "f");
	assert_true(conf_job_name_ok(conf->instance));
	assert_string_equal(conf->ns, "/graceful");
	assert_int_equal(conf->coord, CONF_COORD_LOCAL);
	assert_string_equal(conf->local_path, "/var/lib/graceful/local");
	assert_null(conf->endpoints);
	assert_int_equal(conf->ttl, 15000);
	assert_null(conf->state_dir);
	assert_int_equal(conf->inline_max, 262144);
	assert_string_equal(conf->run_dir, "/run/graceful");
	assert_string_equal(conf->work_dir, "/var/lib/graceful");
	assert_null(conf->metrics_file);
	assert_false(conf->log_syslog);
	assert_int_equal(conf->log_level, LOG_LEVEL_INFO);
	assert_int_equal(conf->max_jobs, CONF_ALL_JOBS);
	assert_int_equal(conf->n_jobs, 1);

	assert_string_equal(job->argv[0], "/bin/a");
	assert_null(job->argv[1]);
	assert_false(job->switch_user);
	assert_non_null(job->user_name);
	assert_non_null(job->home);
	assert_string_equal(job->cwd, "/");
	assert_int_equal(job->umask, 0022);
	assert_int_equal(job->nice, 0);
	assert_true(job->no_new_privs);
	assert_int_equal(job->n_limits, 0);
	assert_null(job->env[0]);
	assert_null(job->pass_env[0]);
	assert_int_equal(job->stop_signal, SIGINT);
	assert_int_equal(job->checkpoint_signal, 0);
	assert_int_equal(job->checkpoint, 30000);
	assert_int_equal(job->stop_timeout, 60000);
	assert_int_equal(job->hurry_timeout, 5000);
	assert_int_equal(job->watchdog, 0);
	assert_int_equal(job->restart_min, 200);
	assert_int_equal(job->restart_max, 30000);
	assert_int_equal(job->max_failures, 5);
	assert_int_equal(job->failure_window, 60000);
	assert_int_equal(job->on_exit, ON_EXIT_RESTART);
	assert_int_equal(job->state_max, 1073741824);
	conf_free(conf);
}

static void top_keys_are_read(void **state)
{
	struct conf *conf = parse_good(
	    "{ 'instance': 'web-1', 'namespace': '/a/b', 'run_dir': '/r//x/./y/', 'work_dir': '/w',"
	    "  'metrics_file': '/m//a.prom',"
	    "  'coordinator': { 'type': 'local', 'path': '/l' },"
	    "  'state': { 'url': 'file:///s/t', 'inline_max': '1KiB' },"
	    "  'log': { 'to': 'syslog', 'level': 'debug' },"
	    "  'jobs': { 'b': { 'command': ['/b'] }, 'B': { 'command': ['/B'] },"
	    "            'a.b-c_9': { 'command': ['/a'] } } }");

	(void)state;
	assert_string_equal(conf->instance, "web-1");
	assert_string_equal(conf->ns, "/a/b");
	assert_string_equal(conf->run_dir, "/r/x/y");
	assert_string_equal(conf->work_dir, "/w");
	assert_string_equal(conf->local_path, "/l");
	assert_string_equal(conf->state_dir, "/s/t");
	assert_int_equal(conf->inline_max, 1024);
	assert_string_equal(conf->metrics_file, "/m/a.prom");
	assert_true(conf->log_syslog);
	assert_int_equal(conf->log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(conf->n_jobs, 3);
	assert_string_equal(conf->jobs[0]->name, "B");
	assert_string_equal(conf->jobs[1]->name, "a.b-c_9");
	assert_string_equal(conf->jobs[2]->name, "b");
	assert_ptr_equal(conf_job(conf, "b"), conf->jobs[2]);
	assert_null(conf_job(conf, "c"));
	conf_free(conf);
}

static void assert_limit(
    const struct job_conf *job, size_t i, int resource, rlim_t soft, rlim_t hard)
{
	assert_int_equal(job->limits[i].resource, resource);
	assert_true(job->limits[i].value.rlim_cur == soft);
	assert_true(job->limits[i].value.rlim_max == hard);
}

#define ALL_JOB_KEYS                                                                             \
	"'cwd': '/tmp/.', 'umask': '277', 'nice': -20, 'no_new_privs': false, "                  \
	"'limits': { 'stack': [5, 'unlimited'], 'core': 'unlimited', 'nofile': 64 }, "           \
	"'env': { '_b9': 'x=y', 'A': '' }, 'pass_env': ['TZ'], 'stop_signal': 'SIGTERM', "       \
	"'checkpoint_signal': 'RTMIN+1', 'checkpoint': 'infinity', 'stop_timeout': 'infinity', " \
	"'hurry_timeout': '1s', 'watchdog': '2s', 'restart_min': '100ms', 'restart_max': '3s', " \
	"'max_failures': 9, 'failure_window': '2m', 'on_exit': 'done', 'state_max': '77B'"

static void job_keys_are_read(void **state)
{
	struct conf *conf = parse_good(JOB(ALL_JOB_KEYS));
	const struct job_conf *job = conf_job(conf, "a");

	(void)state;
	assert_string_equal(job->cwd, "/tmp");
	assert_int_equal(job->umask, 0277);
	assert_int_equal(job->nice, -20);
	assert_false(job->no_new_privs);
	assert_int_equal(job->n_limits, 3);
	assert_limit(job, 0, RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY);
	assert_limit(job, 1, RLIMIT_NOFILE, 64, 64);
	assert_limit(job, 2, RLIMIT_STACK, 5, RLIM_INFINITY);
	assert_string_equal(job->env[0], "A=");
	assert_string_equal(job->env[1], "_b9=x=y");
	assert_null(job->env[2]);
	assert_string_equal(job->pass_env[0], "TZ");
	assert_null(job->pass_env[1]);
	assert_int_equal(job->stop_signal, SIGTERM);
	assert_int_equal(job->checkpoint_signal, SIGRTMIN + 1);
	assert_true(job->checkpoint == MSEC_NEVER);
	assert_true(job->stop_timeout == MSEC_NEVER);
	assert_int_equal(job->hurry_timeout, 1000);
	assert_int_equal(job->watchdog, 2000);
	assert_int_equal(job->restart_min, 100);
	assert_int_equal(job->restart_max, 3000);
	assert_int_equal(job->max_failures, 9);
	assert_int_equal(job->failure_window, 120000);
	assert_int_equal(job->on_exit, ON_EXIT_DONE);
	assert_int_equal(job->state_max, 77);
	conf_free(conf);
}

static void jobs_inherit_defaults(void **state)
{
	struct conf *conf = parse_good(
	    "{ 'defaults': { 'nice': 3, 'env': { 'X': '1' }, 'watchdog': '9s' }, 'jobs': {"
	    "  'a': { 'command': ['/a'], 'env': { 'Y': '2' }, 'watchdog': 'none' },"
	    "  'b': { 'command': ['/b'] } } }");

	(void)state;
	assert_int_equal(conf->jobs[0]->nice, 3);
	assert_int_equal(conf->jobs[0]->watchdog, 0);
	assert_string_equal(conf->jobs[0]->env[0], "Y=2");
	assert_null(conf->jobs[0]->env[1]);
	assert_int_equal(conf->jobs[1]->watchdog, 9000);
	assert_string_equal(conf->jobs[1]->env[0], "X=1");
	conf_free(conf);
}

/* An unset limit follows the one that is written: no contradiction that nobody wrote. */
static void defaults_give_way(void **state)
{
	struct conf *conf = parse_good(JOB("'stop_timeout': '2s', 'restart_min': '1m'"));

	(void)state;
	assert_int_equal(conf->jobs[0]->hurry_timeout, 1000);
	assert_int_equal(conf->jobs[0]->restart_max, 60000);
	conf_free(conf);
	conf = parse_good(JOB("'restart_max': '50ms'"));
	assert_int_equal(conf->jobs[0]->restart_min, 50);
	conf_free(conf);
}

static void bad_job_values_are_refused(void **state)
{
	static const struct {
		const char *line;  /* the second of the file */
		const char *error; /* after "f:2: jobs.a." */
	} cases[] = {
		{ "'command_': 1", "command_: no such key in a job" },
		{ "'umsk': '1'", "umsk: no such key in a job; did you mean \"umask\"?" },
		{ "'evn': {}", "evn: no such key in a job; did you mean \"env\"?" },
		{ "'stop_singal': 'INT'",
		    "stop_singal: no such key in a job; did you mean \"stop_signal\"?" },
		{ "'cwd': 'tmp'", "cwd: must be an absolute path without \"..\", not \"tmp\"" },
		{ "'cwd': '/a/../b'",
		    "cwd: must be an absolute path without \"..\", not \"/a/../b\"" },
		{ "'cwd': ['/']", "cwd: must be an absolute path, not an array" },
		{ "'umask': 22",
		    "umask: must be an octal number in quotes from \"0000\" to \"0777\", not 22" },
		{ "'umask': '1777'",
		    "umask: must be an octal number in quotes from \"0000\" to \"0777\", not "
		    "\"1777\"" },
		{ "'umask': '00022'", "umask: must be an octal number in quotes from \"0000\" to "
				      "\"0777\", not \"00022\"" },
		{ "'umask': ''", "umask: must be an octal number in quotes from \"0000\" to "
				 "\"0777\", not \"\"" },
		{ "'nice': -21", "nice: must be a whole number from -20 to 19, not -21" },
		{ "'no_new_privs': 1", "no_new_privs: must be true or false, not 1" },
		{ "'no_new_privs': 'yes'", "no_new_privs: must be true or false, not \"yes\"" },
		{ "'nice': 1.5", "nice: must be a whole number from -20 to 19, not 1.5" },
		{ "'limits': { 'files': 1 }",
		    "limits.files: no such limit; there are as, core, cpu, data, fsize, memlock, "
		    "nofile, nproc and stack" },
		{ "'limits': { 'core': -1 }",
		    "limits.core: must be a whole number from 0, or \"unlimited\", not -1" },
		{ "'limits': { 'core': [2, 1] }",
		    "limits.core: the soft limit, which is first, exceeds the hard one" },
		{ "'limits': { 'core': ['unlimited', 1] }",
		    "limits.core: the soft limit, which is first, exceeds the hard one" },
		{ "'limits': { 'core': [1] }",
		    "limits.core: must be one limit, or two: [soft, hard]" },
		{ "'env': { 'A B': '' }", "env.A B: a variable's name is made of A-Z a-z 0-9 _ and "
					  "begins with no digit" },
		{ "'env': { '': '' }",
		    "env.: a variable's name is made of A-Z a-z 0-9 _ and begins with no digit" },
		{ "'env': { 'GRACEFUL_JOB': '' }",
		    "env.GRACEFUL_JOB: graceful sets GRACEFUL_JOB itself; take it out" },
		{ "'env': { 'WATCHDOG_USEC': '' }",
		    "env.WATCHDOG_USEC: graceful sets WATCHDOG_USEC itself; take it out" },
		{ "'env': { 'WATCHDOG_PID': '' }",
		    "env.WATCHDOG_PID: graceful sets WATCHDOG_PID itself; take it out" },
		{ "'env': { 'A': null }", "env.A: must be a string, not null" },
		{ "'env': { 'A': 'b\\u0000c' }",
		    "env.A: holds a NUL character (\\u0000), which no value may" },
		{ "'pass_env': ['TZ', 'NOTIFY_SOCKET']",
		    "pass_env[1]: graceful sets NOTIFY_SOCKET itself; take it out" },
		{ "'stop_signal': 'STOPP'",
		    "stop_signal: must be the name of a signal, such as \"INT\", not \"STOPP\"" },
		{ "'stop_signal': 'CHLD'",
		    "stop_signal: SIGCHLD cannot be a request to a job; use INT, TERM, HUP, QUIT, "
		    "USR1, USR2, WINCH, PWR or RTMIN+n" },
		{ "'checkpoint_signal': 'INT'",
		    "checkpoint_signal: checkpoint_signal and stop_signal are both SIGINT; the job "
		    "could not tell them apart" },
		{ "'checkpoint_signal': 'TERM'",
		    "checkpoint_signal: cannot be TERM, which tells every job to hurry; USR1 is a "
		    "common choice" },
		{ "'checkpoint': 30",
		    "checkpoint: must be a duration in quotes, such as \"30s\", not 30" },
		{ "'checkpoint': '30'",
		    "checkpoint: must be a whole number and ms, s, m, h or d, such as \"30s\", not "
		    "\"30\"" },
		{ "'checkpoint': '99ms'",
		    "checkpoint: must be from 100ms to 365d, or \"infinity\", not \"99ms\"" },
		{ "'hurry_timeout': 'infinity'", "hurry_timeout: cannot be \"infinity\"" },
		{ "'hurry_timeout': 'none'", "hurry_timeout: must be a whole number and ms, s, m, "
					     "h or d, such as \"30s\", not "
					     "\"none\"" },
		{ "'hurry_timeout': '60s'", "hurry_timeout: hurry_timeout (1m) must be shorter "
					    "than stop_timeout (1m)" },
		{ "'restart_min': '2s', 'restart_max': '1s'",
		    "restart_min: restart_min (2s) must not be longer than restart_max (1s)" },
		{ "'max_failures': 0",
		    "max_failures: must be a whole number from 1 to 1000, not 0" },
		{ "'failure_window': '31d'",
		    "failure_window: must be from 1s to 30d, not \"31d\"" },
		{ "'on_exit': 'stop'",
		    "on_exit: must be \"restart\", \"release\" or \"done\", not \"stop\"" },
		{ "'state_max': '1GB'", "state_max: must be a whole number, alone or with B, KiB, "
					"MiB, GiB or TiB, such "
					"as \"64MiB\", not \"1GB\"" },
		{ "'state_max': '0'", "state_max: must be from 1B to 16TiB, not \"0\"" },
		{ "'user': 'no:such'", "user: there is no user \"no:such\" on this machine" },
		{ "'user': 0", "user: must be the name or number of a user, in quotes, not 0" },
		{ "'user': '4294967295'", "user: there is no user \"4294967295\" on this machine" },
		{ "'group': 'no:such'", "group: there is no group \"no:such\" on this machine" },
		{ "'on_exit': '\\n\\u001b\\u009b'",
		    "on_exit: must be \"restart\", \"release\" or \"done\", not \"???\"" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[512], line[512];

		snprintf(text, sizeof(text), JOB("%s"), cases[i].line);
		snprintf(line, sizeof(line), "f:2: jobs.a.%s", cases[i].error);
		assert_refused(text, line);
	}
}

static void bad_commands_are_refused(void **state)
{
	(void)state;
	assert_refused("{ 'jobs': {\n 'a': {} } }", "f:2: jobs.a: \"command\" is missing");
	assert_refused("{ 'jobs': {\n 'a': { 'command': [] } } }",
	    "f:2: jobs.a.command: is empty; name a program by its absolute path");
	assert_refused("{ 'jobs': { 'a': { 'command': [\n\n'ls'] } } }",
	    "f:3: jobs.a.command[0]: must be the absolute path of a program, not \"ls\"");
	assert_refused("{ 'jobs': { 'a': { 'command': ['/x', [\n]] } } }",
	    "f:1: jobs.a.command[1]: must be a string, not an array");
	assert_refused("{ 'jobs': { 'a': { 'command': '/x' } } }",
	    "f:1: jobs.a.command: must be an array of strings: [\"/path/of/program\", "
	    "\"argument\", ...], not \"/x\"");
}

static void bad_top_values_are_refused(void **state)
{
	static const struct {
		const char *line;
		const char *error; /* after "f:2: " */
	} cases[] = {
		{ "'instanse': 'x'",
		    "instanse: no such key in the configuration; did you mean \"instance\"?" },
		{ "'umask': '0'",
		    "umask: no such key in the configuration; it belongs into a job or into "
		    "\"defaults\"" },
		{ "'instance': '-x'",
		    "instance: must be 1 to 63 of A-Z a-z 0-9 . _ -, beginning with a letter or "
		    "digit, not \"-x\"" },
		{ "'namespace': '/a/'",
		    "namespace: must be like \"/graceful\": names of A-Z a-z 0-9 . _ -, each with "
		    "one / before it, 255 bytes at most, not \"/a/\"" },
		{ "'namespace': '/a/../b'",
		    "namespace: must be like \"/graceful\": names of A-Z a-z 0-9 . _ -, each with "
		    "one / before it, 255 bytes at most, not \"/a/../b\"" },
		{ "'run_dir': '/'", "run_dir: cannot be \"/\"; give it a directory of its own" },
		{ "'run_dir': '/var/lib//graceful/'",
		    "run_dir: run_dir and work_dir are the same directory, /var/lib/graceful; give "
		    "each one of its own" },
		{ "'coordinator': { 'type': 'etdc', 'ttl': '5s' }",
		    "coordinator.type: must be \"local\" or \"etcd\", not \"etdc\"" },
		{ "'coordinator': { 'user': 'me' }",
		    "coordinator.user: goes with \"type\": \"etcd\" only" },
		{ "'coordinator': { 'path': '/run/graceful' }",
		    "coordinator.path: run_dir and coordinator.path are the same directory, "
		    "/run/graceful; give "
		    "each one of its own" },
		{ "'coordinator': { 'path': '/var/lib/graceful/jobs/x' }",
		    "coordinator.path: coordinator.path cannot lie in /var/lib/graceful/jobs, "
		    "which holds the "
		    "jobs' own directories" },
		{ "'state': { 'url': 'file:///var/lib/graceful/jobs' }",
		    "state.url: state.url cannot lie in /var/lib/graceful/jobs, which holds the "
		    "jobs' own "
		    "directories" },
		{ "'state': { 'url': 'file://tmp' }",
		    "state.url: must be \"file://\" and an absolute directory, such as "
		    "\"file:///var/lib/graceful/state\", not \"file://tmp\"" },
		{ "'state': { 'url': 'file:///a%20b' }",
		    "state.url: cannot hold %, ? or #: write the directory as it is" },
		{ "'state': { 'url': 'file:///s', 'inline_max': '2MiB' }",
		    "state.inline_max: must be from 0B to 1MiB, not \"2MiB\"" },
		{ "'log': { 'to': 'file' }",
		    "log.to: must be \"stderr\" or \"syslog\", not \"file\"" },
		{ "'log': true",
		    "log: must be an object: { \"key\": value, ... }, not true or false" },
		{ "'defaults': { 'command': ['/a'] }",
		    "defaults.command: every job has its own; it cannot be a default" },
		{ "'defaults': { 'user': 'no:such' }",
		    "defaults.user: there is no user \"no:such\" on this machine" },
		{ "'defaults': []",
		    "defaults: must be an object: { \"key\": value, ... }, not an array" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[512], line[512];

		snprintf(text, sizeof(text), TOP("%s"), cases[i].line);
		snprintf(line, sizeof(line), "f:2: %s", cases[i].error);
		assert_refused(text, line);
	}
}

static void etcd_is_read(void **state)
{
	struct conf *conf =
	    parse_good(TOP("'coordinator': { 'type': 'etcd', 'ttl': '1h', 'endpoints': ["
			   "'http://h:1', 'https://[::1]:2379/', 'http://10.0.0.1:65535'] }"));

	(void)state;
	assert_int_equal(conf->coord, CONF_COORD_ETCD);
	assert_int_equal(conf->ttl, 3600000);
	assert_string_equal(conf->endpoints[0], "http://h:1");
	assert_string_equal(conf->endpoints[1], "https://[::1]:2379");
	assert_string_equal(conf->endpoints[2], "http://10.0.0.1:65535");
	assert_null(conf->endpoints[3]);
	assert_null(conf->ca_file);
	assert_null(conf->cert_file);
	assert_null(conf->key_file);
	assert_null(conf->user);
	assert_null(conf->password_file);
	conf_free(conf);
}

static void etcd_is_checked(void **state)
{
	struct conf_errors errors;

	(void)state;
	assert_null(parse(TOP("'coordinator': {\n'path': '/x',\n'ttl': '2500ms',\n'endpoints': ["
			      "'ftp://h:1',\n'http://h',\n'http://h:0',\n'http://:1',\n"
			      "'http://u@h:1',\n'http://h:1/x',\n'http://[]:1',\n'http://"
			      "[::1x:1'],\n'type': 'etcd' }"),
	    &errors));
	assert_int_equal(errors.n, 11);
	assert_string_equal(
	    errors.lines[1], "f:3: coordinator.path: goes with \"type\": \"local\" only");
	assert_string_equal(errors.lines[2], "f:4: coordinator.ttl: must be whole seconds");
	assert_non_null(strstr(errors.lines[3], "f:5: coordinator.endpoints[0]: must be a URL"));
	assert_non_null(strstr(errors.lines[10], "f:12: coordinator.endpoints[7]: must be a URL"));
	conf_errors_free(&errors);
	assert_refused(TOP("'coordinator': { 'type': 'etcd' }"),
	    "f:2: coordinator: \"endpoints\" is missing; name at least one etcd server");
	assert_refused(TOP("'coordinator': { 'type': 'etcd', 'endpoints': ['http://a:1', "
			   "'http://b:1', 'http://A:1/'] }"),
	    "f:2: coordinator.endpoints[2]: is the same as endpoints[0]; take it out, or name the "
	    "server that was meant");
}

/* A host of len characters. */
static bool takes_host(size_t len)
{
	char text[1024], host[512];
	struct conf_errors errors;
	struct conf *conf;
	bool taken;

	memset(host, 'h', len);
	host[len] = '\0';
	snprintf(text, sizeof(text),
	    "{ 'jobs': {}, 'coordinator': { 'type': 'etcd', 'endpoints': ['http://%s:1'] } }",
	    host);
	conf = parse(text, &errors);
	taken = conf != NULL && strlen(conf->endpoints[0]) <= CONF_ENDPOINT_MAX;
	assert_true(conf == NULL || taken);
	conf_free(conf);
	conf_errors_free(&errors);
	return taken;
}

static void long_endpoints_are_refused(void **state)
{
	(void)state;
	assert_true(takes_host(253)); /* the longest name that DNS knows */
	assert_false(takes_host(CONF_ENDPOINT_MAX));
}

static void bad_names_of_jobs_are_refused(void **state)
{
	static const char *const bad[] = { "", ".a", "-a", "_a", "a/b", "a b", "..",
		"0123456789012345678901234567890123456789012345678901234567890123" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		char text[256], line[256];

		assert_false(conf_job_name_ok(bad[i]));
		snprintf(
		    text, sizeof(text), "{ 'jobs': {\n'%s': { 'command': ['/a'] } } }", bad[i]);
		snprintf(line, sizeof(line),
		    "f:2: jobs.%s: a job's name is 1 to 63 of A-Z a-z 0-9 . _ -, beginning with a "
		    "letter or digit",
		    bad[i]);
		assert_refused(text, line);
	}
	assert_true(conf_job_name_ok("0"));
	assert_true(
	    conf_job_name_ok("012345678901234567890123456789012345678901234567890123456789.-_"));
}

static void jobs_are_required(void **state)
{
	(void)state;
	assert_refused("\n{ }", "f:2: \"jobs\" is missing");
	assert_refused("\n[ ]", "f:2: must be an object: { \"key\": value, ... }, not an array");
	assert_warned("{ 'state': { 'url': 'file:///s' },\n'jobs': {} }",
	    "f:2: warning: jobs: is empty: there is nothing to run");
}

static void states_without_a_store_are_warned_of(void **state)
{
	(void)state;
	assert_warned(TOP("'state': {}"),
	    "f:2: warning: state: without a \"url\" no state over inline_max (256KiB) can be "
	    "backed up, and job \"a\" may have up to 1GiB; set state.url, or lower state_max");
	assert_warned(TOP("'defaults': { 'state_max': '256KiB' }"), NULL);
	assert_warned(TOP("'state': { 'url': 'file:///s' }"), NULL);
}

static void no_job_at_all_is_warned_of(void **state)
{
	(void)state;
	assert_warned(TOP("'state': { 'url': 'file:///s' }, 'max_jobs': 0"),
	    "f:2: warning: max_jobs: is 0: no job is run until SIGTTIN; to run all of them, leave "
	    "it out");
	assert_warned(TOP("'state': { 'url': 'file:///s' }, 'max_jobs': 1"), NULL);
}

static void a_limit_of_jobs_that_is_refused_is_not_zero(void **state)
{
	struct conf_errors errors;

	(void)state;
	assert_null(parse(TOP("'state': { 'url': 'file:///s' }, 'max_jobs': '3'"), &errors));
	assert_int_equal(errors.n, 1);
	assert_non_null(strstr(errors.lines[0], "max_jobs: must be"));
	conf_errors_free(&errors);
}

/* 107 bytes are the most: "/run/..." and "/notify/" and the longer name of two. */
static void long_socket_paths_are_refused(void **state)
{
	static const char text[] =
	    "{ 'state': { 'url': 'file:///s' }, 'run_dir': '/%0*d', 'jobs': {"
	    "'four': { 'command': ['/a'] }, 'b': { 'command': ['/b'] } } }";
	struct conf_errors errors;
	char filled[512];

	(void)state;
	snprintf(filled, sizeof(filled), text, 107 - 8 - 4 - 1, 0);
	assert_warned(filled, NULL);
	snprintf(filled, sizeof(filled), text, 107 - 8 - 4, 0);
	assert_null(parse(filled, &errors));
	assert_int_equal(errors.n, 1);
	assert_non_null(strstr(errors.lines[0], "/notify/four would have a path of 108 bytes"));
	conf_errors_free(&errors);
}

static void everything_is_reported_in_the_order_of_the_file(void **state)
{
	static const char *const lines[] = {
		"f:2: jobs.b.x: no such key in a job",
		"f:3: jobs.b.nice: must be a whole number from -20 to 19, not null",
		"f:5: jobs.a.env.X: must be a string, not 1",
		"f:6: instance: must be 1 to 63 of A-Z a-z 0-9 . _ -, beginning with",
		"f:8: defaults.nice: must be a whole number from -20 to 19, not \"\"",
		"f:8: warning: state: without",
	};
	struct conf_errors errors;

	(void)state;
	/* What is wrong in "defaults" is told once, though two jobs would inherit it. */
	assert_null(parse("{ 'jobs': { 'b': { 'command': ['/b'],\n'x': 1,\n'nice': null }, 'a': {"
			  "'command': ['/a'],\n'env': {\n'X': 1 } } },\n'instance': '',\n\r\n"
			  "'defaults': { 'nice': '' }, 'state': {} }",
	    &errors));
	assert_int_equal(errors.n, COUNT(lines));
	for (size_t i = 0; i < COUNT(lines); i++)
		assert_memory_equal(errors.lines[i], lines[i], strlen(lines[i]));
	conf_errors_free(&errors);
}

static void contradictions_with_defaults_are_reported_once(void **state)
{
	(void)state;
	assert_refused("{ 'defaults': {\n'hurry_timeout': '3s', 'stop_timeout': '2s' }, 'jobs': {"
		       "'a': { 'command': ['/a'] }, 'b': { 'command': ['/b'] } } }",
	    "f:2: defaults.hurry_timeout: hurry_timeout (3s) must be shorter than stop_timeout "
	    "(2s)");
	assert_refused("{ 'defaults': { 'hurry_timeout': '3s' }, 'jobs': {"
		       "'a': { 'command': ['/a'],\n'stop_timeout': '2s' } } }",
	    "f:2: jobs.a.stop_timeout: hurry_timeout (3s) must be shorter than stop_timeout "
	    "(2s)");
}

static void duplicate_keys_are_refused(void **state)
{
	(void)state;
	assert_refused("{ 'jobs': { 'a': { 'command': ['/a'] },\n'a': { 'command': ['/b'] } } }",
	    "f:2: jobs.a: is given twice, the first time on line 1; remove one");
	/* The same key in another spelling; braces and quotes in strings are no structure. */
	assert_refused("{ 'jobs': { 'a': { 'command': ['/a', '}]{[\\\\', '\\u0022,\\'']\n,"
		       "'nice': 1,\n'ni\\u0063e': 2 } } }",
	    "f:3: jobs.a.nice: is given twice, the first time on line 2; remove one");
}

/* Who mends one of the two should not be told of the next mistake only then. */
static void what_a_duplicate_hides_is_checked_too(void **state)
{
	static const char *const of_two_types[] = {
		"f:1: jobs: must be an object: { \"NAME\": { \"command\": [...] }, ... }, not an "
		"array",
		"f:2: jobs: is given twice, the first time on line 1; remove one",
	};
	static const char *const many_times[] = {
		"f:2: jobs.a.nice: must be a whole number from -20 to 19, not \"x\"",
		"f:3: jobs.a.nice: is given twice, the first time on line 2; remove one",
		"f:3: jobs.a.nice: must be a whole number from -20 to 19, not 99",
		"f:4: jobs.a.nice: is given twice, the first time on line 3; remove one",
		"f:5: jobs.a: is given twice, the first time on line 1; remove one",
		"f:6: jobs.a.nise: no such key in a job; did you mean \"nice\"?",
	};

	(void)state;
	assert_all_told("{ 'jobs': [{ 'x': [1] }],\n'jobs': { 'a': { 'command': ['/a'] } } }",
	    of_two_types, sizeof(of_two_types) / sizeof(of_two_types[0]));
	assert_all_told("{ 'jobs': { 'a': { 'command': ['/a'],\n'nice': 'x',\n'nice': 99,\n"
			"'nice': 1 },\n'a': { 'command': ['/b'],\n'nise': 1 } } }",
	    many_times, sizeof(many_times) / sizeof(many_times[0]));
}

static void syntax_errors_name_line_and_column(void **state)
{
	(void)state;
	assert_refused("{ 'jobs': {\n  'a': { }, } }",
	    "f:2:13: not valid JSON: string or '}' expected near '}' (strict JSON: no comments, no "
	    "comma after the last item)");
	assert_refused("", "f: is empty; a configuration is a JSON object, see graceful.json(5)");
	assert_refused(
	    " \n\t", "f: is empty; a configuration is a JSON object, see graceful.json(5)");
	assert_refused(
	    "\xef\xbb\xbf{}", "f:1: begins with a byte-order mark; save it as UTF-8 without one");
	assert_refused(
	    "{\n'\xff': 1 }", "f:2:1: not valid JSON: unable to decode byte 0xff near '\"'");
}

static void raw_nul_is_refused(void **state)
{
	static const char text[] = "{\n\"jobs\": {}}\n\0\n";
	struct conf_errors errors;

	(void)state;
	assert_null(conf_parse(text, sizeof(text) - 1, "f", &errors));
	assert_string_equal(
	    errors.lines[0], "f:3: holds a NUL byte; is this really the configuration?");
	conf_errors_free(&errors);
}

static void deep_nesting_is_refused(void **state)
{
	char text[8192];
	struct conf_errors errors;

	(void)state;
	memset(text, '[', sizeof(text));
	assert_null(conf_parse(text, sizeof(text), "f", &errors));
	assert_non_null(strstr(errors.lines[0], "maximum parsing depth"));
	conf_errors_free(&errors);
	/* As deep as jansson goes: the scan for lines must hold out as well. */
	memset(text + 1000, ']', 1000);
	assert_null(conf_parse(text, 2000, "f", &errors));
	assert_string_equal(
	    errors.lines[0], "f:1: must be an object: { \"key\": value, ... }, not an array");
	conf_errors_free(&errors);
}

/* One good job, and what each job key may be changed to. */
static const char *const changes[] = { "'command': ['/b']", "'user': 'nobody'", "'group': '65534'",
	"'cwd': '/tmp'", "'umask': '77'", "'nice': 1", "'no_new_privs': false",
	"'limits': { 'core': 0 }", "'env': { 'A': 'b' }", "'pass_env': ['TZ']",
	"'stop_signal': 'TERM'", "'checkpoint_signal': 'USR1'", "'checkpoint': '1s'",
	"'stop_timeout': '50s'", "'hurry_timeout': '4s'", "'watchdog': '1s'", "'restart_min': '1s'",
	"'restart_max': '40s'", "'max_failures': 6", "'failure_window': '2m'", "'on_exit': 'done'",
	"'state_max': '1MiB'" };

static struct conf *parse_changed(const char *change)
{
	bool is_command = strncmp(change, "'command'", 9) == 0;
	char text[512];

	snprintf(text, sizeof(text), "{ 'jobs': { 'a': { %s%s%s } } }",
	    is_command ? "" : "'command': ['/a']", is_command || *change == '\0' ? "" : ", ",
	    change);
	return parse_good(text);
}

static void every_changed_key_makes_a_job_unequal(void **state)
{
	struct conf *plain = parse_changed(""), *same = parse_changed("");

	(void)state;
	assert_true(job_conf_equal(plain->jobs[0], same->jobs[0]));
	conf_free(same);
	/* A new key in the schema needs its line in the list. */
	assert_int_equal(COUNT(changes), schema_job.n);
	for (size_t i = 0; i < COUNT(changes); i++) {
		bool account =
		    strstr(changes[i], "user") != NULL || strstr(changes[i], "group") != NULL;
		struct conf *changed, *again;

		assert_memory_equal(
		    changes[i] + 1, schema_job.keys[i].name, strlen(schema_job.keys[i].name));
		if (account && geteuid() != 0)
			continue;
		changed = parse_changed(changes[i]);
		again = parse_changed(changes[i]);
		if (job_conf_equal(plain->jobs[0], changed->jobs[0]))
			fail_msg("equal in spite of %s", changes[i]);
		assert_true(job_conf_equal(changed->jobs[0], again->jobs[0]));
		conf_free(changed);
		conf_free(again);
	}
	conf_free(plain);
}

static void longer_lists_are_unequal(void **state)
{
	struct conf *one = parse_good(JOB("'env': { 'A': '1' }, 'limits': { 'core': 0 }"));
	struct conf *two =
	    parse_good(JOB("'env': { 'A': '1', 'B': '2' }, 'limits': { 'core': 0 }"));
	struct conf *limits =
	    parse_good(JOB("'env': { 'A': '1' }, 'limits': { 'core': 0, 'cpu': 1 }"));

	(void)state;
	assert_false(job_conf_equal(one->jobs[0], two->jobs[0]));
	assert_false(job_conf_equal(two->jobs[0], one->jobs[0]));
	assert_false(job_conf_equal(one->jobs[0], limits->jobs[0]));
	conf_free(one);
	conf_free(two);
	conf_free(limits);
}

/* Reloads */

/* Of each key outside of the jobs, another value and what a reload does about it. */
enum effect { FIXED, ALL_JOBS, NO_JOB };

static const struct difference {
	const char *section, *key, *value;
	enum effect effect;
} differences[] = {
	{ NULL, "instance", "'web-2'", FIXED },
	{ NULL, "namespace", "'/other'", FIXED },
	{ NULL, "run_dir", "'/other'", FIXED },
	{ NULL, "work_dir", "'/other'", FIXED },
	{ NULL, "max_jobs", "3", NO_JOB },
	{ NULL, "metrics_file", "'/x/y.prom'", NO_JOB },
	{ "coordinator", "type", "'local'", FIXED },
	{ "coordinator", "endpoints", "['https://b:2379']", ALL_JOBS },
	{ "coordinator", "ttl", "'20s'", ALL_JOBS },
	{ "coordinator", "ca_file", "'@b'", ALL_JOBS },
	{ "coordinator", "cert_file", "'@b'", ALL_JOBS },
	{ "coordinator", "key_file", "'@b'", ALL_JOBS },
	{ "coordinator", "user", "'other'", ALL_JOBS },
	{ "coordinator", "password_file", "'@b'", ALL_JOBS },
	{ "state", "url", "'file:///other'", ALL_JOBS },
	{ "state", "inline_max", "'1KiB'", ALL_JOBS },
	{ "log", "to", "'syslog'", NO_JOB },
	{ "log", "level", "'debug'", NO_JOB },
};

static const struct difference etcd[] = {
	{ "coordinator", "type", "'etcd'", FIXED },
	{ "coordinator", "endpoints", "['https://a:2379']", FIXED },
	{ "coordinator", "ca_file", "'@a'", FIXED },
	{ "coordinator", "cert_file", "'@a'", FIXED },
	{ "coordinator", "key_file", "'@a'", FIXED },
	{ "coordinator", "user", "'a'", FIXED },
	{ "coordinator", "password_file", "'@a'", FIXED },
};

/* Appends the keys of a section, those of `all` with the one that is different. */
static void append_section(char *text, size_t size, const char *section,
    const struct difference *all, size_t n, const struct difference *d)
{
	const char *comma = "";
	bool is_local = d != NULL && strcmp(d->value, "'local'") == 0;

	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(text);

		if (strcmp(all[i].section, section) == 0 && !is_local &&
		    (d == NULL || strcmp(all[i].key, d->key) != 0)) {
			snprintf(
			    text + len, size - len, "%s'%s': %s", comma, all[i].key, all[i].value);
			comma = ", ";
		}
	}
	if (d != NULL && d->section != NULL && strcmp(d->section, section) == 0) {
		size_t len = strlen(text);

		snprintf(text + len, size - len, "%s'%s': %s", comma, d->key, d->value);
	}
}

static char two_files[] = "/tmp/graceful-conf-XXXXXX";

/* Two two_files, which are @a and @b above, as such keys must name two_files. */
static void make_files(void)
{
	assert_non_null(mkdtemp(two_files));
	for (int i = 0; i < 2; i++) {
		char path[sizeof(two_files) + 2];
		int fd;

		snprintf(path, sizeof(path), "%s/%c", two_files, 'a' + i);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
}

static void remove_files(void)
{
	for (int i = 0; i < 2; i++) {
		char path[sizeof(two_files) + 2];

		snprintf(path, sizeof(path), "%s/%c", two_files, 'a' + i);
		unlink(path);
	}
	rmdir(two_files);
}

static void put_files(char *text, size_t size)
{
	char *at;

	while ((at = strchr(text, '@')) != NULL) {
		size_t len = strlen(two_files) + 1;

		assert_true(strlen(text) + len < size);
		memmove(at + len, at + 1, strlen(at + 1) + 1);
		memcpy(at, two_files, len - 1);
		at[len - 1] = '/';
	}
}

static struct conf *parse_different(const struct difference *d)
{
	static const char *const sections[] = { "coordinator", "state", "log" };
	char text[2048] = "{ 'jobs': { 'a': { 'command': ['/a'] } }";
	struct conf_errors errors;
	struct conf *conf;

	if (d != NULL && d->section == NULL) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, ", '%s': %s", d->key, d->value);
	}
	for (size_t i = 0; i < COUNT(sections); i++) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, ", '%s': { ", sections[i]);
		append_section(text, sizeof(text), sections[i], etcd, COUNT(etcd), d);
		strcat(text, " }");
	}
	strcat(text, " }");
	put_files(text, sizeof(text));
	conf = parse(text, &errors);
	if (conf == NULL)
		fail_msg("%s: %s", text, errors.lines[0]);
	conf_errors_free(&errors);
	return conf;
}

/* A key that is in no table of this test, and so in none that a reload asks, is forgotten. */
static void assert_all_there(const struct schema *schema, const char *section)
{
	for (size_t i = 0; i < schema->n; i++) {
		const char *key = schema->keys[i].name;
		bool found = schema->keys[i].kind == KIND_SECTION || strcmp(key, "path") == 0;

		for (size_t k = 0; k < COUNT(differences); k++)
			found |=
			    strcmp(differences[k].key, key) == 0 &&
			    (section == NULL ? differences[k].section == NULL
					     : differences[k].section != NULL &&
						   strcmp(differences[k].section, section) == 0);
		if (!found)
			fail_msg("what does a reload do about %s?", key);
	}
}

static void every_key_has_its_part_in_a_reload(void **state)
{
	struct conf *plain;

	(void)state;
	make_files();
	plain = parse_different(NULL);
	assert_all_there(&schema_top, NULL);
	assert_all_there(&schema_coordinator, "coordinator");
	assert_all_there(&schema_state, "state");
	assert_all_there(&schema_log, "log");
	for (size_t i = 0; i < COUNT(differences); i++) {
		const struct difference *d = &differences[i];
		struct conf *other = parse_different(d);
		const char *keys[CONF_FIXED_MAX];
		size_t n = conf_fixed(plain, other, keys);

		if (n != (d->effect == FIXED))
			fail_msg("%s: %zu keys are fixed", d->key, n);
		if (d->effect == FIXED && strstr(keys[0], d->key) == NULL)
			fail_msg("%s: it is %s that is fixed", d->key, keys[0]);
		if (d->effect != FIXED &&
		    conf_fate(plain, other, "a") !=
			(d->effect == ALL_JOBS ? CONF_CHANGED : CONF_UNCHANGED))
			fail_msg("%s: what becomes of the job?", d->key);
		conf_free(other);
	}
	conf_free(plain);
	remove_files();
}

static void the_path_of_local_locks_is_fixed(void **state)
{
	struct conf *a = parse_good(TOP("'coordinator': { 'path': '/a' }"));
	struct conf *b = parse_good(TOP("'coordinator': { 'path': '/b' }"));
	const char *keys[CONF_FIXED_MAX];

	(void)state;
	assert_int_equal(conf_fixed(a, b, keys), 1);
	assert_string_equal(keys[0], "coordinator.path");
	assert_int_equal(conf_fixed(a, a, keys), 0);
	conf_free(a);
	conf_free(b);
}

static void jobs_come_and_go(void **state)
{
	struct conf *a =
	    parse_good("{ 'jobs': { 'a': { 'command': ['/a'] }, 'b': { 'command': ['/b'] } } }");
	struct conf *b = parse_good("{ 'defaults': { 'nice': 1 }, 'jobs': { 'b': { 'command': "
				    "['/b'] }, 'c': { 'command': ['/c'] } } }");

	(void)state;
	assert_int_equal(conf_fate(a, b, "a"), CONF_REMOVED);
	assert_int_equal(conf_fate(a, b, "b"), CONF_CHANGED);
	assert_int_equal(conf_fate(a, b, "c"), CONF_ADDED);
	assert_int_equal(conf_fate(a, a, "a"), CONF_UNCHANGED);
	conf_free(a);
	conf_free(b);
}

static void only_root_switches_users(void **state)
{
	const char *text = JOB("'user': '0'");
	struct conf *conf;

	(void)state;
	if (geteuid() == 0)
		assert_int_equal(seteuid(NOBODY), 0);
	assert_refused(text,
	    "f:2: jobs.a.user: only root may run a job as another user; run graceful as "
	    "root or take this out");
	assert_refused(JOB("'group': '4242'"), "f:2: jobs.a.group: only root may run a job as "
					       "another group; run graceful as root or take "
					       "this out");
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	if (getuid() != 0)
		return;
	conf = parse_good(text);
	assert_true(conf->jobs[0]->switch_user);
	conf_free(conf);
}

static void oneself_needs_no_switch(void **state)
{
	char text[256];
	struct conf *conf;

	(void)state;
	if (geteuid() == 0)
		assert_int_equal(seteuid(NOBODY), 0);
	snprintf(text, sizeof(text), JOB("'user': '%u', 'group': '%u'"), geteuid(), getegid());
	conf = parse_good(text);
	assert_false(conf->jobs[0]->switch_user);
	conf_free(conf);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
}

static void accounts_are_resolved(void **state)
{
	const struct passwd *pw = getpwnam("nobody");
	const struct job_conf *job;
	struct conf *conf;

	(void)state;
	if (geteuid() != 0 || pw == NULL) {
		skip();
		return;
	}
	conf = parse_good(JOB("'user': 'nobody', 'group': '4242'"));
	job = conf->jobs[0];
	assert_true(job->switch_user);
	assert_int_equal(job->uid, pw->pw_uid);
	assert_int_equal(job->gid, 4242);
	assert_string_equal(job->user_name, "nobody");
	assert_string_equal(job->home, pw->pw_dir);
	assert_int_equal(job->groups[0], 4242);
	assert_in_range(job->n_groups, 1, 64);
	conf_free(conf);
	/* A number without an account has neither home nor group. */
	conf = parse_good(JOB("'user': '3999999999', 'group': '7'"));
	job = conf->jobs[0];
	assert_true(job->uid == 3999999999);
	assert_string_equal(job->user_name, "3999999999");
	assert_string_equal(job->home, "/");
	assert_int_equal(job->n_groups, 1);
	assert_int_equal(job->groups[0], 7);
	conf_free(conf);
	assert_refused(JOB("'user': '3999999999'"),
	    "f:2: jobs.a.user: this number has no account, hence no group; set \"group\", too");
	/* The defaults' group is not that of the job's own user. */
	conf = parse_good("{ 'defaults': { 'user': 'root', 'group': '7' }, 'jobs': {"
			  "'a': { 'command': ['/a'], 'user': 'nobody' } } }");
	assert_int_equal(conf->jobs[0]->gid, getpwnam("nobody")->pw_gid);
	conf_free(conf);
}

/* Somebody who is in a group beside the primary one, if this machine has such a user. */
static void supplementary_groups_are_kept(void **state)
{
	const struct group *gr;
	const struct passwd *pw;
	struct conf *conf;
	bool found = false;
	char text[256];

	(void)state;
	setgrent();
	do {
		gr = getgrent();
		pw = gr == NULL || gr->gr_mem[0] == NULL ? NULL : getpwnam(gr->gr_mem[0]);
	} while (gr != NULL && (pw == NULL || pw->pw_gid == gr->gr_gid));
	endgrent();
	if (geteuid() != 0 || gr == NULL || pw == NULL) {
		skip();
		return;
	}
	snprintf(text, sizeof(text), JOB("'user': '%s'"), pw->pw_name);
	conf = parse_good(text);
	for (size_t i = 0; i < conf->jobs[0]->n_groups; i++)
		found = found || conf->jobs[0]->groups[i] == gr->gr_gid;
	assert_true(found);
	conf_free(conf);
}

/* The errno of every look-up while a directory server is away; 0: there is none. */
static int outage;

struct passwd *__real_getpwuid(uid_t uid);
struct passwd *__real_getpwnam(const char *name);
struct passwd *__wrap_getpwuid(uid_t uid);
struct passwd *__wrap_getpwnam(const char *name);

struct passwd *__wrap_getpwuid(uid_t uid)
{
	if (outage == 0)
		return __real_getpwuid(uid);
	errno = outage;
	return NULL;
}

struct passwd *__wrap_getpwnam(const char *name)
{
	if (outage == 0)
		return __real_getpwnam(name);
	errno = outage;
	return NULL;
}

static bool parse_passes(const char *text)
{
	struct conf_errors errors;
	bool passing;

	assert_null(parse(text, &errors));
	passing = errors.passing;
	conf_errors_free(&errors);
	return passing;
}

/* As of a server that is away. Without it a name is unknown, and a number is one without account.
 */
static void failed_look_ups_are_told_from_unknown_names(void **state)
{
	char line[128];

	(void)state;
	snprintf(line, sizeof(line),
	    "f:1: the account of uid %u, which this runs as, cannot be looked up: %s",
	    (unsigned)geteuid(), strerror(ECONNREFUSED));
	outage = ECONNREFUSED;
	assert_refused_as("{ 'state': { 'url': 'file:///s' }, 'jobs': {"
			  "'a': { 'command': ['/a'] }, 'b': { 'command': ['/b'] } } }",
	    line, true);
	assert_refused_as(JOB("'user': '1234', 'group': '7'"),
	    "f:2: jobs.a.user: user \"1234\" cannot be looked up: Connection refused", true);
	assert_refused_as(JOB("'user': 'ann'"),
	    "f:2: jobs.a.user: user \"ann\" cannot be looked up: Connection refused", true);
	assert_false(parse_passes("{ 'jobs': { 'a': { 'user': 'ann' } } }")); /* no command */
	outage = ENOENT;
	assert_refused(
	    JOB("'user': 'ann'"), "f:2: jobs.a.user: there is no user \"ann\" on this machine");
	conf_free(parse_good(TOP("'log': {}")));
	outage = 0;
}

static char dir[256];

static const char *in_dir(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void write_file(const char *name, const char *text, size_t len, mode_t mode)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static void assert_not_loaded(const char *name, const char *reason)
{
	struct conf_errors errors;

	assert_null(conf_load(in_dir(name), &errors));
	assert_int_equal(errors.n, 1);
	assert_memory_equal(errors.lines[0], in_dir(name), strlen(in_dir(name)));
	if (strstr(errors.lines[0], reason) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", errors.lines[0], reason);
	conf_errors_free(&errors);
}

/* A copy of text with the tests' directory in the place of each '@'. */
static char *with_dir(const char *text)
{
	char *out = NULL;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	assert_non_null(f);
	for (; *text != '\0'; text++) {
		if (*text == '@')
			fputs(dir, f);
		else
			fputc(*text, f);
	}
	assert_int_equal(fclose(f), 0);
	return out;
}

/* As commands read it that look for a master. NULL: it is taken; run_dir is then "/r". */
static void assert_part(const char *text, const char *const *only, const char *line)
{
	struct conf_errors errors;
	struct conf *conf = parse_part(text, only, &errors);

	assert_int_equal(errors.n, line != NULL);
	if (line != NULL) {
		assert_null(conf);
		assert_string_equal(errors.lines[0], line);
	} else {
		assert_non_null(conf);
		assert_string_equal(conf->run_dir, "/r");
	}
	conf_errors_free(&errors);
	conf_free(conf);
}

static void a_part_is_read_by_itself(void **state)
{
	static const char *const run_dir[] = { "run_dir", NULL };
	static const char *const coordinator[] = { "coordinator", NULL };
	const char *text = "{ 'run_dir': '/r', 'instance': 1, 'instance': 2, 'rundir': 3,\n"
			   "'work_dir': '/r', 'defaults': { 'user': 'no-such-user' },\n"
			   "'coordinator': { 'type': 'etcd' }, 'jobs': [] }";

	(void)state;
	assert_part(text, run_dir, NULL);
	assert_part("{ 'run_dir': '/r' }", run_dir, NULL);
	assert_part(text, coordinator,
	    "f:3: coordinator: \"endpoints\" is missing; name at least one etcd server");
	assert_part("{ 'run_dir': 'r', 'work_dir': 'w' }", run_dir,
	    "f:1: run_dir: must be an absolute path without \"..\", not \"r\"");
	assert_part("{ 'run_dir': '/r', 'run_dir': '/s' }", run_dir,
	    "f:1: run_dir: is given twice, the first time on line 1; remove one");
	/* A command would go to the master of the default directory. */
	assert_part("{ 'run-dir': '/r', 'work-dir': '/w' }", run_dir,
	    "f:1: run-dir: no such key in the configuration; did you mean \"run_dir\"?");
	assert_part("[ { 'a': 1 } ]", run_dir,
	    "f:1: must be an object: { \"key\": value, ... }, not an array");
}

/* Of the jobs their names, as far as they are names. */
static void a_part_has_the_names_of_jobs(void **state)
{
	static const char *const only[] = { "work_dir", NULL };
	const char *text = "{ 'jobs': { 'b': 1, '-': {}, 'a': { 'user': 'no-such-user' } } }";
	struct conf_errors errors;
	struct conf *conf = parse_part(text, only, &errors);

	(void)state;
	assert_non_null(conf);
	assert_int_equal(conf->n_jobs, 2);
	assert_non_null(conf_job(conf, "a"));
	assert_non_null(conf_job(conf, "b"));
	conf_errors_free(&errors);
	conf_free(conf);
}

static void secrets_of_etcd_are_checked(void **state)
{
#define ETCD(more) \
	TOP("'state': { 'url': 'file:///s' }, 'coordinator': { 'type': 'etcd',\n" more " }")
#define HTTPS "'endpoints': ['https://h:1', 'http://h:1'], "
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ ETCD(HTTPS "'ca_file': '@/open', 'user': 'u', 'password_file': '@/private'"),
		    NULL },
		{ ETCD(HTTPS "'cert_file': '@/open', 'key_file': '@/private'"), NULL },
		{ ETCD(HTTPS "'ca_file': '@/none'"),
		    "f:3: coordinator.ca_file: @/none: No such file or directory" },
		{ ETCD(HTTPS "'ca_file': '/'"),
		    "f:3: coordinator.ca_file: / is not a regular file" },
		{ ETCD(HTTPS "'cert_file': '@/open'"),
		    "f:3: coordinator.cert_file: needs \"key_file\", too" },
		{ ETCD(HTTPS "'cert_file': '@/open', 'key_file': '@/open'"),
		    "f:3: coordinator.key_file: @/open is open to others than its owner "
		    "(mode 0640): chmod 600" },
		{ ETCD(HTTPS "'key_file': '@/private'"),
		    "f:3: coordinator.key_file: needs \"cert_file\", too" },
		{ ETCD(HTTPS "'user': 'u'"),
		    "f:3: coordinator.user: needs \"password_file\", too" },
		{ ETCD(HTTPS "'password_file': '@/private'"),
		    "f:3: coordinator.password_file: needs \"user\", too" },
		{ ETCD(HTTPS "'user': 'u', 'password_file': '@/open'"),
		    "f:3: coordinator.password_file: @/open is open to others than its owner "
		    "(mode 0640): chmod 600" },
		{ ETCD(HTTPS "'user': 'u', 'password_file': '@'"),
		    "f:3: coordinator.password_file: @ is not a regular file" },
		{ ETCD(HTTPS "'user': '', 'password_file': '@/private'"),
		    "f:3: coordinator.user: must be 1 to 255 bytes without control characters, "
		    "not \"\"" },
		{ ETCD(HTTPS "'user': 'a\\nb', 'password_file': '@/private'"),
		    "f:3: coordinator.user: must be 1 to 255 bytes without control characters, "
		    "not \"a?b\"" },
		{ ETCD("'endpoints': ['http://h:1'], 'ca_file': '@/open'"),
		    "f:3: coordinator.ca_file: has no use: no endpoint begins with https://" },
		{ TOP("'coordinator': {\n'user': 'u' }"),
		    "f:3: coordinator.user: goes with \"type\": \"etcd\" only" },
	};

	(void)state;
	write_file("open", "x", 1, 0640);
	write_file("private", "x", 1, 0600);
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *text = with_dir(cases[i].text);

		if (cases[i].error == NULL) {
			assert_warned(text, NULL);
		} else {
			char *error = with_dir(cases[i].error);

			assert_refused(text, error);
			free(error);
		}
		free(text);
	}
}

static void unusable_files_are_refused(void **state)
{
	char *large = malloc(1048577);

	(void)state;
	assert_non_null(large);
	memset(large, ' ', 1048577);
	write_file("large", large, 1048577, 0600);
	free(large);
	write_file("empty", "", 0, 0600);
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	assert_not_loaded("large", "larger");
	assert_not_loaded("empty", "is empty");
	assert_not_loaded("missing", "No such file");
	assert_not_loaded(".", "directory");
	assert_not_loaded("fifo", "not a regular file");
}

static void unreadable_file_is_refused(void **state)
{
	(void)state;
	assert_int_equal(chmod(dir, 0711), 0);
	write_file("secret", "{}", 2, 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(NOBODY), 0);
	assert_not_loaded("secret", "Permission denied");
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
}

static void a_good_file_is_loaded(void **state)
{
	static const char text[] = "{ \"jobs\": { \"a\": { \"command\": [\"/a\"] } } }\n";
	struct conf_errors errors;
	struct conf *conf;

	(void)state;
	write_file("good", text, sizeof(text) - 1, 0600);
	conf = conf_load(in_dir("good"), &errors);
	assert_non_null(conf);
	assert_string_equal(conf->file, in_dir("good"));
	conf_errors_free(&errors);
	conf_free(conf);
}

/* The allocation that fails, counted down; 0: none does. */
static unsigned long failing;

static void *failing_malloc(size_t size)
{
	return failing > 0 && --failing == 0 ? NULL : malloc(size);
}

/* Fails every single allocation in turn: never a crash, a leak or half a configuration. */
static void fail_every_allocation(const char *text, const char *const *only, bool good)
{
	struct conf_errors errors;
	struct conf *conf = NULL;
	unsigned long n = 0;
	bool failed;

	arena_malloc = failing_malloc;
	do {
		failing = ++n;
		conf = parse_part(text, only, &errors);
		failed = failing == 0;
		failing = 0;
		if (failed) {
			assert_null(conf);
			assert_int_equal(errors.n, 1);
			assert_string_equal(
			    errors.lines[0], "out of memory while reading the configuration");
			assert_true(errors.passing);
		}
		conf_errors_free(&errors);
	} while (failed);
	arena_malloc = malloc;
	assert_int_equal(conf != NULL, good);
	assert_true(n > 50); /* it did fail, and more than the first few */
	conf_free(conf);
}

static void failed_allocations_are_survived(void **state)
{
	static const char *const coordinator[] = { "coordinator", NULL };

	(void)state;
	fail_every_allocation(
	    JOB(ALL_JOB_KEYS ", 'us\\u0065r': '0', 'group': '0'"), NULL, geteuid() == 0);
	fail_every_allocation(
	    TOP("'coordinator': { 'endpoints': ['http://h:1'] }, 'x': 1, 'x': 2"), NULL, false);
	fail_every_allocation(TOP("'coordinator': { 'type': 'etcd', 'endpoints': ['http://h:1'] }"),
	    coordinator, true);
}

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%s/test_conf.XXXXXX", tmp != NULL ? tmp : "/tmp");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
	static const char *const files[] = { "large", "empty", "fifo", "secret", "good", "open",
		"private" };

	(void)state;
	for (size_t i = 0; i < COUNT(files); i++)
		unlink(in_dir(files[i]));
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_filled_in),
		cmocka_unit_test(top_keys_are_read),
		cmocka_unit_test(job_keys_are_read),
		cmocka_unit_test(jobs_inherit_defaults),
		cmocka_unit_test(defaults_give_way),
		cmocka_unit_test(bad_job_values_are_refused),
		cmocka_unit_test(bad_commands_are_refused),
		cmocka_unit_test(bad_top_values_are_refused),
		cmocka_unit_test(etcd_is_read),
		cmocka_unit_test(etcd_is_checked),
		cmocka_unit_test(long_endpoints_are_refused),
		cmocka_unit_test(bad_names_of_jobs_are_refused),
		cmocka_unit_test(jobs_are_required),
		cmocka_unit_test(states_without_a_store_are_warned_of),
		cmocka_unit_test(no_job_at_all_is_warned_of),
		cmocka_unit_test(a_limit_of_jobs_that_is_refused_is_not_zero),
		cmocka_unit_test(long_socket_paths_are_refused),
		cmocka_unit_test(everything_is_reported_in_the_order_of_the_file),
		cmocka_unit_test(contradictions_with_defaults_are_reported_once),
		cmocka_unit_test(duplicate_keys_are_refused),
		cmocka_unit_test(what_a_duplicate_hides_is_checked_too),
		cmocka_unit_test(syntax_errors_name_line_and_column),
		cmocka_unit_test(raw_nul_is_refused),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(every_changed_key_makes_a_job_unequal),
		cmocka_unit_test(longer_lists_are_unequal),
		cmocka_unit_test(every_key_has_its_part_in_a_reload),
		cmocka_unit_test(the_path_of_local_locks_is_fixed),
		cmocka_unit_test(jobs_come_and_go),
		cmocka_unit_test(only_root_switches_users),
		cmocka_unit_test(oneself_needs_no_switch),
		cmocka_unit_test(accounts_are_resolved),
		cmocka_unit_test(supplementary_groups_are_kept),
		cmocka_unit_test(failed_look_ups_are_told_from_unknown_names),
		cmocka_unit_test(a_part_is_read_by_itself),
		cmocka_unit_test(a_part_has_the_names_of_jobs),
		cmocka_unit_test(secrets_of_etcd_are_checked),
		cmocka_unit_test(unusable_files_are_refused),
		cmocka_unit_test(unreadable_file_is_refused),
		cmocka_unit_test(a_good_file_is_loaded),
		cmocka_unit_test(failed_allocations_are_survived),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
