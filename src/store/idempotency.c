#include "store/idempotency.h"

#include <string.h>

#define LIFETIME "interval '24 hours'"

/* Locks of the two-number form are apart from all those with one number, such as the migrator's. */
#define LOCK_NUMBERS "hashtext('functions_admin'), hashtext($1 || E'\\n' || $2)"

static const struct pg_stmt lock = {
	"idempotency_lock",
	"SELECT pg_try_advisory_lock(" LOCK_NUMBERS ")",
};
static const struct pg_stmt unlock = {
	"idempotency_unlock",
	"SELECT pg_advisory_unlock(" LOCK_NUMBERS ")",
};
static const struct pg_stmt select_one = {
	"idempotency_find",
	"SELECT request, status::int4, answer FROM functions_admin.idempotency_keys WHERE principal = $1 AND key = $2"
	" AND created_at > now() - " LIFETIME,
};
static const struct pg_stmt insert_one = {
	"idempotency_insert",
	"INSERT INTO functions_admin.idempotency_keys (principal, key, request, status, answer) VALUES ($1, $2, $3, "
	"$4::int4, $5)"
	" ON CONFLICT (principal, key) DO UPDATE SET request = EXCLUDED.request, status = EXCLUDED.status,"
	" answer = EXCLUDED.answer, created_at = now()",
};
static const struct pg_stmt delete_old = {
	"idempotency_sweep",
	"DELETE FROM functions_admin.idempotency_keys WHERE created_at <= now() - " LIFETIME,
};

static struct pg_params key_params(struct arena *a, const char *principal, const char *key)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, principal);
	pg_text(&p, key);
	return p;
}

bool idempotency_lock(struct pg_conn *c, struct arena *a, const char *principal, const char *key, bool *taken,
		      struct err *e)
{
	struct pg_params p = key_params(a, principal, key);
	struct pg_result *r;

	if (!pg_query(c, a, &lock, &p, &r, e))
		return false;
	*taken = pg_get_bool(r, 0, 0);
	return true;
}

bool idempotency_unlock(struct pg_conn *c, struct arena *a, const char *principal, const char *key, struct err *e)
{
	struct pg_params p = key_params(a, principal, key);

	return pg_query(c, a, &unlock, &p, NULL, e);
}

bool idempotency_find(struct pg_conn *c, struct arena *a, const char *principal, const char *key,
		      struct remembered *out, struct err *e)
{
	struct pg_params p = key_params(a, principal, key);
	struct pg_bytes request;
	struct pg_result *r;

	*out = (struct remembered){0};
	if (!pg_query(c, a, &select_one, &p, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return true;
	request = pg_get_bytes(r, 0, 0);
	if (request.len == sizeof out->request)
		memcpy(out->request, request.data, request.len);
	out->found = true;
	out->status = (int)pg_get_int(r, 0, 1);
	out->answer = pg_get_bytes(r, 0, 2);
	return true;
}

bool idempotency_insert(struct pg_conn *c, struct arena *a, const char *principal, const char *key,
			const uint8_t request[32], int status, const void *answer, size_t len, struct err *e)
{
	struct pg_params p = key_params(a, principal, key);

	pg_bytea(&p, request, 32);
	pg_int(&p, status);
	pg_bytea(&p, answer, len);
	return pg_query(c, a, &insert_one, &p, NULL, e);
}

bool idempotency_sweep(struct pg_conn *c, struct arena *a, struct err *e)
{
	return pg_query(c, a, &delete_old, NULL, NULL, e);
}
