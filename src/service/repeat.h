/*
 * repeat - requests with an Idempotency-Key: the first is carried out, its answer is kept for 24 hours and given again
 * to repetitions (draft-ietf-httpapi-idempotency-key-header).
 *
 * A repetition that is not the same request is ERR_INVALID "idempotency_key_reused"; one that comes while the first is
 * under way ERR_CONFLICT "request_in_progress". What is under way is known by a row of its own, which counts while its
 * process does (service/heartbeat.h): no connection is held, and any instance may be asked for the answer. Answers are
 * sealed with the master key, since one may hold a new token.
 */
#ifndef FA_SERVICE_REPEAT_H
#define FA_SERVICE_REPEAT_H

#include "core/buf.h"
#include "service/service.h"

struct repeat;

/* principal: whose key it is; keys of different callers do not meet. In the arena; ends with repeat_end(). */
MUST_CHECK bool repeat_begin(struct repeat **out, struct service *s, struct arena *a, const char *principal,
			     const char *key, struct err *e);

/* Is an answer kept? The request's digest is compared, status and answer are filled. */
MUST_CHECK bool repeat_answer(struct repeat *r, const uint8_t request[32], int *status, struct buf *answer,
			      struct err *e);
bool repeat_is_known(const struct repeat *r);

/* Keeps the answer. */
MUST_CHECK bool repeat_keep(struct repeat *r, const uint8_t request[32], int status, const void *answer, size_t len,
			    struct err *e);

/* A key for which no answer was kept is free again. */
void repeat_end(struct repeat *r);

/* Frees those for which the database could not be told so. One thread at a time. */
MUST_CHECK bool repeat_tidy(struct service *s, struct err *e);

#endif
