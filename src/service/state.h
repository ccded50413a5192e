/*
 * state - what the database says that the functions folder shall show, and what the folder shows.
 *
 * The whole is read at the start and whenever it is not known what the rest is; else only the functions that releases
 * since then tell of, so that a deploy among a thousand functions costs what it costs alone. Under apply_lock.
 */
#ifndef FA_SERVICE_STATE_H
#define FA_SERVICE_STATE_H

#include "fs/manifest.h"
#include "service/service.h"

/* What the folder shows: the generation, and each function, sorted by slug. */
struct applied {
	struct arena *arena;
	int64_t generation;
	int64_t release_number;
	int64_t epoch;        /* of the pool: that of the database that this was read from */
	const char *settings; /* the project's */
	size_t count;
	struct applied_item {
		const char *slug;
		const char *id;
		const char *release;
		const char *entry; /* its member of the manifest */
		bool split;        /* other versions get calls as well */
	} * items;
};

void applied_free(struct applied *applied);

/* NULL where it is not there, also in no applied at all (NULL). */
const struct applied_item *applied_find(const struct applied *applied, const char *slug);

/* The splits of the few functions that have one. */
struct splits {
	struct arena *arena;
	struct split {
		struct split *next;
		const char *function_id;
		size_t count;
		struct share shares[MAX_SHARES];
		struct version versions[MAX_SHARES];
	} * first;
};

/* What the folder is to show, as of one moment. */
struct state {
	int64_t epoch;
	struct project project;
	bool changes; /* the list has only what changed since `applied`, with version number 0 for what serves no more
		       */
	struct function_list list;
	struct splits splits;
	int64_t *pins; /* revisions of the secrets */
	size_t pin_count;
};

/*
 * `known`: what the caller has just committed, as changes to the generation before; NULL for none. Where the folder
 * shows that one, the database is not asked.
 */
MUST_CHECK bool state_read(struct service *s, struct pg_conn *c, struct arena *a, const struct state *known,
			   struct state *out, struct err *e);

/* How the function's calls are split; NULL: all go to one version. */
const struct split *state_split(const struct splits *splits, const char *function_id);

/* What the folder will show when it shows the state; `old` as it was when the state was read. NULL when memory is out.
 */
struct applied *applied_new(struct arena *a, const struct applied *old, const struct state *now);

/* Not synced: who answers for it has it in the database. */
MUST_CHECK bool state_put_manifest(struct service *s, struct arena *a, const struct applied *next, struct err *e);

/* The same as the one that a loss of power leaves whole. */
MUST_CHECK bool state_keep_manifest(struct service *s, struct arena *a, const struct applied *shown, struct err *e);

/* The version as manifest and boot request have it; strings in the arena. NULL when memory is out. */
const struct manifest_version *state_manifest_version(struct arena *a, const struct function *f, int percent,
						      const char *project_settings);

#endif
