#include "service/audit.h"

#include "core/log.h"
#include "core/text.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define PAGE 500

bool audit_record(struct service *s, struct arena *a, const struct actor *who, const struct audit_entry *entry,
		  struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && pg_begin(c, e) && audit_write(c, a, who, entry, e) && pg_commit(c, e);

	pg_release(c);
	return ok;
}

/* ---- Refusals ---- */

/* Callers who are known have places of their own, so that a flood of nobodies does not hide them. */
#define KNOWN 64
#define KINDS 256
#define TEXT 96

/* Rows that may be written at once, and how many come back at each flush: about 9,000 a day at most under a flood. */
#define ROWS_MAX 128
#define ROWS_BACK 1

/* Equal refusals, with the first one's request. */
struct refusal {
	int64_t count; /* 0: free */
	char project_ref[24];
	char actor[TEXT];
	char token_id[40];
	char address[48];
	char request_id[64];
	char target[TEXT];
	char code[48];
};

static struct {
	pthread_mutex_t lock;
	struct refusal kinds[KINDS];
	int64_t unkept; /* refusals of kinds that found no place */
	int rows_left;
} gathered = {.lock = PTHREAD_MUTEX_INITIALIZER, .rows_left = ROWS_MAX};

static void copy(char *out, size_t size, const char *text)
{
	(void)snprintf(out, size, "%s", text != NULL ? text : "");
	text_cut_utf8(out);
}

static bool is_same(const struct refusal *x, const struct refusal *y)
{
	return text_eq(x->actor, y->actor) && text_eq(x->address, y->address) && text_eq(x->target, y->target) &&
	       text_eq(x->code, y->code) && text_eq(x->project_ref, y->project_ref);
}

static unsigned hash_of(const struct refusal *r)
{
	const char *const parts[] = {r->actor, r->address, r->target, r->code};
	unsigned hash = 5381;

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		for (const char *p = parts[i]; *p != '\0'; p++)
			hash = hash * 33 + (unsigned char)*p;
	return hash;
}

void audit_refused(const struct actor *who, const char *project_ref, const char *target, const char *code)
{
	struct refusal r = {.count = 1};
	bool known = who->token_id != NULL && who->token_id[0] != '\0';
	unsigned first = known ? 0 : KNOWN;
	unsigned places = known ? KNOWN : KINDS - KNOWN;
	unsigned at;

	copy(r.project_ref, sizeof r.project_ref, project_ref);
	copy(r.actor, sizeof r.actor, who->name);
	copy(r.token_id, sizeof r.token_id, who->token_id);
	copy(r.address, sizeof r.address, who->address);
	copy(r.request_id, sizeof r.request_id, who->request_id);
	copy(r.target, sizeof r.target, target);
	copy(r.code, sizeof r.code, code);
	at = hash_of(&r);
	(void)pthread_mutex_lock(&gathered.lock);
	/* A few places are tried; a flood of different ones ends up in one number. */
	for (int tries = 0; tries < 8; tries++, at++) {
		struct refusal *k = &gathered.kinds[first + at % places];

		if (k->count == 0) {
			*k = r;
			break;
		}
		if (is_same(k, &r)) {
			k->count++;
			break;
		}
		if (tries == 7)
			gathered.unkept++;
	}
	(void)pthread_mutex_unlock(&gathered.lock);
}

static bool write_refusal(struct pg_conn *c, struct arena *a, const struct refusal *r, struct err *e)
{
	const struct actor who = {r->actor, r->token_id, r->address, r->request_id};
	const struct audit_entry entry = {
		.project_ref = r->project_ref[0] != '\0' ? r->project_ref : NULL,
		.action = "request.refused",
		.target = r->target,
		.outcome = "refused",
		.after = r->count == 1 ? r->code : arena_printf(a, "%s, %lld times", r->code, (long long)r->count),
	};

	return audit_write(c, a, &who, &entry, e);
}

/* Everything that there is no row for, as one row. */
static bool write_summary(struct service *s, struct pg_conn *c, struct arena *a, int64_t count, struct err *e)
{
	struct refusal r = {.count = count, .actor = "many", .address = "many", .target = "many", .code = "refused"};

	copy(r.project_ref, sizeof r.project_ref, s->cfg->project_ref);
	copy(r.request_id, sizeof r.request_id, "-");
	return write_refusal(c, a, &r, e);
}

