#include "store/project.h"

#include "core/text.h"

#define COLUMNS                                                                                                        \
	"ref, id::text, name, is_default, generation, revision, settings::text, (extract(epoch FROM created_at) * "    \
	"1000)::int8, secrets_revision, functions_dir, runtime_url, keys, release_number"

/* Two statements, since one with both conditions would be planned anew each time, which takes longer than to run it. */
static const struct pg_stmt select_one = {
	"project_one",
	"SELECT " COLUMNS " FROM functions_admin.projects WHERE ref = $1 AND deleted_at IS NULL",
};
static const struct pg_stmt select_default = {
	"project_default",
	"SELECT " COLUMNS " FROM functions_admin.projects WHERE is_default AND deleted_at IS NULL",
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
	"SELECT " COLUMNS
	" FROM functions_admin.projects WHERE ($1::text IS NULL OR ref = $1) AND deleted_at IS NULL ORDER BY ref",
};
static const struct pg_stmt insert_one = {
	"project_insert",
	"INSERT INTO functions_admin.projects (ref, name, is_default)"
	" VALUES ($1, $2, NOT EXISTS (SELECT FROM functions_admin.projects WHERE is_default)) ON CONFLICT (ref) DO "
	"NOTHING",
};

static const struct pg_stmt create_one = {
	"project_create",
	"INSERT INTO functions_admin.projects (ref, name, functions_dir, runtime_url, keys) VALUES ($1, $2, $3, $4, "
	"$5)",
};
static const struct pg_stmt update_one = {
	"project_update",
	"UPDATE functions_admin.projects SET name = coalesce($2, name), functions_dir = coalesce($3, functions_dir),"
	" runtime_url = coalesce($4, runtime_url), settings = coalesce(jsonb_strip_nulls(settings || $5::jsonb), "
	"settings), revision = revision + 1"
	" WHERE ref = $1 AND deleted_at IS NULL RETURNING true",
};
/* The row stays, for the audit log and the releases that name it; its functions are removed first. */
static const struct pg_stmt delete_one = {
	"project_delete",
	"UPDATE functions_admin.projects p SET deleted_at = now(), keys = NULL, functions_dir = NULL WHERE ref = $1"
	" AND deleted_at IS NULL AND NOT is_default AND NOT EXISTS (SELECT FROM functions_admin.edge_functions f"
	"  WHERE f.project_ref = p.ref AND f.deleted_at IS NULL AND f.active_version IS NOT NULL) RETURNING true",
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
	p->functions_dir = pg_get_text(r, row, 9);
	p->runtime_url = pg_get_text(r, row, 10);
	p->release_number = pg_get_int(r, row, 12);
	if (!pg_is_null(r, row, 11)) {
		struct pg_bytes keys = pg_get_bytes(r, row, 11);

		p->keys = keys.data;
		p->keys_len = keys.len;
	}
}

bool project_ask(struct pg_conn *c, struct arena *a, const char *ref, struct pg_result **out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	if (text_eq(ref, "default"))
		return pg_queue(c, a, &select_default, NULL, out, e);
	pg_text(&p, ref);
	return pg_queue(c, a, &select_one, &p, out, e);
}

bool project_read(const struct pg_result *r, struct project *out, struct err *e)
{
	if (pg_rows(r) == 0)
		return err_set(e, ERR_NOT_FOUND, "project_not_found", "Project not found");
	read_row(r, 0, out);
	return true;
}

bool project_find(struct pg_conn *c, struct arena *a, const char *ref, struct project *out, struct err *e)
{
	struct pg_result *r;

	return project_ask(c, a, ref, &r, e) && pg_flush(c, e) && project_read(r, out, e);
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

bool project_create(struct pg_conn *c, struct arena *a, const struct project *project, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project->ref);
	pg_text(&p, project->name);
	pg_text(&p, project->functions_dir);
	pg_text(&p, project->runtime_url);
	pg_bytea(&p, project->keys, project->keys_len);
	if (pg_query(c, a, &create_one, &p, NULL, e))
		return true;
	return pg_is_unique_violation(c)
		       ? err_set(e, ERR_CONFLICT, "project_exists", "A project %s is there, or was", project->ref)
		       : false;
}

bool project_update(struct pg_conn *c, struct arena *a, const struct project *project, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project->ref);
	pg_text(&p, project->name);
	pg_text(&p, project->functions_dir);
	pg_text(&p, project->runtime_url);
	pg_text(&p, project->settings);
	if (!pg_query(c, a, &update_one, &p, &r, e))
		return false;
	return pg_rows(r) > 0 ? true : err_set(e, ERR_NOT_FOUND, "project_not_found", "Project not found");
}

bool project_delete(struct pg_conn *c, struct arena *a, const char *ref, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, ref);
	if (!pg_query(c, a, &delete_one, &p, &r, e))
		return false;
	if (pg_rows(r) > 0)
		return true;
	(void)err_set(e, ERR_CONFLICT, "project_in_use",
		      "The project cannot be deleted: it is the default one, or still serves functions");
	return err_hint(e, "Delete its functions first.");
}
