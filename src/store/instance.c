#include "store/instance.h"

/* A day, since a row that is out is only of use to who looks for what happened. */
static const struct pg_stmt renew = {
	"instance_renew",
	"WITH gone AS (DELETE FROM functions_admin.instances"
	"  WHERE alive_until < clock_timestamp() - interval '1 day' AND id <> $1::uuid)"
	" INSERT INTO functions_admin.instances (id, alive_until)"
	" VALUES ($1::uuid, clock_timestamp() + $2::int4 * interval '1 second')"
	" ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until",
};
static const struct pg_stmt remove_instance = {
	"instance_remove",
	"DELETE FROM functions_admin.instances WHERE id::text = $1",
};

bool instance_renew(struct pg_conn *c, struct arena *a, const char *id, int seconds, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, id);
	pg_int(&p, seconds);
	return pg_query(c, a, &renew, &p, NULL, e);
}

bool instance_remove(struct pg_conn *c, struct arena *a, const char *id, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, id);
	return pg_query(c, a, &remove_instance, &p, NULL, e);
}
