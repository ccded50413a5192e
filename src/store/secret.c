#include "store/secret.h"

#include <string.h>

#define KEY_ID_BYTES 4
#define MS(column) "(extract(epoch FROM " column ") * 1000)::int8"
#define COLUMNS "s.id, s.project_ref, s.function_id::text, f.slug, s.name, s.sealed, s.key_id, " MS("s.updated_at")
#define FROM_SECRETS                                                                                                   \
	" FROM functions_admin.secrets s LEFT JOIN functions_admin.edge_functions f ON f.id = s.function_id"

/* The project's row: activations of functions take the same lock, for moments only. */
static const struct pg_stmt lock_project = {
	"secret_lock",
	"SELECT secrets_revision FROM functions_admin.projects WHERE ref = $1 FOR UPDATE",
};
static const struct pg_stmt lock_projects = {
	"secret_lock_all",
	"SELECT FROM functions_admin.projects ORDER BY ref FOR UPDATE",
};
static const struct pg_stmt bump_revision = {
	"secret_bump",
	"UPDATE functions_admin.projects SET secrets_revision = $2::int8, revision = revision + 1"
	" WHERE ref = $1 AND secrets_revision = $2::int8 - 1 RETURNING 1",
};
static const struct pg_stmt insert_revision = {
	"secret_insert_revision",
	"INSERT INTO functions_admin.secret_revisions (project_ref, revision, source, restored, changed, created_by,"
	" request_id) VALUES ($1, $2::int8, $3, nullif($4::int8, 0), $5::int4, $6, $7)",
};
static const struct pg_stmt end_rows = {
	"secret_end",
	"WITH ended AS (UPDATE functions_admin.secrets SET removed_revision = $4::int8 WHERE project_ref = $1"
	" AND function_id IS NOT DISTINCT FROM $2::text::uuid AND name = ANY ($3::text[]) AND removed_revision IS NULL"
	" RETURNING 1) SELECT count(*) FROM ended",
};
static const struct pg_stmt insert_rows = {
	"secret_insert",
	"INSERT INTO functions_admin.secrets (project_ref, function_id, name, sealed, key_id, created_revision)"
	" SELECT $1, $2::text::uuid, u.name, u.sealed, substr(u.sealed, 2, 4), $5::int8"
	" FROM unnest($3::text[], $4::bytea[]) u (name, sealed)",
};
static const struct pg_stmt end_later = {
	"secret_restore_end",
	"WITH ended AS (UPDATE functions_admin.secrets SET removed_revision = $3::int8"
	" WHERE project_ref = $1 AND removed_revision IS NULL AND created_revision > $2::int8 RETURNING 1)"
	" SELECT count(*) FROM ended",
};
/* What stood in the old set and was removed since; rows that end_later has just ended came after that set. */
static const struct pg_stmt put_back = {
	"secret_restore_insert",
	"WITH put AS (INSERT INTO functions_admin.secrets (project_ref, function_id, name, sealed, key_id, "
	"created_revision)"
	" SELECT s.project_ref, s.function_id, s.name, s.sealed, s.key_id, $3::int8 FROM functions_admin.secrets s"
	" LEFT JOIN functions_admin.edge_functions f ON f.id = s.function_id"
	" WHERE s.project_ref = $1 AND s.created_revision <= $2::int8 AND s.removed_revision > $2::int8"
	" AND (s.function_id IS NULL OR f.deleted_at IS NULL) RETURNING 1) SELECT count(*) FROM put",
};
static const struct pg_stmt prune_rows = {
	"secret_prune",
	"DELETE FROM functions_admin.secrets s WHERE s.project_ref = $1 AND s.removed_revision <= $2::int8"
	" AND NOT EXISTS (SELECT FROM functions_admin.edge_function_versions v JOIN functions_admin.edge_functions f"
	" ON f.id = v.function_id WHERE f.project_ref = $1 AND v.settings ? 'secrets_revision'"
	" AND (v.settings->>'secrets_revision')::int8 >= s.created_revision"
	" AND (v.settings->>'secrets_revision')::int8 < s.removed_revision)",
};
static const struct pg_stmt prune_revisions = {
	"secret_prune_revisions",
	"DELETE FROM functions_admin.secret_revisions r WHERE r.project_ref = $1 AND r.revision < $2::int8"
	" AND NOT EXISTS (SELECT FROM functions_admin.edge_function_versions v JOIN functions_admin.edge_functions f"
	" ON f.id = v.function_id WHERE f.project_ref = $1 AND v.settings->>'secrets_revision' = r.revision::text)",
};
static const struct pg_stmt select_current = {
	"secret_list",
	"SELECT " COLUMNS FROM_SECRETS " WHERE s.project_ref = $1 AND s.function_id IS NOT DISTINCT FROM $2::text::uuid"
	" AND s.removed_revision IS NULL ORDER BY s.name",
};
static const struct pg_stmt select_set = {
	"secret_set_at",
	"SELECT " COLUMNS FROM_SECRETS " WHERE s.project_ref = $1 AND s.created_revision <= $2::int8"
	" AND (s.removed_revision IS NULL OR s.removed_revision > $2::int8)"
	" AND (s.function_id IS NULL OR f.deleted_at IS NULL) ORDER BY f.slug COLLATE \"C\" NULLS FIRST, s.name",
};
static const struct pg_stmt select_revisions = {
	"secret_revisions",
	"SELECT revision, source, coalesce(restored, 0), changed::int8, created_by, " MS(
		"created_at") " FROM functions_admin.secret_revisions WHERE project_ref = $1 ORDER BY revision DESC "
			      "LIMIT $2::int8",
};
static const struct pg_stmt select_exists = {
	"secret_revision_exists",
	"SELECT EXISTS (SELECT FROM functions_admin.secret_revisions WHERE project_ref = $1 AND revision = $2::int8)",
};
/* Those that serve, those on their way, and the newest few besides: a split may be about to use their versions. */
static const struct pg_stmt select_pins = {
	"secret_pins",
	"WITH pinned AS MATERIALIZED (SELECT f.id, v.version, (v.settings->>'secrets_revision')::int8 AS pin,"
	" v.version = f.active_version AS active"
	" FROM functions_admin.edge_function_versions v JOIN functions_admin.edge_functions f ON f.id = v.function_id"
	" WHERE v.settings ? 'secrets_revision' AND f.project_ref = $1)"
	" SELECT pin FROM pinned p WHERE active"
	" OR EXISTS (SELECT FROM functions_admin.function_traffic t WHERE t.function_id = p.id AND t.version = "
	"p.version)"
	" OR EXISTS (SELECT FROM functions_admin.edge_function_deployments d WHERE d.function_id = p.id"
	" AND d.version = p.version AND d.finished_at IS NULL)"
	" UNION (SELECT DISTINCT pin FROM pinned ORDER BY pin DESC LIMIT 8) ORDER BY 1",
};
static const struct pg_stmt select_otherwise = {
	"secret_sealed_otherwise",
	"SELECT " COLUMNS FROM_SECRETS " WHERE s.key_id <> $1 AND s.id > $2::int8 ORDER BY s.id LIMIT $3::int8",
};
static const struct pg_stmt update_sealed = {
	"secret_reseal",
	"UPDATE functions_admin.secrets SET sealed = $2, key_id = $3 WHERE id = $1::int8",
};

