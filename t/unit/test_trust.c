/*
 * Which directories and secrets are taken for safe. Most of it needs root, to give things away.
 */
#include "child_test.h"
#include "state_test.h"

#include <grp.h>

#include "base/trust.h"

#define STRANGER 65533

static void make(const char *name, mode_t mode)
{
	assert_int_equal(mkdir(at(name), mode), 0);
	assert_int_equal(chmod(at(name), mode), 0);
}

static void give_away(const char *name)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(lchown(at(name), STRANGER, STRANGER), 0);
}

static void trusts(const char *name)
{
	if (trust_dir(at(name), &err) != 0)
		fail_msg("%s", err.text);
}

static void distrusts(const char *name, const char *why)
{
	assert_int_equal(trust_dir(at(name), &err), -1);
	if (strstr(err.text, why) == NULL)
		fail_msg("not \"%s\": %s", why, err.text);
}

static void our_own(void **state)
{
	(void)state;
	make("mine", 0755);
	trusts("mine");
	trusts("mine/later/still");
	assert_int_equal(trust_dir("/", &err), 0);
}

static void what_others_may_write(void **state)
{
	(void)state;
	make("open", 0757);
	distrusts("open", "can be written by others than its owner (mode 0757)");
	make("open/inner", 0755);
	distrusts("open/inner", "/open can be written");
	distrusts("open/later", "/open can be written");
	assert_int_equal(chmod(at("open"), 01777), 0);
	trusts("open/inner"); /* as /tmp */
	distrusts("open", "(mode 1777), who could replace what is in it: choose another place");
	make("group", 0770);
	distrusts("group", "mode 0770");
	trusts("group/later");
}

static void join_strangers(void)
{
	const gid_t group = STRANGER;

	CHECK(setgroups(1, &group) == 0);
	CHECK(trust_dir(at("team/inner"), &err) == 0);
	CHECK(trust_dir(at("team"), &err) == -1);
}

static void what_a_group_may_write(void **state)
{
	(void)state;
	make("team", 0775);
	make("team/inner", 0755);
	trusts("team/inner"); /* our own, as with a umask of 002 */
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(at("team"), 0, STRANGER), 0);
	distrusts("team/inner", "/team can be written by others than its owner (mode 0775)");
	distrusts("team/later", "/team can be written");
	in_child(join_strangers);
	assert_int_equal(chmod(at("team"), 01775), 0);
	trusts("team/inner");
}

static void what_belongs_to_others(void **state)
{
	(void)state;
	make("theirs", 0755);
	make("theirs/inner", 0755);
	give_away("theirs");
	distrusts("theirs", "belongs to uid 65533");
	distrusts("theirs/inner", "belongs to uid 65533");
	distrusts("theirs/later", "has to belong to root");
}

static void links(void **state)
{
	(void)state;
	make("real", 0755);
	make("open", 0777);
	assert_int_equal(symlink(at("real"), at("good")), 0);
	assert_int_equal(symlink(at("open"), at("bad")), 0);
	assert_int_equal(symlink(at("nowhere"), at("dangling")), 0);
	trusts("good");
	trusts("good/later");
	distrusts("bad", "/open can be written");
	trusts("dangling");
	assert_int_equal(symlink(at("real"), at("given")), 0);
	give_away("given");
	distrusts("given", "/given belongs to uid 65533");
}

static void secrets(void **state)
{
	char *text;
	size_t len;

	(void)state;
	write_text(at("secret"), "xyzzy");
	assert_int_equal(chmod(at("secret"), 0600), 0);
	assert_int_equal(trust_read_secret(at("secret"), 100, &text, &len, &err), 0);
	assert_string_equal(text, "xyzzy");
	free(text);
	assert_int_equal(trust_read_secret(at("secret"), 4, &text, &len, &err), -1);
	assert_int_equal(chmod(at("secret"), 0640), 0);
	assert_int_equal(trust_read_secret(at("secret"), 100, &text, &len, &err), -1);
	assert_non_null(strstr(err.text, "(mode 0640): chmod 600"));
	assert_int_equal(chmod(at("secret"), 0400), 0);
	give_away("secret");
	assert_int_equal(trust_read_secret(at("secret"), 100, &text, &len, &err), -1);
	assert_non_null(strstr(err.text, "belongs to uid 65533, and this runs as uid 0: if"));
	assert_int_equal(mkfifo(at("fifo"), 0600), 0);
	assert_int_equal(trust_read_secret(at("fifo"), 100, &text, &len, &err), -1);
	assert_int_equal(trust_read_secret(at("none"), 100, &text, &len, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(our_own),
		IN_SCRATCH(what_others_may_write),
		IN_SCRATCH(what_a_group_may_write),
		IN_SCRATCH(what_belongs_to_others),
		IN_SCRATCH(links),
		IN_SCRATCH(secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
