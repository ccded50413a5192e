/* function - rows of edge_functions and edge_function_versions with their files. Errors are those of store/pg.h, and
 * ERR_NOT_FOUND. */
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

/* A function that is not deleted, with one given version of it. ERR_NOT_FOUND: either is missing. */
MUST_CHECK bool function_find_version(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
				      int version, struct function *out, struct err *e);

/*
 * Gives the next version number of slug, making the function where there is none; out->latest_version is the number.
 * The row stays locked until the transaction ends, so numbers are distinct and in order.
 */
MUST_CHECK bool function_next_version(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
				      const char *name, const char *new_id, struct function *out, struct err *e);

/* Writes the version and its files; the blobs must be there. */
MUST_CHECK bool version_insert(struct pg_conn *c, struct arena *a, const char *function_id, const struct version *v,
			       const struct file_list *files, struct err *e);

/* By path, in byte order. */
MUST_CHECK bool version_files(struct pg_conn *c, struct arena *a, const char *function_id, int version,
			      struct file_list *out, struct err *e);

/* A new name without a new version; bumps the project's revision. */
MUST_CHECK bool function_rename(struct pg_conn *c, struct arena *a, const char *project_ref, const char *function_id,
				const char *name, struct err *e);

#endif
