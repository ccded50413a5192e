/*
 * fleet - the other nodes of a project, as seen by a process that deploys: all hold a version before any serves it, and
 * all serve it before anybody is told so.
 *
 * A node lives as long as its lease (option node_lease); one that is silent for longer is not waited for, and follows
 * by itself when it is back. The project setting activation_policy says which of those that live have to be done: "all"
 * (the default), "quorum" (more than half of them) or "none". Nobody waits longer than the option node_timeout.
 */
#ifndef FA_SERVICE_FLEET_H
#define FA_SERVICE_FLEET_H

#include "service/rollout.h"

#include <jansson.h>

struct fleet;

MUST_CHECK bool fleet_new(struct fleet **out, struct err *e);
void fleet_free(struct fleet *f);

/* For service/node.c, which listens: one of the nodes has said something; and whether notifications come at all. */
void fleet_heard(struct service *base);
void fleet_listens(struct service *base, bool on);

struct fleet_rollout {
	char id[CRYPTO_UUID_SIZE]; /* "": there is no other node */
};

/*
 * Tells the other nodes to stage and boot what `r` is about to activate. ERR_UNAVAILABLE "no_node" where this process
 * shows no functions itself and nobody else does. The caller calls fleet_finish() in any case.
 */
MUST_CHECK bool fleet_begin(struct service *s, struct arena *a, const struct rollout *r, struct fleet_rollout *out,
			    struct err *e);

/* Returns when as many as the policy asks for have done so. The error names the nodes, and what is wrong there. */
MUST_CHECK bool fleet_await_staged(struct service *s, const struct fleet_rollout *rollout, struct err *e);

/* Nobody else shows functions of the project; may be out of date by a moment. */
bool fleet_is_alone(const struct service *s);

/*
 * Waits until the other nodes show the generation and the revision of the secrets, as the policy asks. *verified: each
 * of those that live has it from its runtime; true where there is none.
 */
MUST_CHECK bool fleet_confirm(struct service *s, int64_t generation, int64_t secrets_revision, bool *verified,
			      struct err *e);

/* For the record. generation 0: it never became active. */
void fleet_finish(struct service *s, struct arena *a, const struct fleet_rollout *rollout, int64_t generation);

/* For the project setting: "all", "quorum" or "none". */
MUST_CHECK bool fleet_check_policy(const json_t *setting, struct err *e);

#endif
