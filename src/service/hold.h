/*
 * hold - who works on a function's releases right now, so that nobody tidies them away meanwhile.
 *
 * Between staging a release and activating it nothing but its holder knows that it is wanted. Several may hold one
 * function at a time; the last of them to let go removes what is no longer needed, and who comes then waits for that.
 */
#ifndef FA_SERVICE_HOLD_H
#define FA_SERVICE_HOLD_H

#include "service/service.h"

struct holds;

MUST_CHECK bool holds_new(struct holds **out, struct err *e);
void holds_free(struct holds *h);

/* To be called before a release of slug is staged or used. */
MUST_CHECK bool hold_take(struct service *s, const char *slug, struct err *e);

/* The slugs that are held, in the arena; NULL where memory is out. */
const char **hold_list(struct service *s, struct arena *a, size_t *count);

/* Undoes one hold_take. tidy: something was activated, removed or given up, so there may be releases to remove. */
void hold_drop(struct service *s, const char *slug, bool tidy);

#endif
