/* token - rows of access_tokens. Only keyed hashes are stored; a token itself never reaches this layer. */
#ifndef FA_STORE_TOKEN_H
#define FA_STORE_TOKEN_H

#include "core/model.h"
#include "store/pg.h"

/* The token with this hash that is neither revoked nor expired, by the database's clock; marks its use, at most once a
 * minute. */
MUST_CHECK bool token_find(struct pg_conn *c, struct arena *a, const uint8_t hash[32], struct access_token *out,
			   struct err *e);

MUST_CHECK bool token_insert(struct pg_conn *c, struct arena *a, const struct access_token *t, const uint8_t hash[32],
			     struct err *e);

/* All, newest first, the revoked ones too. */
MUST_CHECK bool token_list(struct pg_conn *c, struct arena *a, struct access_token **out, size_t *count, struct err *e);

/* The token with this id, locked until the transaction ends; ERR_NOT_FOUND: there is none. */
MUST_CHECK bool token_lock(struct pg_conn *c, struct arena *a, const char *id, struct access_token *out, struct err *e);

/* From now on the token is the one with this hash, and the former one is unknown. */
MUST_CHECK bool token_rotate(struct pg_conn *c, struct arena *a, const char *id, const uint8_t hash[32], struct err *e);

MUST_CHECK bool token_revoke(struct pg_conn *c, struct arena *a, const char *id, struct err *e);

#endif
