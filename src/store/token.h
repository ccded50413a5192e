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

/* ERR_NOT_FOUND: no such token, or it is revoked already. Its name in *name. */
MUST_CHECK bool token_revoke(struct pg_conn *c, struct arena *a, const char *id, const char **name, struct err *e);

#endif
