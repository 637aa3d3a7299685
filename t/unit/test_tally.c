/*
 * The parts of tally, etc/examples/tally.c: lines from a file, following it through rotations, and
 * the state as text. What happens over restarts and kills is in t/system/tally.t.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cwd_test.h"
#include "follow.h"
#include "lines.h"
#include "tally_state.h"

/* A file may be truncated between any two reads. Called once, after so many more and the next. */
static void (*after_read)(void);
static unsigned reads_before;

ssize_t __real_pread(int fd, void *buf, size_t len, off_t offset);
ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t offset);

ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t offset)
{
	ssize_t n = __real_pread(fd, buf, len, offset);
	void (*then)(void) = after_read;

	if (then == NULL || reads_before-- > 0)
		return n;
	after_read = NULL;
	reads_before = 0;
	then();
	return n;
}

static void append(const char *name, const char *text)
{
	FILE *f = fopen(name, "a");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int open_to_read(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void expect_line(struct lines *l, const char *want)
{
	const char *text;
	size_t len;

	assert_int_equal(lines_next(l, &text, &len), 1);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(text, want, len);
}

static void expect_no_line(struct lines *l)
{
	const char *text;
	size_t len;

	assert_int_equal(lines_next(l, &text, &len), 0);
}

static void expect_tail(const struct lines *l, const char *want)
{
	const char *tail;
	size_t len = lines_tail(l, &tail);

	assert_int_equal(len, strlen(want));
	assert_memory_equal(tail, want, len);
}

static void lines_are_complete(void **unused)
{
	static struct lines l;
	int fd;

	(void)unused;
	append("f", "a\n\nhal");
	fd = open_to_read("f");
	assert_int_equal(lines_start(&l, fd, 0), 0);
	expect_tail(&l, "");
	expect_line(&l, "a");
	expect_line(&l, "");
	expect_no_line(&l);
	assert_int_equal(l.offset, 3);
	append("f", "f");
	expect_no_line(&l);
	append("f", "\n");
	expect_line(&l, "half");
	assert_int_equal(l.offset, 8);
	expect_tail(&l, "a\n\nhalf\n");
	close(fd);
}

static void lines_resume_at_an_offset(void **unused)
{
	static struct lines l;
	int fd;

	(void)unused;
	append("f", "a\nb\nc\n");
	fd = open_to_read("f");
	assert_int_equal(lines_start(&l, fd, 4), 0);
	expect_tail(&l, "a\nb\n");
	expect_line(&l, "c");
	expect_tail(&l, "a\nb\nc\n");
	close(fd);
}

/* Line i is "i xxx…" with a length that makes lines fall over every kind of buffer boundary. */
static size_t make_line(unsigned i, char *buf, size_t room)
{
	size_t len = (size_t)snprintf(buf, room, "%u ", i), more = i * 7919u % 3000u;

	memset(buf + len, 'x', more);
	return len + more;
}

static void lines_cross_buffers(void **unused)
{
	static struct lines l;
	static char want[4000];
	FILE *f = fopen("f", "w");
	const char *text;
	uint64_t offset = 0;
	size_t len;
	int fd;

	(void)unused;
	assert_non_null(f);
	for (unsigned i = 0; i < 500; i++) {
		len = make_line(i, want, sizeof(want));
		assert_int_equal(fwrite(want, 1, len, f), len);
		assert_int_equal(fputc('\n', f), '\n');
	}
	assert_int_equal(fclose(f), 0);
	fd = open_to_read("f");
	assert_int_equal(lines_start(&l, fd, 0), 0);
	for (unsigned i = 0; i < 500; i++) {
		size_t n = make_line(i, want, sizeof(want));
		char before[LINES_TAIL];
		const char *tail;

		assert_int_equal(lines_next(&l, &text, &len), 1);
		assert_int_equal(len, n);
		assert_memory_equal(text, want, n);
		offset += n + 1;
		assert_int_equal(l.offset, offset);
		n = lines_tail(&l, &tail);
		assert_int_equal(n, offset < LINES_TAIL ? offset : LINES_TAIL);
		assert_int_equal(pread(fd, before, n, (off_t)(offset - n)), n);
		assert_memory_equal(tail, before, n);
	}
	expect_no_line(&l);
	close(fd);
}

/* The place is before the line as long as that is incomplete, and so is what is read next time. */
static void incomplete_lines_are_read_again(void **unused)
{
	static struct lines l;
	int fd;

	(void)unused;
	append("f", "a\nhal");
	fd = open_to_read("f");
	assert_int_equal(lines_start(&l, fd, 0), 0);
	expect_line(&l, "a");
	expect_no_line(&l);
	assert_int_equal(truncate("f", 2), 0);
	append("f", "another\n");
	expect_line(&l, "another");
	close(fd);
}

/* The bytes repeat with a period that fits no buffer, so that a gap in them shows. */
static void huge_line_is_cut(size_t size)
{
	static struct lines l;
	char before[LINES_TAIL];
	const char *text;
	char *huge = malloc(size + 1);
	size_t len;
	int fd;

	assert_non_null(huge);
	for (size_t i = 0; i < size; i++)
		huge[i] = (char)('a' + i % 23);
	huge[size] = '\0';
	append("f", huge);
	fd = open_to_read("f");
	assert_int_equal(lines_start(&l, fd, 0), 0);
	expect_no_line(&l);
	append("f", "\nafter\n");
	assert_int_equal(lines_next(&l, &text, &len), 1);
	assert_int_equal(len, LINES_HEAD);
	assert_memory_equal(text, huge, len);
	assert_int_equal(l.offset, size + 1);
	len = lines_tail(&l, &text);
	assert_true(len > 0);
	assert_int_equal(pread(fd, before, len, (off_t)(size + 1 - len)), len);
	assert_memory_equal(text, before, len);
	expect_line(&l, "after");
	expect_no_line(&l);
	close(fd);
	assert_int_equal(unlink("f"), 0);
	free(huge);
}

static void huge_lines_are_cut(void **unused)
{
	(void)unused;
	huge_line_is_cut(LINES_HEAD + 1);
	huge_line_is_cut(LINES_BUFFER - 1);
	huge_line_is_cut(LINES_BUFFER);
	huge_line_is_cut(LINES_BUFFER + 100);
	huge_line_is_cut(5 * LINES_BUFFER);
}

static void follow_expect(struct follow *f, const char *want)
{
	const char *text;
	size_t len;

	assert_int_equal(follow_next(f, &text, &len), 1);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(text, want, len);
}

static void follow_expect_end(struct follow *f)
{
	const char *text;
	size_t len;

	assert_int_equal(follow_next(f, &text, &len), 0);
}

static struct follow *follow_from(const struct place *from)
{
	static const struct place nowhere;
	struct follow *f = follow_open("f", from == NULL ? &nowhere : from);

	assert_non_null(f);
	return f;
}

/* Stops following and starts again at the same place, which goes back and forth as it is. */
static struct follow *restarted(struct follow *f)
{
	struct place p;

	follow_place(f, &p);
	follow_close(f);
	return follow_from(&p);
}

static void follows_a_rename(void **unused)
{
	struct follow *f;

	(void)unused;
	append("f", "a\n");
	f = follow_from(NULL);
	follow_expect(f, "a");
	follow_expect_end(f);
	assert_int_equal(rename("f", "f.1"), 0);
	append("f", "");
	follow_expect_end(f);
	append("f.1", "late\n");
	follow_expect(f, "late");
	append("f.1", "last\n");
	append("f", "b\n");
	follow_expect(f, "last");
	follow_expect(f, "b");
	follow_expect_end(f);
	assert_int_equal(follow_gaps(f), 0);
	follow_close(f);
}

/* A rotated file that was read may go, also while the new one is still empty. */
static void follows_a_rename_and_a_removal(void **unused)
{
	struct follow *f;

	(void)unused;
	append("f", "a\n");
	f = follow_from(NULL);
	follow_expect(f, "a");
	assert_int_equal(rename("f", "f.1"), 0);
	append("f", "");
	follow_expect_end(f);
	assert_int_equal(unlink("f.1"), 0);
	append("f", "b\n");
	follow_expect(f, "b");
	assert_int_equal(follow_gaps(f), 0);
	follow_close(f);
}

/* All of it between two looks, and over a restart. */
static void follows_several_renames(bool restart)
{
	struct follow *f;

	append("f", "a\nb\n");
	f = follow_from(NULL);
	follow_expect(f, "a");
	assert_int_equal(rename("f", "f.3"), 0);
	append("f.2", "c\n");
	append("f.1", "");
	append("f", "d\n");
	if (restart)
		f = restarted(f);
	follow_expect(f, "b");
	follow_expect(f, "c");
	follow_expect(f, "d");
	follow_expect_end(f);
	assert_int_equal(follow_gaps(f), 0);
	follow_close(f);
}

static void follows_several_renames_live(void **unused)
{
	(void)unused;
	follows_several_renames(false);
}

static void follows_several_renames_after_a_restart(void **unused)
{
	(void)unused;
	follows_several_renames(true);
}

/* As logrotate's copytruncate does: the copy has another inode, FILE keeps its own. */
static void copy_and_truncate(const char *unread)
{
	char buf[256];
	size_t n;
	FILE *f;

	append("f", unread);
	f = fopen("f", "r");
	assert_non_null(f);
	n = fread(buf, 1, sizeof(buf) - 1, f);
	buf[n] = '\0';
	fclose(f);
	assert_true(unlink("f.1") == 0 || errno == ENOENT);
	append("f.1", buf);
	assert_int_equal(truncate("f", 0), 0);
}

static void rotate_and_outgrow(void)
{
	copy_and_truncate("c 3\n");
	append("f", "d 4, and more than there was before\n");
}

/* To their end. */
static struct follow *follow_two_lines(void)
{
	struct follow *f;

	append("f", "a 1\nb 2\n");
	f = follow_from(NULL);
	follow_expect(f, "a 1");
	follow_expect(f, "b 2");
	follow_expect_end(f);
	return f;
}

/* Behind the rest of the copy. */
static void expect_what_outgrew(struct follow *f)
{
	follow_expect(f, "d 4, and more than there was before");
	follow_expect_end(f);
	assert_int_equal(follow_gaps(f), 0);
	follow_close(f);
}

static void follows_a_copy(bool restart)
{
	struct follow *f = follow_two_lines();

	rotate_and_outgrow();
	if (restart)
		f = restarted(f);
	follow_expect(f, "c 3");
	expect_what_outgrew(f);
}

static void follows_a_copy_live(void **unused)
{
	(void)unused;
	follows_a_copy(false);
}

static void follows_a_copy_after_a_restart(void **unused)
{
	(void)unused;
	follows_a_copy(true);
}

static void rotate_at_the_next_read(void)
{
	after_read = rotate_and_outgrow;
}

/* Nothing had come, it was looked at and found to be the same; and then it was not any more. */
static void follows_a_copy_made_after_a_look(void **unused)
{
	struct follow *f = follow_two_lines();

	(void)unused;
	after_read = rotate_at_the_next_read;
	follow_expect_end(f);
	assert_null(after_read);
	follow_expect(f, "c 3");
	expect_what_outgrew(f);
}

/* It was looked at and found to be the same; when it is read on, it is not any more. */
static void follows_a_copy_made_between_two_reads(void **unused)
{
	struct follow *f = follow_two_lines();

	(void)unused;
	after_read = rotate_and_outgrow;
	follow_expect(f, "c 3");
	assert_null(after_read);
	expect_what_outgrew(f);
}

#define READS 12 /* more than all the lines here take */

/* After what was rotated at some read. It may have been at the last look: that wakes us again. */
static void follow_expect_at_last(struct follow *f, const char *want)
{
	const char *text;
	size_t len;
	int got = follow_next(f, &text, &len);

	if (got == 0)
		got = follow_next(f, &text, &len);
	assert_int_equal(got, 1);
	assert_int_equal(len, strlen(want));
	assert_memory_equal(text, want, len);
}

/* What was not rotated by now is rotated now. */
static void expect_what_outgrew_at_last(struct follow *f)
{
	void (*then)(void) = after_read;

	after_read = NULL;
	reads_before = 0;
	if (then != NULL)
		then();
	follow_expect_at_last(f, "c 3");
	expect_what_outgrew(f);
	cwd_clear();
}

static void follows_a_copy_made_after_any_read(bool restart)
{
	for (unsigned i = 0; i < READS; i++) {
		struct follow *f;

		append("f", "a 1\nb 2\n");
		f = follow_from(NULL);
		follow_expect(f, "a 1");
		after_read = rotate_and_outgrow;
		reads_before = i;
		if (restart)
			f = restarted(f);
		follow_expect_at_last(f, "b 2");
		expect_what_outgrew_at_last(f);
	}
}

static void follows_a_copy_made_after_any_read_live(void **unused)
{
	(void)unused;
	follows_a_copy_made_after_any_read(false);
}

static void follows_a_copy_made_after_any_read_of_a_restart(void **unused)
{
	(void)unused;
	follows_a_copy_made_after_any_read(true);
}

static void age_rotate_and_outgrow(void)
{
	assert_int_equal(rename("f.1", "f.2"), 0);
	rotate_and_outgrow();
}

/* It was found to be the successor; when its first line is read, that is in the copy already. */
static void follows_a_copy_of_a_file_just_found(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < READS; i++) {
		struct follow *f;

		append("f", "a 1\n");
		f = follow_from(NULL);
		follow_expect(f, "a 1");
		follow_expect_end(f);
		assert_int_equal(rename("f", "f.1"), 0);
		append("f", "b 2\n");
		after_read = age_rotate_and_outgrow;
		reads_before = i;
		follow_expect_at_last(f, "b 2");
		expect_what_outgrew_at_last(f);
	}
}

/* What is there of its first line may be there again when it has been truncated. */
static void follows_a_copy_of_a_file_that_began_the_same(void **unused)
{
	struct follow *f;

	(void)unused;
	append("f", "2026 a\n");
	f = follow_from(NULL);
	follow_expect(f, "2026 a");
	assert_int_equal(rename("f", "f.1"), 0);
	append("f", "2026");
	follow_expect_end(f);
	assert_int_equal(rename("f.1", "f.2"), 0);
	copy_and_truncate(" b\n");
	append("f", "2026 c\n");
	follow_expect(f, "2026 b");
	follow_expect(f, "2026 c");
	follow_expect_end(f);
	assert_int_equal(follow_gaps(f), 0);
	follow_close(f);
}

static void truncate_copied(void)
{
	append("f.1", "c 3\n");
	assert_int_equal(truncate("f", 0), 0);
	append("f", "d 4, and more than there was before\n");
}

/* Half of the copy is there; what was read of it is not read again in the file it is made of. */
static void follows_a_copy_being_made(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < READS; i++) {
		struct follow *f;

		append("f", "a 1\n");
		f = follow_from(NULL);
		follow_expect(f, "a 1");
		follow_expect_end(f);
		assert_int_equal(rename("f", "f.2"), 0);
		append("f", "b 2\nc 3\n");
		append("f.1", "b 2\n");
		after_read = truncate_copied;
		reads_before = i;
		follow_expect_at_last(f, "b 2");
		follow_expect_at_last(f, "c 3");
		if (after_read != NULL)
			truncate_copied();
		after_read = NULL;
		reads_before = 0;
		follow_expect_at_last(f, "d 4, and more than there was before");
		follow_expect_end(f);
		assert_int_equal(follow_gaps(f), 0);
		follow_close(f);
		cwd_clear();
	}
}

