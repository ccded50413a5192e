/*
 * pg - PostgreSQL: a pool of connections, prepared statements, transactions. The only module that knows libpq.
 *
 * Every statement is a named constant beside the code that binds it, schema-qualified, prepared once a connection; not
 * prepared through a pooler in transaction mode.
 * Parameters travel apart from the text; results are always binary, so queries cast what they select to bool, int4,
 * int8, text or bytea.
 *
 * What is waited for is mostly the way to the server and back, so statements travel in groups: pg_begin() and
 * pg_queue() send nothing by themselves, and the next call that waits takes them along. Statements of a group are
 * carried out in their order, each seeing what those before it did, and none after one that failed; outside of a
 * transaction a group is one by itself.
 *
 * A pg_conn belongs to one thread between pg_acquire() and pg_release(). Results live until the arena given to the call
 * is reset. Errors: ERR_UNAVAILABLE when the server cannot be reached, refuses, breaks off, is read-only or stays
 * silent beyond the request timeout (the connection is replaced at the next use); else ERR_INTERNAL with the server's
 * message in the log, not in the answer. pg_sqlstate() tells which.
 */
#ifndef FA_STORE_PG_H
#define FA_STORE_PG_H

#include "core/arena.h"
#include "core/config.h"
#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg_pool;
struct pg_conn;
struct pg_result;

/* A statement: declare it static const, its address is its identity. */
struct pg_stmt {
	const char *name;
	const char *sql;
};

#define PG_MAX_PARAMS 24

struct pg_params {
	int count;
	bool failed; /* memory ran out, or too many: pg_query() reports it */
	struct arena *arena;
	const char *values[PG_MAX_PARAMS];
	int lengths[PG_MAX_PARAMS];
	int formats[PG_MAX_PARAMS];
};

struct pg_bytes {
	const void *data;
	size_t len;
};

#define PG_PARAMS(a)                                                                                                   \
	{                                                                                                              \
		.arena = (a)                                                                                           \
	}

/* Each appends the next parameter ($1, $2, …). Strings and bytes must live until the query; NULL is SQL NULL. */
void pg_text(struct pg_params *p, const char *value);
void pg_int(struct pg_params *p, int64_t value);
void pg_bool(struct pg_params *p, bool value);
void pg_bytea(struct pg_params *p, const void *data, size_t len);
void pg_null(struct pg_params *p);
/* Arrays; the statement casts them ($1::text[]). */
void pg_text_array(struct pg_params *p, const char *const *items, size_t count);
void pg_int_array(struct pg_params *p, const int64_t *items, size_t count);
void pg_bytea_array(struct pg_params *p, const struct pg_bytes *items, size_t count);

/*
 * The TCP ports by which the configuration, or libpq's own environment, reaches the database: separated by commas, as
 * in "5432", "" where it is by unix socket only. free() it. An address that libpq cannot read has none.
 */
MUST_CHECK bool pg_ports(const struct config *cfg, char **ports, struct err *e);

/* max: most connections open at once. Connects lazily; never fails but for memory. */
MUST_CHECK bool pg_pool_new(struct pg_pool **out, const struct config *cfg, int max, struct err *e);
void pg_pool_free(struct pg_pool *pool);

/* The right that SET ROLE asks for, as pg_has_role() names it: SQL. */
#define PG_MAY_TAKE "CASE WHEN current_setting('server_version_num')::int4 >= 160000 THEN 'SET' ELSE 'MEMBER' END"

/*
 * From now on each new connection takes this role for its whole life, where it is there, may be taken, and has rights
 * on the schema; otherwise the connection goes on as who it is, and the log says so once. Before the first
 * pg_acquire(); role must live as long as the pool, NULL or "" is none.
 */
void pg_pool_take_role(struct pg_pool *pool, const char *role);

/* Waits for a free connection, at most the configured request timeout, and connects it if need be. */
MUST_CHECK bool pg_acquire(struct pg_pool *pool, struct pg_conn **out, struct err *e);

/* Gives it back; an open transaction is rolled back. NULL is fine. */
void pg_release(struct pg_conn *c);

/* Runs the statement; *out may be NULL where rows are of no interest. */
MUST_CHECK bool pg_query(struct pg_conn *c, struct arena *a, const struct pg_stmt *stmt, const struct pg_params *p,
			 struct pg_result **out, struct err *e);

/*
 * As pg_query(), but its answer is awaited together with those after it: *out is there once the next pg_query(),
 * pg_flush() or pg_commit() returned true. Where this statement fails, they do, with its error; pg_failed() tells which
 * it was. The values are copied, out and the arena must live until then.
 */
