/*
 * A directory is made and marked once; what is in its place later passes for it only with that
 * mark.
 */
#include "state_test.h"

#include "base/fs.h"
#include "state/place.h"

/* Twice in one expression. */
static const char *the_place(void)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/mnt/place", scratch);
	return path;
}

static int settle(void)
{
	return place_settle(scratch, the_place(), &err);
}

static int check(void)
{
	return place_check(scratch, the_place(), &err);
}

static void is_made_and_marked_once(void **state)
{
	struct stat made;
	struct stat found;

	(void)state;
	assert_int_equal(check(), 0); /* nothing is known of it */
	assert_int_equal(settle(), 0);
	assert_int_equal(stat(at("mnt/place"), &made), 0);
	assert_true(S_ISDIR(made.st_mode) && (made.st_mode & 0777) == 0700);
	assert_int_equal(stat(at("mnt/place/.graceful"), &made), 0);
	assert_int_equal(settle(), 0);
	assert_int_equal(check(), 0);
	assert_int_equal(stat(at("mnt/place/.graceful"), &found), 0);
	assert_true(made.st_ino == found.st_ino);
}

static void what_is_gone_is_not_made_again(void **state)
{
	(void)state;
	assert_int_equal(settle(), 0);
	assert_int_equal(rename(at("mnt"), at("away")), 0);
	assert_int_equal(settle(), -1);
	assert_says("mount what it is on");
	assert_int_equal(check(), -1);
	assert_int_equal(access(at("mnt"), F_OK), -1);
	/* The bare mount point. */
	assert_int_equal(fs_mkdirs(the_place(), 0755, NULL), 0);
	assert_int_equal(settle(), -1);
	assert_says("missing");
	assert_int_equal(access(at("mnt/place/.graceful"), F_OK), -1);
	assert_int_equal(rmdir(at("mnt/place")), 0);
	assert_int_equal(rmdir(at("mnt")), 0);
	assert_int_equal(rename(at("away"), at("mnt")), 0);
	assert_int_equal(check(), 0);
	assert_int_equal(settle(), 0);
}

static void another_one_does_not_pass_for_it(void **state)
{
	(void)state;
	assert_int_equal(settle(), 0);
	write_text(at("mnt/place/.graceful"), "0123456789abcdef0123456789abcdef\n");
	assert_int_equal(check(), -1);
	assert_says("another one");
	write_text(at("mnt/place/.graceful"), "or anything");
	assert_int_equal(settle(), -1);
	assert_says("damaged");
}

/* The directory may be somebody else's, and this process root. */
static void a_link_is_no_mark(void **state)
{
	(void)state;
	assert_int_equal(settle(), 0);
	assert_int_equal(rename(at("mnt/place/.graceful"), at("mark")), 0);
	assert_int_equal(symlink(at("mark"), at("mnt/place/.graceful")), 0);
	assert_int_equal(check(), -1);
	assert_says(".graceful");
}

/* Of another master; and what an older version made. */
static void one_that_is_there_is_taken_over(void **state)
{
	(void)state;
	assert_int_equal(fs_mkdirs(at("other"), 0700, NULL), 0);
	assert_int_equal(place_settle(at("other"), the_place(), &err), 0);
	assert_int_equal(settle(), 0);
	assert_int_equal(place_check(at("other"), the_place(), &err), 0);
	assert_int_equal(unlink(at("mnt/place/.graceful")), 0);
	assert_int_equal(unlink(at("places.json")), 0);
	assert_int_equal(settle(), 0);
	assert_int_equal(check(), 0);
}

static void each_place_is_remembered(void **state)
{
	(void)state;
	assert_int_equal(settle(), 0);
	assert_int_equal(place_settle(scratch, at("second"), &err), 0);
	assert_int_equal(check(), 0);
	assert_int_equal(rename(at("mnt"), at("away")), 0);
	assert_int_equal(check(), -1);
	assert_int_equal(place_check(scratch, at("second"), &err), 0);
}

static void a_damaged_memory_is_told(void **state)
{
	(void)state;
	write_text(at("places.json"), "[");
	assert_int_equal(settle(), -1);
	assert_says("places.json is damaged");
	assert_int_equal(check(), -1);
}

/* It can be used all the same, and the next start tries again. */
static void what_cannot_be_marked_is_told(void **state)
{
	(void)state;
	fail_fsync = 1;
	assert_int_equal(settle(), 1);
	assert_says("cannot sync");
	fail_fsync = 0;
	assert_int_equal(check(), 0);
	assert_int_equal(settle(), 0);
	write_text(at("plain"), "a file");
	assert_int_equal(place_settle(scratch, at("plain/place"), &err), 1);
	assert_says("plain");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(is_made_and_marked_once),
		IN_SCRATCH(what_is_gone_is_not_made_again),
		IN_SCRATCH(another_one_does_not_pass_for_it),
		IN_SCRATCH(a_link_is_no_mark),
		IN_SCRATCH(one_that_is_there_is_taken_over),
		IN_SCRATCH(each_place_is_remembered),
		IN_SCRATCH(a_damaged_memory_is_told),
		IN_SCRATCH(what_cannot_be_marked_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
