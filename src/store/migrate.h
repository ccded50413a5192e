/*
 * migrate - numbered migrations, embedded in the binary, applied once each in order.
 *
 * Each runs in a transaction of its own together with its row in functions_admin.schema_migrations, under one advisory
 * lock, so any number of instances may start it at once. What was applied is never applied again and must not have
 * changed: its SHA-256 is compared.
 */
#ifndef FA_STORE_MIGRATE_H
#define FA_STORE_MIGRATE_H

#include "store/pg.h"

struct migrate_status {
	int applied; /* the highest version in the database; 0 for none */
	int known;   /* the highest version in this binary */
};

/* What is there. A database without our schema has applied = 0. ERR_UNAVAILABLE, ERR_INTERNAL. */
MUST_CHECK bool migrate_get_status(struct pg_conn *c, struct arena *a, struct migrate_status *out, struct err *e);

/*
 * Applies what is missing; calls applied() after each. ERR_CONFLICT: a migration in the database is not the one in this
 * binary. A database that is ahead of this binary is left alone and is no error.
 */
MUST_CHECK bool migrate_run(struct pg_conn *c, struct arena *a,
			    void (*applied)(void *ctx, int version, const char *name), void *ctx, struct err *e);

#endif
