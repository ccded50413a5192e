/* function - rows of edge_functions, with a version of each. Errors are those of store/pg.h, and ERR_NOT_FOUND. */
#ifndef FA_STORE_FUNCTION_H
#define FA_STORE_FUNCTION_H

#include "core/model.h"
#include "store/pg.h"

/* What serves: every function of the project with an active version, that version in .version, by slug. */
MUST_CHECK bool function_list_active(struct pg_conn *c, struct arena *a, const char *project_ref,
				     struct function_list *out, struct err *e);

/* One of them. ERR_NOT_FOUND also for one that was never activated. */
MUST_CHECK bool function_find_active(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
				     struct function *out, struct err *e);

/* The function of this slug that is not deleted, without a version: also one of which only bundles were stored. */
MUST_CHECK bool function_find_present(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
				      struct function *out, struct err *e);

/* A function that is not deleted, with one given version of it. ERR_NOT_FOUND: either is missing. */
MUST_CHECK bool function_find_version(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
				      int version, struct function *out, struct err *e);

/* The function of this slug that was deleted last, without a version; one that has served before one that never did. */
MUST_CHECK bool function_find_deleted(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
				      struct function *out, struct err *e);

/* One by its id, deleted or not, without a version. */
MUST_CHECK bool function_find_id(struct pg_conn *c, struct arena *a, const char *project_ref, const char *id,
				 struct function *out, struct err *e);

/*
 * Gives the next version number of slug, making the function where there is none; out->latest_version is the number.
 * The row stays locked until the transaction ends, so numbers are distinct and in order.
 */
MUST_CHECK bool function_next_version(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
				      const char *name, const char *new_id, struct function *out, struct err *e);

/* A new name without a new version; bumps the project's revision. ERR_PRECONDITION where `expected` is not so. */
MUST_CHECK bool function_rename(struct pg_conn *c, struct arena *a, const char *project_ref, const char *function_id,
				const char *name, const struct expectation *expected, int64_t *updated_at,
				struct err *e);

/* What lately happened to each function of function_list_active(), in the same order; an own question, since it reads
 * more than the list does. */
MUST_CHECK bool function_list_activity(struct pg_conn *c, struct arena *a, const char *project_ref,
				       struct activity_list *out, struct err *e);

/* How a function's calls are split; count 0 where they are not. */
MUST_CHECK bool function_shares(struct pg_conn *c, struct arena *a, const char *function_id, struct shares *out,
				struct err *e);

/* Calls fn for each share of the project's functions that have a split, by function; for most projects that is none. */
MUST_CHECK bool function_each_share(struct pg_conn *c, struct arena *a, const char *project_ref,
				    bool (*fn)(void *ctx, const char *function_id, const struct share *share),
				    void *ctx, struct err *e);

#endif
