/* instance - rows of instances: which processes serve. Errors are those of store/pg.h. */
#ifndef FA_STORE_INSTANCE_H
#define FA_STORE_INSTANCE_H

#include "store/pg.h"

/*
 * The process lives, and will say so again within the given seconds. The database's clock alone counts, so the hosts'
 * may differ. Rows of processes that are long gone go.
 */
MUST_CHECK bool instance_renew(struct pg_conn *c, struct arena *a, const char *id, int seconds, struct err *e);

/* The process ends, or has ended: an id that is none has no row. */
MUST_CHECK bool instance_remove(struct pg_conn *c, struct arena *a, const char *id, struct err *e);

#endif