MUST_CHECK bool pg_queue(struct pg_conn *c, struct arena *a, const struct pg_stmt *stmt, const struct pg_params *p,
			 struct pg_result **out, struct err *e);

/* Sends what is queued, and waits for its answers. */
MUST_CHECK bool pg_flush(struct pg_conn *c, struct err *e);

/*
 * Queued: until the end of the transaction, statements are planned once for all values, and by indexes. Left alone, the
 * server takes a table that has just filled for a small one until it has analyzed it, and reads the whole of it each
 * time; and it plans anew what takes arrays, which for a short one takes longer than to run it.
 */
MUST_CHECK bool pg_plan_by_index(struct pg_conn *c, struct arena *a, struct err *e);

/* The statement that made the last call fail; NULL where it was none of the caller's. */
const struct pg_stmt *pg_failed(const struct pg_conn *c);

/* Several statements without parameters, for migrations and session commands: not prepared. */
MUST_CHECK bool pg_script(struct pg_conn *c, const char *sql, struct err *e);

/* For what takes as long as it takes, a migration: statements wait without end between the two. */
MUST_CHECK bool pg_without_deadline(struct pg_conn *c, struct err *e);
MUST_CHECK bool pg_with_deadline(struct pg_conn *c, struct err *e);

/* Each goes out with the first statement. False only where a transaction is open already. */
MUST_CHECK bool pg_begin(struct pg_conn *c, struct err *e);
/* As pg_begin, but its commit need not wait for the disk: only where a later, waiting commit of the same deploy covers
 * it. Where it begins and commits in one group, that may be carried out twice, if the connection dies meanwhile: what
 * is in it does no more then, or is refused. */
MUST_CHECK bool pg_begin_lazy(struct pg_conn *c, struct err *e);
/* One consistent picture over several reads. */
MUST_CHECK bool pg_begin_snapshot(struct pg_conn *c, struct err *e);
/* With what is queued; where one of that fails, nothing is committed. */
MUST_CHECK bool pg_commit(struct pg_conn *c, struct err *e);
/* Quietly ends a transaction, if one is open. */
void pg_rollback(struct pg_conn *c);

/*
 * NOTIFY. `sql` holds LISTEN statements, run once for each connection that stands behind c. pg_wait() then waits until
 * something is notified, wake_fd becomes readable (-1: none), or timeout_ms are over, and calls `heard` for each that
 * came, also for those that came with other answers. False where the connection is gone.
 */
MUST_CHECK bool pg_listen(struct pg_conn *c, const char *sql, struct err *e);
MUST_CHECK bool pg_wait(struct pg_conn *c, int wake_fd, int64_t timeout_ms,
			void (*heard)(void *ctx, const char *channel, const char *payload), void *ctx, struct err *e);

/* The SQLSTATE of the last error on this connection, "" for none. */
const char *pg_sqlstate(const struct pg_conn *c);
bool pg_is_unique_violation(const struct pg_conn *c);
bool pg_is_foreign_key_violation(const struct pg_conn *c);

int pg_rows(const struct pg_result *r);
bool pg_is_null(const struct pg_result *r, int row, int col);
int64_t pg_get_int(const struct pg_result *r, int row, int col); /* int4 and int8; 0 for NULL */
bool pg_get_bool(const struct pg_result *r, int row, int col);
/* NULL for NULL. Valid as long as the result. */
const char *pg_get_text(const struct pg_result *r, int row, int col);
struct pg_bytes pg_get_bytes(const struct pg_result *r, int row, int col);
/* A text[] as a NULL-terminated list in the arena; NULL for NULL or when memory is out. */
const char **pg_get_text_array(const struct pg_result *r, int row, int col, struct arena *a);

/* The server's version as an integer (150020), as the last connection saw it; 0 before the first. */
int pg_pool_server_version(struct pg_pool *pool);

/* Moves with every connection that is opened, and where a pooler has gone over to another server: while it stands
 * still, no other database can have taken this one's place (a restored backup, another server at the same address). */
int64_t pg_pool_epoch(struct pg_pool *pool);

/* Is a session of the server ours from connecting on? Not through a pooler in transaction mode (db_pooling): a lock of
 * a session, LISTEN and SET are of no use there. */
bool pg_pool_keeps_sessions(const struct pg_pool *pool);

struct pg_pool_stats {
	int open;
	int busy;
	int max;
};
struct pg_pool_stats pg_pool_stats(struct pg_pool *pool);

#endif
