#include "conf/conf_schema.h"

#include <signal.h>
#include <string.h>

#include "conf/conf.h"

#define SEC(n) (INT64_C(1000) * (n))
#define HOURS(n) (SEC(3600) * (n))
#define DAYS(n) (HOURS(24) * (n))
#define KIB(n) (INT64_C(1024) * (n))
#define MIB(n) (KIB(1024) * (n))
#define GIB(n) (MIB(1024) * (n))
#define TIB(n) (GIB(1024) * (n))

#define CONF(field) .offset = offsetof(struct conf, field)
#define JOB(field) .offset = offsetof(struct job_conf, field)
#define TABLE(keys) keys, sizeof(keys) / sizeof((keys)[0])

/* In the order of enum conf_coord, enum log_level and enum conf_on_exit. */
static const char *const coordinator_words[] = { "local", "etcd", NULL };
static const char *const level_words[] = { "error", "warn", "info", "debug", NULL };
static const char *const on_exit_words[] = { "restart", "release", "done", NULL };
static const char *const log_words[] = { "stderr", "syslog", NULL };

/* clang-format off */
static const struct key top_keys[] = {
	{ "instance",    KIND_INSTANCE,  CONF(instance) },
	{ "namespace",   KIND_NAMESPACE, CONF(ns), .text = "/graceful" },
	{ .name = "coordinator", .kind = KIND_SECTION },
	{ .name = "state", .kind = KIND_SECTION },
	{ "run_dir",     KIND_DIR,       CONF(run_dir), .text = "/run/graceful" },
	{ "work_dir",    KIND_DIR,       CONF(work_dir), .text = "/var/lib/graceful" },
	{ "metrics_file", KIND_PATH,     CONF(metrics_file) },
	{ .name = "log", .kind = KIND_SECTION },
	{ "max_jobs",    KIND_INT,       CONF(max_jobs), .fallback = CONF_ALL_JOBS, .min = 0,
	    .max = 1000000 },
	{ .name = "defaults", .kind = KIND_SECTION },
	{ .name = "jobs", .kind = KIND_SECTION },
};

static const struct key coordinator_keys[] = {
	{ "type",      KIND_WORD,      CONF(coord), .words = coordinator_words,
	    .fallback = CONF_COORD_LOCAL },
	{ "path",      KIND_DIR,       CONF(local_path), .text = "/var/lib/graceful/local" },
	{ "endpoints", KIND_ENDPOINTS, CONF(endpoints) },
	{ "ttl",       KIND_DURATION,  CONF(ttl), .fallback = SEC(15), .min = SEC(2),
	    .max = HOURS(1) },
	{ "ca_file",   KIND_PATH,      CONF(ca_file) },
	{ "cert_file", KIND_PATH,      CONF(cert_file) },
	{ "key_file",  KIND_PATH,      CONF(key_file) },
	{ "user",      KIND_LOGIN,     CONF(user) },
	{ "password_file", KIND_PATH,  CONF(password_file) },
};

static const struct key state_keys[] = {
	{ "url",        KIND_FILE_URL, CONF(state_dir) },
	{ "inline_max", KIND_SIZE,     CONF(inline_max), .fallback = KIB(256), .min = 0,
	    .max = MIB(1) },
};

static const struct key log_keys[] = {
	{ "to",    KIND_SWITCH, CONF(log_syslog), .words = log_words, .fallback = false },
	{ "level", KIND_WORD,   CONF(log_level), .words = level_words, .fallback = LOG_LEVEL_INFO },
};

static const struct key job_keys[] = {
	{ "command",           KIND_COMMAND,   JOB(argv) },
	{ .name = "user", .kind = KIND_SECTION },
	{ .name = "group", .kind = KIND_SECTION },
	{ "cwd",               KIND_PATH,      JOB(cwd), .text = "/" },
	{ "umask",             KIND_UMASK,     JOB(umask), .fallback = 0022 },
	{ "nice",              KIND_INT,       JOB(nice), .fallback = 0, .min = -20, .max = 19 },
	{ "no_new_privs",      KIND_BOOL,      JOB(no_new_privs), .fallback = true },
	{ "limits",            KIND_LIMITS,    JOB(limits) },
	{ "env",               KIND_ENV,       JOB(env) },
	{ "pass_env",          KIND_ENV_NAMES, JOB(pass_env) },
	{ "stop_signal",       KIND_SIGNAL,    JOB(stop_signal), .fallback = SIGINT },
	{ "checkpoint_signal", KIND_SIGNAL,    JOB(checkpoint_signal), .none = true },
	{ "checkpoint",        KIND_DURATION,  JOB(checkpoint), .fallback = SEC(30),
	    .min = 100, .max = DAYS(365), .infinity = true },
	{ "stop_timeout",      KIND_DURATION,  JOB(stop_timeout), .fallback = SEC(60),
	    .min = 100, .max = DAYS(365), .infinity = true },
	{ "hurry_timeout",     KIND_DURATION,  JOB(hurry_timeout), .fallback = SEC(5),
	    .min = 10, .max = HOURS(24) },
	{ "watchdog",          KIND_DURATION,  JOB(watchdog), .fallback = 0,
	    .min = 100, .max = HOURS(24), .none = true },
	{ "restart_min",       KIND_DURATION,  JOB(restart_min), .fallback = 200,
	    .min = 10, .max = HOURS(24) },
	{ "restart_max",       KIND_DURATION,  JOB(restart_max), .fallback = SEC(30),
	    .min = 10, .max = HOURS(24) },
	{ "max_failures",      KIND_INT,       JOB(max_failures), .fallback = 5,
	    .min = 1, .max = CONF_FAILURES_MAX },
	{ "failure_window",    KIND_DURATION,  JOB(failure_window), .fallback = SEC(60),
	    .min = SEC(1), .max = DAYS(30) },
	{ "on_exit",           KIND_WORD,      JOB(on_exit), .words = on_exit_words,
	    .fallback = ON_EXIT_RESTART },
	{ "state_max",         KIND_SIZE,      JOB(state_max), .fallback = GIB(1),
	    .min = 1, .max = TIB(16) },
};
/* clang-format on */

const struct schema schema_top = { "the configuration", TABLE(top_keys) };
const struct schema schema_coordinator = { "\"coordinator\"", TABLE(coordinator_keys) };
const struct schema schema_state = { "\"state\"", TABLE(state_keys) };
const struct schema schema_log = { "\"log\"", TABLE(log_keys) };
const struct schema schema_job = { "a job", TABLE(job_keys) };

const struct key *schema_key(const struct schema *schema, const char *name)
{
	for (size_t i = 0; i < schema->n; i++) {
		if (strcmp(schema->keys[i].name, name) == 0)
			return &schema->keys[i];
	}
	return NULL;
}
