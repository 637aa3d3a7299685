#include "base/err.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/plain.h"

/* Appends ": more", as far as it fits. */
static void append(struct err *e, const char *more)
{
	strlcat(e->text, ": ", sizeof(e->text));
	strlcat(e->text, more, sizeof(e->text));
}

/* Appends the text of errno, cutting the message rather than the cause when both do not fit. */
static void append_cause(struct err *e, int cause)
{
	char buf[128];
	const char *why = strerror_r(cause, buf, sizeof(buf));
	size_t room = sizeof(e->text) - strlen(why) - sizeof(": ");

	e->text[room] = '\0';
	append(e, why);
}

int err_set(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (e == NULL)
		return -1;
	e->code = 0;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	plain_make(e->text);
	return -1;
}

int err_sys(struct err *e, const char *fmt, ...)
{
	int cause = errno;
	va_list ap;

	if (e == NULL)
		return -1;
	e->code = cause;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	append_cause(e, cause);
	plain_make(e->text);
	return -1;
}

int err_add(struct err *e, const char *fmt, ...)
{
	char old[ERR_TEXT_MAX];
	va_list ap;

	if (e == NULL)
		return -1;
	memcpy(old, e->text, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	append(e, old);
	plain_make(e->text);
	return -1;
}
