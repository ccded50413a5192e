/* access - making, listing and revoking access tokens. */
#ifndef FA_SERVICE_ACCESS_H
#define FA_SERVICE_ACCESS_H

#include "service/service.h"
#include "store/token.h"

/* Stores the token that t describes (id, created_by, created_at are filled here) by its keyed hash (auth/token.h). */
MUST_CHECK bool access_create(struct service *s, struct arena *a, const struct actor *who, struct access_token *t,
			      const uint8_t hash[32], struct err *e);
MUST_CHECK bool access_list(struct service *s, struct arena *a, struct access_token **out, size_t *count,
			    struct err *e);
/* Whether the caller may do this to that token; sets the error where not. */
typedef bool access_check(void *ctx, const struct access_token *t, struct err *e);

/* Gives the token a new hash, at once: what was shown before is unknown from then on. ERR_NOT_FOUND: there is none, or
 * it is revoked. */
MUST_CHECK bool access_rotate(struct service *s, struct arena *a, const struct actor *who, const char *id,
			      access_check *may, void *ctx, const uint8_t hash[32], struct access_token *out,
			      struct err *e);

MUST_CHECK bool access_revoke(struct service *s, struct arena *a, const struct actor *who, const char *id,
			      access_check *may, void *ctx, struct err *e);

#endif
