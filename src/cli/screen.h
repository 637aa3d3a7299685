/*
 * screen.h - what stdout can show, and a block of lines on it that is drawn again and again.
 */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct term {
	bool tty;
	bool colour;   /* a terminal that knows colours, and NO_COLOR is not set */
	size_t width;  /* columns; 0 if it is no terminal */
	size_t height; /* lines; 0 if it is no terminal */
};

/* Stdout as it is now; a window may be resized at any time. */
struct term term_now(void);

/* A zeroed screen that is `full` takes the whole terminal and gives it back in screen_close(). */
struct screen {
	bool full;
	bool open;
	size_t lines; /* drawn last, to be drawn over */
};

/*
 * Puts the text (whole lines) in the place of what was drawn before, cut to the height of the
 * terminal. When stdout is no terminal, prints one after the other, an empty line between. Flushes.
 */
void screen_draw(struct screen *s, const char *text);

/*
 * Draws what compose() writes, once it is whole. -1: compose() says so, or there is no memory; the
 * screen is as it was then.
 */
int screen_compose(struct screen *s, int (*compose)(void *ctx, FILE *out), void *ctx);

/* Leaves the terminal as it was found, but for what a screen that is not full drew. */
void screen_close(struct screen *s);

#endif