/* false: the file system does not know. */
static bool born(const char *name, struct statx_timestamp *when)
{
	struct statx st;

	assert_int_equal(statx(AT_FDCWD, name, 0, STATX_BTIME, &st), 0);
	*when = st.stx_btime;
	return (st.stx_mask & STATX_BTIME) != 0;
}

/* Makes f later than the other file: rotations are further apart than the clock's steps. */
static bool append_later(const char *text, const char *other)
{
	struct statx_timestamp past, now;

	if (!born(other, &past))
		return false;
	do {
		(void)unlink("f");
		append("f", text);
		(void)born("f", &now);
	} while (now.tv_sec == past.tv_sec && now.tv_nsec == past.tv_nsec);
	return true;
}

/* A file that was renamed is none that was copied, though the new one begins with all of it. */
static void follows_a_rename_of_lines_that_repeat(void **unused)
{
	struct follow *f;

	(void)unused;
	append("f", "tick\n");
	f = follow_from(NULL);
	follow_expect(f, "tick");
	assert_int_equal(rename("f", "f.1"), 0);
	if (!append_later("tick\ntick\n", "f.1")) {
		follow_close(f);
		skip();
	}
	f = restarted(f);
	follow_expect(f, "tick");
	follow_expect(f, "tick");
	follow_expect_end(f);
	assert_int_equal(follow_gaps(f), 0);
	follow_close(f);
}

