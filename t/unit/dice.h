/*
 * dice.h - seeded chance for tests that play random interleavings. Run number n of a test uses seed
 * base + n, so a failure is played again alone with GRACEFUL_TEST_SEED=<seed> GRACEFUL_TEST_RUNS=1.
 */
#ifndef T_UNIT_DICE_H
#define T_UNIT_DICE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct dice {
	uint64_t state;
};

static inline uint64_t dice_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 10);
}

/* Plays so many runs, if nothing else is asked for, each with its own seed. Returns how many. */
static inline uint64_t dice_play(uint64_t usual, void (*play)(uint64_t seed))
{
	uint64_t seed = dice_env("GRACEFUL_TEST_SEED", 20261122);
	uint64_t runs = dice_env("GRACEFUL_TEST_RUNS", usual);

	for (uint64_t i = 0; i < runs; i++)
		play(seed + i);
	return runs;
}

/* splitmix64: neighbouring seeds give unrelated sequences. */
static inline uint64_t dice_next(struct dice *d)
{
	uint64_t z = d->state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* One of 0 .. n - 1. */
static inline int64_t dice_roll(struct dice *d, int64_t n)
{
	return (int64_t)(dice_next(d) % (uint64_t)n);
}

static inline bool dice_chance(struct dice *d, int percent)
{
	return dice_roll(d, 100) < percent;
}

#endif
