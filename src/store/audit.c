#include "store/audit.h"

#include "core/buf.h"
#include "core/log.h"

#include <sodium.h>
#include <string.h>
#include <time.h>

#define CHAIN_MAX_ROW ((size_t)64 * 1024)

/* Set before any thread, then only read. */
static struct crypto_key chain_key;
static bool have_key;

#define ROW_COLUMNS                                                                                                    \
	"seq, round(extract(epoch FROM at) * 1000)::int8, project_ref, actor, token_id::text, address, request_id,"    \
	" action, target, outcome, before, after, hash"

static const struct pg_stmt lock_head = {
	"audit_lock_head",
	"SELECT seq, hash, mac FROM functions_admin.audit_heads WHERE chain = $1 FOR UPDATE",
};
static const struct pg_stmt insert_head = {
	"audit_insert_head",
	"INSERT INTO functions_admin.audit_heads (chain, seq, hash, mac) VALUES ($1, 0, $2, $3) ON CONFLICT (chain) DO "
	"NOTHING",
};
static const struct pg_stmt insert_row = {
	"audit_insert",
	"WITH head AS (UPDATE functions_admin.audit_heads SET seq = $2::int8, hash = $13, mac = $14 WHERE chain = $1)"
	" INSERT INTO functions_admin.audit_log (seq, at, project_ref, actor, token_id, address, request_id, action, "
	"target,"
	" outcome, before, after, hash)"
	" VALUES ($2::int8, to_timestamp($3::int8 / 1000.0), nullif($1, ''), $4, $5::uuid, $6, $7, $8, $9, $10, $11, "
	"$12, $13)",
};
static const struct pg_stmt select_list = {
	"audit_list",
	"SELECT " ROW_COLUMNS " FROM functions_admin.audit_log WHERE chain = $1 AND ($2::int8 = 0 OR seq < $2::int8)"
	" AND ($3::text IS NULL OR actor = $3) AND ($4::text IS NULL OR action = $4 OR"
	" (right($4, 1) = '*' AND starts_with(action, left($4, -1)))) AND ($5::text IS NULL OR target = $5)"
	" AND ($6::text IS NULL OR outcome = $6) AND ($7::text IS NULL OR request_id = $7)"
	" AND ($8::int8 = 0 OR at >= to_timestamp($8::int8 / 1000.0))"
	" AND ($9::int8 = 0 OR at < to_timestamp($9::int8 / 1000.0)) ORDER BY seq DESC LIMIT $10::int4",
};
static const struct pg_stmt select_next = {
	"audit_next",
	"SELECT " ROW_COLUMNS
	" FROM functions_admin.audit_log WHERE chain = $1 AND seq > $2::int8 ORDER BY seq LIMIT $3::int4",
};
static const struct pg_stmt select_head = {
	"audit_head",
	"SELECT seq, hash, mac FROM functions_admin.audit_heads WHERE chain = $1",
};
static const struct pg_stmt select_checkpoint = {
	"audit_checkpoint",
	"SELECT seq, hash, mac FROM functions_admin.audit_checkpoints WHERE chain = $1",
};
static const struct pg_stmt select_chains = {
	"audit_chains",
	"SELECT chain FROM functions_admin.audit_heads UNION SELECT chain FROM functions_admin.audit_checkpoints"
	" UNION SELECT DISTINCT chain FROM functions_admin.audit_log"
	" UNION SELECT ref FROM functions_admin.projects WHERE generation > 0"
	" UNION SELECT coalesce(project_ref, '') FROM functions_admin.access_tokens ORDER BY 1",
};
static const struct pg_stmt select_last_before = {
	"audit_last_before",
	"SELECT seq, hash FROM functions_admin.audit_log WHERE chain = $1 AND seq < $3::int8"
	" AND seq < (SELECT coalesce(min(seq), $3::int8) FROM functions_admin.audit_log"
	"   WHERE chain = $1 AND at >= to_timestamp($2::int8 / 1000.0)) ORDER BY seq DESC LIMIT 1",
};
static const struct pg_stmt put_checkpoint = {
	"audit_put_checkpoint",
	"INSERT INTO functions_admin.audit_checkpoints (chain, seq, hash, mac) VALUES ($1, $2::int8, $3, $4)"
	" ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, mac = excluded.mac,"
	" made_at = clock_timestamp()",
};
static const struct pg_stmt delete_rows = {
	"audit_delete",
	"WITH gone AS (DELETE FROM functions_admin.audit_log WHERE chain = $1 AND seq <= $2::int8 RETURNING 1)"
	" SELECT count(*) FROM gone",
};