static bool write_all(struct service *s, struct arena *a, const struct refusal *kinds, int rows, int64_t unkept,
		      int *written, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && pg_begin(c, e);

	*written = 0;
	for (int i = 0; ok && i < KINDS; i++) {
		if (kinds[i].count == 0)
			continue;
		if (*written < rows) {
			ok = write_refusal(c, a, &kinds[i], e);
			(*written)++;
		} else {
			unkept += kinds[i].count;
		}
	}
	ok = ok && (unkept == 0 || write_summary(s, c, a, unkept, e)) && pg_commit(c, e);
	pg_release(c);
	return ok;
}

void audit_flush(struct service *s)
{
	static struct refusal kinds[KINDS]; /* the main thread's alone */
	struct arena *a = arena_new(0);
	struct err e = ERR_INIT;
	int64_t unkept;
	int written = 0;
	int rows;
	bool any;

	if (a == NULL)
		return;
	(void)pthread_mutex_lock(&gathered.lock);
	memcpy(kinds, gathered.kinds, sizeof kinds);
	memset(gathered.kinds, 0, sizeof gathered.kinds);
	unkept = gathered.unkept;
	gathered.unkept = 0;
	gathered.rows_left += gathered.rows_left < ROWS_MAX ? ROWS_BACK : 0;
	rows = gathered.rows_left;
	(void)pthread_mutex_unlock(&gathered.lock);
	any = unkept > 0;
	for (int i = 0; i < KINDS && !any; i++)
		any = kinds[i].count > 0;
	if (any && !write_all(s, a, kinds, rows, unkept, &written, &e))
		log_error("audit: refused requests could not be recorded: %s", e.message);
	(void)pthread_mutex_lock(&gathered.lock);
	gathered.rows_left -= written;
	(void)pthread_mutex_unlock(&gathered.lock);
	arena_free(a);
}

/* ---- Reading ---- */

bool audit_page(struct service *s, struct arena *a, const struct audit_filter *f, int64_t before, int limit,
		struct audit_rows *out, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && audit_list(c, a, f, before, limit, out, e);

	pg_release(c);
	return ok;
}

/* Every row of a chain above `after`, a page at a time, so that no log is too long. */
static bool each_row(struct pg_conn *c, const char *chain, int64_t after,
		     bool (*fn)(void *ctx, const struct audit_row *row), void *ctx, struct err *e)
{
	struct arena *a = arena_new(0);
	struct audit_rows rows = {.count = PAGE};
	bool ok = a != NULL || err_no_memory(e);

	while (ok && rows.count == PAGE) {
		arena_reset(a);
		ok = audit_next(c, a, chain, after, PAGE, &rows, e);
		for (size_t i = 0; ok && i < rows.count; i++) {
			after = rows.items[i].seq;
			ok = fn(ctx, &rows.items[i]) || err_no_memory(e);
		}
	}
	arena_free(a);
	return ok;
}

bool audit_export(struct service *s, const char *chain, bool (*fn)(void *ctx, const struct audit_row *row), void *ctx,
		  struct err *e)
{
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	const char **chains = NULL;
	bool ok = (a != NULL || err_no_memory(e)) && pg_acquire(s->pool, &c, e) && pg_begin_snapshot(c, e) &&
		  audit_chains(c, a, &chains, e);

	for (; ok && *chains != NULL; chains++)
		if (chain == NULL || text_eq(chain, *chains))
			ok = each_row(c, *chains, 0, fn, ctx, e);
	pg_release(c);
	arena_free(a);
	return ok;
}

/* ---- Checking ---- */

struct walk {
	const struct audit_report *report;
	const struct audit_expectation *expect;
	const char *chain;
	int64_t from;                        /* the first row that is checked */
	int64_t seq;                         /* of the last row */
	uint8_t stored[CRYPTO_HASH_BYTES];   /* its hash, as it stands there */
	uint8_t computed[CRYPTO_HASH_BYTES]; /* and as it should be */
	int64_t rows;
	int64_t findings;
};

static const char *chain_name(const char *chain)
{
	return chain[0] != '\0' ? chain : "(no project)";
}