/*
 * A new FILE of which no line was read yet is copied and truncated: only the file before it tells
 * where to go on.
 */
static void follows_a_copy_of_an_unread_file(bool restart)
{
	struct follow *f;

	append("f", "a\n");
	f = follow_from(NULL);
	follow_expect(f, "a");
	assert_int_equal(rename("f", "f.1"), 0);
	append("f", "beg");
	follow_expect_end(f);
	assert_int_equal(rename("f.1", "f.2"), 0);
	copy_and_truncate("un\n");
	append("f", "b\n");
	if (restart)
		f = restarted(f);
	follow_expect(f, "begun");
	follow_expect(f, "b");
	follow_expect_end(f);
	assert_int_equal(follow_gaps(f), 0);
	follow_close(f);
}

static void follows_a_copy_of_an_unread_file_live(void **unused)
{
	(void)unused;
	follows_a_copy_of_an_unread_file(false);
}

static void follows_a_copy_of_an_unread_file_after_a_restart(void **unused)
{
	(void)unused;
	follows_a_copy_of_an_unread_file(true);
}

static void removed_file_is_read_to_its_end(void **unused)
{
	struct follow *f;

	(void)unused;
	append("f", "a\nb\n");
	f = follow_from(NULL);
	follow_expect(f, "a");
	assert_int_equal(unlink("f"), 0);
	append("f", "c\n");
	follow_expect(f, "b");
	follow_expect(f, "c");
	assert_int_equal(follow_gaps(f), 0);
	follow_close(f);
}

