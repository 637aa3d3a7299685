#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/units.h"

static void durations_are_read(void **state)
{
	static const struct {
		const char *text;
		msec value;
	} cases[] = {
		{ "0s", 0 },
		{ "1ms", 1 },
		{ "500ms", 500 },
		{ "30s", 30000 },
		{ "030s", 30000 },
		{ "5m", 300000 },
		{ "2h", 7200000 },
		{ "3d", 259200000 },
		{ "infinity", MSEC_NEVER },
		{ "9223372036854775806ms", INT64_MAX - 1 },
		{ "106751991167d", INT64_C(106751991167) * 86400000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		msec value = -1;

		assert_true(units_duration(cases[i].text, &value));
		assert_int_equal(value, cases[i].value);
	}
}

static void other_durations_are_refused(void **state)
{
	/* The last ones do not fit into a msec, or would read as "infinity". */
	static const char *const cases[] = { "", "s", "ms", "30", "30 s", " 30s", "30s ", "+3s",
		"-3s", "1.5s", "0x1s", "3S", "3sec", "3ms3", "Infinity", "infinity ", "3KiB",
		"9223372036854775807ms", "9223372036854775808ms", "18446744073709551617s",
		"106751991168d", "99999999999999999999999ms" };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		msec value;

		if (units_duration(cases[i], &value))
			fail_msg("\"%s\" was read as %lld", cases[i], (long long)value);
	}
}

static void sizes_are_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} cases[] = {
		{ "0", 0 },
		{ "512", 512 },
		{ "512B", 512 },
		{ "64KiB", 65536 },
		{ "64MiB", 67108864 },
		{ "2GiB", UINT64_C(2147483648) },
		{ "3TiB", UINT64_C(3298534883328) },
		{ "18446744073709551615", UINT64_MAX },
		{ "16777215TiB", UINT64_C(16777215) << 40 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 7;

		assert_true(units_size(cases[i].text, &value));
		assert_true(value == cases[i].value);
	}
}

static void other_sizes_are_refused(void **state)
{
	static const char *const cases[] = { "", "B", "KiB", "64 KiB", "64KB", "64k", "64kib", "-1",
		"+1", "1.5GiB", "1e3", "18446744073709551616", "16777216TiB", "5s" };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value;

		if (units_size(cases[i], &value))
			fail_msg("\"%s\" was read as %llu", cases[i], (unsigned long long)value);
	}
}

static void durations_are_shown(void **state)
{
	static const struct {
		msec value;
		const char *text;
	} cases[] = {
		{ -5, "0ms" },
		{ 0, "0ms" },
		{ 850, "850ms" },
		{ 999, "999ms" },
		{ 1000, "1.0s" },
		{ 12345, "12.3s" },
		{ 59999, "59.9s" },
		{ 60000, "1m00s" },
		{ 250000, "4m10s" },
		{ 3599999, "59m59s" },
		{ 10920000, "3h02m" },
		{ 86399999, "23h59m" },
		{ 446400000, "5d04h" },
		{ INT64_MAX - 1, "106751991167d07h" },
		{ MSEC_NEVER, "never" },
	};
	char buf[UNITS_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(units_show_duration(cases[i].value, buf), cases[i].text);
}

static void sizes_are_shown(void **state)
{
	static const struct {
		uint64_t value;
		const char *text;
	} cases[] = {
		{ 0, "0 B" },
		{ 812, "812 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.0 KiB" },
		{ 1434, "1.4 KiB" },
		{ 1048575, "1023.9 KiB" },
		{ 67108864, "64.0 MiB" },
		{ UINT64_C(5) << 29, "2.5 GiB" },
		{ UINT64_C(3) << 40, "3.0 TiB" },
		{ UINT64_MAX, "16777215.9 TiB" },
	};
	char buf[UNITS_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(units_show_size(cases[i].value, buf), cases[i].text);
}

static void what_is_written_can_be_read(void **state)
{
	static const char *const durations[] = { "0ms", "1ms", "999ms", "1s", "1500ms", "90s", "1m",
		"61m", "24001ms", "1d", "365d", "infinity" };
	static const char *const sizes[] = { "0B", "1B", "1023B", "1KiB", "1536KiB", "16TiB",
		"18446744073709551615B" };
	char buf[UNITS_MAX];
	uint64_t size;
	msec value;

	(void)state;
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		assert_true(units_duration(durations[i], &value));
		assert_string_equal(units_write_duration(value, buf), durations[i]);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_true(units_size(sizes[i], &size));
		assert_string_equal(units_write_size(size, buf), sizes[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_read),
		cmocka_unit_test(other_durations_are_refused),
		cmocka_unit_test(sizes_are_read),
		cmocka_unit_test(other_sizes_are_refused),
		cmocka_unit_test(durations_are_shown),
		cmocka_unit_test(sizes_are_shown),
		cmocka_unit_test(what_is_written_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
