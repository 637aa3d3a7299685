#include <string.h>

#include "base/log.h"
#include "cli/cli.h"
#include "conf/conf.h"
#include "role/master.h"

static bool ready_parse(const char *text, enum init_ready *how)
{
	*how = INIT_READY_AUTO;
	if (text == NULL)
		return true;
	*how = strcmp(text, "notify") == 0 ? INIT_READY_NOTIFY : INIT_READY_SIGSTOP;
	return *how == INIT_READY_NOTIFY || strcmp(text, "sigstop") == 0;
}

/* Who just started it would see nothing at all, not even that it is up. */
static void tell_silence(const struct conf *conf)
{
	struct err e;

	/* One that is full may only be busy, as when the machine starts. */
	if (conf->log_syslog && log_try_syslog(0, &e) != 0 && e.code != 0)
		cli_tell("%s: warning: log.to: %s; what is logged is lost until a syslog daemon "
			 "runs, and shown here with \"stderr\"",
		    conf->file, e.text);
}

int cmd_run(const struct cli_command *cmd, const struct cli_args *args)
{
	struct master_options options = { .conf_file = args->conf_file };
	struct conf_errors errors;
	struct conf *conf;
	int status;

	master_hold_signals();
	if (!ready_parse(args->ready, &options.ready))
		return cli_misuse(
		    cmd, "--ready is \"notify\" or \"sigstop\", not \"%s\"", args->ready);
	conf = conf_load(args->conf_file, &errors);
	cli_report(&errors);
	/* After 78 no init system tries again. */
	status = errors.passing ? EXIT_CANNOT : EXIT_BAD_CONF;
	conf_errors_free(&errors);
	if (conf == NULL)
		return status;
	tell_silence(conf);
	return master_run(conf, &options);
}
