/*
 * rollout - from versions that are stored to "they are being served", for any number of functions as one unit: stage,
 * boot, activate in one generation, show, confirm, smoke-test; or back to what was before.
 *
 * A call returns true only when its promise is kept. Otherwise nothing was activated, or what was is taken back, the
 * deployments' rows say why, and what served before serves.
 */
#ifndef FA_SERVICE_ROLLOUT_H
#define FA_SERVICE_ROLLOUT_H

#include "core/crypto.h"
#include "service/service.h"

struct rollout_item {
	struct function function;             /* .version is the one to activate; its number 0: remove the function */
	const char *name;                     /* NULL keeps it */
	char deployment_id[CRYPTO_UUID_SIZE]; /* "" for a removal */
	struct shares shares;                 /* how calls are split; count 0: all go to the version */
	const char *sticky;                   /* JSON; NULL keeps it */
	bool skip_boot;                       /* the runtime has booted this version before */
	bool adopts;                          /* as in struct deploy_request */
	struct expectation expected;
};

struct rollout {
	const char *project_ref;
	struct rollout_item *items;
	size_t count;
	const char *source;  /* as in the releases table */
	const char *action;  /* for the audit log: "function.deploy" */
	const char *message; /* NULL for none */
	bool restore;        /* deleted functions may come back */
	/* As in struct deploy_request; not called for one that was started with rollout_start(). */
	void (*progress)(void *ctx, const char *stage);
	void *progress_ctx;
	/* Results. */
	bool verified; /* the runtime has confirmed it */
	int64_t generation;
	int64_t release_number;
	int64_t at; /* the functions' updated_at */
};

MUST_CHECK bool rollout_run(struct service *s, struct arena *a, const struct actor *who, struct rollout *r,
			    struct err *e);

/*
 * Goes on with the rollout after the caller was answered; its deployments' rows tell how it ends. False where that
 * cannot be done now (service/background.h): nothing was begun.
 */
bool rollout_start(struct service *s, const struct actor *who, const struct rollout *r);

/* [{"version", "percent"}] of a split; NULL for none. */
const char *rollout_shares_json(struct arena *a, const struct shares *shares);

#endif