void audit_use_key(const struct crypto_key *master)
{
	have_key = master != NULL;
	if (master != NULL)
		crypto_subkey(master, CRYPTO_AUDIT, &chain_key);
	else
		crypto_key_wipe(&chain_key);
}

/* What is hashed: each field with its length in front, so that no two rows give the same bytes. */
static void put_field(struct buf *b, const char *text)
{
	uint64_t len = text != NULL ? strlen(text) : UINT64_MAX;

	buf_put(b, &len, sizeof len);
	if (text != NULL)
		buf_put(b, text, strlen(text));
}

static void put_number(struct buf *b, int64_t n)
{
	buf_put(b, &n, sizeof n);
}

bool audit_row_hash(const struct audit_row *row, const uint8_t previous[CRYPTO_HASH_BYTES],
		    uint8_t out[CRYPTO_HASH_BYTES])
{
	const char *const fields[] = {row->project_ref, row->actor,  row->token_id, row->address, row->request_id,
				      row->action,      row->target, row->outcome,  row->before,  row->after};
	struct buf b = BUF_INIT(CHAIN_MAX_ROW);
	bool ok;

	buf_puts(&b, "row ");
	buf_put(&b, previous, CRYPTO_HASH_BYTES);
	put_number(&b, row->seq);
	put_number(&b, row->at);
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		put_field(&b, fields[i]);
	ok = !b.failed;
	if (ok)
		crypto_keyed_hash(&chain_key, b.data, b.len, out);
	buf_free(&b);
	return ok;
}

/* The keyed hash of a head or a checkpoint; kind keeps the one from standing in for the other. */
static bool mark_mac(const char *kind, const char *chain, int64_t seq, const uint8_t hash[CRYPTO_HASH_BYTES],
		     uint8_t out[CRYPTO_HASH_BYTES])
{
	struct buf b = BUF_INIT(CHAIN_MAX_ROW);
	bool ok;

	put_field(&b, kind);
	put_field(&b, chain);
	put_number(&b, seq);
	buf_put(&b, hash, CRYPTO_HASH_BYTES);
	ok = !b.failed;
	if (ok)
		crypto_keyed_hash(&chain_key, b.data, b.len, out);
	buf_free(&b);
	return ok;
}

static bool no_key(struct err *e)
{
	(void)err_set(e, ERR_CONFIG, NULL, "Option master_key is missing: the audit log cannot be written or checked");
	return err_hint(e, "Make one with: openssl rand -hex 32");
}

static bool read_mark(const struct pg_result *r, const char *kind, const char *chain, struct audit_mark *out,
		      struct err *e)
{
	struct pg_bytes hash;
	struct pg_bytes mac;
	uint8_t expected[CRYPTO_HASH_BYTES];

	*out = (struct audit_mark){0};
	if (pg_rows(r) == 0)
		return true;
	hash = pg_get_bytes(r, 0, 1);
	mac = pg_get_bytes(r, 0, 2);
	out->exists = true;
	out->seq = pg_get_int(r, 0, 0);
	if (hash.len != sizeof out->hash)
		return true;
	memcpy(out->hash, hash.data, sizeof out->hash);
	if (!mark_mac(kind, chain, out->seq, out->hash, expected))
		return err_no_memory(e);
	out->genuine = mac.len == sizeof expected && sodium_memcmp(mac.data, expected, sizeof expected) == 0;
	return true;
}

static bool get_mark(struct pg_conn *c, struct arena *a, const struct pg_stmt *stmt, const char *kind,
		     const char *chain, struct audit_mark *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	if (!have_key)
		return no_key(e);
	pg_text(&p, chain);
	return pg_query(c, a, stmt, &p, &r, e) && read_mark(r, kind, chain, out, e);
}

bool audit_head(struct pg_conn *c, struct arena *a, const char *chain, struct audit_mark *out, struct err *e)
{
	return get_mark(c, a, &select_head, "head", chain, out, e);
}

bool audit_checkpoint(struct pg_conn *c, struct arena *a, const char *chain, struct audit_mark *out, struct err *e)
{
	return get_mark(c, a, &select_checkpoint, "checkpoint", chain, out, e);
}

bool audit_ask_head(struct pg_conn *c, struct arena *a, const char *chain, struct pg_result **out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);

	if (!have_key)
		return no_key(e);
	pg_text(&p, chain);
	return pg_queue(c, a, &lock_head, &p, out, e);
}

