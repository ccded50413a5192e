/*
 * ask - a command asks the running service, at the socket that nginx uses: what touches the functions folder is done by
 * the process that holds its lock, and by the same code as for every other caller.
 *
 * The command proves itself with an access token of its own, made in the database for this one call, bound to the
 * scopes it needs, and revoked after it. (FastCGI specification 1.0, section 3: one request, no kept connection.)
 */
#ifndef FA_CMD_ASK_H
#define FA_CMD_ASK_H

#include "core/config.h"
#include "core/error.h"
#include "service/service.h"

#include <jansson.h>

/*
 * The answer's document in *out, to be released by the caller. ref: the project, or "default". path: below
 * /v1/projects/{ref}. body: NULL for none. ERR_UNAVAILABLE where the service does not run; else the answer's own error.
 */
MUST_CHECK bool ask(struct service *s, const struct config *cfg, const char *name, const char *method, const char *ref,
		    const char *path, const json_t *body, json_t **out, struct err *e);

/* The same with any body. */
struct ask_body {
	const char *type; /* NULL: none */
	const char *data;
	size_t len;
};
MUST_CHECK bool ask_with_body(struct service *s, const struct config *cfg, const char *name, const char *method,
			      const char *ref, const char *path, const struct ask_body *body, json_t **out,
			      struct err *e);

/* What the service answers to a GET that needs no credential, as text in the arena; path: below the base path. NULL
 * with the error set. */
const char *ask_open(struct arena *a, const struct config *cfg, const char *path, struct err *e);

#endif
