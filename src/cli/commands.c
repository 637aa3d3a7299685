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
    "It is ready when its directories are its own and a worker was started for\n"
    "each job, whoever holds the locks. systemd hears of that, and of what goes\n"
    "on later, by NOTIFY_SOCKET. --ready=sigstop is for Upstart's \"expect stop\":\n"
    "the master stops itself by SIGSTOP, once, and goes on at SIGCONT. With\n"
    "--ready=notify a master that NOTIFY_SOCKET is not set for does not start.\n"
    "\n"
    "Exit status: 0 every state dumped and every lock released; 1 cannot run; 3 a\n"
    "state was not dumped cleanly (its last good one, if any, was kept); 4 a lock\n"
    "could not be released and was left to its TTL; 64 usage; 78 configuration.\n";

static const char check_text[] =
    "Reads the configuration and reports every mistake in it. Then looks at the\n"
    "machine: commands exist and may be executed by the job's user, working\n"
    "directories exist, the master's directories can be written. A syslog that\n"
    "takes no lines, a script without \"#!\", a full disk, or a limit or priority that\n"
    "we may not give a job, is a warning. Changes nothing and starts no job.\n"
    "\n"
    "With --kill-timeout it says, too, which jobs may take longer to stop than an\n"
    "init system waits before it kills (Upstart's \"kill timeout\", systemd's\n"
    "TimeoutStopSec, docker stop -t, terminationGracePeriodSeconds), by how much,\n"
    "and which time would do.\n"
    "\n"
    "With --connect the coordinator is asked, too: each endpoint of etcd by itself\n"
    "(TLS, version, leader), whether the user is accepted and may read and write\n"
    "the keys of every job, and whether leases are granted. Of a local one the\n"
    "directory is tried. Nothing of that can be seen by others. For each answer\n"
    "etcd has 3 seconds, or those of --timeout.\n"
    "\n"
    "Exit status: 0 fine; 78 something is wrong, or the time is too short; 1 the\n"
    "coordinator, or an endpoint of it, does not work.\n";

static const char status_text[] =
    "Shows the master and a line for each job: its state, the epoch of its lock,\n"
    "whether it is ready, how long it has been in that state, age and size of its\n"
    "last backup, restarts, and what the job says of itself.\n"
    "\n"
    "With --watch it is drawn again at every change and every SECONDS (1 unless\n"
    "given), until Ctrl-C. With --json it is the status file: indented and in\n"
    "ASCII on a terminal, otherwise as it is.\n"
    "\n"
    "With --cluster the coordinator is asked instead, and no master needs to run:\n"
    "every job of the namespace, who owns it, where and for how long, its last\n"
    "state and who saved it when, and who waits for it in which order. For each\n"
    "answer etcd has 5 seconds, or those of --timeout.\n"
    "\n"
    "Exit status: 0 shown; 1 no master runs, or its status cannot be read, or the\n"
    "coordinator cannot be asked; 78 the configuration is wrong.\n";

static const char stop_text[] =
    "Asks the master to stop, shows how the jobs dump and release, and waits\n"
    "until the master is gone. Ctrl-C ends the waiting, not the stop. It may be\n"
    "asked again, and changes nothing: jobs are hurried only with --hurry, and\n"
    "killed only with --kill. Each of these is one step, also to begin with.\n"
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

static const char reload_text[] =
    "Has the master read its configuration again and start, stop and restart just\n"
    "the jobs that changed, and waits until it says what came of that; not for the\n"
    "jobs, which `graceful status` shows. A configuration with any mistake changes\n"
    "nothing, and neither does one with another instance, namespace, coordinator\n"
    "type or path, run_dir or work_dir: for these the master has to be restarted.\n"
    "Ends a drain, and opens the logs anew.\n"
    "\n"
    "Exit status: 0 applied; 78 refused, every mistake is on standard error; 1 no\n"
    "master runs, it stops, or it does not answer.\n";

static const char drain_text[] =
    "The master hands over every job and takes none, but stays, until `graceful\n"
    "resume` or `graceful reload`. Shows how the jobs dump and release, and waits\n"
    "until nothing is held any more. Ctrl-C ends the waiting, not the drain.\n"
    "\n"
    "Exit status: 0 drained; 3 drained, but a state was not dumped cleanly; 4\n"
    "drained, but a lock could not be released; 1 no master runs, or it stopped or\n"
    "resumed meanwhile.\n";

static const char resume_text[] =
    "Ends a drain. It is the same as `graceful reload`, so the configuration is\n"
    "read again; if it is refused, the drain goes on.\n"
    "\n"
    "Exit status: 0 resumed; 78 the configuration was refused; 1 no master runs, it\n"
    "stops, or it does not answer.\n";

static const char log_reopen_text[] =
    "Has the master and its workers open their log anew: syslog's socket, or the\n"
    "terminal or pipe that standard error is. A file that it was redirected to\n"
    "stays the same one: have it rotated by copying. Does not wait for it.\n"
    "\n"
    "Exit status: 0 asked; 1 no master runs.\n";

