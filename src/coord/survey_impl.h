/*
 * survey_impl.h - what the surveys of both coordinators share. Only they and survey.c include this.
 */
#ifndef COORD_SURVEY_IMPL_H
#define COORD_SURVEY_IMPL_H

#include "coord/survey.h"
#include "state/record.h"

void survey_take_record(struct survey_job *job, const struct record *r);
/* Counts a place, and puts it where it belongs: *at is its index. NULL: there are enough before it;
 * of those behind it the last one may be dropped. */
struct survey_place *survey_add_place(struct survey_job *job, uint64_t epoch, size_t *at);

int etcd_survey(
    const struct conf *conf, msec patience, survey_each *each, void *ctx, struct err *e);
int local_survey(
    const struct conf *conf, msec patience, survey_each *each, void *ctx, struct err *e);

#endif
