/*
 * role - the database role that the service works under: whether it is there, and whether it may more than it should
 * (sql/service_role.sql grants, pg_pool_take_role() takes it).
 */
#ifndef FA_STORE_ROLE_H
#define FA_STORE_ROLE_H

#include "store/pg.h"

struct role_status {
	const char *user;  /* who logged in, whatever role was taken since */
	bool usable;       /* that user may take the role, and the role has rights on the schema */
	const char *extra; /* what the role may do that it should not, in words; "" for nothing. In the arena. */
};

/* The schema must be there. */
MUST_CHECK bool role_status(struct pg_conn *c, struct arena *a, const char *role, struct role_status *out,
			    struct err *e);

#endif
