#include "store/version.h"

#include "core/text.h"

#include <string.h>

static const struct pg_stmt insert_version = {
	"version_insert",
	"INSERT INTO functions_admin.edge_function_versions (function_id, version, kind, name, entrypoint_path, "
	"import_map_path,"
	" static_patterns, verify_jwt, settings, digest, size, file_count, ezbr_sha256, message, source, "
	"source_version,"
	" source_project, created_by)"
	" VALUES ($1::uuid, $2::int4, $3, $4, $5, $6, $7::text[], $8::bool, $9::jsonb, $10, $11::int8, $12::int4, $13, "
	"$14, $15,"
	" nullif($16::int4, 0), $17, $18)",
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
static const struct pg_stmt select_files_of = {
	"version_files_of",
	"SELECT path, sha256, size, k.n FROM unnest($1::text[]::uuid[], $2::int8[]::int4[])"
	" WITH ORDINALITY k (id, version, n) JOIN functions_admin.edge_function_files f"
	" ON f.function_id = k.id AND f.version = k.version ORDER BY k.n, path",
};
static const struct pg_stmt select_one = {
	"version_find",
	"SELECT " VERSION_COLUMNS
	" FROM functions_admin.edge_function_versions v WHERE function_id = $1::uuid AND version = $2::int4",
};
static const struct pg_stmt select_list = {
	"version_list",
	"SELECT " VERSION_COLUMNS " FROM functions_admin.edge_function_versions v WHERE function_id = $1::uuid"
	" AND ($2::int4 = 0 OR version < $2::int4) ORDER BY version DESC LIMIT $3::int4",
};
static const struct pg_stmt select_last_active = {
	"version_last_active",
	"SELECT version_before::int4 FROM functions_admin.release_items WHERE function_id = $1::uuid"
	" AND version_after IS NULL AND version_before IS NOT NULL ORDER BY release_id DESC LIMIT 1",
};
static const struct pg_stmt select_booted = {
	"version_has_booted",
	"SELECT EXISTS (SELECT FROM functions_admin.edge_function_deployments"
	" WHERE function_id = $1::uuid AND version = $2::int4 AND boot_check IS NOT NULL)",
};

bool version_read(const struct pg_result *r, int row, int first, struct arena *a, struct version *v)
{
	struct pg_bytes digest = pg_get_bytes(r, row, first + 8);

	*v = (struct version){
		.number = (int)pg_get_int(r, row, first),
		.kind = text_eq(pg_get_text(r, row, first + 1), "eszip") ? KIND_ESZIP : KIND_SOURCE,
		.name = pg_get_text(r, row, first + 2),
		.entrypoint = pg_get_text(r, row, first + 3),
		.import_map = pg_get_text(r, row, first + 4),
		.static_patterns = pg_get_text_array(r, row, first + 5, a),
		.verify_jwt = pg_get_bool(r, row, first + 6),
		.settings = pg_get_text(r, row, first + 7),
		.size = pg_get_int(r, row, first + 9),
		.file_count = (int)pg_get_int(r, row, first + 10),
		.ezbr_sha256 = pg_get_text(r, row, first + 11),
		.message = pg_get_text(r, row, first + 12),
		.source = pg_get_text(r, row, first + 13),
		.source_version = (int)pg_get_int(r, row, first + 14),
		.source_project = pg_get_text(r, row, first + 15),
		.created_by = pg_get_text(r, row, first + 16),
		.created_at = pg_get_int(r, row, first + 17),
	};
	if (digest.len == sizeof v->digest)
		memcpy(v->digest, digest.data, sizeof v->digest);
	return v->static_patterns != NULL;
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
	return pg_queue(c, a, &insert_files, &p, NULL, e);
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
	pg_text(&p, v->source_project);
	pg_text(&p, v->created_by);
	return pg_queue(c, a, &insert_version, &p, NULL, e) && insert_file_rows(c, a, function_id, v->number, files, e);
}

static bool read_files(const struct pg_result *r, struct arena *a, struct file_list *out, struct err *e)
{
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

bool version_files(struct pg_conn *c, struct arena *a, const char *function_id, int version, struct file_list *out,
		   struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, function_id);
	pg_int(&p, version);
	return pg_query(c, a, &select_files, &p, &r, e) && read_files(r, a, out, e);
}

bool version_files_of(struct pg_conn *c, struct arena *a, const char *const *ids, const int64_t *numbers, size_t count,
		      struct file_list *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct file_list all;
	struct pg_result *r;

	pg_text_array(&p, ids, count);
	pg_int_array(&p, numbers, count);
	if (!pg_query(c, a, &select_files_of, &p, &r, e) || !read_files(r, a, &all, e))
		return false;
	for (size_t i = 0, at = 0; i < count; i++) {
		out[i] = (struct file_list){.items = all.items + at};
		while (at < all.count && pg_get_int(r, (int)at, 3) == (int64_t)i + 1) {
			out[i].count++;
			at++;
		}
	}
	return true;
}

bool version_not_found(int number, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "version_not_found", "The function has no version %d", number);
}

bool version_find(struct pg_conn *c, struct arena *a, const char *function_id, int number, struct version *out,
		  struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, function_id);
	pg_int(&p, number);
	if (!pg_query(c, a, &select_one, &p, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return version_not_found(number, e);
	return version_read(r, 0, 0, a, out) ? true : err_no_memory(e);
}

bool version_list(struct pg_conn *c, struct arena *a, const char *function_id, int before, int limit,
		  struct version_list *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, function_id);
	pg_int(&p, before);
	pg_int(&p, limit);
	if (!pg_query(c, a, &select_list, &p, &r, e))
		return false;
	out->count = (size_t)pg_rows(r);
	out->items = arena_array(a, out->count, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < out->count; i++)
		if (!version_read(r, (int)i, 0, a, &out->items[i]))
			return err_no_memory(e);
	return true;
}

bool version_last_active(struct pg_conn *c, struct arena *a, const char *function_id, int *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, function_id);
	if (!pg_query(c, a, &select_last_active, &p, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return err_set(e, ERR_NOT_FOUND, "version_not_found", "The function never served a version");
	*out = (int)pg_get_int(r, 0, 0);
	return true;
}

bool version_has_booted(struct pg_conn *c, struct arena *a, const char *function_id, int number, bool *out,
			struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, function_id);
	pg_int(&p, number);
	if (!pg_query(c, a, &select_booted, &p, &r, e))
		return false;
	*out = pg_get_bool(r, 0, 0);
	return true;
}
