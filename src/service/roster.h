/* roster - the nodes of a project as people see and change them: who is there, how far behind, and who is not waited
 * for. */
#ifndef FA_SERVICE_ROSTER_H
#define FA_SERVICE_ROSTER_H

#include "service/service.h"
#include "store/node.h"

/* By name. project_ref NULL: of all projects. */
MUST_CHECK bool roster_list(struct service *s, struct arena *a, const char *project_ref, struct node_list *out,
			    struct err *e);

/* How far the nodes have come with a deployment; none where there is one node only. */
MUST_CHECK bool roster_of_deployment(struct service *s, struct arena *a, const char *deployment_id,
				     struct rollout_node_list *out, struct err *e);

enum roster_order {
	ROSTER_DRAIN,  /* nobody waits for it any more; it goes on following */
	ROSTER_RESUME, /* the opposite */
	ROSTER_CHECK,  /* compare every file on its disk with the database: an agent mends, `serve` reports drift */
	ROSTER_REMOVE, /* forget it; ERR_CONFLICT "node_alive" where it lives */
};

/* "drain" … "remove", for routes and records. */
const char *roster_order_name(enum roster_order order);

/* ERR_NOT_FOUND "node_not_found". Recorded in the audit log. */
MUST_CHECK bool roster_order(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
			     const char *id, enum roster_order order, struct err *e);

#endif
