#include "store/token.h"

#define COLUMNS                                                                                                        \
	"id::text, name, scopes::int4, project_ref, slugs, created_by, (extract(epoch FROM created_at) * 1000)::int8," \
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
	"INSERT INTO functions_admin.access_tokens (id, name, token_hash, scopes, project_ref, slugs, created_by, "
	"expires_at)"
	" VALUES ($1::uuid, $2, $3, $4::int4, $5, $6::text[], $7, to_timestamp(nullif($8::int8, 0) / 1000.0))",
};
static const struct pg_stmt select_all = {
	"token_list",
	"SELECT " COLUMNS " FROM functions_admin.access_tokens ORDER BY created_at DESC, id",
};
static const struct pg_stmt revoke_token = {
	"token_revoke",
	"UPDATE functions_admin.access_tokens SET revoked_at = now() WHERE id::text = $1 AND revoked_at IS NULL "
	"RETURNING name",
};

static void read_row(const struct pg_result *r, int row, struct arena *a, struct access_token *t)
{
	t->id = pg_get_text(r, row, 0);
	t->name = pg_get_text(r, row, 1);
	t->scopes = (unsigned)pg_get_int(r, row, 2);
	t->project_ref = pg_get_text(r, row, 3);
	t->slugs = pg_get_text_array(r, row, 4, a);
	t->created_by = pg_get_text(r, row, 5);
	t->created_at = pg_get_int(r, row, 6);
	t->expires_at = pg_get_int(r, row, 7);
	t->revoked_at = pg_get_int(r, row, 8);
	t->last_used_at = pg_get_int(r, row, 9);
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
	read_row(r, 0, a, out);
	/* A binding that could not be read must never become "any". */
	if (!pg_is_null(r, 0, 4) && out->slugs == NULL)
		return err_no_memory(e);
	if (!pg_get_bool(r, 0, 10))
		return true;
	pg_text(&used, out->id);
	return pg_query(c, a, &touch, &used, NULL, e);
}

bool token_insert(struct pg_conn *c, struct arena *a, const struct access_token *t, const uint8_t hash[32],
		  struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	size_t count = 0;

	pg_text(&p, t->id);
	pg_text(&p, t->name);
	pg_bytea(&p, hash, 32);
	pg_int(&p, t->scopes);
	pg_text(&p, t->project_ref);
	while (t->slugs != NULL && t->slugs[count] != NULL)
		count++;
	if (t->slugs != NULL)
		pg_text_array(&p, t->slugs, count);
	else
		pg_null(&p);
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
		read_row(r, (int)i, a, &(*out)[i]);
	return true;
}

bool token_revoke(struct pg_conn *c, struct arena *a, const char *id, const char **name, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, id);
	if (!pg_query(c, a, &revoke_token, &p, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return err_set(e, ERR_NOT_FOUND, "token_not_found", "Access token not found");
	*name = pg_get_text(r, 0, 0);
	return true;
}