/* Nobody knows whether the one that is left is the only one that came after it. */
static void removed_file_is_followed_by_the_oldest_after_it(void **unused)
{
	struct follow *f;

	(void)unused;
	append("f.3", "old\n");
	append("f", "");
	if (!append_later("a\n", "f.3"))
		skip();
	f = follow_from(NULL);
	follow_expect(f, "a");
	assert_int_equal(rename("f", "f.1"), 0);
	assert_true(append_later("b\n", "f.1"));
	assert_int_equal(rename("f.1", "f.2"), 0);
	assert_int_equal(rename("f", "f.1"), 0);
	append("f", "c\n");
	assert_int_equal(unlink("f.2"), 0);
	follow_expect(f, "b");
	assert_int_equal(follow_gaps(f), 1);
	follow_expect(f, "c");
	follow_expect_end(f);
	assert_int_equal(follow_gaps(f), 1);
	follow_close(f);
}

/* Rotation by copy and removal: the copy is younger than what it was made of. */
static void removed_file_is_not_followed_by_its_copy(void **unused)
{
	struct follow *f;

	(void)unused;
	append("f.2", "");
	if (!append_later("a\nb\n", "f.2"))
		skip();
	f = follow_from(NULL);
	follow_expect(f, "a");
	assert_int_equal(rename("f", "original"), 0);
	assert_true(append_later("a\nb\n", "original"));
	assert_int_equal(rename("f", "f.1"), 0);
	assert_int_equal(unlink("original"), 0);
	append("f", "c\n");
	follow_expect(f, "b");
	follow_expect(f, "c");
	follow_expect_end(f);
	assert_int_equal(follow_gaps(f), 0);
	follow_close(f);
}

