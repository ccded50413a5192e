#include "store/function.h"

#include "core/text.h"

#include <string.h>

#define COLUMNS                                                                                                        \
	"f.id::text, f.project_ref, f.slug, f.name, f.status, coalesce(f.active_version, 0)::int4, "                   \
	"f.latest_version::int4,"                                                                                      \
	" (extract(epoch FROM f.created_at) * 1000)::int8, (extract(epoch FROM f.updated_at) * 1000)::int8,"           \
	" v.version::int4, v.kind, v.name, v.entrypoint_path, v.import_map_path, v.static_patterns, v.verify_jwt,"     \
	" v.settings::text, v.digest, v.size, v.file_count::int4, v.ezbr_sha256, v.message, v.source,"                 \
	" coalesce(v.source_version, 0)::int4, v.created_by, (extract(epoch FROM v.created_at) * 1000)::int8"
#define FROM_ACTIVE                                                                                                    \
	" FROM functions_admin.edge_functions f JOIN functions_admin.edge_function_versions v"                         \
	" ON v.function_id = f.id AND v.version = f.active_version WHERE f.project_ref = $1 AND f.deleted_at IS NULL"

static const struct pg_stmt select_active = {
	"function_list_active",
	"SELECT " COLUMNS FROM_ACTIVE " ORDER BY f.slug COLLATE \"C\"",
};
static const struct pg_stmt select_one_active = {
	"function_find_active",
	"SELECT " COLUMNS FROM_ACTIVE " AND f.slug = $2",
};
static const struct pg_stmt select_version = {
	"function_find_version",
	"SELECT " COLUMNS " FROM functions_admin.edge_functions f JOIN functions_admin.edge_function_versions v"
	" ON v.function_id = f.id AND v.version = $3::int4 WHERE f.project_ref = $1 AND f.deleted_at IS NULL AND "
	"f.slug = $2",
};
static const struct pg_stmt next_version = {
	"function_next_version",
	"INSERT INTO functions_admin.edge_functions AS f (id, project_ref, slug, name, latest_version)"
	" VALUES ($1::uuid, $2, $3, $4, 1)"
	" ON CONFLICT (project_ref, slug) WHERE deleted_at IS NULL DO UPDATE SET latest_version = f.latest_version + 1"
	" RETURNING f.id::text, f.project_ref, f.slug, f.name, f.status, coalesce(f.active_version, 0)::int4, "
	"f.latest_version::int4,"
	" (extract(epoch FROM f.created_at) * 1000)::int8, (extract(epoch FROM f.updated_at) * 1000)::int8",
};
static const struct pg_stmt insert_version = {
	"version_insert",
	"INSERT INTO functions_admin.edge_function_versions (function_id, version, kind, name, entrypoint_path, "
	"import_map_path,"
	" static_patterns, verify_jwt, settings, digest, size, file_count, ezbr_sha256, message, source, "
	"source_version, created_by)"
	" VALUES ($1::uuid, $2::int4, $3, $4, $5, $6, $7::text[], $8::bool, $9::jsonb, $10, $11::int8, $12::int4, $13, "
	"$14, $15,"
	" nullif($16::int4, 0), $17)",
};
static const struct pg_stmt insert_files = {
	"version_insert_files",
	"INSERT INTO functions_admin.edge_function_files (function_id, version, path, sha256, size)"
	" SELECT $1::uuid, $2::int4, u.* FROM unnest($3::text[], $4::bytea[], $5::int8[]) u",
};
static const struct pg_stmt select_files = {
	"version_files",
	"SELECT path, sha256, size FROM functions_admin.edge_function_files"
	" WHERE function_id = $1::uuid AND version = $2::int4 ORDER BY path",
};
static const struct pg_stmt update_name = {
	"function_rename",
	"WITH p AS (UPDATE functions_admin.projects SET revision = revision + 1 WHERE ref = $1)"
	" UPDATE functions_admin.edge_functions SET name = $3, updated_at = now() WHERE id = $2::uuid",
};

static void read_function(const struct pg_result *r, int row, struct function *f)
{
	*f = (struct function){
		.id = pg_get_text(r, row, 0),
		.project_ref = pg_get_text(r, row, 1),
		.slug = pg_get_text(r, row, 2),
		.name = pg_get_text(r, row, 3),
		.status = pg_get_text(r, row, 4),
		.active_version = (int)pg_get_int(r, row, 5),
		.latest_version = (int)pg_get_int(r, row, 6),
		.created_at = pg_get_int(r, row, 7),
		.updated_at = pg_get_int(r, row, 8),
	};
}

static bool read_row(const struct pg_result *r, int row, struct arena *a, struct function *f)
{
	struct version *v = &f->version;
	struct pg_bytes digest = pg_get_bytes(r, row, 17);

	read_function(r, row, f);
	v->number = (int)pg_get_int(r, row, 9);
	v->kind = text_eq(pg_get_text(r, row, 10), "eszip") ? KIND_ESZIP : KIND_SOURCE;
	v->name = pg_get_text(r, row, 11);
	v->entrypoint = pg_get_text(r, row, 12);
	v->import_map = pg_get_text(r, row, 13);
	v->static_patterns = pg_get_text_array(r, row, 14, a);
	v->verify_jwt = pg_get_bool(r, row, 15);
	v->settings = pg_get_text(r, row, 16);
	if (digest.len == sizeof v->digest)
		memcpy(v->digest, digest.data, sizeof v->digest);
	v->size = pg_get_int(r, row, 18);
	v->file_count = (int)pg_get_int(r, row, 19);
	v->ezbr_sha256 = pg_get_text(r, row, 20);
	v->message = pg_get_text(r, row, 21);
	v->source = pg_get_text(r, row, 22);
	v->source_version = (int)pg_get_int(r, row, 23);
	v->created_by = pg_get_text(r, row, 24);
	v->created_at = pg_get_int(r, row, 25);
	return v->static_patterns != NULL;
}

