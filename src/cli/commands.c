/*
 * commands.c - what graceful can be told: the table of commands and the table of options.
 */
#include <signal.h>

#include "cli/cli.h"
#include "conf/conf.h"

static const char run_text[] =
    "Starts the master, which stays in the foreground until INT or TERM has it\n"
    "stop gracefully: every job dumps its state, every lock is released, then it\n"
    "exits.\n"
    "\n"
    "Exit status: 0 every state dumped and every lock released; 1 cannot run; 3 a\n"
    "state was not dumped cleanly (its last good one was kept); 4 a lock could\n"
    "not be released and was left to its TTL; 64 usage; 78 configuration.\n";

static const char check_text[] =
    "Reads the configuration and reports every mistake in it. Then looks at the\n"
    "machine: commands exist and may be executed by the job's user, working\n"
    "directories exist, the master's directories can be written. Changes nothing\n"
    "and starts no job.\n"
    "\n"
    "Exit status: 0 fine; 78 something is wrong.\n";

static const char status_text[] =
    "Shows the master and a line for each job: its state, the epoch of its lock,\n"
    "whether it is ready, how long it has been in that state, age and size of its\n"
    "last backup, restarts, and what the job says of itself.\n"
    "\n"
    "With --watch it is drawn again at every change and every SECONDS (1 unless\n"
    "given), until Ctrl-C.\n"
    "\n"
    "Exit status: 0 shown; 1 no master runs, or its status cannot be read.\n";

static const char stop_text[] =
    "Asks the master to stop, shows how the jobs dump and release, and waits\n"
    "until the master is gone. Ctrl-C ends the waiting, not the stop. Asking\n"
    "twice changes nothing: jobs are hurried only with --hurry.\n"
    "\n"
    "Exit status: that of the master: 0 every state dumped and every lock\n"
    "released; 3 a state was not dumped cleanly; 4 a lock was left to its TTL. 1\n"
    "if no master runs, it may not be signalled, or it went without a last word.\n";

static const char checkpoint_text[] =
    "Asks for a backup of the state now instead of at the next interval. Does not\n"
    "wait for it: `graceful status` shows the age of the last backup.\n"
    "\n"
    "Exit status: 0 asked; 1 no master runs, or the job is not held here.\n";

static const char handoff_text[] =
    "The job dumps its state and ends here, its lock is released, and whoever\n"
    "waits for it takes over. This machine queues again, behind the others. Does\n"
    "not wait for it.\n"
    "\n"
    "Exit status: 0 asked; 1 no master runs, or the job is not held here.\n";

const struct cli_command cli_commands[] = {
	{
	    .name = "run",
	    .operands = "",
	    .options = OPT_CONF,
	    .run = cmd_run,
	    .brief = "run the jobs of a configuration, in the foreground",
	    .text = run_text,
	},
	{
	    .name = "check",
	    .operands = "",
	    .options = OPT_CONF,
	    .run = cmd_check,
	    .brief = "check a configuration, and whether this machine can fulfil it",
	    .text = check_text,
	},
	{
	    .name = "status",
	    .operands = "[SECONDS]",
	    .max_operands = 1,
	    .options = OPT_FIND | OPT_JSON | OPT_WATCH,
	    .run = cmd_status,
	    .brief = "show what the jobs do",
	    .text = status_text,
	},
	{
	    .name = "stop",
	    .operands = "",
	    .options = OPT_FIND | OPT_NO_WAIT | OPT_HURRY | OPT_KILL,
	    .run = cmd_stop,
	    .brief = "stop gracefully: every job dumps, every lock is released",
	    .text = stop_text,
	},
	{
	    .name = "checkpoint",
	    .operands = "[JOB]",
	    .max_operands = 1,
	    .options = OPT_FIND,
	    .run = cmd_signal,
	    .signal = SIGUSR1,
	    .brief = "have every job, or one, back up its state now",
	    .text = checkpoint_text,
	},
	{
	    .name = "handoff",
	    .operands = "JOB",
	    .min_operands = 1,
	    .max_operands = 1,
	    .options = OPT_FIND,
	    .run = cmd_signal,
	    .signal = SIGINT,
	    .brief = "hand one job over to the next machine",
	    .text = handoff_text,
	},
	{ 0 },
};

const struct cli_option_def cli_options[] = {
	{ OPT_CONF, 'c', "config", "FILE", offsetof(struct cli_args, conf_file),
	    "configuration to use (default " CONF_DEFAULT_FILE ")" },
	{ OPT_RUN_DIR, 0, "run-dir", "DIR", offsetof(struct cli_args, run_dir),
	    "the master's run_dir, instead of asking the configuration" },
	{ OPT_JSON, 0, "json", NULL, offsetof(struct cli_args, json),
	    "print the status file; indented and in ASCII on a terminal, else as it is" },
	{ OPT_WATCH, 0, "watch", NULL, offsetof(struct cli_args, watch),
	    "show it again at every change, until Ctrl-C" },
	{ OPT_NO_WAIT, 0, "no-wait", NULL, offsetof(struct cli_args, no_wait),
	    "return once the master was asked" },
	{ OPT_HURRY, 0, "hurry", NULL, offsetof(struct cli_args, hurry),
	    "jobs get TERM now and KILL after hurry_timeout; a dump in time still counts" },
	{ OPT_KILL, 0, "kill", NULL, offsetof(struct cli_args, kill),
	    "kill the jobs without a dump; the last good states are kept" },
	{ 0 },
};
