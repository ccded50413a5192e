#include "store/idempotency.h"

#include <string.h>

#define LIFETIME "interval '24 hours'"

/* An answer that is forgotten, or the claim of a process that is gone, gives way. */
static const struct pg_stmt claim_key = {
	"idempotency_claim",
	"INSERT INTO functions_admin.idempotency_keys AS k (principal, key, request, status, answer, claim, "
	"instance_id)"
	" VALUES ($1, $2, '', 0, '', $3::uuid, $4::uuid)"
	" ON CONFLICT (principal, key) DO UPDATE SET request = EXCLUDED.request, status = EXCLUDED.status,"
	" answer = EXCLUDED.answer, claim = EXCLUDED.claim, instance_id = EXCLUDED.instance_id, created_at = now()"
	" WHERE k.created_at <= now() - " LIFETIME " OR (k.claim IS NOT NULL AND NOT EXISTS (SELECT FROM "
	"functions_admin.instances i WHERE i.id = k.instance_id AND i.alive_until > clock_timestamp()))"
	" RETURNING true",
};
static const struct pg_stmt select_answer = {
	"idempotency_find",
	"SELECT request, status::int4, answer FROM functions_admin.idempotency_keys WHERE principal = $1 AND key = $2"
	" AND claim IS NULL AND created_at > now() - " LIFETIME,
};
static const struct pg_stmt update_answer = {
	"idempotency_answer",
	"UPDATE functions_admin.idempotency_keys SET request = $4, status = $5::int4, answer = $6, claim = NULL,"
	" instance_id = NULL, created_at = now() WHERE principal = $1 AND key = $2 AND claim = $3::uuid RETURNING true",
};
static const struct pg_stmt delete_claims = {
	"idempotency_give_up",
	"DELETE FROM functions_admin.idempotency_keys WHERE claim = ANY($1::text[]::uuid[])",
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

bool idempotency_claim(struct pg_conn *c, struct arena *a, const char *principal, const char *key, const char *claim,
		       const char *instance, bool *taken, struct err *e)
{
	struct pg_params p = key_params(a, principal, key);
	struct pg_result *r;

	pg_text(&p, claim);
	pg_text(&p, instance);
	if (!pg_query(c, a, &claim_key, &p, &r, e))
		return false;
	*taken = pg_rows(r) == 1;
	return true;
}

bool idempotency_give_up(struct pg_conn *c, struct arena *a, const char *const *claims, size_t count, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text_array(&p, claims, count);
	return pg_query(c, a, &delete_claims, &p, NULL, e);
}

bool idempotency_find(struct pg_conn *c, struct arena *a, const char *principal, const char *key,
		      struct remembered *out, struct err *e)
{
	struct pg_params p = key_params(a, principal, key);
	struct pg_bytes request;
	struct pg_result *r;

	*out = (struct remembered){0};
	if (!pg_query(c, a, &select_answer, &p, &r, e))
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

bool idempotency_answer(struct pg_conn *c, struct arena *a, const char *principal, const char *key, const char *claim,
			const uint8_t request[32], int status, const void *answer, size_t len, struct err *e)
{
	struct pg_params p = key_params(a, principal, key);
	struct pg_result *r;

	pg_text(&p, claim);
	pg_bytea(&p, request, 32);
	pg_int(&p, status);
	pg_bytea(&p, answer, len);
	if (!pg_query(c, a, &update_answer, &p, &r, e))
		return false;
	return pg_rows(r) == 1 || err_set(e, ERR_CONFLICT, NULL, "this process was taken for gone meanwhile");
}

bool idempotency_sweep(struct pg_conn *c, struct arena *a, struct err *e)
{
	return pg_query(c, a, &delete_old, NULL, NULL, e);
}