bool function_list_active(struct pg_conn *c, struct arena *a, const char *project_ref, struct function_list *out,
			  struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	if (!pg_query(c, a, &select_active, &p, &r, e))
		return false;
	out->count = (size_t)pg_rows(r);
	out->items = arena_array(a, out->count, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < out->count; i++)
		if (!read_row(r, (int)i, a, &out->items[i]))
			return err_no_memory(e);
	return true;
}

static bool read_found(const struct pg_result *r, struct arena *a, struct function *out, struct err *e)
{
	if (pg_rows(r) == 0)
		return err_set(e, ERR_NOT_FOUND, "function_not_found", "Function not found");
	return read_row(r, 0, a, out) ? true : err_no_memory(e);
}

bool function_find_active(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
			  struct function *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, slug);
	return pg_query(c, a, &select_one_active, &p, &r, e) && read_found(r, a, out, e);
}

bool function_find_version(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug, int version,
			   struct function *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, project_ref);
	pg_text(&p, slug);
	pg_int(&p, version);
	return pg_query(c, a, &select_version, &p, &r, e) && read_found(r, a, out, e);
}

bool function_next_version(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
			   const char *name, const char *new_id, struct function *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, new_id);
	pg_text(&p, project_ref);
	pg_text(&p, slug);
	pg_text(&p, name);
	if (!pg_query(c, a, &next_version, &p, &r, e))
		return false;
	read_function(r, 0, out);
	return true;
}

static bool insert_file_rows(struct pg_conn *c, struct arena *a, const char *function_id, int version,
			     const struct file_list *files, struct err *e)
{
	const char **paths = arena_array(a, files->count, sizeof *paths);
	struct pg_bytes *sums = arena_array(a, files->count, sizeof *sums);
	int64_t *sizes = arena_array(a, files->count, sizeof *sizes);
	struct pg_params p = PG_PARAMS(a);

	if (paths == NULL || sums == NULL || sizes == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < files->count; i++) {
		paths[i] = files->items[i].path;
		sums[i] = (struct pg_bytes){files->items[i].sha256, sizeof files->items[i].sha256};
		sizes[i] = files->items[i].size;
	}
	pg_text(&p, function_id);
	pg_int(&p, version);
	pg_text_array(&p, paths, files->count);
	pg_bytea_array(&p, sums, files->count);
	pg_int_array(&p, sizes, files->count);
	return pg_query(c, a, &insert_files, &p, NULL, e);
}

bool version_insert(struct pg_conn *c, struct arena *a, const char *function_id, const struct version *v,
		    const struct file_list *files, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	size_t patterns = 0;

	while (v->static_patterns != NULL && v->static_patterns[patterns] != NULL)
		patterns++;
	pg_text(&p, function_id);
	pg_int(&p, v->number);
	pg_text(&p, v->kind == KIND_ESZIP ? "eszip" : "source");
	pg_text(&p, v->name);
	pg_text(&p, v->entrypoint);
	pg_text(&p, v->import_map);
	pg_text_array(&p, v->static_patterns, patterns);
	pg_bool(&p, v->verify_jwt);
	pg_text(&p, v->settings);
	pg_bytea(&p, v->digest, sizeof v->digest);
	pg_int(&p, v->size);
	pg_int(&p, v->file_count);
	pg_text(&p, v->ezbr_sha256);
	pg_text(&p, v->message);
	pg_text(&p, v->source);
	pg_int(&p, v->source_version);
	pg_text(&p, v->created_by);
	return pg_query(c, a, &insert_version, &p, NULL, e) && insert_file_rows(c, a, function_id, v->number, files, e);
}

bool version_files(struct pg_conn *c, struct arena *a, const char *function_id, int version, struct file_list *out,
		   struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, function_id);
	pg_int(&p, version);
	if (!pg_query(c, a, &select_files, &p, &r, e))
		return false;
	out->count = (size_t)pg_rows(r);
	out->items = arena_array(a, out->count, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < out->count; i++) {
		struct pg_bytes sum = pg_get_bytes(r, (int)i, 1);

		out->items[i].path = pg_get_text(r, (int)i, 0);
		if (sum.len == sizeof out->items[i].sha256)
			memcpy(out->items[i].sha256, sum.data, sum.len);
		out->items[i].size = pg_get_int(r, (int)i, 2);
	}
	return true;
}

bool function_rename(struct pg_conn *c, struct arena *a, const char *project_ref, const char *function_id,
		     const char *name, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	pg_text(&p, project_ref);
	pg_text(&p, function_id);
	pg_text(&p, name);
	return pg_query(c, a, &update_name, &p, NULL, e);
}
