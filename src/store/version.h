/* version - rows of edge_function_versions and edge_function_files. Errors are those of store/pg.h, and ERR_NOT_FOUND.
 */
#ifndef FA_STORE_VERSION_H
#define FA_STORE_VERSION_H

#include "core/model.h"
#include "store/pg.h"

/* The columns that version_read() takes, of a table that is called v in the query. */
#define VERSION_COLUMNS                                                                                                \
	"v.version::int4, v.kind, v.name, v.entrypoint_path, v.import_map_path, v.static_patterns, v.verify_jwt,"      \
	" v.settings::text, v.digest, v.size, v.file_count::int4, v.ezbr_sha256, v.message, v.source,"                 \
	" coalesce(v.source_version, 0)::int4, v.source_project, v.created_by,"                                        \
	" (extract(epoch FROM v.created_at) * 1000)::int8"

#define VERSION_COLUMN_COUNT 18

/* Reads them from column `first` on. False when memory is out. */
MUST_CHECK bool version_read(const struct pg_result *r, int row, int first, struct arena *a, struct version *out);

/* Writes the version and its files (queued, store/pg.h); the blobs must be there. */
MUST_CHECK bool version_insert(struct pg_conn *c, struct arena *a, const char *function_id, const struct version *v,
			       const struct file_list *files, struct err *e);

/* By path, in byte order. */
MUST_CHECK bool version_files(struct pg_conn *c, struct arena *a, const char *function_id, int version,
			      struct file_list *out, struct err *e);

/* Those of many versions, with one query: out[i] are the files of version numbers[i] of function ids[i]. */
MUST_CHECK bool version_files_of(struct pg_conn *c, struct arena *a, const char *const *ids, const int64_t *numbers,
				 size_t count, struct file_list *out, struct err *e);

/* ERR_NOT_FOUND "version_not_found", as version_not_found() sets it. */
MUST_CHECK bool version_find(struct pg_conn *c, struct arena *a, const char *function_id, int number,
			     struct version *out, struct err *e);

bool version_not_found(int number, struct err *e);

/* The newest first, those below `before` (0: all), at most limit. */
MUST_CHECK bool version_list(struct pg_conn *c, struct arena *a, const char *function_id, int before, int limit,
			     struct version_list *out, struct err *e);

/* The version that a removed function served last; ERR_NOT_FOUND where it never served. */
MUST_CHECK bool version_last_active(struct pg_conn *c, struct arena *a, const char *function_id, int *out,
				    struct err *e);

/* Has the runtime booted this version before? Then it need not be asked again to bring it back. */
MUST_CHECK bool version_has_booted(struct pg_conn *c, struct arena *a, const char *function_id, int number, bool *out,
				   struct err *e);

#endif
