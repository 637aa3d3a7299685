#include "role/board.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "role/history.h"
#include "role/metrics_file.h"

/* Onlookers need no more than ten pictures a second, however many jobs change; and who collects
 * metrics does so every few seconds. */
#define STATUS_PAUSE_MS 100
#define METRICS_PAUSE_MS 1000
/* Also without a change: the age of the file tells that the master lives. */
#define METRICS_BEAT_MS 15000
#define RETRY_MS 1000
/* A change seldom comes alone: a hand-over is half a dozen, and who draws in the middle of it takes
 * a processor from the job that starts. The first picture of all is drawn at once. */
#define STATUS_LAG_MS 20

/* Once per outage: a full disk must not fill the log, too. */
static void tell_outage(bool *failing, bool failed, const char *what, const struct err *e)
{
	if (failed && !*failing)
		log_error("cannot write the %s, the jobs go on: %s", what, e->text);
	else if (!failed && *failing)
		log_info("the %s is written again", what);
	*failing = failed;
}

static void drawn(struct picture *p, int rc, const char *what, msec pause, const struct err *e)
{
	tell_outage(&p->failed, rc != 0, what, e);
	p->changed = rc != 0;
	p->at = msec_add(clock_now(), rc != 0 ? RETRY_MS : pause);
}

static void draw_status(struct board *b)
{
	struct err e;
	int rc = status_write(&b->status, &e);

	drawn(&b->status_file, rc, "status file", STATUS_PAUSE_MS, &e);
}

static void draw_metrics(struct board *b)
{
	struct err e;
	int rc = metrics_write(&b->metrics, &b->status, &e);

	if (rc == 0)
		snprintf(b->metrics_at, sizeof(b->metrics_at), "%s", b->status.conf->metrics_file);
	drawn(&b->metrics_file, rc, "metrics file", METRICS_PAUSE_MS, &e);
}

/* After a reload it has another place, or none. The old one would tell for ever of a master that is
 * up, and beside a new one in the same directory each series would be there twice. */
static void take_down_metrics(struct board *b)
{
	const char *file = b->status.conf->metrics_file;

	if (b->metrics_at[0] == '\0' || (file != NULL && strcmp(file, b->metrics_at) == 0))
		return;
	if (unlink(b->metrics_at) != 0 && errno != ENOENT)
		log_warn("cannot remove %s, which \"metrics_file\" names no more: %s; remove it",
		    b->metrics_at, strerror(errno));
	b->metrics_at[0] = '\0';
	b->metrics_file = (struct picture){ .changed = true };
}

static msec metrics_due(const struct board *b)
{
	const struct picture *p = &b->metrics_file;

	if (b->status.conf->metrics_file == NULL)
		return MSEC_NEVER;
	return p->changed ? p->at : msec_add(p->at, METRICS_BEAT_MS);
}

void board_touch(struct board *b)
{
	struct picture *p = &b->status_file;
	msec lag = msec_add(clock_now(), STATUS_LAG_MS);

	if (!p->changed && p->at != 0 && p->at < lag)
		p->at = lag;
	p->changed = true;
	b->metrics_file.changed = true;
}

void board_draw(struct board *b)
{
	msec now = clock_now();

	take_down_metrics(b);
	if (b->status_file.changed && now >= b->status_file.at)
		draw_status(b);
	if (now >= metrics_due(b))
		draw_metrics(b);
}

msec board_deadline(const struct board *b)
{
	msec status = b->status_file.changed ? b->status_file.at : MSEC_NEVER;

	return msec_min(status, metrics_due(b));
}

void board_end(struct board *b)
{
	draw_status(b);
	if (b->status.conf->metrics_file != NULL)
		draw_metrics(b);
}

static void note(struct board *b, const struct post *p, bool took, const struct handover *h)
{
	struct history_line line = { .took = took, .handover = *h };
	struct err e;
	int rc;

	snprintf(line.job, sizeof(line.job), "%s", p->job->name);
	snprintf(line.instance, sizeof(line.instance), "%s", b->status.conf->instance);
	metrics_handover(&b->metrics, took, &h->stamps);
	rc = history_add(b->status.conf->work_dir, &line, &e);
	tell_outage(&b->history_failed, rc != 0, "history of hand-overs", &e);
}

/* Epochs rise, and are never used twice. */
static void note_new(
    struct board *b, const struct post *p, bool took, const struct handover *h, uint64_t *noted)
{
	if (h->epoch == 0 || h->epoch == *noted)
		return;
	*noted = h->epoch;
	note(b, p, took, h);
}

void board_reported(struct board *b, struct post *p)
{
	note_new(b, p, true, &p->report.took, &p->noted_took);
	note_new(b, p, false, &p->report.gave, &p->noted_gave);
}
