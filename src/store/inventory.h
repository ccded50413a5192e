/* inventory - how much there is, for monitoring. Nothing here reads more the longer the history gets. Errors are those
 * of store/pg.h. */
#ifndef FA_STORE_INVENTORY_H
#define FA_STORE_INVENTORY_H

#include "store/pg.h"

struct inventory {
	int64_t generation; /* the sum of the projects' */
	int64_t functions;  /* of the projects, that serve */
	int64_t blobs;      /* files stored once each: PostgreSQL's estimate, as of its last ANALYZE */
	int64_t blob_bytes; /* on the database's disk, with indexes */
	int64_t open_pending;
	int64_t open_staged;
	int64_t open_booted;
};

/* Generation and functions are those of the given projects, the rest is the whole database's. */
MUST_CHECK bool inventory_read(struct pg_conn *c, struct arena *a, const char *const *refs, size_t count,
			       struct inventory *out, struct err *e);

#endif
