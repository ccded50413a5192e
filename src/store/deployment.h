/* deployment - rows of edge_function_deployments and releases, and the one transaction that activates. Errors are those
 * of store/pg.h. */
#ifndef FA_STORE_DEPLOYMENT_H
#define FA_STORE_DEPLOYMENT_H

#include "core/model.h"
#include "store/pg.h"

/*
 * Queued (store/pg.h). status: pending, or bundled (stored, and over; a later call activates the version with a
 * deployment of its own). instance: the process that carries it out (service/heartbeat.h).
 */
MUST_CHECK bool deployment_insert(struct pg_conn *c, struct arena *a, const char *id, const char *function_id,
				  int version, const char *status, const char *instance, const struct actor *who,
				  struct err *e);

/* Ends it as failed, unless it has ended already. */
MUST_CHECK bool deployment_fail(struct pg_conn *c, struct arena *a, const char *id, const struct err *why,
				struct err *e);

/* The runtime has confirmed the generation that these are in. */
MUST_CHECK bool deployment_verified(struct pg_conn *c, struct arena *a, const char *const *ids, size_t count,
				    struct err *e);

/*
 * Ends those that nobody carries out any more, not active yet: of `dead`, which the caller knows to be gone ("": none),
 * of processes whose heartbeat has run out, and, where no process is told (a program before migration 9), those older
 * than an hour. Of `self` those of functions that are not among `busy`, once they are a minute old: their end could not
 * be recorded. Their number in *count.
 */
MUST_CHECK bool deployment_fail_abandoned(struct pg_conn *c, struct arena *a, const char *project_ref, const char *self,
					  const char *dead, const char *const *busy, size_t busy_count, int64_t *count,
					  struct err *e);

/*
 * THE change of what serves, within the caller's transaction: locks the project, checks that every function is there
 * and not deleted (ERR_NOT_FOUND otherwise; set->restore takes deleted ones as well) and as the caller has seen it
 * (ERR_PRECONDITION), moves the active versions, adds one to the generation, writes the release and its items, and ends
 * the deployments as active, or refuses where one has ended meanwhile (ERR_CONFLICT). Fills what the set has for
 * results. What it writes is queued (store/pg.h): where this or a later call fails by it, deployment_explain() puts the
 * error in the words of the activation. What it locks it has locked before it returns, and last of all the head of the
 * project's audit chain, for audit_write_all().
 */
MUST_CHECK bool deployment_activate(struct pg_conn *c, struct arena *a, struct activation_set *set,
				    const struct actor *who, const struct pg_result **audit_head, struct err *e);
void deployment_explain(const struct pg_conn *c, const struct activation_set *set, struct err *e);

/* The newest first, those behind the deployment `after` (NULL: all), at most limit; of one function where slug is not
 * NULL. */
MUST_CHECK bool deployment_list(struct pg_conn *c, struct arena *a, const char *project_ref, const char *slug,
				const char *after, int limit, struct deployment_list *out, struct err *e);

MUST_CHECK bool deployment_find(struct pg_conn *c, struct arena *a, const char *project_ref, const char *id,
				struct deployment *out, struct err *e);

/* It was active, and was taken back: `why` says by what. */
MUST_CHECK bool deployment_rolled_back(struct pg_conn *c, struct arena *a, const char *const *ids, size_t count,
				       const struct err *why, struct err *e);

#endif
