/*
 * dotenv - files of NAME=value lines, as the CLI's --env-file takes them.
 *
 * `export ` before a name, empty lines and lines that begin with '#' are passed over. A value in single quotes stands
 * as it is, one in double quotes knows \n, \r, \t, \" and \\; both may go over several lines. Elsewhere a value ends at
 * the line's end or at " #", without the blanks around it.
 */
#ifndef FA_CORE_DOTENV_H
#define FA_CORE_DOTENV_H

#include "core/arena.h"
#include "core/error.h"

struct dotenv_pair {
	const char *name;
	const char *value;
};

/* Values live in the arena. ERR_MALFORMED names the line, never its text. */
MUST_CHECK bool dotenv_parse(struct arena *a, const char *text, size_t len, struct dotenv_pair **out, size_t *count,
			     struct err *e);

#endif
