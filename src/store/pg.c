#include "store/pg.h"

#include "core/clock.h"
#include "core/crash.h"
#include "core/log.h"
#include "store/pg_address.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STATEMENTS 256

/* After a failed connect the next one waits, so that a server that is down is not hammered and requests fail fast. */
#define RETRY_AFTER_MS 250

/* The server ends a statement at the deadline (statement_timeout). One that does not even do that for so long is
 * frozen, or its network is gone. */
#define SILENT_MS 1000

/* A statement that waits to be sent. */
struct queued {
	struct queued *next;
	const struct pg_stmt *stmt;
	const struct pg_params *params; /* NULL: none */
	struct arena *arena;
	struct pg_result **out;
	bool prepares; /* it is prepared on the way */
};

struct pg_conn {
	struct pg_pool *pool;
	PGconn *pq;
	const struct pg_stmt *prepared[MAX_STATEMENTS];
	size_t prepared_count;
	char sqlstate[6];
	int64_t heard_ms;         /* when the server last answered on it */
	const char *const *begin; /* the commands that begin a transaction, still to be sent */
	struct queued *queue;
	struct queued **queue_end;
	const struct pg_stmt *failed;
	bool takes_role; /* the pool's; it was there when we connected */
	bool busy;
	bool patient; /* no deadline: pg_without_deadline() */
	bool listens; /* pg_listen() was done */
	bool stale;   /* works, but another connection may do better: it is replaced when it is given back */
};

struct pg_pool {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	struct pg_address address;
	int64_t timeout_ms;
	int64_t down_until_ms; /* no connect is tried before */
	int64_t silent_ms;     /* when one was given up for its silence: those not heard since are suspect */
	const char *role;      /* that connections take; NULL: none */
	atomic_bool role_told; /* that it cannot be taken */
	bool keeps_sessions;
	_Atomic int server_version;
	_Atomic int64_t epoch;
	_Atomic int64_t started; /* where no session is kept: when the server did */
	int max;
	struct pg_conn conns[];
};

/* The pool */

bool pg_pool_new(struct pg_pool **out, const struct config *cfg, int max, struct err *e)
{
	struct pg_pool *pool = calloc(1, sizeof *pool + (size_t)max * sizeof pool->conns[0]);

	if (pool == NULL)
		return err_no_memory(e);
	pool->max = max;
	pool->timeout_ms = cfg->request_timeout;
	pool->keeps_sessions = strcmp(cfg->db_pooling, "session") == 0;
	(void)pthread_mutex_init(&pool->lock, NULL);
	clock_cond_init(&pool->freed);
	if (!pg_address_set(&pool->address, cfg)) {
		pg_pool_free(pool);
		return err_no_memory(e);
	}
	for (int i = 0; i < max; i++) {
		pool->conns[i].pool = pool;
		pool->conns[i].queue_end = &pool->conns[i].queue;
	}
	*out = pool;
	return true;
}

void pg_pool_free(struct pg_pool *pool)
{
	if (pool == NULL)
		return;
	for (int i = 0; i < pool->max; i++)
		PQfinish(pool->conns[i].pq);
	pg_address_clear(&pool->address);
	(void)pthread_cond_destroy(&pool->freed);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool);
}

static void trim_newlines(char *s)
{
	size_t n = strlen(s);

	while (n > 0 && (s[n - 1] == '\n' || s[n - 1] == ' '))
		s[--n] = '\0';
	for (; *s != '\0'; s++)
		if (*s == '\n')
			*s = ' ';
}

/* What the server said goes to the log only: it may name hosts and users. */
static bool unavailable(struct err *e)
{
	(void)err_set(e, ERR_UNAVAILABLE, "database_unavailable", "The database cannot be reached");
	return err_hint(e, "Try again in a moment. If it lasts: functions-admin doctor, and the service's log.");
}

static void discard(struct pg_conn *c)
{
	PQfinish(c->pq);
	c->pq = NULL;
	c->prepared_count = 0;
	c->patient = false;
	c->listens = false;
	c->stale = false;
}

static void quiet_notice(void *ctx, const char *message)
{
	(void)ctx;
	(void)message;
}

void pg_pool_take_role(struct pg_pool *pool, const char *role)
{
	pool->role = role != NULL && role[0] != '\0' ? role : NULL;
}