static void missing_file_is_a_gap(bool restart)
{
	struct follow *f;

	append("f", "a\n");
	f = follow_from(NULL);
	follow_expect(f, "a");
	assert_int_equal(rename("f", "f.4"), 0);
	append("f.2", "c\n");
	append("f", "e\n");
	if (restart)
		f = restarted(f);
	follow_expect_end(f);
	follow_expect(f, "c");
	assert_int_equal(follow_gaps(f), 1);
	follow_expect_end(f);
	follow_expect(f, "e");
	follow_expect_end(f);
	assert_int_equal(follow_gaps(f), 2);
	follow_close(f);
}

static void missing_file_is_a_gap_live(void **unused)
{
	(void)unused;
	missing_file_is_a_gap(false);
}

static void missing_file_is_a_gap_after_a_restart(void **unused)
{
	(void)unused;
	missing_file_is_a_gap(true);
}

/* It is missing at one look, within a rotation; the next rotation is another one. */
static void file_missing_within_a_rotation_is_no_gap(void **unused)
{
	struct follow *f;

	(void)unused;
	append("f", "a\n");
	f = follow_from(NULL);
	follow_expect(f, "a");
	assert_int_equal(rename("f", "f.2"), 0);
	append("f", "b\n");
	follow_expect_end(f);
	assert_int_equal(rename("f.2", "f.3"), 0);
	follow_expect_end(f);
	assert_int_equal(rename("f", "f.2"), 0);
	append("f.1", "c\n");
	append("f", "d\n");
	follow_expect(f, "b");
	follow_expect(f, "c");
	follow_expect(f, "d");
	assert_int_equal(follow_gaps(f), 0);
	follow_close(f);
}

