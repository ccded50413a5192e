/* release - rows of releases and release_items: what one call changed, as a unit. Errors are those of store/pg.h, and
 * ERR_NOT_FOUND. */
#ifndef FA_STORE_RELEASE_H
#define FA_STORE_RELEASE_H

#include "core/model.h"
#include "store/pg.h"

/* The newest first, those below number `before` (0: all), at most limit; with their items. */
MUST_CHECK bool release_list(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t before, int limit,
			     struct release_list *out, struct err *e);

/* One by its number within the project. */
MUST_CHECK bool release_find(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t number,
			     struct release *out, struct err *e);

#endif
