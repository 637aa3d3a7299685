/*
 * conf.h - the configuration file as the rest of the program sees it: checked, complete, read-only.
 *
 * conf_load() reads one JSON file strictly: an unknown key, a wrong type, a bad value or an
 * impossible combination is an error that names file, line and key, and all errors of a file are
 * collected before it returns. What it returns needs no further check: users are resolved,
 * durations are msec, sizes are bytes, defaults are filled in. Nothing in it changes until
 * conf_free(), so forked workers just keep it.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/log.h"

#define JOB_NAME_MAX 63
#define CONF_INSTANCE_MAX 63
#define CONF_ENDPOINT_MAX 300
#define CONF_FAILURES_MAX 1000 /* the largest max_failures */

#define CONF_JOBS_DIR "jobs"     /* below work_dir: one directory for each job */
#define CONF_NOTIFY_DIR "notify" /* below run_dir: one socket for each job, named after it */

/* In run_dir and in work_dir: which master they belong to, for all to read; and the proof of it. */
#define CONF_PID_FILE "graceful.pid"
#define CONF_LOCK_FILE "graceful.lock"

enum conf_on_exit {
	ON_EXIT_RESTART, /* start it again, after the backoff */
	ON_EXIT_RELEASE, /* hand the job to the next machine */
	ON_EXIT_DONE,    /* the job is finished, everywhere */
};

enum conf_coord { CONF_COORD_LOCAL, CONF_COORD_ETCD };

struct conf_limit {
	const char *name; /* as in the file; static */
	int resource;     /* RLIMIT_... */
	struct rlimit value;
};

struct job_conf {
	char name[JOB_NAME_MAX + 1];
	char **argv; /* the command, NULL-terminated, at least one element */

	/* Who the job runs as. Resolved when the file is read: no look-up happens between fork and
	 * exec. */
	bool switch_user; /* false: run as whoever runs the master, and ignore the next four */
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	size_t n_groups;
	char *user_name; /* for USER and LOGNAME; never NULL */
	char *home;      /* for HOME; never NULL */

	char *cwd; /* absolute; default "/" */
	mode_t umask;
	int nice;
	bool no_new_privs; /* programs that it runs gain nothing from set-user-ID bits and the like
			    */
	struct conf_limit *limits;
	size_t n_limits;
	char **env;      /* "KEY=value" of "env", NULL-terminated */
	char **pass_env; /* names taken from the master's environment, NULL-terminated */

	int stop_signal;       /* default SIGINT */
	int checkpoint_signal; /* 0: none */
	msec checkpoint;       /* between two backups; MSEC_NEVER: only when asked and at the end */
	msec stop_timeout;     /* from the stop signal to SIGKILL; MSEC_NEVER allowed */
	msec hurry_timeout;    /* from SIGTERM to SIGKILL */
	msec watchdog;         /* 0: none */
	msec restart_min;      /* first delay of the backoff */
	msec restart_max;
	int max_failures;
	msec failure_window;
	enum conf_on_exit on_exit;
	uint64_t state_max; /* a larger state file is refused, in bytes */
};

#define CONF_ALL_JOBS (-1)

struct conf {
	char *file; /* the path it was read from */
	char instance[CONF_INSTANCE_MAX + 1];
	char *ns; /* "namespace": begins with '/', does not end with it */
	enum conf_coord coord;
	char *local_path; /* coordinator "local": absolute directory */
	char **endpoints; /* coordinator "etcd": "http://host:port", NULL-terminated */
	msec ttl;         /* of the lease; and of a worker without a sign of life */
	/* etcd only, as the next five: of TLS, for the endpoints that begin with "https:"; NULL:
	 * none. */
	char *ca_file, *cert_file, *key_file;
	char *user; /* NULL: etcd asks for none */
	char *password_file;
	char *state_dir;     /* of state.url "file://DIR": absolute; NULL without a store */
	uint64_t inline_max; /* states up to this size travel in the record */
	char *run_dir;      /* absolute, as all paths here without "..", "//" or a "/" at the end */
	char *work_dir;     /* the jobs' own directories are <work_dir>/<CONF_JOBS_DIR>/<job> */
	char *metrics_file; /* absolute; NULL: none is written */
	bool log_syslog;
	enum log_level log_level;
	int max_jobs;           /* held at a time; CONF_ALL_JOBS */
	struct job_conf **jobs; /* sorted by name */
	size_t n_jobs;
};

/*
 * One line per mistake, "FILE:LINE: KEY.PATH: what is wrong and what to do", ready for stderr. A
 * warning has "warning: " before the key; a syntax error has the column and no key.
 */
struct conf_errors {
	char **lines;
	size_t n;
	bool passing; /* no mistake is known: the next try may do, with the file as it is */
};

#define CONF_DEFAULT_FILE SYSCONFDIR "/graceful/graceful.json"

/*
 * Reads and checks path. Returns NULL with at least one line in *errors when anything is wrong.
 * *errors is to be freed with conf_errors_free() in either case; after success it may hold warnings
 * (n > 0): legal, but hardly meant.
 */
struct conf *conf_load(const char *path, struct conf_errors *errors);
/*
 * The same for who wants to know no more than what these keys of the top say, NULL-terminated, as
 * for finding a master: it may run as another user than this, and the file may have been changed
 * since. Mistakes elsewhere are passed over, and no account is looked up. Of the result these keys
 * can be relied on, file, and those names of jobs that are good ones; the rest may be NULL or 0.
 * For strings, and "coordinator".
 */
struct conf *conf_load_part(const char *path, const char *const *only, struct conf_errors *errors);
/* Both on text in memory, for tests and the fuzzer. name stands for the file in messages. */
struct conf *conf_parse(const char *text, size_t len, const char *name, struct conf_errors *errors);
struct conf *conf_parse_part(const char *text, size_t len, const char *name,
    const char *const *only, struct conf_errors *errors);
void conf_free(struct conf *conf);
void conf_errors_free(struct conf_errors *errors);

/* NULL if there is no such job. */
const struct job_conf *conf_job(const struct conf *conf, const char *name);

/* [A-Za-z0-9][A-Za-z0-9._-]{0,62} */
bool conf_job_name_ok(const char *name);

#endif