static bool wait_until(struct pg_conn *c, short events, int64_t deadline)
{
	struct pollfd p = {.fd = PQsocket(c->pq), .events = events};
	int64_t left = c->patient ? -1 : deadline - clock_ms();
	int n;

	if (p.fd < 0 || (!c->patient && left <= 0))
		return false;
	n = poll(&p, 1, (int)left);
	if (n < 0)
		return errno == EINTR;
	return n > 0 && ((p.revents & (POLLIN | POLLERR | POLLHUP)) == 0 || PQconsumeInput(c->pq) != 0);
}

/*
 * Sends what has been queued and gives the last result, as PQexec() would, but does not wait for a silent server: NULL
 * then, and the connection is gone.
 */
static PGresult *answer_to(struct pg_conn *c, int queued)
{
	int64_t deadline = clock_ms() + c->pool->timeout_ms + SILENT_MS;
	PGresult *last = NULL;
	PGresult *next;
	int unsent;

	if (queued == 0)
		return NULL;
	while ((unsent = PQflush(c->pq)) > 0)
		if (!wait_until(c, POLLIN | POLLOUT, deadline))
			break;
	do {
		while (unsent <= 0 && PQisBusy(c->pq) != 0 && wait_until(c, POLLIN, deadline))
			;
		if (PQstatus(c->pq) == CONNECTION_OK && (unsent > 0 || PQisBusy(c->pq) != 0)) {
			log_error("database: no answer within the deadline, the connection is given up");
			PQclear(last);
			discard(c);
			(void)pthread_mutex_lock(&c->pool->lock);
			c->pool->silent_ms = clock_ms();
			(void)pthread_mutex_unlock(&c->pool->lock);
			return NULL;
		}
		next = PQgetResult(c->pq);
		if (next != NULL) {
			PQclear(last);
			last = next;
		}
	} while (next != NULL);
	c->heard_ms = clock_ms();
	return last;
}

/*
 * What a session is to be, in one round trip and not in the startup packet, which poolers refuse. search_path is
 * pinned, so that nobody's objects can stand in for ours; times are UTC; a statement that outlives the request's own
 * deadline is of no use to anybody. For the role one question does both: is it fit to be taken, and take it. Where no
 * session is kept, all of this holds for this one transaction: what stays is that we know of the role.
 */
