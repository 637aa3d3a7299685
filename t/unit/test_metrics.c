/*
 * Metrics: counters outlive workers, histograms are cumulative, and the text keeps to the format.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/life.h"
#include "role/metrics_file.h"

#define ME "instance_name=\"web-1\""

static struct job_conf job = { .name = "orders" };
static struct conf conf = { .instance = "web-1" };
static struct post post;
static struct metrics metrics;
static struct seat *seats[] = { &post.seat };
static struct fleet fleet = { .seats = seats, .n = 1 };
static struct status status;

static int setup(void **state)
{
	(void)state;
	post_init(&post, &conf, &job, NULL, 0);
	memset(&metrics, 0, sizeof(metrics));
	status = (struct status){ .conf = &conf, .since = 1795392459, .exit = -1, .fleet = &fleet };
	return 0;
}

/* Whether the text, at wall clock 1000 s and msec 5000, has this line. */
static bool has(const char *line)
{
	char *text = metrics_text(&metrics, &status, 5000, 1000000000);
	char want[256];
	bool found;

	assert_non_null(text);
	snprintf(want, sizeof(want), "\n%s\n", line);
	found = strstr(text, want) != NULL;
	free(text);
	return found;
}

static void counters_outlive_workers(void **state)
{
	struct report first = { .restarts = 3, .failures = 2, .backups = 10, .backup_failures = 1 };
	struct report second = { .restarts = 1, .backups = 5 };

	(void)state;
	metrics_job_forked(&post.counts);
	metrics_job_reported(&post.counts, &first);
	metrics_job_reported(&post.counts, &first);
	assert_true(has("graceful_job_restarts_total{" ME ",job_name=\"orders\"} 3"));
	metrics_job_forked(&post.counts);
	metrics_job_reported(&post.counts, &second);
	assert_true(has("graceful_job_restarts_total{" ME ",job_name=\"orders\"} 4"));
	assert_true(has("graceful_job_failures_total{" ME ",job_name=\"orders\"} 2"));
	assert_true(has("graceful_job_backups_total{" ME ",job_name=\"orders\"} 15"));
	assert_true(has("graceful_job_backup_failures_total{" ME ",job_name=\"orders\"} 1"));
}

static void what_does_not_apply_is_left_out(void **state)
{
	char *text = metrics_text(&metrics, &status, 0, 0);

	(void)state;
	assert_non_null(text);
	assert_null(strstr(text, "graceful_job_epoch{"));
	assert_null(strstr(text, "graceful_job_lock_expiry_timestamp_seconds{"));
	assert_null(strstr(text, "graceful_job_last_backup_timestamp_seconds{"));
	assert_null(strstr(text, "graceful_job_state_bytes{"));
	free(text);
	post.report = (struct report){
		.owner = true, .epoch = 7, .seq = 3, .size = 42, .saved = 900, .dead_by = 8999
	};
	assert_true(has("graceful_job_owned{" ME ",job_name=\"orders\"} 1"));
	assert_true(has("graceful_job_epoch{" ME ",job_name=\"orders\"} 7"));
	assert_true(has("graceful_job_state_bytes{" ME ",job_name=\"orders\"} 42"));
	assert_true(
	    has("graceful_job_last_backup_timestamp_seconds{" ME ",job_name=\"orders\"} 900"));
	assert_true(
	    has("graceful_job_lock_expiry_timestamp_seconds{" ME ",job_name=\"orders\"} 1003"));
}

static void phases_are_counted_once(void **state)
{
	struct stamps s = { .at = { 1000, 2000, 4000, 4000, 5000, 4900, 1004900, 2000000000 } };

	(void)state;
	metrics_handover(&metrics, false, &s);
	metrics_handover(&metrics, true, &s);
	assert_true(has("graceful_handovers_total{" ME ",way=\"took\"} 1"));
	assert_true(has("graceful_handovers_total{" ME ",way=\"gave\"} 1"));
	assert_true(
	    has("graceful_handover_phase_seconds_bucket{" ME ",phase=\"signal\",le=\"0.001\"} 1"));
	assert_true(
	    has("graceful_handover_phase_seconds_bucket{" ME ",phase=\"dump\",le=\"0.001\"} 0"));
	assert_true(
	    has("graceful_handover_phase_seconds_bucket{" ME ",phase=\"dump\",le=\"0.0025\"} 1"));
	assert_true(
	    has("graceful_handover_phase_seconds_bucket{" ME ",phase=\"dump\",le=\"+Inf\"} 1"));
	assert_true(has("graceful_handover_phase_seconds_sum{" ME ",phase=\"restore\"} 1.000000"));
	assert_true(has("graceful_handover_phase_seconds_count{" ME ",phase=\"start\"} 1"));
	assert_true(
	    has("graceful_handover_phase_seconds_bucket{" ME ",phase=\"start\",le=\"300\"} 0"));
	/* Clocks that disagree: nothing can be said. */
	assert_true(has("graceful_handover_phase_seconds_count{" ME ",phase=\"acquire\"} 0"));
}

static void every_state_is_counted(void **state)
{
	(void)state;
	for (enum life_state s = LIFE_STARTING; s <= LIFE_GONE; s++) {
		char line[96];

		post.seat.state = SEAT_WORKING;
		snprintf(post.report.state, sizeof(post.report.state), "%s", life_state_shown(s));
		snprintf(line, sizeof(line), "graceful_jobs{" ME ",state=\"%s\"} 1",
		    life_state_shown(s));
		assert_true(has(line));
	}
	post.seat.state = SEAT_FINISHED;
	assert_true(has("graceful_jobs{" ME ",state=\"done\"} 1"));
	assert_true(has("graceful_jobs{" ME ",state=\"running\"} 0"));
}

/* No name may hold these, but the format must not depend on that. */
static void labels_are_escaped(void **state)
{
	(void)state;
	strcpy(job.name, "a\"b\\c\nd");
	assert_true(has("graceful_job_owned{" ME ",job_name=\"a\\\"b\\\\c\\nd\"} 0"));
	strcpy(job.name, "orders");
}

static void an_end_shows(void **state)
{
	(void)state;
	assert_true(has("graceful_up{" ME "} 1"));
	status.exit = 0;
	status.stopping = true;
	assert_true(has("graceful_up{" ME "} 0"));
	assert_true(has("graceful_stopping{" ME "} 1"));
	assert_true(has("graceful_start_time_seconds{" ME "} 1795392459"));
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counters_outlive_workers),
		TEST(what_does_not_apply_is_left_out),
		TEST(phases_are_counted_once),
		TEST(every_state_is_counted),
		TEST(labels_are_escaped),
		TEST(an_end_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
