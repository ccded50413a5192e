/*
 * embedded - the files that the program carries within itself: migrations and the runtime's shim (made by
 * scripts/embed.sh).
 */
#ifndef FA_CORE_EMBEDDED_H
#define FA_CORE_EMBEDDED_H

#include <stddef.h>

struct embedded {
	const char *name; /* base name; NULL ends the list */
	const char *text; /* NUL-terminated behind len bytes */
	size_t len;
};

extern const struct embedded embedded_files[];

/* NULL where there is none of that name. */
const struct embedded *embedded_find(const char *name);

#endif
