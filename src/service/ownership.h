/*
 * ownership - is this the database of this installation? It has a keyed hash that only its master_key makes, so that
 * who came to another installation's database by mistake (a DATABASE_URL of the environment) writes nothing there.
 *
 * Without a master_key nothing is known and nothing refused: what needs one says so itself.
 */
#ifndef FA_SERVICE_OWNERSHIP_H
#define FA_SERVICE_OWNERSHIP_H

#include "service/service.h"

/* ERR_CONFLICT "another_installation". A database that has no mark yet is taken for ours. */
MUST_CHECK bool ownership_check(struct service *s, struct err *e);

/* As ownership_check(), and marks a database that has no mark. The schema must be current. */
MUST_CHECK bool ownership_claim(struct service *s, struct err *e);

/* Marks it as ours whatever it has; only its owner may. ERR_CONFIG without a master_key. */
MUST_CHECK bool ownership_take(struct service *s, struct err *e);

#endif
