/*
 * follow.h against a writer that may do its next step between any two system calls of the reader:
 * it writes, leaves lines incomplete and rotates either way, while the reader also stops and is
 * killed. Each line comes once, in order, and there is no gap. SEED repeats one run, SEEDS is how
 * many there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cwd_test.h"
#include "follow.h"

#define RUNS 200
#define ACTIONS 60 /* of the writer, in one run */
#define STEPS 64
#define LAG 6 /* rotations that the reader may be behind: less than FOLLOW_GENERATIONS */
#define LINES_MAX 4096

/* One system call of the writer. */
enum step {
	WRITE_LINE,
	BEGIN_LINE,
	AGE_9, /* f.8 to f.9, and so on */
	AGE_2 = AGE_9 + 7,
	MOVE,
	MAKE,
	CHANGE_OVER,
	COPY_MAKE,
	COPY_SOME,
	COPY_REST,
	TRUNCATE,
};

static struct writer {
	bool busy; /* the calls are its own */
	unsigned actions;
	int fd, made;   /* f; and the new one, before it changes over */
	int from, copy; /* f and f.1 while the one is copied */
	enum step steps[STEPS];
	unsigned first, last;
	unsigned lines;
	size_t begun; /* of line `lines`, so many bytes are written */
	unsigned rotations;
	unsigned born[LINES_MAX]; /* at which rotation a line was written */
} w;

static struct reader {
	struct follow *follow;
	unsigned lines;
	struct place saved; /* with so many lines: */
	unsigned saved_lines;
} r;

static unsigned seed;
static uint64_t dice;

/* xorshift: the same numbers everywhere. */
static unsigned roll(unsigned sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (unsigned)((dice >> 16) % sides);
}

static void push(enum step step)
{
	assert_true(w.last < STEPS);
	w.steps[w.last++] = step;
}

static void push_lines(unsigned most)
{
	for (unsigned i = roll(most + 1); i > 0; i--)
		push(WRITE_LINE);
}

static void push_ageing(void)
{
	for (enum step step = AGE_9; step <= AGE_2; step++)
		push(step);
}

static void push_rename(void)
{
	bool begun = w.begun > 0;

	push_ageing();
	push(MOVE);
	push(MAKE);
	if (begun)
		push(WRITE_LINE);
	push_lines(3);
	push(CHANGE_OVER);
}

static void push_copy(void)
{
	if (w.begun > 0)
		push(WRITE_LINE);
	push_ageing();
	push(COPY_MAKE);
	push(COPY_SOME);
	push(COPY_REST);
	push(TRUNCATE);
}

static void push_action(void)
{
	unsigned kind = roll(100);
	bool near = w.rotations - w.born[r.saved_lines - 1] < LAG;

	w.first = w.last = 0;
	w.actions++;
	if (kind < 20 && near)
		push_rename();
	else if (kind < 50 && near)
		push_copy();
	else if (kind < 60)
		push(BEGIN_LINE);
	else
		push_lines(6);
}

/*
 * Line n, with its newline: its number, in a width that n decides. It stands at its end, too: the
 * text before no two places is the same, however long the lines are.
 */
static size_t make_line(unsigned n, char *buf, size_t room)
{
	int more = n % 17 == 0 ? 300 : (int)(n * 7 % 20);

	return (size_t)snprintf(buf, room, "%u %0*u\n", n, more, n);
}

static void write_all(int fd, const char *data, size_t len)
{
	assert_int_equal(write(fd, data, len), len);
}

static void write_line(void)
{
	char line[512];
	size_t len = make_line(w.lines, line, sizeof(line));

	write_all(w.fd, line + w.begun, len - w.begun);
	w.begun = 0;
	assert_true(w.lines < LINES_MAX);
	w.born[w.lines++] = w.rotations;
}

static void begin_line(void)
{
	char line[512];
	size_t len = make_line(w.lines, line, sizeof(line));

	if (w.begun > 0)
		return;
	w.begun = 1 + roll((unsigned)len - 1);
	write_all(w.fd, line, w.begun);
}

