#include "store/inventory.h"

/* The open deployments have an index of their own; the sizes are the server's bookkeeping. */
static const struct pg_stmt select_inventory = {
	"inventory",
	"SELECT (SELECT coalesce(sum(generation), 0)::int8 FROM functions_admin.projects WHERE ref = ANY ($1::text[])),"
	" (SELECT count(*) FROM functions_admin.edge_functions WHERE project_ref = ANY ($1::text[]) AND deleted_at IS "
	"NULL"
	" AND active_version IS NOT NULL),"
	" (SELECT greatest(reltuples, 0)::int8 FROM pg_catalog.pg_class WHERE oid = 'functions_admin.blobs'::regclass),"
	" pg_total_relation_size('functions_admin.blobs') + pg_total_relation_size('functions_admin.blob_chunks'),"
	" count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'staged'),"
	" count(*) FILTER (WHERE status = 'booted')"
	" FROM functions_admin.edge_function_deployments WHERE finished_at IS NULL",
};

bool inventory_read(struct pg_conn *c, struct arena *a, const char *const *refs, size_t count, struct inventory *out,
		    struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text_array(&p, refs, count);
	if (!pg_query(c, a, &select_inventory, &p, &r, e))
		return false;
	*out = (struct inventory){
		.generation = pg_get_int(r, 0, 0),
		.functions = pg_get_int(r, 0, 1),
		.blobs = pg_get_int(r, 0, 2),
		.blob_bytes = pg_get_int(r, 0, 3),
		.open_pending = pg_get_int(r, 0, 4),
		.open_staged = pg_get_int(r, 0, 5),
		.open_booted = pg_get_int(r, 0, 6),
	};
	return true;
}
