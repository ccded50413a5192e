/* function - rows of edge_functions, with a version of each. Errors are those of store/pg.h, and ERR_NOT_FOUND. */
#ifndef FA_STORE_FUNCTION_H
#define FA_STORE_FUNCTION_H

#include "core/model.h"
#include "store/pg.h"

/* What serves: every function of the project with an active version, that version in .version, by slug. */
MUST_CHECK bool function_list_active(struct pg_conn *c, struct arena *a, const char *project_ref,
				     struct function_list *out, struct err *e);

/* The same in two steps, for who asks more at once (pg_queue()). */
MUST_CHECK bool function_ask_active(struct pg_conn *c, struct arena *a, const char *project_ref, struct pg_result **out,
				    struct err *e);
MUST_CHECK bool function_read_list(const struct pg_result *r, struct arena *a, struct function_list *out,
				   struct err *e);

/* Asks in the same way for those that changed after the release of this number, deleted ones as well: by slug, and with
 * version number 0 where they serve no more. */
MUST_CHECK bool function_ask_changed(struct pg_conn *c, struct arena *a, const char *project_ref,
				     int64_t release_number, struct pg_result **out, struct err *e);

/* One of them. ERR_NOT_FOUND also for one that was never activated. */
MUST_CHECK bool function_find_active(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
				     struct function *out, struct err *e);

/* The function of this slug that is not deleted, without a version: also one of which only bundles were stored. */
MUST_CHECK bool function_find_present(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
				      struct function *out, struct err *e);

/*
 * A function that is not deleted, with one given version of it. Asked for like the lists, so that many are awaited at
 * once. ERR_NOT_FOUND: either is missing.
 */
MUST_CHECK bool function_ask_version(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
				     int version, struct pg_result **out, struct err *e);
MUST_CHECK bool function_read_version(const struct pg_result *r, struct arena *a, struct function *out, struct err *e);

struct rollback_start {
	const char *project_ref;
	const char *slug;
	int version;               /* 0: the one that was active before the present one */
	bool asks_booted;          /* whether the runtime has booted it before is of interest */
	const char *deployment_id; /* of the pending deployment that it gets */
	const char *instance;      /* the process that carries it out (service/heartbeat.h) */
	const struct actor *who;
};

/*
 * An active function with the version to go back to, and in the same statement its deployment, as deployment_insert()
 * would add it. Asked for like the lists. ERR_NOT_FOUND: function or version is missing; ERR_CONFLICT: there is no
 * version before; then no deployment was added. *booted: the runtime has booted that version before.
 */
MUST_CHECK bool function_ask_rollback(struct pg_conn *c, struct arena *a, const struct rollback_start *start,
				      struct pg_result **out, struct err *e);
MUST_CHECK bool function_read_rollback(struct pg_conn *c, struct arena *a, const struct rollback_start *start,
				       const struct pg_result *r, struct function *out, bool *booted, struct err *e);

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

/* Asks (pg_queue()) for the shares of the project's functions that have a split; for most projects that is none. Then
 * calls fn for each, by function. */
MUST_CHECK bool function_ask_shares(struct pg_conn *c, struct arena *a, const char *project_ref, struct pg_result **out,
				    struct err *e);
MUST_CHECK bool function_each_share(const struct pg_result *r, struct arena *a,
				    bool (*fn)(void *ctx, const char *function_id, int percent,
					       const struct version *v),
				    void *ctx, struct err *e);

#endif
