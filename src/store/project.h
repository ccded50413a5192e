/* project - rows of functions_admin.projects. Errors are those of store/pg.h, and ERR_NOT_FOUND. */
#ifndef FA_STORE_PROJECT_H
#define FA_STORE_PROJECT_H

#include "core/model.h"
#include "store/pg.h"

/* ref: 20 letters, or "default" for the default project. */
MUST_CHECK bool project_find(struct pg_conn *c, struct arena *a, const char *ref, struct project *out, struct err *e);

/* All of them by ref; with only != NULL that one alone. */
MUST_CHECK bool project_list(struct pg_conn *c, struct arena *a, const char *only, struct project **out, size_t *count,
			     struct err *e);

/* Makes sure that the project exists; the first one of a database becomes its default. */
MUST_CHECK bool project_ensure(struct pg_conn *c, struct arena *a, const char *ref, const char *name, struct err *e);

#endif
