/*
 * installation - the row of functions_admin.installation, which tells whose database this is. Errors are those of
 * store/pg.h.
 */
#ifndef FA_STORE_INSTALLATION_H
#define FA_STORE_INSTALLATION_H

#include "store/pg.h"

/* out: empty (data NULL) where nobody has left a fingerprint, or the table is not there yet; else in the arena. */
MUST_CHECK bool installation_find(struct pg_conn *c, struct arena *a, struct pg_bytes *out, struct err *e);

/* Leaves the fingerprint where there is none. */
MUST_CHECK bool installation_keep(struct pg_conn *c, struct arena *a, const void *fingerprint, size_t len,
				  struct err *e);

/* Leaves it in the place of another one; the owner's. */
MUST_CHECK bool installation_replace(struct pg_conn *c, struct arena *a, const void *fingerprint, size_t len,
				     struct err *e);

#endif
