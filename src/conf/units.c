#include "conf/units.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit duration_units[] = {
	{ "ms", 1 },
	{ "s", SECOND },
	{ "m", MINUTE },
	{ "h", HOUR },
	{ "d", DAY },
	{ NULL, 0 },
};

static const struct unit size_units[] = {
	{ "", 1 },
	{ "B", 1 },
	{ "KiB", UINT64_C(1) << 10 },
	{ "MiB", UINT64_C(1) << 20 },
	{ "GiB", UINT64_C(1) << 30 },
	{ "TiB", UINT64_C(1) << 40 },
	{ NULL, 0 },
};

/* Digits at the start of text to *value; returns what follows them, NULL for none or too many. */
static const char *parse_digits(const char *text, uint64_t *value)
{
	const char *p = text;

	*value = 0;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(*p - '0'), value))
			return NULL;
	}
	return p == text ? NULL : p;
}

static bool parse_quantity(const char *text, const struct unit *units, uint64_t *value)
{
	uint64_t number;
	const char *rest = parse_digits(text, &number);

	if (rest == NULL)
		return false;
	for (const struct unit *u = units; u->name != NULL; u++) {
		if (strcmp(rest, u->name) == 0)
			return !__builtin_mul_overflow(number, u->factor, value);
	}
	return false;
}

bool units_duration(const char *text, msec *value)
{
	uint64_t number;

	if (strcmp(text, "infinity") == 0) {
		*value = MSEC_NEVER;
		return true;
	}
	if (!parse_quantity(text, duration_units, &number) || number >= (uint64_t)MSEC_NEVER)
		return false;
	*value = (msec)number;
	return true;
}

bool units_size(const char *text, uint64_t *value)
{
	uint64_t number;

	if (!parse_quantity(text, size_units, &number))
		return false;
	*value = number;
	return true;
}

const char *units_show_duration(msec value, char buf[UNITS_MAX])
{
	/* A deadline that has just passed shows as no time left. */
	long long v = value < 0 ? 0 : value;

	if (value == MSEC_NEVER)
		snprintf(buf, UNITS_MAX, "never");
	else if (v < SECOND)
		snprintf(buf, UNITS_MAX, "%lldms", v);
	else if (v < MINUTE)
		snprintf(buf, UNITS_MAX, "%lld.%llds", v / SECOND, v % SECOND / 100);
	else if (v < HOUR)
		snprintf(buf, UNITS_MAX, "%lldm%02llds", v / MINUTE, v % MINUTE / SECOND);
	else if (v < DAY)
		snprintf(buf, UNITS_MAX, "%lldh%02lldm", v / HOUR, v % HOUR / MINUTE);
	else
		snprintf(buf, UNITS_MAX, "%lldd%02lldh", v / DAY, v % DAY / HOUR);
	return buf;
}

const char *units_show_size(uint64_t value, char buf[UNITS_MAX])
{
	const struct unit *u = &size_units[1];

	while (u[1].name != NULL && value >= u[1].factor)
		u++;
	if (u->factor == 1) {
		snprintf(buf, UNITS_MAX, "%llu B", (unsigned long long)value);
	} else {
		/* Cut, not rounded: "1024.0 KiB" would be a strange thing to read. */
		unsigned tenths = (unsigned)(value % u->factor * 10 / u->factor) % 10;

		snprintf(buf, UNITS_MAX, "%llu.%u %s", (unsigned long long)(value / u->factor),
		    tenths, u->name);
	}
	return buf;
}

/* In the largest unit that it is a whole number of. */
static const char *write_quantity(uint64_t value, const struct unit *units, char buf[UNITS_MAX])
{
	const struct unit *best = units;

	for (const struct unit *u = units; u->name != NULL; u++) {
		if (u->factor == 1 || (value > 0 && value % u->factor == 0))
			best = u;
	}
	snprintf(buf, UNITS_MAX, "%llu%s", (unsigned long long)(value / best->factor), best->name);
	return buf;
}

const char *units_write_duration(msec value, char buf[UNITS_MAX])
{
	if (value != MSEC_NEVER)
		return write_quantity((uint64_t)value, duration_units, buf);
	snprintf(buf, UNITS_MAX, "infinity");
	return buf;
}

const char *units_write_size(uint64_t value, char buf[UNITS_MAX])
{
	return write_quantity(value, size_units, buf);
}
