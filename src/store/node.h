/*
 * node - rows of nodes, rollouts and rollout_nodes: the hosts that show a project's functions, what is being brought to
 * them, and how far each has come. Errors are those of store/pg.h.
 *
 * Two channels of NOTIFY tell at once what the rows say; whoever misses one finds out when it looks the next time.
 */
#ifndef FA_STORE_NODE_H
#define FA_STORE_NODE_H

#include "core/model.h"
#include "store/pg.h"

/* To the nodes: a rollout waits to be staged, or there is a new generation or revision of the secrets. */
#define NODE_WORK_CHANNEL "functions_admin_work"
/* From the nodes, with the id of one: it has failed, is new or back, or leaves, or all agents have staged or show what
 * it does. */
#define NODE_REPORT_CHANNEL "functions_admin_report"

/* What a node says of itself. */
struct node_report {
	const char *id;
	const char *project_ref;
	const char *name;
	const char *kind; /* serve, agent */
	const char *program;
	int lease_seconds;
	int64_t started_at;
	int64_t generation;
	bool verified;
	int64_t secrets_revision;
	int64_t failed_generation; /* 0: nothing has failed */
	const struct err *failure; /* where something has */
};

/* What the others want of it. */
struct node_orders {
	bool draining;
	bool check;    /* compare the files on disk; the order is taken back by this call */
	bool catch_up; /* its lease was over, and it does not show what the project is at: it does not live yet */
};

/*
 * Renews the row, making it where it is missing. news: tell those who wait for the nodes, where they want to know.
 * ERR_NOT_FOUND where there is no such project (yet).
 */
MUST_CHECK bool node_renew(struct pg_conn *c, struct arena *a, const struct node_report *report, bool news,
			   struct node_orders *out, struct err *e);

/* The process ends: nobody waits for the node any more. The row stays for a week, for people to see; with `forget` it
 * goes as well. */
MUST_CHECK bool node_leave(struct pg_conn *c, struct arena *a, const char *id, bool forget, struct err *e);

/* Tells the project's nodes that there is something to do, when the transaction is committed. Queued (store/pg.h). */
MUST_CHECK bool node_wake(struct pg_conn *c, struct arena *a, const char *project_ref, struct err *e);

struct node_list {
	struct node *items;
	size_t count;
};

/* By name. project_ref NULL: of all projects. */
MUST_CHECK bool node_list(struct pg_conn *c, struct arena *a, const char *project_ref, struct node_list *out,
			  struct err *e);

/* ERR_NOT_FOUND "node_not_found". */
MUST_CHECK bool node_set_draining(struct pg_conn *c, struct arena *a, const char *project_ref, const char *id,
				  bool draining, struct err *e);
MUST_CHECK bool node_ask_check(struct pg_conn *c, struct arena *a, const char *project_ref, const char *id,
			       struct err *e);

/* ERR_CONFLICT "node_alive" where it lives: its next word would make the row anew. */
MUST_CHECK bool node_remove(struct pg_conn *c, struct arena *a, const char *project_ref, const char *id, struct err *e);

/* Rollouts */

/* One version that is to be staged; a rollout's come one after the other. */
struct rollout_step {
	const char *rollout_id;
	struct function function; /* .version is the one */
	bool boots;
};

struct rollout_steps {
	struct rollout_step *items;
	size_t count;
};

/* Which versions, in three arrays of `count`, and the deployments that wait for them. */
struct rollout_plan {
	const char *project_ref;
	const char *instance;
	const char *const *function_ids;
	const int64_t *versions;
	const int64_t *boots; /* 0 or 1 */
	size_t count;
	const char *const *deployment_ids;
	size_t deployment_count;
};

/* Writes it down and tells the nodes. */
MUST_CHECK bool rollout_open(struct pg_conn *c, struct arena *a, const char *id, const struct rollout_plan *plan,
			     struct err *e);

/* What every node of the project has to hold: the open rollouts of processes that live, but not of `self`, an instance
 * (NULL: none), which prepares by itself what it carries out. */
MUST_CHECK bool rollout_open_steps(struct pg_conn *c, struct arena *a, const char *project_ref, const char *self,
				   struct rollout_steps *out, struct err *e);

struct rollout_said {
	const char *project_ref;
	const char *rollout_id;
	const char *node_id;
	const char *node_name;
	const struct err *failure; /* NULL: it has staged all of it */
};

/* The node holds all of the rollout's versions, or cannot. Tells the process that waits, where it wants to know. */
MUST_CHECK bool rollout_staged(struct pg_conn *c, struct arena *a, const struct rollout_said *said, struct err *e);

/* Over, with what the nodes show now for the record. generation 0: it never became active. */
MUST_CHECK bool rollout_finish(struct pg_conn *c, struct arena *a, const char *id, int64_t generation, struct err *e);

/* Of the nodes that live and are not draining, without `self`. Strings: of up to a few. */
struct node_census {
	const char *policy; /* of the project: all, quorum, none */
	int64_t live;
	int64_t done;
	int64_t verified;
	int64_t failed;
	const char *failed_names; /* "a: it is full; b: …" */
	const char *failed_code;
	const char *waiting_names; /* "a, b" */
};

/* How far the nodes are with staging; rollout_id NULL: only who is there. */
MUST_CHECK bool node_census_staged(struct pg_conn *c, struct arena *a, const char *project_ref, const char *self,
				   const char *rollout_id, struct node_census *out, struct err *e);

/* How far they are with showing this generation and this revision of the secrets. */
MUST_CHECK bool node_census_shown(struct pg_conn *c, struct arena *a, const char *project_ref, const char *self,
				  int64_t generation, int64_t secrets_revision, struct node_census *out, struct err *e);

struct rollout_node {
	const char *rollout_id;
	const char *name;
	int64_t staged_at; /* 0: it did not come to that */
	int64_t active_at;
	bool verified;
	const char *error_code; /* NULL for none */
	const char *error_message;
};

struct rollout_node_list {
	struct rollout_node *items;
	size_t count;
};

/* Of a deployment, by name; none where there was one node only. */
MUST_CHECK bool rollout_nodes(struct pg_conn *c, struct arena *a, const char *deployment_id,
			      struct rollout_node_list *out, struct err *e);

#endif
