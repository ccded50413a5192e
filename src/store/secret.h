/*
 * secret - rows of secrets and secret_revisions. Values are sealed before they come here and opened by whoever reads
 * them; this module never sees one. Errors are those of store/pg.h.
 */
#ifndef FA_STORE_SECRET_H
#define FA_STORE_SECRET_H

#include "core/model.h"
#include "store/pg.h"

/*
 * Locks the project's secrets for the caller's transaction: one change at a time. *revision: the current one.
 * ERR_NOT_FOUND where there is no such project.
 */
MUST_CHECK bool secret_lock(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t *revision,
			    struct err *e);

/* Locks the secrets of all projects, in the same way. */
MUST_CHECK bool secret_lock_all(struct pg_conn *c, struct arena *a, struct err *e);

/* Begins revision r->number, which must be the current one plus 1, within the lock. */
MUST_CHECK bool secret_begin_revision(struct pg_conn *c, struct arena *a, const char *project_ref,
				      const struct secret_revision *r, const struct actor *who, struct err *e);

/* function_id: NULL for the project's own. The rows without a value end at `revision`; *count: how many there were. */
MUST_CHECK bool secret_end(struct pg_conn *c, struct arena *a, const char *project_ref, const char *function_id,
			   const char *const *names, size_t count, int64_t revision, int64_t *ended, struct err *e);

/* The rows from `revision` on. Their names must not be in force: secret_end() comes first. */
MUST_CHECK bool secret_insert(struct pg_conn *c, struct arena *a, const char *project_ref, const char *function_id,
			      const struct secret *items, size_t count, int64_t revision, struct err *e);

/* Ends what came after revision `old` and puts back what was removed since, as of `revision`. *changed: rows. */
MUST_CHECK bool secret_restore(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t old,
			       int64_t revision, int64_t *changed, struct err *e);

/* Removes values that were in no set since revision `oldest` and that no version is pinned to, and those revisions. */
MUST_CHECK bool secret_prune(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t oldest,
			     struct err *e);

/* The set in force, of the project itself (function_id NULL) or of one function, by name. */
MUST_CHECK bool secret_list(struct pg_conn *c, struct arena *a, const char *project_ref, const char *function_id,
			    struct secret_list *out, struct err *e);

/* The whole set of one revision: the project's and those of every function that is not deleted (->slug). */
MUST_CHECK bool secret_set_at(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t revision,
			      struct secret_list *out, struct err *e);

/* The latest `limit` revisions, newest first. */
MUST_CHECK bool secret_revisions(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t limit,
				 struct secret_revision **out, size_t *count, struct err *e);

/* Whether the whole set of this revision is still there. */
MUST_CHECK bool secret_revision_exists(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t revision,
				       bool *out, struct err *e);

/* Asks (pg_queue()) for the revisions that a version which is active, or on its way to it, is pinned to; the current
 * one may be among them. */
MUST_CHECK bool secret_ask_pins(struct pg_conn *c, struct arena *a, const char *project_ref, struct pg_result **out,
				struct err *e);
MUST_CHECK bool secret_read_pins(const struct pg_result *r, struct arena *a, int64_t **out, size_t *count,
				 struct err *e);

/* Up to `limit` rows of any project, history included, after row `after`, that another key than key_id sealed. */
MUST_CHECK bool secret_sealed_otherwise(struct pg_conn *c, struct arena *a, const uint8_t key_id[4], int64_t after,
					int64_t limit, struct secret_list *out, struct err *e);

/* Replaces the sealed form of one row; the value stays what it is. */
MUST_CHECK bool secret_reseal(struct pg_conn *c, struct arena *a, int64_t id, const void *sealed, size_t len,
			      const uint8_t key_id[4], struct err *e);

#endif
