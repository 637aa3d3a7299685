/*
 * tally - counts the lines of a growing, rotated log file by one of their fields, each line once
 * over any number of stops, crashes and handovers. An example of a job written with libgraceful.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "follow.h"
#include "graceful.h"
#include "tally_state.h"

#define BATCH 1000        /* lines between two looks at the clock */
#define LOOK_PAUSE 500    /* milliseconds between two looks at the files, without inotify */
#define STATUS_PAUSE 1000 /* milliseconds between two status messages, at least */

static const char usage_text[] =
    "usage: tally [options] FILE      count the lines of FILE by a field, as it grows\n"
    "       tally --show STATE        print the counts of a state file\n"
    "\n"
    "  --field N         the field that is counted, the first is 1 (default: 1)\n"
    "  --state PATH      where the state is kept, when GRACEFUL_STATE does not say\n"
    "  --every LINES     dump the state after so many lines (default: 100000; 0: do not)\n"
    "  --interval MS     dump the state after so many milliseconds, if lines came (default: 0: "
    "do not)\n"
    "  --dump-delay MS   make every dump so much slower, to try what a slow dump does\n"
    "  --help\n"
    "\n"
    "SIGINT: dump and exit. SIGTERM: the same, without --dump-delay. SIGUSR1: dump and go on.\n";

struct options {
	const char *file;
	const char *state;
	const char *show;
	unsigned field;
	uint64_t every;
	int interval;
	int dump_delay;
};

struct run {
	const struct options *options;
	struct tally tally;
	struct follow *follow;
	uint64_t dumped; /* lines in the state file */
	uint64_t tried;  /* lines at the last dump, which may have failed */
	uint64_t told;   /* lines in the last status message */
	uint64_t gaps;   /* of follow, that are in tally.gaps */
	int64_t dump_at; /* deadlines, in milliseconds of now() */
	int64_t status_at;
	int64_t ping_at;
};

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void ping(struct run *r)
{
	int pause = graceful_watchdog_msec();

	if (pause == 0 || now() < r->ping_at)
		return;
	(void)graceful_watchdog(); /* lost: the next one does it */
	r->ping_at = now() + pause;
}

static void tell_status(struct run *r)
{
	const struct tally *t = &r->tally;

	if (t->lines == r->told || now() < r->status_at)
		return;
	(void)graceful_status("%" PRIu64 " lines, %" PRIu64 " keys", t->lines, t->keys);
	r->told = t->lines;
	r->status_at = now() + STATUS_PAUSE;
}

/* Dawdles in the middle of a dump, unless there is no time for it any more. */
static void delay_dump(struct run *r)
{
	int64_t end = now() + r->options->dump_delay;

	while (now() < end && !graceful_should_hurry()) {
		poll(NULL, 0, 10);
		ping(r);
	}
}

/* -1: the old state is still there; the reason has been printed. */
static int dump(struct run *r)
{
	FILE *stream = graceful_checkpoint_begin();

	r->dump_at = now() + r->options->interval;
	r->tried = r->tally.lines;
	if (stream == NULL) {
		warn("cannot write the state %s", graceful_state_path());
		return -1;
	}
	follow_place(r->follow, &r->tally.place);
	tally_write(&r->tally, stream);
	delay_dump(r);
	if (graceful_checkpoint_commit(stream) < 0) {
		warn("cannot write the state %s", graceful_state_path());
		return -1;
	}
	r->dumped = r->tally.lines;
	return 0;
}

static void notice_gaps(struct run *r)
{
	uint64_t gaps = follow_gaps(r->follow);

	if (gaps == r->gaps)
		return;
	r->tally.gaps += gaps - r->gaps;
	r->gaps = gaps;
	warnx("%s: what was read last, or came next, is not there any more; lines may be missing. "
	      "Going on with what is left, from its start.",
	    r->options->file);
}

/* At most BATCH lines. 1: there may be more; 0: all there are; -1: cannot read. */
static int count_lines(struct run *r)
{
	const char *line;
	size_t len;
	int got;

	for (int i = 0; i < BATCH && !graceful_should_stop(); i++) {
		got = follow_next(r->follow, &line, &len);
		notice_gaps(r);
		if (got <= 0)
			return got;
		/* The place is past this line already, so there must be no dump without it. */
		if (tally_count(&r->tally, line, len) < 0)
			err(EXIT_FAILURE, "out of memory, nothing dumped");
		if (r->options->every > 0 && r->tally.lines - r->tried >= r->options->every)
			(void)dump(r);
	}
	return 1;
}

/* A periodic dump that fails is tried again later: the job may outlive a full disk. */
static void keep_house(struct run *r)
{
	bool due = r->options->interval > 0 && r->tally.lines != r->dumped && now() >= r->dump_at;

	if (graceful_should_checkpoint() || due)
		(void)dump(r);
	tell_status(r);
	ping(r);
}

static void sooner(int *timeout, int64_t at)
{
	int64_t left = at - now();

	if (left < 0)
		left = 0;
	if (*timeout < 0 || left < *timeout)
		*timeout = (int)left;
}