static bool set_up(struct pg_conn *c)
{
	struct pg_pool *pool = c->pool;
	const char *local = pool->keeps_sessions ? "" : "LOCAL ";
	char *role = pool->role != NULL ? PQescapeLiteral(c->pq, pool->role, strlen(pool->role)) : NULL;
	ExecStatusType status;
	char sql[1024];
	PGresult *res;
	int n;

	if (pool->role != NULL && role == NULL)
		return false;
	n = snprintf(
		sql, sizeof sql,
		"%sSET %ssearch_path = pg_catalog, pg_temp; SET %stimezone = 'UTC'; SET %sstatement_timeout = %lld;"
		"SET %sidle_in_transaction_session_timeout = %lld;",
		pool->keeps_sessions ? "" : "SET LOCAL ROLE NONE;", local, local, local, (long long)pool->timeout_ms,
		local, (long long)pool->timeout_ms * 2);
	if (role != NULL)
		(void)snprintf(sql + n, sizeof sql - (size_t)n,
			       "SELECT set_config('role', r.rolname, %s) FROM pg_roles r, pg_namespace n"
			       " WHERE r.rolname = %s AND n.nspname = 'functions_admin'"
			       " AND pg_has_role(r.oid, " PG_MAY_TAKE ")"
			       " AND has_schema_privilege(r.oid, n.oid, 'USAGE')",
			       pool->keeps_sessions ? "false" : "true", role);
	PQfreemem(role);
	res = answer_to(c, PQsendQuery(c->pq, sql));
	status = PQresultStatus(res);
	c->takes_role = PQntuples(res) == 1;
	if (status == PGRES_TUPLES_OK && !c->takes_role && !atomic_exchange(&pool->role_told, true))
		log_warn("database: the role %s is not there to be taken: working with all rights of %s (see "
			 "functions-admin doctor)",
			 pool->role, PQuser(c->pq));
	PQclear(res);
	return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

static bool connect_now(struct pg_conn *c, struct err *e)
{
	struct pg_pool *pool = c->pool;
	bool down;

	(void)pthread_mutex_lock(&pool->lock);
	down = clock_ms() < pool->down_until_ms;
	(void)pthread_mutex_unlock(&pool->lock);
	if (down)
		return unavailable(e);
	discard(c);
	c->pq = PQconnectdbParams(pool->address.keywords, (const char *const *)pool->address.values, 1);
	if (c->pq == NULL)
		return err_no_memory(e);
	(void)PQsetNoticeProcessor(c->pq, quiet_notice, NULL);
	if (PQstatus(c->pq) != CONNECTION_OK || PQsetnonblocking(c->pq, 1) != 0 || !set_up(c)) {
		char message[256];

		(void)snprintf(message, sizeof message, "%s", c->pq != NULL ? PQerrorMessage(c->pq) : "no answer");
		trim_newlines(message);
		discard(c);
		(void)pthread_mutex_lock(&pool->lock);
		pool->down_until_ms = clock_ms() + RETRY_AFTER_MS;
		(void)pthread_mutex_unlock(&pool->lock);
		log_error("database: cannot connect: %s", message);
		return unavailable(e);
	}
	c->heard_ms = clock_ms();
	atomic_store(&pool->server_version, PQserverVersion(c->pq));
	atomic_fetch_add(&pool->epoch, 1);
	return true;
}

bool pg_acquire(struct pg_pool *pool, struct pg_conn **out, struct err *e)
{
	int64_t deadline = clock_ms() + pool->timeout_ms;
	struct timespec until = clock_timespec(deadline);
	struct pg_conn *found = NULL;
	bool suspect = false;
	int waited = 0;

	(void)pthread_mutex_lock(&pool->lock);
	while (found == NULL && waited == 0) {
		for (int i = 0; i < pool->max; i++) {
			struct pg_conn *c = &pool->conns[i];

			/* An open connection before a closed one: fewer connections serve a quiet service. */
			if (!c->busy && (found == NULL || (found->pq == NULL && c->pq != NULL)))
				found = c;
		}
		if (found == NULL)
			waited = pthread_cond_timedwait(&pool->freed, &pool->lock, &until);
	}
	if (found != NULL) {
		found->busy = true;
		suspect = found->heard_ms <= pool->silent_ms;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	if (found == NULL) {
		(void)err_set(e, ERR_UNAVAILABLE, "database_busy", "All database connections are in use");
		return err_hint(e, "Try again in a moment.");
	}
	found->sqlstate[0] = '\0';
	/* Else a request that needs three connections would wait for the deadline of each. */
	if (suspect)
		discard(found);
	if ((found->pq == NULL || PQstatus(found->pq) != CONNECTION_OK) && !connect_now(found, e)) {
		pg_release(found);
		return false;
	}
	*out = found;
	return true;
}

void pg_release(struct pg_conn *c)
{
	if (c == NULL)
		return;
	pg_rollback(c);
	if (c->pq != NULL && (PQstatus(c->pq) != CONNECTION_OK || c->stale))
		discard(c);
	(void)pthread_mutex_lock(&c->pool->lock);
	c->busy = false;
	(void)pthread_cond_signal(&c->pool->freed);
	(void)pthread_mutex_unlock(&c->pool->lock);
}

/* Queries */

/* Classes of SQLSTATE that mean "the server is not there for us now": connection, resources, shutdown. */
static bool is_outage(const struct pg_conn *c)
{
	const char *s = c->sqlstate;

	return PQstatus(c->pq) != CONNECTION_OK || strncmp(s, "08", 2) == 0 || strncmp(s, "57P", 3) == 0 ||
	       strcmp(s, "53300") == 0 || strcmp(s, "25006") == 0;
}

static bool query_failed(struct pg_conn *c, PGresult *res, const char *what, struct err *e)
{
	const char *state = res != NULL ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	char message[256];

	(void)snprintf(c->sqlstate, sizeof c->sqlstate, "%s", state != NULL ? state : "");
	(void)snprintf(message, sizeof message, "%s", res != NULL ? PQresultErrorMessage(res) : PQerrorMessage(c->pq));
	trim_newlines(message);
	PQclear(res);
	/* Read-only: a standby, or a setting of the moment at which we connected; the next connection may find a
	 * primary. */
	c->stale = c->stale || strcmp(c->sqlstate, "25006") == 0;
	/* Not the server's answer, there was no memory for that perhaps: it may have prepared what we believe it has
	 * not. */
	c->stale = c->stale || c->sqlstate[0] == '\0' || strcmp(c->sqlstate, "42P05") == 0;
	if (is_outage(c)) {
		log_error("database: %s: %s", what, message[0] != '\0' ? message : "connection lost");
		return unavailable(e);
	}
	if (strcmp(c->sqlstate, "57014") == 0) {
		log_error("database: %s: %s", what, message);
		(void)err_set(e, ERR_UNAVAILABLE, "database_timeout", "The database took too long");
		return err_hint(e, "Try again in a moment.");
	}
	if (strncmp(c->sqlstate, "53", 2) == 0) {
		log_error("database: %s: %s", what, message);
		(void)err_set(e, ERR_NO_SPACE, "database_full", "The database is out of resources");
		return err_hint(e, "Free space on the database's disk; nothing was changed.");
	}
	/* Violations are for the caller to explain; what it does not expect is a bug and wants the log. */
	if (strncmp(c->sqlstate, "23", 2) == 0)
		log_debug("database: %s: %s", what, message);
	else
		log_error("database: %s: %s", what, message);
	return err_set(e, ERR_INTERNAL, "database_error", "The database refused an operation");
}

/*
 * Statements travel in groups, in libpq's pipeline mode: all are sent before the first answer is awaited, so a group
 * costs one round trip. What follows a failed statement of its group is not carried out.
 */

static bool is_prepared(const struct pg_conn *c, const struct pg_stmt *stmt)
{
	for (size_t i = 0; i < c->prepared_count; i++)
		if (c->prepared[i] == stmt)
			return true;
	return false;
}

static void forget_prepared(struct pg_conn *c, const struct pg_stmt *stmt)
{
	for (size_t i = 0; i < c->prepared_count; i++)
		if (c->prepared[i] == stmt) {
			c->prepared[i] = c->prepared[--c->prepared_count];
			return;
		}
}

static bool in_transaction(const struct pg_conn *c)
{
	return PQtransactionStatus(c->pq) == PQTRANS_INTRANS || PQtransactionStatus(c->pq) == PQTRANS_INERROR;
}

static bool is_done(const PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_PIPELINE_SYNC;
}

/* The group's next answer, NULL where it failed; *ok turns false, and e tells of the first that failed. */
static PGresult *next_of_group(struct pg_conn *c, const char *what, bool *ok, struct err *e)
{
	PGresult *res = *ok || (c->pq != NULL && PQstatus(c->pq) == CONNECTION_OK) ? answer_to(c, 1) : NULL;

	if (is_done(res))
		return res;
	if (*ok)
		*ok = query_failed(c, res, what, e);
	else
		PQclear(res);
	return NULL;
}

/*
 * Where no session is kept, a pooler in transaction mode gives each transaction to any session of the server: nothing
 * is prepared, and a transaction begins with what set_up() does once elsewhere. Its names are all qualified, and it has
 * no operator, since only then nobody else's can be meant. A pooler may go over to another server under our connection
 * as well; the time at which the server started tells.
 */
static const char set_locally[] =
	"SELECT pg_catalog.pg_postmaster_start_time(), pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', "
	"true),"
	" pg_catalog.set_config('timezone', 'UTC', true), pg_catalog.set_config('statement_timeout', $1, true),"
	" pg_catalog.set_config('idle_in_transaction_session_timeout', $2, true),"
	" pg_catalog.set_config('role', $3, true)";

static bool send_settings(struct pg_conn *c)
{
	char timeout[24];
	char idle[24];
	const char *values[] = {timeout, idle, c->takes_role ? c->pool->role : "none"};

	(void)snprintf(timeout, sizeof timeout, "%lld", (long long)c->pool->timeout_ms);
	(void)snprintf(idle, sizeof idle, "%lld", (long long)c->pool->timeout_ms * 2);
	return PQsendQueryParams(c->pq, set_locally, 3, NULL, values, NULL, NULL, 1) == 1;
}

static bool read_settings(struct pg_conn *c, bool ok, struct err *e)
{
	PGresult *res = next_of_group(c, "settings", &ok, e);
	int64_t started;

	if (res == NULL) {
		/* The role is gone, perhaps: the next connection looks. */
		c->stale = true;
		return false;
	}
	started = pg_get_int((const struct pg_result *)res, 0, 0);
	if (atomic_exchange(&c->pool->started, started) != started)
		atomic_fetch_add(&c->pool->epoch, 1);
	PQclear(res);
	return ok;
}

static bool send_command(struct pg_conn *c, const char *sql)
{
	return PQsendQueryParams(c->pq, sql, 0, NULL, NULL, NULL, NULL, 0) == 1;
}

static bool send_statement(struct pg_conn *c, struct queued *q)
{
	static const struct pg_params none;
	const struct pg_params *p = q->params != NULL ? q->params : &none;

	q->prepares = c->pool->keeps_sessions && !is_prepared(c, q->stmt);
	if (q->prepares) {
		if (c->prepared_count == MAX_STATEMENTS ||
		    PQsendPrepare(c->pq, q->stmt->name, q->stmt->sql, 0, NULL) != 1)
			return false;
		c->prepared[c->prepared_count++] = q->stmt;
	}
	return (c->pool->keeps_sessions
			? PQsendQueryPrepared(c->pq, q->stmt->name, p->count, p->values, p->lengths, p->formats, 1)
			: PQsendQueryParams(c->pq, q->stmt->sql, p->count, NULL, p->values, p->lengths, p->formats,
					    1)) == 1;
}

/* One statement alone, which most reads are, is sent as it is: the pipeline would cost it more than the statement. */
static bool is_alone(const struct pg_conn *c, bool commit)
{
	return c->begin == NULL && !commit && c->queue->next == NULL &&
	       (!c->pool->keeps_sessions || is_prepared(c, c->queue->stmt));
}

static bool send_group(struct pg_conn *c, bool sets, bool commit)
{
	bool ok = PQenterPipelineMode(c->pq) == 1;

	for (size_t i = 0; ok && c->begin != NULL && c->begin[i] != NULL; i++)
		ok = send_command(c, c->begin[i]);
	ok = ok && (!sets || send_settings(c));
	for (struct queued *q = c->queue; ok && q != NULL; q = q->next)
		ok = send_statement(c, q);
	return ok && (!commit || send_command(c, "COMMIT")) && PQpipelineSync(c->pq) == 1;
}

static void clear_result(void *res)
{
	PQclear(res);
}

static bool read_statement(struct pg_conn *c, struct queued *q, bool ok, struct err *e)
{
	bool was_ok = ok;
	PGresult *res;

	if (q->prepares) {
		res = next_of_group(c, q->stmt->name, &ok, e);
		if (res == NULL)
			forget_prepared(c, q->stmt);
		PQclear(res);
	}
	res = next_of_group(c, q->stmt->name, &ok, e);
	if (was_ok && !ok)
		c->failed = q->stmt;
	if (!ok || q->out == NULL)
		PQclear(res);
	else if (arena_defer(q->arena, clear_result, res))
		*q->out = (struct pg_result *)res;
	else
		ok = err_no_memory(e);
	return ok;
}

/* Sends the group and reads all its answers. */
static bool exchange(struct pg_conn *c, bool commit, struct err *e)
{
	bool sets = !c->pool->keeps_sessions && !in_transaction(c);
	bool alone = !sets && is_alone(c, commit);
	bool ok = true;

	if (alone ? !send_statement(c, c->queue) : !send_group(c, sets, commit)) {
		ok = query_failed(c, NULL, "sending", e);
		/* Of a connection that is not dead nobody knows how much went out. */
		if (PQstatus(c->pq) == CONNECTION_OK)
			discard(c);
		return ok;
	}
	FA_CRASH_POINT("group.sent");
	for (size_t i = 0; c->begin != NULL && c->begin[i] != NULL; i++)
		PQclear(next_of_group(c, c->begin[i], &ok, e));
	if (sets)
		ok = read_settings(c, ok, e);
	for (struct queued *q = c->queue; q != NULL; q = q->next)
		ok = read_statement(c, q, ok, e);
	if (commit)
		PQclear(next_of_group(c, "COMMIT", &ok, e));
	if (alone)
		return ok;
	PQclear(next_of_group(c, "sync", &ok, e));
	if (c->pq != NULL && PQstatus(c->pq) == CONNECTION_OK && PQexitPipelineMode(c->pq) != 1)
		discard(c);
	return ok;
}

static const char *const begin_plain[] = {"BEGIN", NULL};
static const char *const begin_lazy[] = {"BEGIN", "SET LOCAL synchronous_commit = off", NULL};
static const char *const begin_snapshot[] = {"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL};

/* Has nothing happened yet when the connection turns out to be dead, whatever of the group had arrived? */
static bool may_repeat(const struct pg_conn *c, bool commit)
{
	if (c->begin != NULL)
		return !commit || c->begin != begin_plain;
	if (in_transaction(c))
		return false;
	for (const struct queued *q = c->queue; q != NULL; q = q->next)
		if (strncmp(q->stmt->sql, "SELECT", 6) != 0)
			return false;
	return true;
}

static bool run_group(struct pg_conn *c, bool commit, struct err *e)
{
	bool repeatable = may_repeat(c, commit);
	bool ok;

	c->sqlstate[0] = '\0';
	c->failed = NULL;
	ok = exchange(c, commit, e);
	/*
	 * A connection that died while it lay idle in the pool, its server restarted for example, is found out here:
	 * one fresh try. A server that was silent until the deadline is not asked again.
	 */
	if (!ok && repeatable && c->pq != NULL && PQstatus(c->pq) != CONNECTION_OK) {
		*e = (struct err)ERR_INIT;
		ok = connect_now(c, e) && exchange(c, commit, e);
	}
	c->begin = NULL;
	c->queue = NULL;
	c->queue_end = &c->queue;
	return ok;
}

static void append(struct pg_conn *c, struct queued *q)
{
	*c->queue_end = q;
	c->queue_end = &q->next;
}

/* A copy: what the values point to may be gone when they are sent. */
static const struct pg_params *keep_params(const struct pg_params *given, struct arena *a)
{
	struct pg_params *p = arena_alloc(a, sizeof *p);

	if (p == NULL)
		return NULL;
	*p = *given;
	for (int i = 0; i < p->count; i++) {
		size_t len = p->values[i] == NULL ? 0
			     : p->formats[i] != 0 ? (size_t)p->lengths[i]
						  : strlen(p->values[i]) + 1;
		char *copy = p->values[i] != NULL ? arena_alloc(a, len) : NULL;

		if (p->values[i] == NULL)
			continue;
		if (copy == NULL)
			return NULL;
		memcpy(copy, p->values[i], len);
		p->values[i] = copy;
	}
	return p;
}

bool pg_queue(struct pg_conn *c, struct arena *a, const struct pg_stmt *stmt, const struct pg_params *p,
	      struct pg_result **out, struct err *e)
{
	struct queued *q = arena_alloc(a, sizeof *q);

	if (q == NULL || (p != NULL && p->failed))
		return err_no_memory(e);
	*q = (struct queued){.stmt = stmt, .arena = a, .out = out};
	if (p != NULL && (q->params = keep_params(p, a)) == NULL)
		return err_no_memory(e);
	append(c, q);
	return true;
}

bool pg_flush(struct pg_conn *c, struct err *e)
{
	return c->queue == NULL || run_group(c, false, e);
}

bool pg_query(struct pg_conn *c, struct arena *a, const struct pg_stmt *stmt, const struct pg_params *p,
	      struct pg_result **out, struct err *e)
{
	struct queued q = {.stmt = stmt, .params = p, .arena = a, .out = out};
	bool ok;

	if (p != NULL && p->failed)
		return err_no_memory(e);
	append(c, &q);
	ok = run_group(c, false, e);
	FA_CRASH_POINT("statement.done");
	return ok;
}

const struct pg_stmt *pg_failed(const struct pg_conn *c)
{
	return c->failed;
}

bool pg_script(struct pg_conn *c, const char *sql, struct err *e)
{
	PGresult *res;

	if ((c->begin != NULL || c->queue != NULL) && !run_group(c, false, e))
		return false;
	c->sqlstate[0] = '\0';
	res = answer_to(c, PQsendQuery(c->pq, sql));
	if (!is_done(res))
		return query_failed(c, res, "script", e);
	PQclear(res);
	return true;
}

bool pg_without_deadline(struct pg_conn *c, struct err *e)
{
	c->patient = true;
	return pg_script(c, "SET statement_timeout = 0", e);
}

bool pg_with_deadline(struct pg_conn *c, struct err *e)
{
	char sql[64];

	c->patient = false;
	(void)snprintf(sql, sizeof sql, "SET statement_timeout = %lld", (long long)c->pool->timeout_ms);
	return pg_script(c, sql, e);
}

static bool begin(struct pg_conn *c, const char *const *commands, struct err *e)
{
	if (c->begin != NULL || in_transaction(c))
		return err_set(e, ERR_INTERNAL, NULL, "A transaction is open already");
	c->begin = commands;
	return true;
}

bool pg_begin(struct pg_conn *c, struct err *e)
{
	return begin(c, begin_plain, e);
}

bool pg_begin_lazy(struct pg_conn *c, struct err *e)
{
	return begin(c, begin_lazy, e);
}

bool pg_begin_snapshot(struct pg_conn *c, struct err *e)
{
	return begin(c, begin_snapshot, e);
}

/* Where there is no index for something, its cost in the server's eyes is past all measure, also past the one from
 * which it compiles a plan (JIT). */
static const struct pg_stmt plan_by_index = {
	"plan_by_index",
	"SELECT set_config(name, value, true) FROM (VALUES ('plan_cache_mode', 'force_generic_plan'),"
	" ('jit', 'off'), ('enable_seqscan', 'off'), ('enable_bitmapscan', 'off'), ('enable_hashjoin', 'off'),"
	" ('enable_mergejoin', 'off')) settings (name, value)",
};

bool pg_plan_by_index(struct pg_conn *c, struct arena *a, struct err *e)
{
	return pg_queue(c, a, &plan_by_index, NULL, NULL, e);
}

bool pg_commit(struct pg_conn *c, struct err *e)
{
	bool ok;

	/* Nothing was sent since pg_begin(). */
	if (c->begin != NULL && c->queue == NULL) {
		c->begin = NULL;
		return true;
	}
	FA_CRASH_POINT("commit.before");
	ok = run_group(c, true, e);
	FA_CRASH_POINT("commit.after");
	return ok;
}

void pg_rollback(struct pg_conn *c)
{
	c->begin = NULL;
	c->queue = NULL;
	c->queue_end = &c->queue;
	if (c->pq != NULL && PQstatus(c->pq) == CONNECTION_OK && in_transaction(c))
		PQclear(answer_to(c, PQsendQuery(c->pq, "ROLLBACK")));
}

/* Notifications */

bool pg_listen(struct pg_conn *c, const char *sql, struct err *e)
{
	if (!c->listens && !pg_script(c, sql, e))
		return false;
	c->listens = true;
	return true;
}

bool pg_wait(struct pg_conn *c, int wake_fd, int64_t timeout_ms,
	     void (*heard)(void *ctx, const char *channel, const char *payload), void *ctx, struct err *e)
{
	PGnotify *n = PQnotifies(c->pq);

	if (n == NULL) {
		struct pollfd fds[] = {{.fd = PQsocket(c->pq), .events = POLLIN}, {.fd = wake_fd, .events = POLLIN}};

		if (poll(fds, 2, (int)timeout_ms) > 0 && fds[0].revents != 0 && PQconsumeInput(c->pq) == 0) {
			log_warn("database: the connection for notifications is lost");
			return unavailable(e);
		}
		n = PQnotifies(c->pq);
	}
	for (; n != NULL; n = PQnotifies(c->pq)) {
		heard(ctx, n->relname, n->extra);
		PQfreemem(n);
	}
	return true;
}

const char *pg_sqlstate(const struct pg_conn *c)
{
	return c->sqlstate;
}

bool pg_is_unique_violation(const struct pg_conn *c)
{
	return strcmp(c->sqlstate, "23505") == 0;
}

bool pg_is_foreign_key_violation(const struct pg_conn *c)
{
	return strcmp(c->sqlstate, "23503") == 0;
}

/* What the pool tells */

int64_t pg_pool_epoch(struct pg_pool *pool)
{
	return atomic_load(&pool->epoch);
}

bool pg_pool_keeps_sessions(const struct pg_pool *pool)
{
	return pool->keeps_sessions;
}

int pg_pool_server_version(struct pg_pool *pool)
{
	return atomic_load(&pool->server_version);
}

struct pg_pool_stats pg_pool_stats(struct pg_pool *pool)
{
	struct pg_pool_stats s = {.max = pool->max};

	(void)pthread_mutex_lock(&pool->lock);
	for (int i = 0; i < pool->max; i++) {
		s.open += pool->conns[i].pq != NULL;
		s.busy += pool->conns[i].busy;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return s;
}
