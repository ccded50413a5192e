/* retention - finding and removing what is kept no longer. Errors are those of store/pg.h. */
#ifndef FA_STORE_RETENTION_H
#define FA_STORE_RETENTION_H

#include "store/pg.h"

struct old_version {
	const char *function_id;
	const char *slug;
	int version;
	int64_t size;
};

/* Within a transaction: nothing of the project is activated until its end. */
MUST_CHECK bool retention_lock(struct pg_conn *c, struct arena *a, const char *project_ref, struct err *e);

/*
 * Versions beyond the newest `keep` of their function and older than `days`; never the active one, one with a share of
 * the calls, the one before the active one, one that is being deployed, or one that was uploaded with bundleOnly within
 * the last hour. At most 500.
 */
MUST_CHECK bool retention_old_versions(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t keep,
				       int64_t days, struct old_version **out, size_t *count, struct err *e);
MUST_CHECK bool retention_delete_versions(struct pg_conn *c, struct arena *a, const struct old_version *versions,
					  size_t count, struct err *e);

/* Functions that were deleted more than `days` ago, with all their versions. dry: only counts. */
MUST_CHECK bool retention_deleted_functions(struct pg_conn *c, struct arena *a, const char *project_ref, int64_t days,
					    bool dry, int64_t *count, struct err *e);

/* Blobs that no version has any more and that are older than an hour, so that no upload is about to use them; at most
 * 200. */
MUST_CHECK bool retention_blobs(struct pg_conn *c, struct arena *a, bool dry, int64_t *count, int64_t *bytes,
				struct err *e);

/*
 * Which of these releases (pairs of slug and folder_release_name()) are of versions that the project has no more? Their
 * places in the arrays. A name that no release of ours has is never one of them.
 */
MUST_CHECK bool retention_gone_releases(struct pg_conn *c, struct arena *a, const char *project_ref,
					const char *const *slugs, const char *const *releases, size_t count,
					size_t **out, size_t *gone, struct err *e);

#endif