static int open_to_write(const char *name)
{
	int fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void age(int to)
{
	char old[16], new[16];

	snprintf(old, sizeof(old), "f.%d", to - 1);
	snprintf(new, sizeof(new), "f.%d", to);
	assert_true(rename(old, new) == 0 || errno == ENOENT);
}

static void copy(size_t most)
{
	char buf[65536];
	ssize_t n = read(w.from, buf, most < sizeof(buf) ? most : sizeof(buf));

	assert_true(n >= 0 && (size_t)n < sizeof(buf));
	write_all(w.copy, buf, (size_t)n);
}

static void copy_make(void)
{
	w.from = open("f", O_RDONLY | O_CLOEXEC);
	assert_true(w.from >= 0);
	w.copy = open_to_write("f.1");
	w.rotations++;
}

static void change_over(void)
{
	close(w.fd);
	w.fd = w.made;
	w.rotations++;
}

static void cut(void)
{
	close(w.from);
	close(w.copy);
	assert_int_equal(truncate("f", 0), 0);
}

static void do_step(enum step step)
{
	switch (step) {
	case WRITE_LINE: write_line(); break;
	case BEGIN_LINE: begin_line(); break;
	case MOVE: assert_int_equal(rename("f", "f.1"), 0); break;
	case MAKE: w.made = open_to_write("f"); break;
	case CHANGE_OVER: change_over(); break;
	case COPY_MAKE: copy_make(); break;
	case COPY_SOME: copy(roll(200)); break;
	case COPY_REST: copy(SIZE_MAX); break;
	case TRUNCATE: cut(); break;
	default: age(9 - (int)(step - AGE_9)); break;
	}
}

/* false: the writer is done. */
static bool write_on(void)
{
	if (w.first == w.last && w.actions == ACTIONS)
		return false;
	w.busy = true;
	if (w.first == w.last)
		push_action();
	if (w.first < w.last)
		do_step(w.steps[w.first++]);
	w.busy = false;
	return true;
}

/* Between the copy of a file and its truncation: short, and much can go wrong. */
static bool copying(void)
{
	return w.first < w.last && w.steps[w.first] > COPY_MAKE;
}

/* Mostly nothing, at times several rotations. */
static void meddle(void)
{
	static const unsigned most[] = { 0, 0, 0, 0, 1, 2, 12, 60 };

	if (w.busy || r.follow == NULL || (copying() && roll(8) > 0))
		return;
	for (unsigned n = roll(1 + most[roll(8)]); n > 0 && write_on(); n--)
		if (copying() && roll(2) == 0)
			return;
}

ssize_t __real_pread(int fd, void *buf, size_t len, off_t offset);
ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t offset);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st);
int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);

ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t offset)
{
	meddle();
	return __real_pread(fd, buf, len, offset);
}

int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list more;

	va_start(more, flags);
	if ((flags & O_CREAT) != 0)
		mode = va_arg(more, mode_t);
	va_end(more);
	meddle();
	return __real_open(path, flags, mode);
}

int __wrap_stat(const char *path, struct stat *st)
{
	meddle();
	return __real_stat(path, st);
}

int __wrap_fstat(int fd, struct stat *st)
{
	meddle();
	return __real_fstat(fd, st);
}

static void no_gap(void)
{
	if (follow_gaps(r.follow) > 0)
		fail_msg("SEED=%u: a gap after line %u of %u", seed, r.lines, w.lines);
}

/* false: none now. */
static bool read_line(void)
{
	char want[512];
	const char *text;
	size_t len, n;
	int got = follow_next(r.follow, &text, &len);

	assert_true(got >= 0);
	no_gap();
	if (got == 0)
		return false;
	n = make_line(r.lines, want, sizeof(want));
	if (r.lines == w.lines || len != n - 1 || memcmp(text, want, len) != 0)
		fail_msg(
		    "SEED=%u: line %u of %u is \"%.*s\"", seed, r.lines, w.lines, (int)len, text);
	r.lines++;
	return true;
}

static void save(void)
{
	follow_place(r.follow, &r.saved);
	r.saved_lines = r.lines;
}

static void restart(void)
{
	struct follow *old = r.follow;

	r.follow = follow_open("f", &r.saved);
	assert_non_null(r.follow);
	r.lines = r.saved_lines;
	follow_close(old);
	no_gap();
}

/* Something happened, as follow_fd() would say: a look at all there is. */
static void read_all(void)
{
	while (read_line())
		if (roll(4) == 0)
			save();
}

static void begin(void)
{
	static const struct place nowhere;

	memset(&w, 0, sizeof(w));
	memset(&r, 0, sizeof(r));
	dice = 88172645463325252u + seed * 2654435761u;
	w.fd = open_to_write("f");
	write_line();
	r.follow = follow_open("f", &nowhere);
	assert_non_null(r.follow);
	w.busy = true;
	assert_true(read_line());
	save();
	w.busy = false;
}

static void run_once(void)
{
	begin();
	while (write_on()) {
		if (roll(3) == 0)
			read_all();
		if (roll(10) == 0)
			save();
		if (roll(10) == 0)
			restart();
	}
	if (w.begun > 0)
		write_line();
	read_all();
	if (r.lines != w.lines)
		fail_msg("SEED=%u: line %u of %u does not come", seed, r.lines, w.lines);
	close(w.fd);
	follow_close(r.follow);
	r.follow = NULL;
	cwd_clear();
}

static unsigned number(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : (unsigned)strtoul(text, NULL, 10);
}

static void rotations_between_any_two_calls(void **unused)
{
	unsigned first = number("SEED", 1), runs = number("SEEDS", getenv("SEED") ? 1 : RUNS);

	(void)unused;
	for (seed = first; seed < first + runs; seed++)
		run_once();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    rotations_between_any_two_calls, cwd_enter, cwd_leave),
	};

	return cmocka_run_group_tests_name("follow", tests, NULL, NULL);
}
