/*
 * units.h - durations ("500ms", "30s", "5m", "2h", "infinity") and sizes ("512", "64KiB", "64MiB",
 * "2GiB") as people write them.
 */
#ifndef CONF_UNITS_H
#define CONF_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/*
 * A whole number and one of ms, s, m, h, d. "infinity" gives MSEC_NEVER. False: not a duration, or
 * too long to count.
 */
bool units_duration(const char *text, msec *value);
/* A whole number, alone or with B, KiB, MiB, GiB, TiB. */
bool units_size(const char *text, uint64_t *value);

#define UNITS_MAX 24
/* For people: "850ms", "12.3s", "4m10s", "3h02m", "5d04h"; "never". Returns buf. */
const char *units_show_duration(msec value, char buf[UNITS_MAX]);
/* "0 B", "812 B", "1.4 KiB", "64.0 MiB". Returns buf. */
const char *units_show_size(uint64_t value, char buf[UNITS_MAX]);
/* Exactly, and as a configuration takes it: "90s", "365d", "infinity"; "0B", "1536KiB", "16TiB". */
const char *units_write_duration(msec value, char buf[UNITS_MAX]);
const char *units_write_size(uint64_t value, char buf[UNITS_MAX]);

#endif