/* The chain's head, which is locked; a new chain gets its first one. */
static bool take_head(struct pg_conn *c, struct arena *a, const char *chain, const struct pg_result *locked,
		      struct audit_mark *out, struct err *e)
{
	static const uint8_t nothing[CRYPTO_HASH_BYTES];
	struct pg_params p = PG_PARAMS(a);
	uint8_t mac[CRYPTO_HASH_BYTES];

	if (!read_mark(locked, "head", chain, out, e))
		return false;
	if (out->exists)
		return true;
	if (!mark_mac("head", chain, 0, nothing, mac))
		return err_no_memory(e);
	pg_text(&p, chain);
	pg_bytea(&p, nothing, sizeof nothing);
	pg_bytea(&p, mac, sizeof mac);
	return pg_query(c, a, &insert_head, &p, NULL, e) && get_mark(c, a, &lock_head, "head", chain, out, e);
}

/* Puts the row behind the head, and makes it the head. */
static bool append(struct pg_conn *c, struct arena *a, struct audit_mark *head, struct audit_row *row, struct err *e)
{
	const char *chain = row->project_ref != NULL ? row->project_ref : "";
	struct pg_params p = PG_PARAMS(a);
	uint8_t mac[CRYPTO_HASH_BYTES];

	row->seq = head->seq + 1;
	if (!audit_row_hash(row, head->hash, row->hash) || !mark_mac("head", chain, row->seq, row->hash, mac))
		return err_no_memory(e);
	pg_text(&p, chain);
	pg_int(&p, row->seq);
	pg_int(&p, row->at);
	pg_text(&p, row->actor);
	pg_text(&p, row->token_id);
	pg_text(&p, row->address);
	pg_text(&p, row->request_id);
	pg_text(&p, row->action);
	pg_text(&p, row->target);
	pg_text(&p, row->outcome);
	pg_text(&p, row->before);
	pg_text(&p, row->after);
	pg_bytea(&p, row->hash, sizeof row->hash);
	pg_bytea(&p, mac, sizeof mac);
	if (!pg_queue(c, a, &insert_row, &p, NULL, e))
		return false;
	head->seq = row->seq;
	memcpy(head->hash, row->hash, sizeof head->hash);
	return true;
}

static struct audit_row make_row(const struct actor *who, const struct audit_entry *entry, int64_t at)
{
	const char *chain = entry->project_ref != NULL ? entry->project_ref : "";

	return (struct audit_row){
		.at = at,
		.project_ref = chain[0] != '\0' ? chain : NULL,
		.actor = who->name,
		.token_id = who->token_id != NULL && who->token_id[0] != '\0' ? who->token_id : NULL,
		.address = who->address,
		.request_id = who->request_id,
		.action = entry->action,
		.target = entry->target,
		.outcome = entry->outcome,
		.before = entry->before,
		.after = entry->after,
	};
}

bool audit_write_all(struct pg_conn *c, struct arena *a, const struct actor *who, const struct audit_entry *entries,
		     size_t count, const struct pg_result *locked, struct err *e)
{
	const char *chain = count > 0 && entries[0].project_ref != NULL ? entries[0].project_ref : "";
	struct audit_mark head;
	struct timespec now;
	int64_t at;

	if (!take_head(c, a, chain, locked, &head, e))
		return false;
	/* Under the lock, so that times go up as the numbers do, clocks permitting. */
	(void)clock_gettime(CLOCK_REALTIME, &now);
	at = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (!head.genuine) {
		/* Going on quietly would make the forged head a good one. The chain says for ever that it was not. */
		struct audit_row alarm = make_row(who, &entries[0], at);

		log_error("audit: the head of chain \"%s\" was changed by somebody without the key", chain);
		alarm.action = "audit.tampered";
		alarm.target = "head";
		alarm.outcome = "failed";
		alarm.before = alarm.after = NULL;
		if (!append(c, a, &head, &alarm, e))
			return false;
	}
	for (size_t i = 0; i < count; i++) {
		struct audit_row row = make_row(who, &entries[i], at);

		if (!append(c, a, &head, &row, e))
			return false;
	}
	return true;
}

bool audit_write(struct pg_conn *c, struct arena *a, const struct actor *who, const struct audit_entry *entry,
		 struct err *e)
{
	struct pg_result *head;

