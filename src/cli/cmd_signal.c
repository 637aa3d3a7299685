#include <stdio.h>

#include "base/sig.h"
#include "cli/cli.h"
#include "cli/find.h"
#include "cli/names.h"
#include "cli/statusview.h"
#include "role/master.h"

static int signal_master(const struct cli_command *cmd, const struct master *m)
{
	struct err e;

	if (find_signal_master(m, cmd->signal, &e) != 0)
		return cli_fail(EXIT_CANNOT, "%s", e.text);
	printf("%s: sent %s to the master (pid %d)\n", cmd->name, sig_name(cmd->signal), m->pid);
	return EXIT_OK;
}

static int unknown_job(const struct statusview *v, const char *name)
{
	struct names names = { .nearest.written = name };

	for (size_t i = 0; i < v->n_jobs; i++)
		names_try(&names, v->jobs[i].name);
	return cli_fail(
	    EXIT_CANNOT, "%s has no job \"%s\": %s", v->instance, name, names_advice(&names));
}

static int signal_job(const struct cli_command *cmd, const struct master *m,
    const struct statusview *v, const char *name)
{
	const struct statusview_job *job = statusview_job(v, name);
	struct err e;

	if (job == NULL)
		return unknown_job(v, name);
	if (!statusview_job_held(job) || job->worker_pid <= 0)
		return cli_fail(EXIT_CANNOT,
		    "%s is not held here (its state is %s%s%s): nothing to do for %s", name,
		    job->state, job->holder != NULL ? ", behind " : "",
		    job->holder != NULL ? job->holder : "", cmd->name);
	if (find_signal_worker(m, (pid_t)job->worker_pid, cmd->signal, &e) != 0)
		return cli_fail(EXIT_CANNOT, "%s: %s", name, e.text);
	printf("%s %s: sent %s to its worker (pid %lld)\n", cmd->name, name, sig_name(cmd->signal),
	    (long long)job->worker_pid);
	return EXIT_OK;
}

int cmd_signal(const struct cli_command *cmd, const struct cli_args *args)
{
	struct statusview v;
	struct master m;
	struct err e;
	int status = find_open(args, &m);

	if (status != EXIT_OK)
		return status;
	if (args->n_operands == 0) {
		status = signal_master(cmd, &m);
	} else if (statusview_read(&m, &v, &e) != 0) {
		status = cli_fail(EXIT_CANNOT, "%s", e.text);
	} else {
		status = signal_job(cmd, &m, &v, args->operands[0]);
		statusview_clear(&v);
	}
	find_close(&m);
	return status;
}

/* Not in the table of commands: the number of a real-time signal is no constant. */
int cmd_log_reopen(const struct cli_command *cmd, const struct cli_args *args)
{
	struct cli_command with_signal = *cmd;

	with_signal.signal = MASTER_LOG_REOPEN;
	return cmd_signal(&with_signal, args);
}
