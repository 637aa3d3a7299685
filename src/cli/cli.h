/*
 * cli.h - the command line: one table of commands, one table of options.
 *
 * A new command is one entry in the table of commands.c and one function; one that only sends a
 * signal is the entry alone (cmd_signal()). Commands print results to stdout and failures to
 * stderr, one line each that says what, where and what to do, and return an exit status (exits.h).
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/exits.h"
#include "conf/conf.h"

/* What was said on the command line. Options that a command does not take keep their defaults. */
struct cli_args {
	const char *conf_file; /* -c; CONF_DEFAULT_FILE unless said */
	const char *run_dir;   /* --run-dir; NULL: ask the configuration */
	const char *last;      /* -n; NULL: not said */
	bool json;
	bool watch;
	bool cluster;
	bool connect;
	bool no_wait;
	bool hurry;
	bool kill;
	const char *ready;        /* --ready; NULL: not said */
	const char *kill_timeout; /* --kill-timeout; NULL: not said */
	const char *timeout;      /* --timeout; likewise */
	char **operands;          /* NULL-terminated */
	int n_operands;
};

struct cli_command {
	const char *name;
	const char *operands; /* for the usage line, "" if there are none */
	unsigned options;     /* which of enum cli_option it takes */
	int min_operands;
	int max_operands;
	int (*run)(const struct cli_command *cmd, const struct cli_args *args);
	int signal;        /* cmd_signal() and cmd_reload(): what it sends */
	const char *brief; /* one line for the list */
	const char *text;  /* the long help */
};

enum cli_option {
	OPT_CONF = 1 << 0,
	OPT_RUN_DIR = 1 << 1,
	OPT_JSON = 1 << 2,
	OPT_WATCH = 1 << 3,
	OPT_NO_WAIT = 1 << 4,
	OPT_HURRY = 1 << 5,
	OPT_KILL = 1 << 6,
	OPT_LAST = 1 << 7,
	OPT_READY = 1 << 8,
	OPT_KILL_TIMEOUT = 1 << 9,
	OPT_CLUSTER = 1 << 10,
	OPT_CONNECT = 1 << 11,
	OPT_TIMEOUT = 1 << 12,
};

struct cli_option_def {
	enum cli_option option;
	char letter; /* short form; 0: there is none */
	const char *name;
	const char *arg; /* NULL: a flag, its target is a bool; else its target is a string */
	size_t target;   /* offset in struct cli_args */
	const char *brief;
};

/* Both end in an entry without a name. */
extern const struct cli_command cli_commands[];
extern const struct cli_option_def cli_options[];

#define OPT_FIND (OPT_CONF | OPT_RUN_DIR) /* what find_master() needs */

/* The whole program. Returns the exit status. */
int cli_main(int argc, char **argv);

/* Prints "graceful: text" to stderr and returns status, for `return cli_fail(...)`. */
int cli_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same of what a layer below reports, with what to do when it is that we may not: EXIT_CANNOT.
 */
int cli_fail_err(const struct err *e);

/* Prints a line on stderr, made fit for a terminal (text.h), as all of these do. */
void cli_tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A wrong command line: prints one line that points to the help, returns EXIT_BAD_USE. */
int cli_misuse(const struct cli_command *cmd, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The seconds of an option, 1 or more; *value stays when it was not said. Else EXIT_BAD_USE, told.
 */
int cli_seconds(const struct cli_command *cmd, const char *option, const char *text, msec *value);

/* Prints what conf_load() had to say, one line each, to stderr. */
void cli_report(const struct conf_errors *errors);

/* conf_load_part(), with what is wrong printed when that is NULL. */
struct conf *cli_load(const char *conf_file, const char *const *only);

int cmd_run(const struct cli_command *cmd, const struct cli_args *args);
int cmd_check(const struct cli_command *cmd, const struct cli_args *args);
/* check --connect */
int check_connect(const struct conf *conf, msec patience);
/* status --cluster */
int cmd_cluster(const struct cli_args *args, msec patience);
int cmd_status(const struct cli_command *cmd, const struct cli_args *args);
int cmd_history(const struct cli_command *cmd, const struct cli_args *args);
int cmd_stop(const struct cli_command *cmd, const struct cli_args *args);
/* Sends cmd->signal, a HUP, and tells what came of it. */
int cmd_reload(const struct cli_command *cmd, const struct cli_args *args);
int cmd_drain(const struct cli_command *cmd, const struct cli_args *args);
int cmd_log_reopen(const struct cli_command *cmd, const struct cli_args *args);
/* Sends cmd->signal to the master or, with an operand, to that job's worker. */
int cmd_signal(const struct cli_command *cmd, const struct cli_args *args);

#endif
