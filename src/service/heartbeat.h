/*
 * heartbeat - tells the other processes of this database that this one lives, so that they leave its deployments alone.
 *
 * A thread of its own, for the sweep may be busy for long (a rollback that boots, a large retention). A process that
 * was killed counts as gone HEARTBEAT_LEASE_SECONDS after its last beat, one that ends in order at once. Not a lock of
 * a session: that would be lost with its connection, and a pooler in transaction mode would give it to somebody else.
 */
#ifndef FA_SERVICE_HEARTBEAT_H
#define FA_SERVICE_HEARTBEAT_H

#include "store/pg.h"

#define HEARTBEAT_SECONDS 10
#define HEARTBEAT_LEASE_SECONDS 30

struct heartbeat;

/* The first beat is in the database when it returns true. Uses one connection of the pool at each beat. */
MUST_CHECK bool heartbeat_start(struct heartbeat **out, struct pg_pool *pool, struct err *e);

/* The process's id, a UUID; lives as long as the heartbeat. */
const char *heartbeat_id(const struct heartbeat *h);

/* Stops, and takes the row away. NULL is fine. */
void heartbeat_stop(struct heartbeat *h);

#endif
