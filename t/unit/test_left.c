/*
 * The note about a state that was left on disk: what it says comes back, and nothing else passes
 * for one.
 */
#include "state_test.h"

#include "base/fs.h"
#include "state/left.h"

#define BOOT "3f1c9a52-6f0e-4b8e-9b57-2f1a7f6f0d11"

static struct left usual(void)
{
	return (struct left){
		.epoch = 4711,
		.taken = 4713,
		.realm = "local:/var/lib/graceful/local/graceful",
		.clean = true,
		.id = { .dev = 66305,
		    .ino = 1835009,
		    .size = 42,
		    .mtime = { 1795392459, 999999999 },
		    .ctime = { 1795392460, 1 } },
	};
}

static void comes_back(void **state)
{
	struct left wrote = usual();
	struct left read;

	(void)state;
	assert_int_equal(left_write(at("note"), &wrote, BOOT, &err), 0);
	assert_int_equal(left_read(at("note"), BOOT, &read, &err), 1);
	assert_true(read.epoch == wrote.epoch);
	assert_true(read.taken == wrote.taken);
	assert_string_equal(read.realm, wrote.realm);
	assert_true(read.clean);
	assert_true(state_id_equal(&read.id, &wrote.id));
	wrote.clean = false;
	assert_int_equal(left_write(at("note"), &wrote, BOOT, &err), 0);
	assert_int_equal(left_read(at("note"), BOOT, &read, &err), 1);
	assert_false(read.clean);
	left_remove(at("note"));
	assert_int_equal(left_read(at("note"), BOOT, &read, &err), 0);
}

/* What was not synced may be torn after a restart of the machine. */
static void is_of_no_owner_after_a_restart(void **state)
{
	struct left left = usual();

	(void)state;
	assert_int_equal(left_write(at("note"), &left, BOOT, &err), 0);
	assert_int_equal(left_read(at("note"), "another", &left, &err), 1);
	assert_true(left.epoch == 0 && left.taken == 0);
}

static void nonsense(void **state)
{
	static const char *const texts[] = { "", "{}", "[]", "4711",
		"{\"epoch\":0,\"realm\":\"r\",\"clean\":true,\"boot\":\"" BOOT
		"\",\"dev\":1,\"ino\":2,\"size\":3,"
		"\"mtime\":[1,2],\"ctime\":[1,2]}",
		"{\"epoch\":\"7\",\"realm\":\"r\",\"clean\":true,\"boot\":\"" BOOT
		"\",\"dev\":1,\"ino\":2,\"size\":3,"
		"\"mtime\":[1,2],\"ctime\":[1,2]}",
		"{\"epoch\":7,\"realm\":\"r\",\"clean\":true,\"boot\":\"" BOOT
		"\",\"dev\":1,\"ino\":2,\"size\":3,"
		"\"mtime\":[1],\"ctime\":[1,2]}",
		"{\"epoch\":7,\"clean\":true,\"boot\":\"" BOOT "\",\"dev\":1,\"ino\":2,\"size\":3,"
		"\"mtime\":[1,2],\"ctime\":[1,2]}" };
	struct left left;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_text(at("note"), texts[i]);
		assert_int_equal(left_read(at("note"), BOOT, &left, &err), 0);
	}
}

static void cannot_be_read(void **state)
{
	char name[NAME_MAX + 2];
	struct left left;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(left_read(at(name), BOOT, &left, &err), -1);
	assert_says(name);
}

static void cannot_be_written(void **state)
{
	struct left left = usual();

	(void)state;
	assert_int_equal(left_write(at("missing/note"), &left, BOOT, &err), -1);
	assert_says("missing/note");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(comes_back),
		IN_SCRATCH(is_of_no_owner_after_a_restart),
		IN_SCRATCH(nonsense),
		IN_SCRATCH(cannot_be_read),
		IN_SCRATCH(cannot_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
