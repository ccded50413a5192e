#include "store/installation.h"

static const struct pg_stmt table_exists = {
	"installation_exists",
	"SELECT to_regclass('functions_admin.installation') IS NOT NULL",
};
static const struct pg_stmt find = {
	"installation_find",
	"SELECT fingerprint FROM functions_admin.installation",
};
static const struct pg_stmt keep = {
	"installation_keep",
	"INSERT INTO functions_admin.installation (fingerprint) VALUES ($1) ON CONFLICT DO NOTHING",
};
static const struct pg_stmt replace = {
	"installation_replace",
	"INSERT INTO functions_admin.installation (fingerprint) VALUES ($1)"
	" ON CONFLICT (one) DO UPDATE SET fingerprint = excluded.fingerprint",
};

bool installation_find(struct pg_conn *c, struct arena *a, struct pg_bytes *out, struct err *e)
{
	struct pg_result *r;

	*out = (struct pg_bytes){0};
	if (!pg_query(c, a, &table_exists, NULL, &r, e))
		return false;
	if (!pg_get_bool(r, 0, 0))
		return true;
	if (!pg_query(c, a, &find, NULL, &r, e))
		return false;
	if (pg_rows(r) > 0)
		*out = pg_get_bytes(r, 0, 0);
	return true;
}

bool installation_keep(struct pg_conn *c, struct arena *a, const void *fingerprint, size_t len, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_bytea(&p, fingerprint, len);
	return pg_query(c, a, &keep, &p, NULL, e);
}

bool installation_replace(struct pg_conn *c, struct arena *a, const void *fingerprint, size_t len, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_bytea(&p, fingerprint, len);
	return pg_query(c, a, &replace, &p, NULL, e);
}