__attribute__((format(printf, 2, 3))) static void found(struct walk *w, const char *fmt, ...)
{
	char what[160];
	char line[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(what, sizeof what, fmt, args);
	va_end(args);
	(void)snprintf(line, sizeof line, "%s: %s", chain_name(w->chain), what);
	w->findings++;
	w->report->finding(w->report->ctx, line);
}

static void missing(struct walk *w, int64_t from, int64_t to)
{
	if (from == to)
		found(w, "entry %lld is missing", (long long)from);
	else
		found(w, "entries %lld to %lld are missing", (long long)from, (long long)to);
}

/* Is this the row that followed? Its predecessor counts as it stands there and as it should stand there, so that one
 * changed row is not taken for two. */
static bool fits(const struct walk *w, const struct audit_row *row, uint8_t computed[CRYPTO_HASH_BYTES])
{
	return (audit_row_hash(row, w->stored, computed) && memcmp(computed, row->hash, CRYPTO_HASH_BYTES) == 0) ||
	       (audit_row_hash(row, w->computed, computed) && memcmp(computed, row->hash, CRYPTO_HASH_BYTES) == 0);
}

static bool check_row(void *ctx, const struct audit_row *row)
{
	struct walk *w = ctx;
	uint8_t computed[CRYPTO_HASH_BYTES] = {0};
	bool gap = row->seq != w->seq + 1;

	if (row->seq <= w->seq) {
		found(w, "entry %lld stands before its checkpoint", (long long)row->seq);
		return true;
	}
	if (gap) {
		missing(w, w->seq + 1, row->seq - 1);
		found(w, "entry %lld cannot be checked, since the one before it is missing", (long long)row->seq);
		memcpy(computed, row->hash, sizeof computed);
	} else if (!fits(w, row, computed)) {
		found(w, "entry %lld was changed, moved or put in (it says: %s %s %s by %s)", (long long)row->seq,
		      row->outcome, row->action, row->target, row->actor);
	}
	if (text_eq(row->action, "audit.tampered"))
		found(w, "entry %lld tells that the head had been changed before it", (long long)row->seq);
	if (w->expect != NULL && text_eq(w->expect->chain, w->chain) && w->expect->seq == row->seq &&
	    memcmp(w->expect->hash, row->hash, sizeof row->hash) != 0)
		found(w, "entry %lld is not the one that was expected", (long long)row->seq);
	w->seq = row->seq;
	memcpy(w->stored, row->hash, sizeof w->stored);
	memcpy(w->computed, computed, sizeof w->computed);
	w->rows++;
	return true;
}

static void check_head(struct walk *w, const struct audit_mark *head)
{
	if (!head->exists) {
		found(w, "its head is missing%s", w->rows == 0 ? ", and so are all of its entries" : "");
		return;
	}
	if (!head->genuine)
		found(w, "its head was changed");
	if (head->seq > w->seq)
		missing(w, w->seq + 1, head->seq);
	else if (head->seq < w->seq)
		found(w, "entries %lld to %lld stand behind its head", (long long)head->seq + 1, (long long)w->seq);
	else if (memcmp(head->hash, w->stored, sizeof head->hash) != 0)
		found(w, "its head does not belong to entry %lld", (long long)head->seq);
}

/* Begins behind the checkpoint, or with `newest` > 0 so many entries before the head. */
static bool begin_walk(struct pg_conn *c, struct arena *a, struct walk *w, const struct audit_mark *head,
		       int64_t newest, struct err *e)
{
	struct audit_mark checkpoint;
	struct audit_rows before = {0};

	if (!audit_checkpoint(c, a, w->chain, &checkpoint, e))
		return false;
	if (checkpoint.exists && !checkpoint.genuine)
		found(w, "its checkpoint was changed");
	w->seq = checkpoint.exists ? checkpoint.seq : 0;
	w->rows = 0;
	memcpy(w->stored, checkpoint.hash, sizeof w->stored);
	if (newest > 0 && head->seq - newest > w->seq) {
		if (!audit_next(c, a, w->chain, head->seq - newest - 1, 1, &before, e))
			return false;
		if (before.count == 1) {
			w->seq = before.items[0].seq;
			memcpy(w->stored, before.items[0].hash, sizeof w->stored);
		}
	}
	memcpy(w->computed, w->stored, sizeof w->computed);
	w->from = w->seq + 1;
	return true;
}

static bool verify_chain(struct pg_conn *c, struct arena *a, struct walk *w, int64_t newest, struct err *e)
{
	struct audit_mark head;

	/* All of them, unless only the newest are wanted, since a row before the checkpoint is one too many. */
	if (!audit_head(c, a, w->chain, &head, e) || !begin_walk(c, a, w, &head, newest, e) ||
	    !each_row(c, w->chain, newest > 0 ? w->seq : 0, check_row, w, e))
		return false;
	check_head(w, &head);
	if (w->expect != NULL && text_eq(w->expect->chain, w->chain) && w->expect->seq > w->seq)
		missing(w, w->seq + 1, w->expect->seq);
	w->report->chain(w->report->ctx, w->chain, w->rows, &head);
	return true;
}

/* Without a head nothing says where the newest entries are; a chain in which nothing was written yet has none. */
static bool verify_newest(struct pg_conn *c, struct arena *a, struct walk *w, struct err *e)
{
	const char **chains = NULL;
	struct audit_mark head;
	struct audit_rows any;

	if (!audit_head(c, a, w->chain, &head, e))
		return false;
	if (head.exists)
		return verify_chain(c, a, w, AUDIT_VERIFY_MAX, e);
	if (!audit_chains(c, a, &chains, e) || !audit_next(c, a, w->chain, 0, 1, &any, e))
		return false;
	w->rows = (int64_t)any.count;
	for (; *chains != NULL; chains++)
		if (text_eq(*chains, w->chain))
			check_head(w, &head);
	w->report->chain(w->report->ctx, w->chain, 0, &head);
	return true;
}

bool audit_verify_newest(struct service *s, const char *chain, const struct audit_report *report, int64_t *from,
			 int64_t *findings, struct err *e)
{
	static atomic_flag runs = ATOMIC_FLAG_INIT;
	struct walk w = {.report = report, .chain = chain, .from = 1};
	struct pg_conn *c = NULL;
	struct arena *a;
	bool ok;

	if (atomic_flag_test_and_set(&runs)) {
		(void)err_set(e, ERR_CONFLICT, "verification_runs", "The audit log is being checked already");
		return err_hint(e, "Ask again when that has ended.");
	}
	a = arena_new(0);
	ok = (a != NULL || err_no_memory(e)) && pg_acquire(s->pool, &c, e) && pg_begin_snapshot(c, e) &&
	     verify_newest(c, a, &w, e);
	*from = w.from;
	*findings = w.findings;
	pg_release(c);
	arena_free(a);
	atomic_flag_clear(&runs);
	return ok;
}

bool audit_verify(struct service *s, const struct audit_expectation *expect, const struct audit_report *report,
		  int64_t *findings, struct err *e)
{
	struct walk w = {.report = report, .expect = expect};
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	const char **chains = NULL;
	/* One picture, while others go on writing. */
	bool ok = (a != NULL || err_no_memory(e)) && pg_acquire(s->pool, &c, e) && pg_begin_snapshot(c, e) &&
		  audit_chains(c, a, &chains, e);

	for (; ok && *chains != NULL; chains++) {
		w.chain = *chains;
		ok = verify_chain(c, a, &w, 0, e);
	}
	*findings = w.findings;
	pg_release(c);
	arena_free(a);
	return ok;
}

/* ---- Pruning ---- */

static bool prune_chain(struct service *s, struct arena *a, const struct actor *who, const char *chain, int64_t before,
			int64_t *removed, struct err *e)
{
	struct audit_entry entry = {
		.project_ref = chain[0] != '\0' ? chain : NULL,
		.action = "audit.prune",
		.target = "entries",
		.outcome = "done",
	};
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && pg_begin(c, e) && audit_prune(c, a, chain, before, removed, e);

	if (ok && *removed > 0) {
		entry.before = arena_printf(a, "%lld entries", (long long)*removed);
		ok = audit_write(c, a, who, &entry, e);
	}
	ok = ok && pg_commit(c, e);
	pg_release(c);
	return ok;
}

bool audit_prune_all(struct service *s, const struct actor *who, int64_t before, int64_t *removed, struct err *e)
{
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	const char **chains = NULL;
	bool ok = (a != NULL || err_no_memory(e)) && pg_acquire(s->pool, &c, e) && audit_chains(c, a, &chains, e);

	pg_release(c);
	*removed = 0;
	for (; ok && *chains != NULL; chains++) {
		int64_t here = 0;

		ok = prune_chain(s, a, who, *chains, before, &here, e);
		*removed += here;
	}
	arena_free(a);
	return ok;
}
