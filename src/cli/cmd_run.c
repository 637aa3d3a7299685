#include "cli/cli.h"
#include "conf/conf.h"
#include "role/master.h"

int cmd_run(const struct cli_command *cmd, const struct cli_args *args)
{
	struct master_options options = { .conf_file = args->conf_file };
	struct conf_errors errors;
	struct conf *conf = conf_load(args->conf_file, &errors);

	(void)cmd;
	cli_report(&errors);
	conf_errors_free(&errors);
	if (conf == NULL)
		return EXIT_BAD_CONF;
	return master_run(conf, &options);
}