bool secret_lock(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t *revision, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	if (!pg_query(c, a, &lock_project, &p, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return err_set(e, ERR_NOT_FOUND, "project_not_found", "Project not found");
	*revision = pg_get_int(r, 0, 0);
	return true;
}

bool secret_lock_all(struct pg_conn *c, struct arena *a, struct err *e)
{
	return pg_query(c, a, &lock_projects, NULL, NULL, e);
}

bool secret_begin_revision(struct pg_conn *c, struct arena *a, const char *project_ref, const struct secret_revision *r,
			   const struct actor *who, struct err *e)
{
	struct pg_params bump = PG_PARAMS(a);
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *result;

	pg_text(&bump, project_ref);
	pg_int(&bump, r->number);
	if (!pg_query(c, a, &bump_revision, &bump, &result, e))
		return false;
	if (pg_rows(result) != 1)
		return err_set(e, ERR_INTERNAL, NULL, "Revision %lld of the secrets is not the next one",
			       (long long)r->number);
	pg_text(&p, project_ref);
	pg_int(&p, r->number);
	pg_text(&p, r->source);
	pg_int(&p, r->restored);
	pg_int(&p, r->changed);
	pg_text(&p, who->name);
	pg_text(&p, who->request_id);
	return pg_query(c, a, &insert_revision, &p, NULL, e);
}

bool secret_end(struct pg_conn *c, struct arena *a, const char *project_ref, const char *function_id,
		const char *const *names, size_t count, int64_t revision, int64_t *ended, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, function_id);
	pg_text_array(&p, names, count);
	pg_int(&p, revision);
	if (!pg_query(c, a, &end_rows, &p, &r, e))
		return false;
	*ended = pg_get_int(r, 0, 0);
	return true;
}

bool secret_insert(struct pg_conn *c, struct arena *a, const char *project_ref, const char *function_id,
		   const struct secret *items, size_t count, int64_t revision, struct err *e)
{
	const char **names = arena_array(a, count, sizeof *names);
	struct pg_bytes *sealed = arena_array(a, count, sizeof *sealed);
	struct pg_params p = PG_PARAMS(a);

	if (names == NULL || sealed == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < count; i++) {
		names[i] = items[i].name;
		sealed[i] = (struct pg_bytes){items[i].sealed, items[i].sealed_len};
	}
	pg_text(&p, project_ref);
	pg_text(&p, function_id);
	pg_text_array(&p, names, count);
	pg_bytea_array(&p, sealed, count);
	pg_int(&p, revision);
	return pg_query(c, a, &insert_rows, &p, NULL, e);
}

bool secret_restore(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t old, int64_t revision,
		    int64_t *changed, struct err *e)
{
	const struct pg_stmt *const steps[] = {&end_later, &put_back};
	struct pg_result *r;

	*changed = 0;
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		struct pg_params p = PG_PARAMS(a);

		pg_text(&p, project_ref);
		pg_int(&p, old);
		pg_int(&p, revision);
		if (!pg_query(c, a, steps[i], &p, &r, e))
			return false;
		*changed += pg_get_int(r, 0, 0);
	}
	return true;
}

