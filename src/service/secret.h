/*
 * secret - the secrets of a project and of its functions: set, unset, history, and their delivery to the runtime.
 *
 * Every change makes a new numbered revision of the project's whole set. A call that changes something returns true
 * once the set is stored, the file shows it, and, where a runtime is configured, the runtime has said that it uses it;
 * where it does not say so in time the error is ERR_UNAVAILABLE "secrets_not_confirmed": the values are stored then.
 * Values are wiped where they end, and stand in no message, log or record.
 */
#ifndef FA_SERVICE_SECRET_H
#define FA_SERVICE_SECRET_H

#include "service/service.h"

#define SECRET_MAX_COUNT 1000 /* of a project, and again of each function */
#define SECRET_MAX_VALUE ((size_t)24576)
#define SECRET_MAX_NAME ((size_t)256)
/* A body that sets as many as there can be, with room for JSON's escapes. */
#define SECRET_MAX_BODY ((size_t)60 * 1024 * 1024)

struct secret_value {
	const char *name;
	const char *value;
	size_t len;
};

struct secret_digest {
	const char *name;
	const char *sha256; /* hexadecimal, of the value, as Cloud shows it */
	int64_t updated_at;
};

/* ERR_INVALID where no secret can have this name. */
MUST_CHECK bool secret_check_name(const char *name, struct err *e);

/* slug: NULL for the project's own, else a function's (ERR_NOT_FOUND where there is none). */
MUST_CHECK bool secret_set(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
			   const char *slug, const struct secret_value *values, size_t count, struct err *e);

/* Names that are not set are no error: it is as if they had just been removed. */
MUST_CHECK bool secret_unset(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
			     const char *slug, const char *const *names, size_t count, struct err *e);

/* The whole set, project's and functions', as it was at `revision`, under a new number (*now). */
MUST_CHECK bool secret_rollback(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
				int64_t revision, int64_t *now, struct err *e);

MUST_CHECK bool secret_digests(struct service *s, struct arena *a, const char *project_ref, const char *slug,
			       struct secret_digest **out, size_t *count, struct err *e);

/* Newest first. */
MUST_CHECK bool secret_history(struct service *s, struct arena *a, const char *project_ref,
			       struct secret_revision **out, size_t *count, struct err *e);

/* Seals everything that another key sealed with the current one, a few rows at a time; *resealed: how many. */
MUST_CHECK bool secret_rotate(struct service *s, const struct actor *who, int64_t *resealed, struct err *e);

/*
 * Writes the file of values where it is missing or shows another state than the database: the current revision, and
 * those that versions are pinned to. With apply_lock held; what a reader finds is always one whole state.
 * secret_is_delivered(): for who has read these two of the database anyway.
 */
bool secret_is_delivered(const struct service *s, int64_t revision, const int64_t *pins, size_t pin_count);
MUST_CHECK bool secret_deliver(struct service *s, struct pg_conn *c, struct arena *a, struct err *e);

/* ERR_INVALID where the set of this revision is not there (any more). */
MUST_CHECK bool secret_check_pin(struct service *s, struct arena *a, const char *project_ref, int64_t revision,
				 struct err *e);

struct secret_file;
void secret_file_free(struct secret_file *f);

#endif
