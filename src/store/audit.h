/*
 * audit - the append-only log of who did what, as hash chains (one a project, one for what concerns none).
 *
 * A row's hash is keyed: it covers every column and the hash before it, so that no row can be changed, taken out, put
 * in or moved without the key. The head of a chain and the checkpoints that retention leaves carry a keyed hash of
 * their own. What this cannot show is that the newest rows are gone together with a head that somebody had kept from
 * then; compare with a head noted elsewhere (functions-admin audit verify --expect).
 */
#ifndef FA_STORE_AUDIT_H
#define FA_STORE_AUDIT_H

#include "core/crypto.h"
#include "core/model.h"
#include "store/pg.h"

struct audit_entry {
	const char *project_ref; /* NULL where none is concerned */
	const char *action;      /* "function.deploy" */
	const char *target;      /* a slug, a token's name */
	const char *outcome;     /* done, failed, refused */
	const char *before;      /* a version or digest, never content; NULL for none */
	const char *after;
};

/* The key of the hashes, from the master key; NULL forgets it. Once, before any thread. Without it nothing is written.
 */
void audit_use_key(const struct crypto_key *master);

/*
 * Appends the entry, in the transaction of the change that it records. The LAST call before pg_commit(): the chain's
 * head stays locked until then, and whatever else this transaction locks must be locked before it. The row is queued
 * (store/pg.h), and goes out with the commit.
 */
MUST_CHECK bool audit_write(struct pg_conn *c, struct arena *a, const struct actor *who,
			    const struct audit_entry *entry, struct err *e);
/* Several entries of one chain, at least one, behind the head that audit_ask_head() has locked. */
MUST_CHECK bool audit_write_all(struct pg_conn *c, struct arena *a, const struct actor *who,
				const struct audit_entry *entries, size_t count, const struct pg_result *head,
				struct err *e);
/* Locks the chain's head, for who writes without asking anything more. Queued: the last of a group by which the
 * transaction has locked whatever it locks. */
MUST_CHECK bool audit_ask_head(struct pg_conn *c, struct arena *a, const char *chain, struct pg_result **out,
			       struct err *e);

/* One row, as it was read. */
struct audit_row {
	int64_t seq;
	int64_t at; /* ms */
	const char *project_ref;
	const char *actor;
	const char *token_id;
	const char *address;
	const char *request_id;
	const char *action;
	const char *target;
	const char *outcome;
	const char *before;
	const char *after;
	uint8_t hash[CRYPTO_HASH_BYTES];
};

struct audit_rows {
	struct audit_row *items;
	size_t count;
};

/* NULL and 0 ask for nothing. Times are ms; since is included, until is not. */
struct audit_filter {
	const char *chain; /* never NULL; "" is the one of no project */
	const char *actor;
	const char *action; /* as it is, or a beginning that ends in '*': "function.*" */
	const char *target;
	const char *outcome;
	const char *request_id;
	int64_t since;
	int64_t until;
};

/* Newest first, below `before` (0: from the newest). */
MUST_CHECK bool audit_list(struct pg_conn *c, struct arena *a, const struct audit_filter *f, int64_t before, int limit,
			   struct audit_rows *out, struct err *e);

/* Oldest first, above `after`. */
MUST_CHECK bool audit_next(struct pg_conn *c, struct arena *a, const char *chain, int64_t after, int limit,
			   struct audit_rows *out, struct err *e);

/* Where a chain stands: a head or a checkpoint. */
struct audit_mark {
	bool exists;
	bool genuine; /* its keyed hash is right */
	int64_t seq;
	uint8_t hash[CRYPTO_HASH_BYTES];
};

MUST_CHECK bool audit_head(struct pg_conn *c, struct arena *a, const char *chain, struct audit_mark *out,
			   struct err *e);
MUST_CHECK bool audit_checkpoint(struct pg_conn *c, struct arena *a, const char *chain, struct audit_mark *out,
				 struct err *e);

/* Every chain that has rows, a head or a checkpoint, or must have, since its project has changed or tokens were made.
 * NULL-terminated. */
MUST_CHECK bool audit_chains(struct pg_conn *c, struct arena *a, const char ***out, struct err *e);

/* The hash that a row must have after the one before it. False when memory is out. */
MUST_CHECK bool audit_row_hash(const struct audit_row *row, const uint8_t previous[CRYPTO_HASH_BYTES],
			       uint8_t out[CRYPTO_HASH_BYTES]);

/* Leaves a checkpoint for the last row before the time (ms), and removes the rows up to it. *removed: how many; the
 * newest row always stays. In a transaction. */
MUST_CHECK bool audit_prune(struct pg_conn *c, struct arena *a, const char *chain, int64_t before, int64_t *removed,
			    struct err *e);

#endif
