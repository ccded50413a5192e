#include "store/project.h"

#define COLUMNS                                                                                                        \
	"ref, id::text, name, is_default, generation, revision, settings::text, (extract(epoch FROM created_at) * "    \
	"1000)::int8, secrets_revision"

static const struct pg_stmt select_one = {
	"project_one",
	"SELECT " COLUMNS
	" FROM functions_admin.projects WHERE ref = $1::text OR (is_default AND $1::text = 'default')",
};
static const struct pg_stmt select_locked = {
	"project_lock",
	"SELECT " COLUMNS " FROM functions_admin.projects WHERE ref = $1 FOR UPDATE",
};
static const struct pg_stmt update_defaults = {
	"project_set_defaults",
	"UPDATE functions_admin.projects SET settings = jsonb_set(settings, '{function_defaults}', $2::jsonb),"
	" generation = generation + 1, revision = revision + 1 WHERE ref = $1",
};
static const struct pg_stmt select_all = {
	"project_all",
	"SELECT " COLUMNS " FROM functions_admin.projects WHERE $1::text IS NULL OR ref = $1 ORDER BY ref",
};
static const struct pg_stmt insert_one = {
	"project_insert",
	"INSERT INTO functions_admin.projects (ref, name, is_default)"
	" VALUES ($1, $2, NOT EXISTS (SELECT FROM functions_admin.projects WHERE is_default)) ON CONFLICT (ref) DO "
	"NOTHING",
};

static void read_row(const struct pg_result *r, int row, struct project *p)
{
	p->ref = pg_get_text(r, row, 0);
	p->id = pg_get_text(r, row, 1);
	p->name = pg_get_text(r, row, 2);
	p->is_default = pg_get_bool(r, row, 3);
	p->generation = pg_get_int(r, row, 4);
	p->revision = pg_get_int(r, row, 5);
	p->settings = pg_get_text(r, row, 6);
	p->created_at = pg_get_int(r, row, 7);
	p->secrets_revision = pg_get_int(r, row, 8);
}

bool project_find(struct pg_conn *c, struct arena *a, const char *ref, struct project *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, ref);
	if (!pg_query(c, a, &select_one, &p, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return err_set(e, ERR_NOT_FOUND, "project_not_found", "Project not found");
	read_row(r, 0, out);
	return true;
}

bool project_lock(struct pg_conn *c, struct arena *a, const char *ref, struct project *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, ref);
	if (!pg_query(c, a, &select_locked, &p, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return err_set(e, ERR_NOT_FOUND, "project_not_found", "Project not found");
	read_row(r, 0, out);
	return true;
}

bool project_set_defaults(struct pg_conn *c, struct arena *a, const char *ref, const char *defaults, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, ref);
	pg_text(&p, defaults);
	return pg_query(c, a, &update_defaults, &p, NULL, e);
}

bool project_list(struct pg_conn *c, struct arena *a, const char *only, struct project **out, size_t *count,
		  struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, only);
	if (!pg_query(c, a, &select_all, &p, &r, e))
		return false;
	*count = (size_t)pg_rows(r);
	*out = arena_array(a, *count, sizeof **out);
	if (*out == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < *count; i++)
		read_row(r, (int)i, &(*out)[i]);
	return true;
}

bool project_ensure(struct pg_conn *c, struct arena *a, const char *ref, const char *name, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, ref);
	pg_text(&p, name);
	return pg_query(c, a, &insert_one, &p, NULL, e);
}
