/*
 * apply - makes the functions folder show what the database says: releases, stubs, manifest.
 *
 * One apply runs at a time; callers that wait find their generation covered by the one before them. The manifest's
 * rename is the moment at which a generation takes effect for our main service, all functions at once.
 */
#ifndef FA_SERVICE_APPLY_H
#define FA_SERVICE_APPLY_H

#include "service/service.h"

struct state;

/* The folder shows at least this generation when it returns true. */
MUST_CHECK bool apply_generation(struct service *s, int64_t generation, struct err *e);

/* As apply_generation(), of the generation that the caller has just committed: `known` as for state_read(). */
MUST_CHECK bool apply_committed(struct service *s, int64_t generation, const struct state *known, struct err *e);

/*
 * The whole comparison, for the start and for repair: every release is there (built from the database where it is not),
 * every stub is right, stubs and releases of functions and versions that are gone are removed. Makes the project first
 * where it is missing.
 */
MUST_CHECK bool apply_reconcile(struct service *s, struct err *e);

/* The cheap comparison, again and again: does the folder show the database's generation? Makes it so where it does not,
 * and ends the deployments of processes that are gone. */
MUST_CHECK bool apply_sweep(struct service *s, struct err *e);

/* What the manifest says is on the disk as well, whole, beside it: the activations leave that to the sweeps. */
MUST_CHECK bool apply_keep_manifest(struct service *s, struct err *e);

/* The file of secrets shows the database's current revision, and those that versions are pinned to. */
MUST_CHECK bool apply_secrets(struct service *s, struct err *e);

/*
 * Removes the releases of slug that nothing needs: all of them where the folder no longer shows the function, else the
 * oldest beyond max_disk_releases, and those are only out of sight: what is returned, NULL for nothing, is for
 * apply_end_removal(). What fails is logged and tidied by a later call. For hold.c, which knows that nobody uses them.
 */
struct folder_removal *apply_tidy(struct service *s, const char *slug);

/* After the answer, where there is a thread for it. */
void apply_end_removal(struct folder_removal *r);

/* Removes the releases of versions that the database has no more: what retention.c took away. */
MUST_CHECK bool apply_remove_gone(struct service *s, struct pg_conn *c, struct arena *a, struct err *e);

/*
 * Puts the stub of an imported function, which is active already, in the place of the directory that it was imported
 * from; *kept_at: where that is now (folder_adopt()).
 */
MUST_CHECK bool apply_adopt(struct service *s, struct arena *a, const struct function *f, char **kept_at,
			    struct err *e);

/* Makes sure that the release of f->version is on disk, building it from the database if need be. */
MUST_CHECK bool apply_ensure_release(struct service *s, struct pg_conn *c, struct arena *a, const struct function *f,
				     struct err *e);

/* The release of f->version as the database has it, in the place of the one on disk. */
MUST_CHECK bool apply_rebuild_release(struct service *s, struct arena *a, const struct function *f, struct err *e);

/* The stub of f, where there is nothing in its place. */
MUST_CHECK bool apply_put_stub(struct service *s, struct arena *a, const struct function *f, struct err *e);

#endif