	return audit_ask_head(c, a, entry->project_ref != NULL ? entry->project_ref : "", &head, e) && pg_flush(c, e) &&
	       audit_write_all(c, a, who, entry, 1, head, e);
}

static bool read_rows(const struct pg_result *r, struct arena *a, struct audit_rows *out, struct err *e)
{
	out->count = (size_t)pg_rows(r);
	out->items = arena_array(a, out->count, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	for (int i = 0; i < pg_rows(r); i++) {
		struct pg_bytes hash = pg_get_bytes(r, i, 12);
		struct audit_row *row = &out->items[i];

		*row = (struct audit_row){
			.seq = pg_get_int(r, i, 0),
			.at = pg_get_int(r, i, 1),
			.project_ref = pg_get_text(r, i, 2),
			.actor = pg_get_text(r, i, 3),
			.token_id = pg_get_text(r, i, 4),
			.address = pg_get_text(r, i, 5),
			.request_id = pg_get_text(r, i, 6),
			.action = pg_get_text(r, i, 7),
			.target = pg_get_text(r, i, 8),
			.outcome = pg_get_text(r, i, 9),
			.before = pg_get_text(r, i, 10),
			.after = pg_get_text(r, i, 11),
		};
		if (hash.len == sizeof row->hash)
			memcpy(row->hash, hash.data, sizeof row->hash);
	}
	return true;
}

bool audit_list(struct pg_conn *c, struct arena *a, const struct audit_filter *f, int64_t before, int limit,
		struct audit_rows *out, struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, f->chain);
	pg_int(&p, before);
	pg_text(&p, f->actor);
	pg_text(&p, f->action);
	pg_text(&p, f->target);
	pg_text(&p, f->outcome);
	pg_text(&p, f->request_id);
	pg_int(&p, f->since);
	pg_int(&p, f->until);
	pg_int(&p, limit);
	return pg_query(c, a, &select_list, &p, &r, e) && read_rows(r, a, out, e);
}

bool audit_next(struct pg_conn *c, struct arena *a, const char *chain, int64_t after, int limit, struct audit_rows *out,
		struct err *e)
{
	struct pg_params p = PG_PARAMS(a);
	struct pg_result *r;

	pg_text(&p, chain);
	pg_int(&p, after);
	pg_int(&p, limit);
	return pg_query(c, a, &select_next, &p, &r, e) && read_rows(r, a, out, e);
}

bool audit_chains(struct pg_conn *c, struct arena *a, const char ***out, struct err *e)
{
	struct pg_result *r;

	if (!pg_query(c, a, &select_chains, NULL, &r, e))
		return false;
	*out = arena_array(a, (size_t)pg_rows(r) + 1, sizeof **out);
	if (*out == NULL)
		return err_no_memory(e);
	for (int i = 0; i < pg_rows(r); i++)
		(*out)[i] = pg_get_text(r, i, 0);
	return true;
}

bool audit_prune(struct pg_conn *c, struct arena *a, const char *chain, int64_t before, int64_t *removed, struct err *e)
{
	struct pg_params find = PG_PARAMS(a);
	struct pg_params put = PG_PARAMS(a);
	struct pg_params gone = PG_PARAMS(a);
	struct audit_mark head;
	struct pg_bytes hash;
	struct pg_result *r;
	uint8_t mac[CRYPTO_HASH_BYTES];
	int64_t seq;

	*removed = 0;
	if (!get_mark(c, a, &lock_head, "head", chain, &head, e))
		return false;
	pg_text(&find, chain);
	pg_int(&find, before);
	pg_int(&find, head.seq);
	if (!pg_query(c, a, &select_last_before, &find, &r, e))
		return false;
	if (pg_rows(r) == 0)
		return true;
	seq = pg_get_int(r, 0, 0);
	hash = pg_get_bytes(r, 0, 1);
	if (hash.len != CRYPTO_HASH_BYTES || !mark_mac("checkpoint", chain, seq, hash.data, mac))
		return err_no_memory(e);
	pg_text(&put, chain);
	pg_int(&put, seq);
	pg_bytea(&put, hash.data, hash.len);
	pg_bytea(&put, mac, sizeof mac);
	pg_text(&gone, chain);
	pg_int(&gone, seq);
	if (!pg_query(c, a, &put_checkpoint, &put, NULL, e) || !pg_query(c, a, &delete_rows, &gone, &r, e))
		return false;
	*removed = pg_get_int(r, 0, 0);
	return true;
}