static void lost_file_is_a_gap(void **unused)
{
	struct follow *f;

	(void)unused;
	append("f", "a\n");
	f = follow_from(NULL);
	follow_expect(f, "a");
	assert_int_equal(truncate("f", 0), 0);
	append("f", "longer than before\n");
	f = restarted(f);
	assert_int_equal(follow_gaps(f), 1);
	follow_expect(f, "longer than before");
	f = restarted(f);
	assert_int_equal(follow_gaps(f), 0);
	assert_int_equal(unlink("f"), 0);
	f = restarted(f);
	assert_int_equal(follow_gaps(f), 1);
	follow_expect_end(f);
	f = restarted(f);
	assert_int_equal(follow_gaps(f), 0);
	append("f", "new\n");
	follow_expect(f, "new");
	follow_close(f);
}

/* Reading on as if it were not there would count the lines after it anew. */
static void unreadable_file_is_an_error(void **unused)
{
	struct place p;
	struct follow *f;

	(void)unused;
	append("f", "a\n");
	f = follow_from(NULL);
	follow_expect(f, "a");
	follow_place(f, &p);
	follow_close(f);
	assert_int_equal(unlink("f"), 0);
	append("f", "b\n");
	assert_int_equal(symlink("f.1", "f.1"), 0);
	assert_null(follow_open("f", &p));
	assert_int_equal(errno, ELOOP);
}