static const char history_text[] =
    "Shows the last hand-overs of this machine and how long their steps took:\n"
    "signal, dump, upload and commit where the job was given up; acquire, restore\n"
    "and start where it was taken. Who takes a job knows from its state record\n"
    "when the other machine did its part; if the two clocks disagree, acquire (it\n"
    "holds the commit then, too) may come out too short, or negative.\n"
    "\n"
    "A table on a terminal, else a line for each, with times in seconds. Reads a\n"
    "file in work_dir; no master needs to run.\n"
    "\n"
    "Exit status: 0 shown; 1 it cannot be read, or there is no such job; 78\n"
    "configuration.\n";

const struct cli_command cli_commands[] = {
	{
	    .name = "run",
	    .operands = "",
	    .options = OPT_CONF | OPT_READY,
	    .run = cmd_run,
	    .brief = "run the jobs of a configuration, in the foreground",
	    .text = run_text,
	},
	{
	    .name = "check",
	    .operands = "",
	    .options = OPT_CONF | OPT_KILL_TIMEOUT | OPT_CONNECT | OPT_TIMEOUT,
	    .run = cmd_check,
	    .brief = "check a configuration, and whether this machine can fulfil it",
	    .text = check_text,
	},
	{
	    .name = "status",
	    .operands = "[SECONDS]",
	    .max_operands = 1,
	    .options = OPT_FIND | OPT_JSON | OPT_WATCH | OPT_CLUSTER | OPT_TIMEOUT,
	    .run = cmd_status,
	    .brief = "show what the jobs do",
	    .text = status_text,
	},
	{
	    .name = "history",
	    .operands = "[JOB]",
	    .max_operands = 1,
	    .options = OPT_CONF | OPT_JSON | OPT_LAST,
	    .run = cmd_history,
	    .brief = "show the last hand-overs and how long their steps took",
	    .text = history_text,
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
	    .name = "reload",
	    .operands = "",
	    .options = OPT_FIND | OPT_NO_WAIT,
	    .run = cmd_reload,
	    .signal = SIGHUP,
	    .brief = "read the configuration again, restart what changed",
	    .text = reload_text,
	},
	{
	    .name = "drain",
	    .operands = "",
	    .options = OPT_FIND | OPT_NO_WAIT,
	    .run = cmd_drain,
	    .brief = "hand over every job and take none, until resume",
	    .text = drain_text,
	},
	{
	    .name = "resume",
	    .operands = "",
	    .options = OPT_FIND | OPT_NO_WAIT,
	    .run = cmd_reload,
	    .signal = SIGHUP,
	    .brief = "end a drain",
	    .text = resume_text,
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
	{
	    .name = "log-reopen",
	    .operands = "",
	    .options = OPT_FIND,
	    .run = cmd_log_reopen,
	    .brief = "open the logs anew",
	    .text = log_reopen_text,
	},
	{ 0 },
};

const struct cli_option_def cli_options[] = {
	{ OPT_CONF, 'c', "config", "FILE", offsetof(struct cli_args, conf_file),
	    "configuration to use (default " CONF_DEFAULT_FILE ")" },
	{ OPT_RUN_DIR, 0, "run-dir", "DIR", offsetof(struct cli_args, run_dir),
	    "the master's run_dir, instead of asking the configuration" },
	{ OPT_JSON, 0, "json", NULL, offsetof(struct cli_args, json), "print JSON" },
	{ OPT_LAST, 'n', "last", "N", offsetof(struct cli_args, last),
	    "show the last N (default 20)" },
	{ OPT_WATCH, 0, "watch", NULL, offsetof(struct cli_args, watch),
	    "show it again at every change, until Ctrl-C" },
	{ OPT_CONNECT, 0, "connect", NULL, offsetof(struct cli_args, connect),
	    "ask the coordinator, too, and try whether it can be used" },
	{ OPT_CLUSTER, 0, "cluster", NULL, offsetof(struct cli_args, cluster),
	    "ask the coordinator for the jobs of all masters; none needs to run here" },
	{ OPT_NO_WAIT, 0, "no-wait", NULL, offsetof(struct cli_args, no_wait),
	    "return once the master was asked" },
	{ OPT_HURRY, 0, "hurry", NULL, offsetof(struct cli_args, hurry),
	    "jobs get TERM now and KILL after hurry_timeout; a dump in time still counts" },
	{ OPT_KILL, 0, "kill", NULL, offsetof(struct cli_args, kill),
	    "kill the jobs without a dump; the last good states are kept" },
	{ OPT_READY, 0, "ready", "HOW", offsetof(struct cli_args, ready),
	    "notify or sigstop: how the init system learns that it is up" },
	{ OPT_KILL_TIMEOUT, 0, "kill-timeout", "SECONDS", offsetof(struct cli_args, kill_timeout),
	    "compare the longest stop with this" },
	{ OPT_TIMEOUT, 0, "timeout", "SECONDS", offsetof(struct cli_args, timeout),
	    "how long etcd may take for an answer, with --connect or --cluster" },
	{ 0 },
};
