#include "cli/names.h"

#include <stdio.h>
#include <string.h>

void names_try(struct names *n, const char *known)
{
	size_t len = strlen(n->list), more = strlen(known) + sizeof(", ");

	nearest_try(&n->nearest, known);
	if (n->left_out > 0 || len + more > sizeof(n->list))
		n->left_out++;
	else
		snprintf(n->list + len, sizeof(n->list) - len, "%s%s", len > 0 ? ", " : "", known);
}

const char *names_advice(struct names *n)
{
	if (n->nearest.best != NULL)
		snprintf(n->text, sizeof(n->text), "did you mean %s?", n->nearest.best);
	else if (n->list[0] == '\0')
		snprintf(n->text, sizeof(n->text), "there are none");
	else if (n->left_out > 0)
		snprintf(
		    n->text, sizeof(n->text), "there are %s and %zu more", n->list, n->left_out);
	else
		snprintf(n->text, sizeof(n->text), "there are %s", n->list);
	return n->text;
}