/* tally dumps its state after that. */
static void place_survives_an_error(void **unused)
{
	struct place good, p;
	struct follow *f = follow_two_lines();
	const char *text;
	size_t len;

	(void)unused;
	follow_place(f, &good);
	rotate_and_outgrow();
	assert_int_equal(rename("f.1", "copy"), 0);
	assert_int_equal(symlink("f.1", "f.1"), 0);
	assert_int_equal(follow_next(f, &text, &len), -1);
	assert_int_equal(errno, ELOOP);
	follow_place(f, &p);
	assert_int_equal(p.ino, good.ino);
	assert_int_equal(p.offset, good.offset);
	assert_int_equal(p.hash, good.hash);
	assert_int_equal(rename("copy", "f.1"), 0);
	follow_expect(f, "c 3");
	expect_what_outgrew(f);
}

static void count_line(struct tally *t, const char *line)
{
	assert_int_equal(tally_count(t, line, strlen(line)), 0);
}

/* What tally_write() or tally_show() says; to be freed. */
static char *text_of(const struct tally *t, void (*say)(const struct tally *, FILE *))
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	say(t, f);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void expect_counts(const struct tally *t, const char *want)
{
	char *text = text_of(t, tally_show);

	assert_string_equal(text, want);
	free(text);
}

static void counts_fields(void **unused)
{
	struct tally t = { .field = 2 };

	(void)unused;
	count_line(&t, "x b y");
	count_line(&t, " \tx\t\tb");
	count_line(&t, "x a");
	count_line(&t, "x ");
	count_line(&t, "");
	assert_int_equal(tally_count(&t, "x\0a\0", 4), 0);
	expect_counts(&t, "2 \n2 a\n2 b\n");
	assert_int_equal(t.lines, 6);
	assert_int_equal(t.keys, 3);
	tally_clear(&t);
}

