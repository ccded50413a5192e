/*
 * template - starter functions, which the program carries within itself (runtime/templates).
 *
 * The first four lines of a template are comments that describe it: title, description, verify_jwt, secrets.
 */
#ifndef FA_SERVICE_TEMPLATE_H
#define FA_SERVICE_TEMPLATE_H

#include "core/arena.h"
#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>

struct template
{
	const char *id; /* "stripe-webhook" */
	const char *title;
	const char *description;
	bool verify_jwt;
	const char **secrets; /* names that it reads, NULL-terminated */
	const char *source;   /* of its one file */
};

/* All of them, by id. */
MUST_CHECK bool template_all(struct arena *a, struct template **out, size_t *count, struct err *e);

/* ERR_INVALID where there is none of this id. */
MUST_CHECK bool template_find(struct arena *a, const char *id, struct template *out, struct err *e);

#endif
