/* pg_address - where the database of the configuration is, as libpq wants to be told. For store/pg.c; pg_ports() is in
 * pg.h. */
#ifndef FA_STORE_PG_ADDRESS_H
#define FA_STORE_PG_ADDRESS_H

#include "core/config.h"

#include <stdbool.h>

#define PG_ADDRESS_MAX 16

/* Both lists end with NULL. */
struct pg_address {
	const char *keywords[PG_ADDRESS_MAX];
	char *values[PG_ADDRESS_MAX];
};

/* Into an empty one. False: memory ran out. */
MUST_CHECK bool pg_address_set(struct pg_address *a, const struct config *cfg);
void pg_address_clear(struct pg_address *a);

#endif