static void cuts_long_keys(void **unused)
{
	struct tally t = { .field = 1 };
	char line[TALLY_KEY_MAX + 3], want[TALLY_KEY_MAX + 8];

	(void)unused;
	memset(line, 'k', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	count_line(&t, line);
	line[TALLY_KEY_MAX + 1] = '\0';
	count_line(&t, line);
	snprintf(want, sizeof(want), "2 %.*s\n", TALLY_KEY_MAX, line);
	expect_counts(&t, want);
	tally_clear(&t);
}

static void state_survives_writing(void **unused)
{
	struct tally t = { .field = 3,
		.gaps = 4,
		.place = { true, 1, 18446744073709551615u, 1000, 256, 18446744073709551614u } };
	struct tally back = { 0 };
	char *text, *again;

	(void)unused;
	count_line(&t, "1 2 b");
	count_line(&t, "1 2 \xff\r");
	count_line(&t, "1 2");
	count_line(&t, "1 2 b");
	text = text_of(&t, tally_write);
	assert_null(tally_read(&back, text, strlen(text)));
	assert_memory_equal(&back.place, &t.place, sizeof(t.place));
	assert_int_equal(back.lines, 4);
	assert_int_equal(back.keys, 3);
	assert_int_equal(back.gaps, 4);
	assert_int_equal(back.field, 3);
	again = text_of(&back, tally_write);
	assert_string_equal(again, text);
	free(text);
	free(again);
	tally_clear(&t);
	tally_clear(&back);
}

#define GOOD "tally 1\nfield 1\nfile 1 2 30 20 5\nlines 3\ngaps 0\nkeys 2\n1 a\n2 b\n"

static void expect_refused(const char *text, size_t len)
{
	struct tally t = { 0 };

	if (tally_read(&t, text, len) == NULL)
		fail_msg("taken for a state: %.*s", (int)len, text);
	assert_null(t.counts);
	assert_int_equal(t.keys, 0);
}

static void refuses_damaged_states(void **unused)
{
	static const char *const bad[] = {
		"tally 2\nfield 1\nfile none\nlines 0\ngaps 0\nkeys 0\n",
		"tally 1\nfield 0\nfile none\nlines 0\ngaps 0\nkeys 0\n",
		"tally 1\nfield 4294967297\nfile none\nlines 0\ngaps 0\nkeys 0\n",
		"tally 1\nfield 1\nfile none\nlines 1\ngaps 0\nkeys 0\n",
		"tally 1\nfield 1\nfile none\nlines 0\ngaps 0\nkeys 1\n0 a\n",
		"tally 1\nfield 1\nfile none\nlines 2\ngaps 0\nkeys 2\n1 a\n1 a\n",
		"tally 1\nfield 1\nfile none\nlines 3\ngaps 0\nkeys 2\n1 a\n1 a\n1 b\n",
		"tally 1\nfield 1\nfile none\nlines -1\ngaps 0\nkeys 0\n",
		"tally 1\nfield 1\nfile none\nlines 0\ngaps 18446744073709551616\nkeys 0\n",
		"tally 1\nfield 1\nfile 1 2 10 20 5\nlines 0\ngaps 0\nkeys 0\n",
		"tally 1\nfield 1\nfile 1 2 18446744073709551615 20 5\nlines 0\ngaps 0\nkeys 0\n",
		"tally 1\nfield 1\nfile none\nlines 0\ngaps 0\nkeys 2\n"
		"18446744073709551615 a\n1 b\n",
		GOOD "1 c\n",
		GOOD "\n",
	};
	struct tally t = { 0 };

	(void)unused;
	assert_null(tally_read(&t, GOOD, strlen(GOOD)));
	tally_clear(&t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_refused(bad[i], strlen(bad[i]));
	for (size_t len = 0; len < strlen(GOOD); len++)
		expect_refused(GOOD, len);
}

static void refuses_a_key_with_a_nul(void **unused)
{
	char text[] = GOOD;

	(void)unused;
	*strchr(text, 'b') = '\0';
	expect_refused(text, strlen(GOOD));
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, cwd_enter, cwd_leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_DIRECTORY(lines_are_complete),
		IN_DIRECTORY(lines_resume_at_an_offset),
		IN_DIRECTORY(lines_cross_buffers),
		IN_DIRECTORY(incomplete_lines_are_read_again),
		IN_DIRECTORY(huge_lines_are_cut),
		IN_DIRECTORY(follows_a_rename),
		IN_DIRECTORY(follows_a_rename_and_a_removal),
		IN_DIRECTORY(follows_several_renames_live),
		IN_DIRECTORY(follows_several_renames_after_a_restart),
		IN_DIRECTORY(follows_a_copy_live),
		IN_DIRECTORY(follows_a_copy_after_a_restart),
		IN_DIRECTORY(follows_a_copy_made_after_a_look),
		IN_DIRECTORY(follows_a_copy_made_between_two_reads),
		IN_DIRECTORY(follows_a_copy_made_after_any_read_live),
		IN_DIRECTORY(follows_a_copy_made_after_any_read_of_a_restart),
		IN_DIRECTORY(follows_a_copy_of_a_file_just_found),
		IN_DIRECTORY(follows_a_copy_of_a_file_that_began_the_same),
		IN_DIRECTORY(follows_a_copy_being_made),
		IN_DIRECTORY(follows_a_rename_of_lines_that_repeat),
		IN_DIRECTORY(follows_a_copy_of_an_unread_file_live),
		IN_DIRECTORY(follows_a_copy_of_an_unread_file_after_a_restart),
		IN_DIRECTORY(removed_file_is_read_to_its_end),
		IN_DIRECTORY(removed_file_is_followed_by_the_oldest_after_it),
		IN_DIRECTORY(removed_file_is_not_followed_by_its_copy),
		IN_DIRECTORY(missing_file_is_a_gap_live),
		IN_DIRECTORY(missing_file_is_a_gap_after_a_restart),
		IN_DIRECTORY(file_missing_within_a_rotation_is_no_gap),
		IN_DIRECTORY(lost_file_is_a_gap),
		IN_DIRECTORY(unreadable_file_is_an_error),
		IN_DIRECTORY(place_survives_an_error),
		cmocka_unit_test(counts_fields),
		cmocka_unit_test(cuts_long_keys),
		cmocka_unit_test(state_survives_writing),
		cmocka_unit_test(refuses_damaged_states),
		cmocka_unit_test(refuses_a_key_with_a_nul),
	};

	return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
