/* project - rows of functions_admin.projects. Errors are those of store/pg.h, and ERR_NOT_FOUND. */
#ifndef FA_STORE_PROJECT_H
#define FA_STORE_PROJECT_H

#include "core/model.h"
#include "store/pg.h"

/* ref: 20 letters, or "default" for the default project. */
MUST_CHECK bool project_find(struct pg_conn *c, struct arena *a, const char *ref, struct project *out, struct err *e);

/* The same in two steps, for who asks more at once (pg_queue()). */
MUST_CHECK bool project_ask(struct pg_conn *c, struct arena *a, const char *ref, struct pg_result **out, struct err *e);
MUST_CHECK bool project_read(const struct pg_result *r, struct project *out, struct err *e);

/* All of them by ref; with only != NULL that one alone. */
MUST_CHECK bool project_list(struct pg_conn *c, struct arena *a, const char *only, struct project **out, size_t *count,
			     struct err *e);

/* As project_find(), and locks the row for the caller's transaction. */
MUST_CHECK bool project_lock(struct pg_conn *c, struct arena *a, const char *ref, struct project *out, struct err *e);

/* The settings that functions have where they do not choose (JSON); a new generation, since the manifest shows them. */
MUST_CHECK bool project_set_defaults(struct pg_conn *c, struct arena *a, const char *ref, const char *defaults,
				     struct err *e);

/* Makes sure that the project exists; the first one of a database becomes its default. */
MUST_CHECK bool project_ensure(struct pg_conn *c, struct arena *a, const char *ref, const char *name, struct err *e);

/* ref, name, functions_dir, runtime_url and sealed keys of a new one. ERR_CONFLICT: there is, or was, one of this ref.
 */
MUST_CHECK bool project_create(struct pg_conn *c, struct arena *a, const struct project *project, struct err *e);

/* Sets what is not NULL of name, functions_dir, runtime_url; merges settings, where a null takes one away. */
MUST_CHECK bool project_update(struct pg_conn *c, struct arena *a, const struct project *project, struct err *e);

/* ERR_CONFLICT "project_in_use": the default one, or functions still serve. */
MUST_CHECK bool project_delete(struct pg_conn *c, struct arena *a, const char *ref, struct err *e);

#endif
