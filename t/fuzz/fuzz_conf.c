/* Any bytes as a configuration file: a checked configuration, or lines that fit a terminal. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/conf_diff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lines(const struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++) {
		assert(errors->lines[i][0] != '\0');
		for (const char *p = errors->lines[i]; *p != '\0'; p++)
			assert((unsigned char)*p >= 0x20 && *p != 0x7f);
	}
}

/* What the rest of the program relies on without looking. */
static void check_job(const struct conf *conf, const struct job_conf *job)
{
	assert(conf_job_name_ok(job->name));
	assert(conf_job(conf, job->name) == job);
	assert(job_conf_equal(job, job));
	assert(job->argv[0][0] == '/' && job->cwd[0] == '/');
	assert(job->user_name != NULL && job->home[0] == '/');
	assert(job->stop_signal > 0 && job->stop_signal != job->checkpoint_signal);
	assert(job->hurry_timeout > 0 && job->hurry_timeout < job->stop_timeout);
	assert(job->restart_min > 0 && job->restart_min <= job->restart_max);
	assert(job->checkpoint > 0 && job->max_failures > 0 && job->failure_window > 0);
	assert(job->env != NULL && job->pass_env != NULL && job->umask <= 0777);
}

static void check_etcd(const struct conf *conf)
{
	assert(conf->endpoints[0] != NULL && conf->ttl % 1000 == 0);
	for (char **url = conf->endpoints; *url != NULL; url++)
		assert(strncmp(*url, "http", 4) == 0 && strlen(*url) <= CONF_ENDPOINT_MAX);
	assert((conf->user == NULL) == (conf->password_file == NULL));
	assert((conf->cert_file == NULL) == (conf->key_file == NULL));
}

static void check_conf(const struct conf *conf)
{
	assert(conf_job_name_ok(conf->instance));
	assert(conf->ns[0] == '/' && conf->run_dir[0] == '/' && conf->work_dir[0] == '/');
	assert(strcmp(conf->run_dir, conf->work_dir) != 0);
	assert(conf->coord == CONF_COORD_ETCD || conf->local_path[0] == '/');
	if (conf->coord == CONF_COORD_ETCD)
		check_etcd(conf);
	for (size_t i = 0; i < conf->n_jobs; i++)
		check_job(conf, conf->jobs[i]);
}

/* Whatever else may be wrong. */
static void check_part(const uint8_t *data, size_t size)
{
	static const char *const only[] = { "run_dir", "work_dir", NULL };
	struct conf_errors errors;
	struct conf *conf = conf_parse_part((const char *)data, size, "f", only, &errors);

	assert(conf != NULL || errors.n > 0);
	check_lines(&errors);
	if (conf != NULL) {
		assert(conf->run_dir[0] == '/' && conf->work_dir[0] == '/');
		for (size_t i = 0; i < conf->n_jobs; i++)
			assert(conf_job(conf, conf->jobs[i]->name) == conf->jobs[i]);
	}
	conf_free(conf);
	conf_errors_free(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_errors errors;
	struct conf *conf = conf_parse((const char *)data, size, "f", &errors);

	assert(conf != NULL || errors.n > 0);
	check_lines(&errors);
	if (conf != NULL)
		check_conf(conf);
	conf_free(conf);
	conf_errors_free(&errors);
	check_part(data, size);
	return 0;
}
