#include "cli/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FULL_ON "\033[?1049h\033[?25l"  /* the alternate screen, no cursor */
#define FULL_OFF "\033[?25h\033[?1049l" /* back */
#define HOME "\033[H"
#define UP "\033[%zuA\r"
#define WRAP_OFF "\033[?7l" /* a line that is too long stays one line: they are counted */
#define WRAP_ON "\033[?7h"
#define CLEAR_LINE "\033[K"
#define CLEAR_BELOW "\033[J"

static bool wants_colour(void)
{
	const char *none = getenv("NO_COLOR");
	const char *type = getenv("TERM");

	return (none == NULL || *none == '\0') && type != NULL && strcmp(type, "dumb") != 0;
}

struct term term_now(void)
{
	struct term t = { .tty = isatty(STDOUT_FILENO) };
	struct winsize size;

	if (!t.tty)
		return t;
	t.colour = wants_colour();
	t.width = 80;
	t.height = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
		t.width = size.ws_col;
		t.height = size.ws_row;
	}
	return t;
}

static void draw_start(struct screen *s)
{
	if (s->full && !s->open)
		fputs(FULL_ON, stdout);
	s->open = true;
	fputs(s->full ? WRAP_OFF HOME : WRAP_OFF, stdout);
	if (!s->full && s->lines > 0)
		printf(UP, s->lines);
}

void screen_draw(struct screen *s, const char *text)
{
	struct term term = term_now();

	if (!term.tty) {
		if (s->lines++ > 0)
			putchar('\n');
		fputs(text, stdout);
		fflush(stdout);
		return;
	}
	draw_start(s);
	/* The last line stays free: a newline there would scroll the first one away. */
	for (s->lines = 0; *text != '\0' && s->lines + 1 < term.height; s->lines++) {
		size_t len = strcspn(text, "\n");

		printf("%.*s" CLEAR_LINE "\n", (int)len, text);
		text += len + (text[len] == '\n');
	}
	fputs(CLEAR_BELOW WRAP_ON, stdout);
	fflush(stdout);
}

int screen_compose(struct screen *s, int (*compose)(void *ctx, FILE *out), void *ctx)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int rc;

	if (out == NULL)
		return -1;
	rc = compose(ctx, out);
	if (fclose(out) != 0)
		rc = -1;
	if (rc == 0)
		screen_draw(s, text);
	free(text);
	return rc;
}

void screen_close(struct screen *s)
{
	if (s->full && s->open)
		fputs(FULL_OFF, stdout);
	fflush(stdout);
	s->open = false;
	s->lines = 0;
}