static void wait_for_lines(struct run *r)
{
	struct pollfd fds[] = {
		{ .fd = follow_fd(r->follow), .events = POLLIN },
		{ .fd = graceful_fd(), .events = POLLIN },
	};
	int timeout = -1;

	if (r->options->interval > 0 && r->tally.lines != r->dumped)
		sooner(&timeout, r->dump_at);
	if (r->tally.lines != r->told)
		sooner(&timeout, r->status_at);
	if (graceful_watchdog_msec() > 0)
		sooner(&timeout, r->ping_at);
	if (fds[0].fd < 0)
		sooner(&timeout, now() + LOOK_PAUSE);
	(void)poll(fds, sizeof(fds) / sizeof(fds[0]), timeout);
	follow_drain(r->follow);
}

/* Until asked to stop. -1: the file cannot be read; the reason has been printed. */
static int count_until_stopped(struct run *r)
{
	while (!graceful_should_stop()) {
		int more = count_lines(r);

		if (more < 0) {
			warn("cannot read %s", r->options->file);
			return -1;
		}
		keep_house(r);
		if (more == 0)
			wait_for_lines(r);
	}
	return 0;
}

/* Exits if there is a state that cannot be used: to begin again would count every line twice. */
static void restore(struct run *r)
{
	unsigned field = r->options->field;
	const char *problem;
	char *data;
	size_t len;
	int how = graceful_restore(&data, &len);

	if (how < 0)
		err(EXIT_FAILURE, "cannot read the state %s", graceful_state_path());
	r->tally.field = field;
	if (how == GRACEFUL_NONE)
		return;
	problem = tally_read(&r->tally, data, len);
	free(data);
	if (problem != NULL)
		errx(EXIT_FAILURE, "the state %s: %s", graceful_state_path(), problem);
	if (r->tally.field != field)
		errx(EXIT_FAILURE, "the state %s counts field %u, not %u: give --field %u",
		    graceful_state_path(), r->tally.field, field, r->tally.field);
	warnx("resuming after a %s: %" PRIu64 " lines, %" PRIu64 " keys",
	    how == GRACEFUL_CLEAN ? "clean stop" : "crash", r->tally.lines, r->tally.keys);
}

static int run(const struct options *options)
{
	struct run r = { .options = options };
	int result;

	if (graceful_init(options->state) < 0 || graceful_checkpoint_signal(SIGUSR1) < 0)
		err(EXIT_FAILURE, "cannot start");
	if (graceful_state_path() == NULL)
		errx(EX_USAGE, "no place for the state: give --state or set GRACEFUL_STATE");
	restore(&r);
	r.dumped = r.tried = r.tally.lines;
	r.follow = follow_open(options->file, &r.tally.place);
	if (r.follow == NULL)
		err(EXIT_FAILURE, "cannot follow %s", options->file);
	notice_gaps(&r);
	r.dump_at = now() + options->interval;
	(void)graceful_ready();
	result = count_until_stopped(&r);
	(void)graceful_stopping();
	if (dump(&r) < 0)
		result = -1;
	follow_close(r.follow);
	tally_clear(&r.tally);
	return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int show(const char *path)
{
	struct tally t = { 0 };
	const char *problem;
	char *data = NULL;
	size_t room = 0;
	ssize_t len;
	FILE *f = fopen(path, "re");

	if (f == NULL)
		err(EXIT_FAILURE, "%s", path);
	len = getdelim(&data, &room, '\0', f); /* a state is text, so this is all of it */
	if (ferror(f))
		err(EXIT_FAILURE, "%s", path);
	fclose(f);
	problem = tally_read(&t, data, len < 0 ? 0 : (size_t)len);
	free(data);
	if (problem != NULL)
		errx(EXIT_FAILURE, "%s: %s", path, problem);
	tally_show(&t, stdout);
	fprintf(stderr, "%" PRIu64 " lines, %" PRIu64 " keys, %" PRIu64 " gaps\n", t.lines, t.keys,
	    t.gaps);
	tally_clear(&t);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static uint64_t number(const char *option, const char *text, uint64_t max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > max)
		errx(EX_USAGE, "--%s: \"%s\" is no number up to %" PRIu64, option, text, max);
	return value;
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option known[] = { { "field", required_argument, NULL, 'f' },
		{ "state", required_argument, NULL, 's' },
		{ "every", required_argument, NULL, 'e' },
		{ "interval", required_argument, NULL, 'i' },
		{ "dump-delay", required_argument, NULL, 'd' },
		{ "show", required_argument, NULL, 'S' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'f': o->field = (unsigned)number("field", optarg, 1000); break;
		case 's': o->state = optarg; break;
		case 'e': o->every = number("every", optarg, UINT64_MAX); break;
		case 'i': o->interval = (int)number("interval", optarg, INT_MAX); break;
		case 'd': o->dump_delay = (int)number("dump-delay", optarg, INT_MAX); break;
		case 'S': o->show = optarg; break;
		case 'h': fputs(usage_text, stdout); exit(EXIT_SUCCESS);
		default: fputs(usage_text, stderr); exit(EX_USAGE);
		}
	}
	if (o->field == 0)
		errx(EX_USAGE, "--field: the first field is 1");
	if (argc - optind == (o->show == NULL ? 1 : 0)) {
		o->file = argv[optind];
		return;
	}
	fputs(usage_text, stderr);
	exit(EX_USAGE);
}

int main(int argc, char **argv)
{
	struct options options = { .field = 1, .every = 100000 };

	parse(argc, argv, &options);
	return options.show != NULL ? show(options.show) : run(&options);
}
