/*
 * node - this host among the nodes of its projects: says that it lives and what its folder shows, stages what another
 * process is rolling out, and follows the database's generation and secrets.
 *
 * One thread of its own listens for NOTIFY and looks every NODE_SWEEP_SECONDS besides, so that a notification that is
 * lost costs no more than that. Work is done beside it, so that the lease is renewed whatever a boot takes. A lost
 * database is tried again after a growing, random pause; what is deployed goes on being served meanwhile.
 */
#ifndef FA_SERVICE_NODE_H
#define FA_SERVICE_NODE_H

#include "service/service.h"

#define NODE_SWEEP_SECONDS 10

struct node_self;
struct node_loop;

/* Gives s its node: the id is kept in the folder, so that a host stays the same node. After service_open_folder(). */
MUST_CHECK bool node_open(struct service *s, struct err *e);
void node_free(struct node_self *n);

/* NULL: this process shows no functions of that project. */
const char *node_id(const struct service *s);

/*
 * Starts the thread. An agent (base->agent) first makes its folder agree with the database, however long the database
 * or the project takes to be there; `serve` has done that already. An agent whose pool has one connection shares it
 * between listening and work.
 */
MUST_CHECK bool node_start(struct node_loop **out, struct service *base, struct err *e);

/* Ends it and gives the leases back. NULL is fine. */
void node_stop(struct node_loop *l);

#endif
