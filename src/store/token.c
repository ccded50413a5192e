#include "store/token.h"

#define COLUMNS                                                                                                        \
	"id::text, name, scopes::int4, project_ref, slugs, networks::text[], created_by, (extract(epoch FROM "         \
	"created_at) * 1000)::int8,"                                                                                   \
	" (extract(epoch FROM expires_at) * 1000)::int8, (extract(epoch FROM revoked_at) * 1000)::int8,"               \
	" (extract(epoch FROM last_used_at) * 1000)::int8"

static const struct pg_stmt select_by_hash = {
	"token_by_hash",
	"SELECT " COLUMNS ", coalesce(last_used_at < now() - interval '1 minute', true)"
	" FROM functions_admin.access_tokens WHERE token_hash = $1 AND revoked_at IS NULL"
	" AND (expires_at IS NULL OR expires_at > now())",
};
static const struct pg_stmt touch = {
	"token_touch",
	"UPDATE functions_admin.access_tokens SET last_used_at = now() WHERE id = $1::uuid",
};
static const struct pg_stmt insert_token = {
	"token_insert",
	"INSERT INTO functions_admin.access_tokens (id, name, token_hash, scopes, project_ref, slugs, networks, "
	"created_by, expires_at)"
	" VALUES ($1::uuid, $2, $3, $4::int4, $5, $6::text[], $7::text[]::cidr[], $8, "
	"to_timestamp(nullif($9::int8, 0) / 1000.0))",
};
static const struct pg_stmt select_all = {
	"token_list",
	"SELECT " COLUMNS " FROM functions_admin.access_tokens ORDER BY created_at DESC, id",
};
static const struct pg_stmt select_by_id = {
	"token_by_id",
	"SELECT " COLUMNS " FROM functions_admin.access_tokens WHERE id::text = $1 FOR UPDATE",
};
static const struct pg_stmt replace_hash = {
	"token_rotate",
	"UPDATE functions_admin.access_tokens SET token_hash = $2, last_used_at = NULL WHERE id::text = $1",
};
static const struct pg_stmt revoke_token = {
	"token_revoke",
	"UPDATE functions_admin.access_tokens SET revoked_at = now() WHERE id::text = $1",
};

static bool read_row(const struct pg_result *r, int row, struct arena *a, struct access_token *t, struct err *e)
{
	t->id = pg_get_text(r, row, 0);
	t->name = pg_get_text(r, row, 1);
	t->scopes = (unsigned)pg_get_int(r, row, 2);
	t->project_ref = pg_get_text(r, row, 3);
	t->slugs = pg_get_text_array(r, row, 4, a);
	t->networks = pg_get_text_array(r, row, 5, a);
	t->created_by = pg_get_text(r, row, 6);
	t->created_at = pg_get_int(r, row, 7);
	t->expires_at = pg_get_int(r, row, 8);
	t->revoked_at = pg_get_int(r, row, 9);
	t->last_used_at = pg_get_int(r, row, 10);
	/* A binding that could not be read must never become "any". */
	if ((!pg_is_null(r, row, 4) && t->slugs == NULL) || (!pg_is_null(r, row, 5) && t->networks == NULL))
		return err_no_memory(e);
	return true;
}

bool token_find(struct pg_conn *c, struct arena *a, const uint8_t hash[32], struct access_token *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_params used = PG_PARAMS(a);
	struct pg_result *r;

	pg_bytea(&p, hash, 32);
	if (!pg_query(c, a, &select_by_hash, &p, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return err_set(e, ERR_NOT_FOUND, "token_not_found", "Access token not found");
	if (!read_row(r, 0, a, out, e))
		return false;
	if (!pg_get_bool(r, 0, 11))
		return true;
	pg_text(&used, out->id);
	return pg_query(c, a, &touch, &used, NULL, e);
}

/* NULL stays NULL: bound to nothing. */
static void bind_list(struct pg_params *p, const char *const *list)
{
	size_t count = 0;

	while (list != NULL && list[count] != NULL)
		count++;
	if (list != NULL)
		pg_text_array(p, list, count);
	else
		pg_null(p);
}

bool token_insert(struct pg_conn *c, struct arena *a, const struct access_token *t, const uint8_t hash[32],
		  struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, t->id);
	pg_text(&p, t->name);
	pg_bytea(&p, hash, 32);
	pg_int(&p, t->scopes);
	pg_text(&p, t->project_ref);
	bind_list(&p, t->slugs);
	bind_list(&p, t->networks);
	pg_text(&p, t->created_by);
	pg_int(&p, t->expires_at);
	return pg_query(c, a, &insert_token, &p, NULL, e);
}

bool token_list(struct pg_conn *c, struct arena *a, struct access_token **out, size_t *count, struct err *e)
{
	struct pg_result *r;

	if (!pg_query(c, a, &select_all, NULL, &r, e))
		return false;
	*count = (size_t)pg_rows(r);
	*out = arena_array(a, *count, sizeof **out);
	if (*out == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < *count; i++)
		if (!read_row(r, (int)i, a, &(*out)[i], e))
			return false;
	return true;
}

bool token_lock(struct pg_conn *c, struct arena *a, const char *id, struct access_token *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, id);
	if (!pg_query(c, a, &select_by_id, &p, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return err_set(e, ERR_NOT_FOUND, "token_not_found", "Access token not found");
	return read_row(r, 0, a, out, e);
}

bool token_rotate(struct pg_conn *c, struct arena *a, const char *id, const uint8_t hash[32], struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, id);
	pg_bytea(&p, hash, 32);
	return pg_query(c, a, &replace_hash, &p, NULL, e);
}

bool token_revoke(struct pg_conn *c, struct arena *a, const char *id, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, id);
	return pg_query(c, a, &revoke_token, &p, NULL, e);
}