bool secret_prune(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t oldest, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	pg_int(&p, oldest);
	return pg_query(c, a, &prune_rows, &p, NULL, e) && pg_query(c, a, &prune_revisions, &p, NULL, e);
}

static bool read_list(const struct pg_result *r, struct arena *a, struct secret_list *out, struct err *e)
{
	out->count = (size_t)pg_rows(r);
	out->items = arena_array(a, out->count, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < out->count; i++) {
		struct pg_bytes sealed = pg_get_bytes(r, (int)i, 5);
		struct pg_bytes key_id = pg_get_bytes(r, (int)i, 6);

		out->items[i] = (struct secret){
			.id = pg_get_int(r, (int)i, 0),
			.project_ref = pg_get_text(r, (int)i, 1),
			.function_id = pg_get_text(r, (int)i, 2),
			.slug = pg_get_text(r, (int)i, 3),
			.name = pg_get_text(r, (int)i, 4),
			.sealed = sealed.data,
			.sealed_len = sealed.len,
			.updated_at = pg_get_int(r, (int)i, 7),
		};
		if (key_id.len == KEY_ID_BYTES)
			memcpy(out->items[i].key_id, key_id.data, KEY_ID_BYTES);
	}
	return true;
}

bool secret_list(struct pg_conn *c, struct arena *a, const char *project_ref, const char *function_id,
		 struct secret_list *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, function_id);
	return pg_query(c, a, &select_current, &p, &r, e) && read_list(r, a, out, e);
}

bool secret_set_at(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t revision,
		   struct secret_list *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_int(&p, revision);
	return pg_query(c, a, &select_set, &p, &r, e) && read_list(r, a, out, e);
}

bool secret_revisions(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t limit,
		      struct secret_revision **out, size_t *count, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_int(&p, limit);
	if (!pg_query(c, a, &select_revisions, &p, &r, e))
		return false;
	*count = (size_t)pg_rows(r);
	*out = arena_array(a, *count, sizeof **out);
	if (*out == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < *count; i++)
		(*out)[i] = (struct secret_revision){
			.number = pg_get_int(r, (int)i, 0),
			.source = pg_get_text(r, (int)i, 1),
			.restored = pg_get_int(r, (int)i, 2),
			.changed = pg_get_int(r, (int)i, 3),
			.created_by = pg_get_text(r, (int)i, 4),
			.created_at = pg_get_int(r, (int)i, 5),
		};
	return true;
}

bool secret_revision_exists(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t revision, bool *out,
			    struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_int(&p, revision);
	if (!pg_query(c, a, &select_exists, &p, &r, e))
		return false;
	*out = pg_get_bool(r, 0, 0);
	return true;
}

bool secret_ask_pins(struct pg_conn *c, struct arena *a, const char *project_ref, struct pg_result **out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	return pg_queue(c, a, &select_pins, &p, out, e);
}

bool secret_read_pins(const struct pg_result *r, struct arena *a, int64_t **out, size_t *count, struct err *e)
{
	*count = (size_t)pg_rows(r);
	*out = arena_array(a, *count, sizeof **out);
	if (*out == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < *count; i++)
		(*out)[i] = pg_get_int(r, (int)i, 0);
	return true;
}

bool secret_sealed_otherwise(struct pg_conn *c, struct arena *a, const uint8_t key_id[4], int64_t after, int64_t limit,
			     struct secret_list *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_bytea(&p, key_id, KEY_ID_BYTES);
	pg_int(&p, after);
	pg_int(&p, limit);
	return pg_query(c, a, &select_otherwise, &p, &r, e) && read_list(r, a, out, e);
}

bool secret_reseal(struct pg_conn *c, struct arena *a, int64_t id, const void *sealed, size_t len,
		   const uint8_t key_id[4], struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_int(&p, id);
	pg_bytea(&p, sealed, len);
	pg_bytea(&p, key_id, KEY_ID_BYTES);
	return pg_query(c, a, &update_sealed, &p, NULL, e);
}
