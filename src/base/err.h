/*
 * err.h - the one way in which this program reports that something failed.
 *
 * A function that can fail at run time returns 0 or -1 (or a pointer or NULL) and, when it fails,
 * fills the caller's `struct err` with one line for a person: what failed, where, and what to do
 * about it when that is not plain. Nothing below the roles (role/, cli/) logs or exits for a
 * failure; the level that decides what a failure means logs it, once.
 *
 * A bug - a state that the code rules out - is assert()ed, not reported.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_TEXT_MAX 512

struct err {
	int code;                /* errno of the cause, 0 if the cause was no system call */
	char text[ERR_TEXT_MAX]; /* one line by plain.h, never empty after a failure */
};

/* Fills e (which may be NULL) with the formatted text. Always returns -1: `return err_set(e, ...)`.
 */
int err_set(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same, with ": " and the text of errno appended, and errno kept in e->code. */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts context in front of what e says already: "context: old text". Always returns -1. */
int err_add(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
