#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/text.h"
#include "conf/conf.h"
#include "conf/nearest.h"

#define LINE_BYTES (3 * PATH_MAX)
#define LETTER_HELP 'h'
#define LONG_ONLY 256  /* getopt's value for an option without a letter: this and its place */
#define OPTIONS_MAX 32 /* bits of cli_command.options */

static void tell(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

/* Names, and what others said, may hold anything. */
static void tell(const char *fmt, va_list ap)
{
	char text[LINE_BYTES], fit[LINE_BYTES];

	vsnprintf(text, sizeof(text), fmt, ap);
	text_fit(fit, sizeof(fit), text, SIZE_MAX);
	fputs(fit, stderr);
}

void cli_tell(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int cli_fail(int status, const char *fmt, ...)
{
	va_list ap;

	fputs("graceful: ", stderr);
	va_start(ap, fmt);
	tell(fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}

int cli_fail_err(const struct err *e)
{
	return cli_fail(EXIT_CANNOT, "%s%s", e->text,
	    e->code == EACCES ? "; be root or the user that graceful runs as" : "");
}

int cli_misuse(const struct cli_command *cmd, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "graceful %s: ", cmd->name);
	va_start(ap, fmt);
	tell(fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see graceful %s --help\n", cmd->name);
	return EXIT_BAD_USE;
}

int cli_seconds(const struct cli_command *cmd, const char *option, const char *text, msec *value)
{
	char *end;
	long n;

	if (text == NULL)
		return EXIT_OK;
	errno = 0;
	n = strtol(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || errno != 0 || *end != '\0' || n < 1 || n > INT32_MAX)
		return cli_misuse(cmd, "%s: \"%s\" is no number of seconds above 0", option, text);
	*value = (msec)n * 1000;
	return EXIT_OK;
}

void cli_report(const struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++)
		cli_tell("%s", errors->lines[i]);
}

struct conf *cli_load(const char *conf_file, const char *const *only)
{
	struct conf_errors errors;
	struct conf *conf = conf_load_part(conf_file, only, &errors);

	if (conf == NULL)
		cli_report(&errors);
	conf_errors_free(&errors);
	return conf;
}

static void print_overview(FILE *out)
{
	fputs("Usage: graceful COMMAND [OPTION]... [OPERAND]...\n\n"
	      "Runs stateful jobs, each on one machine at a time, and hands them over without "
	      "loss.\n\n"
	      "Commands:\n",
	    out);
	for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
		fprintf(out, "  %-11s %s\n", c->name, c->brief);
	fputs("  help        show the help of a command\n\n"
	      "graceful COMMAND --help tells more, graceful --version the version.\n"
	      "Of every command: exit status 64, the command line is wrong; 78, the "
	      "configuration is.\n",
	    out);
}

#define FORM_MAX 32 /* bytes of an option with its argument */
#define FORM_MIN 14 /* its column's width, unless one is longer */

/* "--config FILE"; returns its length. */
static int show_form(const struct cli_option_def *o, char form[FORM_MAX])
{
	return snprintf(form, FORM_MAX, "--%s%s%s", o->name, o->arg != NULL ? " " : "",
	    o->arg != NULL ? o->arg : "");
}

static void print_options(const struct cli_command *cmd)
{
	char form[FORM_MAX];
	int width = FORM_MIN;

	for (const struct cli_option_def *o = cli_options; o->name != NULL; o++) {
		if ((cmd->options & o->option) != 0 && show_form(o, form) > width)
			width = show_form(o, form);
	}
	for (const struct cli_option_def *o = cli_options; o->name != NULL; o++) {
		if ((cmd->options & o->option) == 0)
			continue;
		show_form(o, form);
		if (o->letter != 0)
			printf("  -%c, %-*s %s\n", o->letter, width, form, o->brief);
		else
			printf("      %-*s %s\n", width, form, o->brief);
	}
	printf("  -h, %-*s %s\n", width, "--help", "show this help");
}

static void print_help(const struct cli_command *cmd)
{
	printf("Usage: graceful %s [OPTION]...%s%s\n\n%s\nOptions:\n", cmd->name,
	    *cmd->operands != '\0' ? " " : "", cmd->operands, cmd->text);
	print_options(cmd);
}

static const struct cli_command *find_command(const char *name)
{
	for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

static int unknown_command(const char *name)
{
	struct nearest search = { .written = name };

	if (*name == '-')
		return cli_fail(EXIT_BAD_USE,
		    "%s: the command comes first, as in graceful status --json; see graceful "
		    "--help",
		    name);
	nearest_try(&search, "help");
	for (const struct cli_command *c = cli_commands; c->name != NULL; c++)
		nearest_try(&search, c->name);
	if (search.best == NULL)
		return cli_fail(
		    EXIT_BAD_USE, "there is no command \"%s\"; see graceful --help", name);
	return cli_fail(EXIT_BAD_USE,
	    "there is no command \"%s\"; did you mean %s? "
	    "See graceful --help",
	    name, search.best);
}

static int option_value(const struct cli_option_def *o)
{
	return o->letter != 0 ? o->letter : LONG_ONLY + (int)(o - cli_options);
}

/* What getopt needs to know of a command's options. The arrays hold all options and --help. */
static void describe_options(const struct cli_command *cmd, struct option *longs, char *shorts)
{
	*shorts++ = ':'; /* tell a missing argument from an unknown option */
	*shorts++ = LETTER_HELP;
	*longs++ = (struct option){ "help", no_argument, NULL, LETTER_HELP };
	for (const struct cli_option_def *o = cli_options; o->name != NULL; o++) {
		if ((cmd->options & o->option) == 0)
			continue;
		*longs++ = (struct option){ o->name,
			o->arg != NULL ? required_argument : no_argument, NULL, option_value(o) };
		if (o->letter == 0)
			continue;
		*shorts++ = (char)o->letter;
		if (o->arg != NULL)
			*shorts++ = ':';
	}
	*longs = (struct option){ 0 };
	*shorts = '\0';
}

static int take_option(const struct cli_command *cmd, struct cli_args *args, int value)
{
	for (const struct cli_option_def *o = cli_options; o->name != NULL; o++) {
		char *target = (char *)args + o->target;

		if (option_value(o) != value)
			continue;
		if (o->arg != NULL && *optarg == '\0')
			return cli_misuse(cmd, "--%s needs an argument", o->name);
		if (o->arg == NULL)
			memcpy(target, &(bool){ true }, sizeof(bool));
		else
			memcpy(target, &optarg, sizeof(optarg));
	}
	return EXIT_OK;
}

/* A long one that is none of the command's. Behind a '=' stands its argument. */
static int unknown_option(const struct cli_command *cmd, const char *word)
{
	char name[64];
	struct nearest search = { .written = name };

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	nearest_try(&search, "help");
	for (const struct cli_option_def *o = cli_options; o->name != NULL; o++) {
		if ((cmd->options & o->option) != 0)
			nearest_try(&search, o->name);
	}
	if (search.best == NULL)
		return cli_misuse(cmd, "%s is no option here", word);
	return cli_misuse(cmd, "%s is no option here, did you mean --%s?", word, search.best);
}

/* getopt names a bad option by its letter, which may stand among others, or by the whole word. */
static int bad_option(const struct cli_command *cmd, const char *word, const char *what)
{
	if (optopt > 0 && optopt < LONG_ONLY)
		return cli_misuse(cmd, "-%c %s", optopt, what);
	return cli_misuse(cmd, "%s %s", word, what);
}

static int check_operands(const struct cli_command *cmd, const struct cli_args *args)
{
	if (args->n_operands < cmd->min_operands)
		return cli_misuse(cmd, "%s is missing", cmd->operands);
	if (args->n_operands > cmd->max_operands) {
		const char *more = args->operands[cmd->max_operands];

		return cli_misuse(cmd, "\"%s\" is too much%s", more,
		    access(more, F_OK) == 0 ? "; if it is a configuration, name it by -c" : "");
	}
	return EXIT_OK;
}

/* argv[0] is the command. */
static int run_command(const struct cli_command *cmd, int argc, char **argv)
{
	struct cli_args args = { .conf_file = CONF_DEFAULT_FILE };
	struct option longs[OPTIONS_MAX + 2];
	char shorts[2 * OPTIONS_MAX + 3];
	int letter, status = EXIT_OK;

	describe_options(cmd, longs, shorts);
	opterr = 0;
	while (status == EXIT_OK && (letter = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		switch (letter) {
		case LETTER_HELP: print_help(cmd); return EXIT_OK;
		case ':': return bad_option(cmd, argv[optind - 1], "needs an argument");
		case '?':
			if (optopt == 0)
				return unknown_option(cmd, argv[optind - 1]);
			return bad_option(cmd, argv[optind - 1], "is no option here");
		default: status = take_option(cmd, &args, letter);
		}
	}
	args.operands = argv + optind;
	args.n_operands = argc - optind;
	if (status == EXIT_OK)
		status = check_operands(cmd, &args);
	return status == EXIT_OK ? cmd->run(cmd, &args) : status;
}

static bool asks_for_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

static int help(char **names)
{
	const struct cli_command *cmd;

	if (names[0] == NULL || asks_for_help(names[0])) {
		print_overview(stdout);
		return EXIT_OK;
	}
	cmd = find_command(names[0]);
	if (cmd == NULL)
		return unknown_command(names[0]);
	print_help(cmd);
	return EXIT_OK;
}

static int dispatch(int argc, char **argv)
{
	const struct cli_command *cmd;

	if (argc < 2) {
		print_overview(stderr);
		return EXIT_BAD_USE;
	}
	if (asks_for_help(argv[1]))
		return help(argv + 2);
	if (strcmp(argv[1], "--version") == 0) {
		puts("graceful " PACKAGE_VERSION);
		return EXIT_OK;
	}
	cmd = find_command(argv[1]);
	if (cmd == NULL)
		return unknown_command(argv[1]);
	return run_command(cmd, argc - 1, argv + 1);
}

/*
 * A caller may have closed our standard descriptors. Then the first file that we open would get
 * their numbers, and output would land in it. What is put there instead cannot be written either,
 * so that lost output is still noticed.
 */
static void fill_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			open("/dev/null", O_RDONLY);
}

/* Output that got lost is a failure: a full disk, a closed pipe. */
static int flush_output(int status)
{
	int lost = ferror(stdout);

	errno = 0;
	if (fclose(stdout) == 0 && !lost)
		return status;
	if (errno != 0)
		cli_fail(status, "cannot write the output: %s", strerror(errno));
	else
		cli_fail(status, "cannot write the output");
	return status != EXIT_OK ? status : EXIT_CANNOT;
}

int cli_main(int argc, char **argv)
{
	fill_standard_fds();
	/* Screens go out in one piece, so that Ctrl-C cannot leave half of an escape sequence. */
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	signal(SIGPIPE, SIG_IGN); /* a closed pipe shall be reported, see flush_output() */
	text_setup();
	return flush_output(dispatch(argc, argv));
}
