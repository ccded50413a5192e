/*
 * etag - entity tags of functions (RFC 9110, 8.8.3): which version is active, and when the function last changed.
 */
#ifndef FA_API_ETAG_H
#define FA_API_ETAG_H

#include "api/api.h"

/* The ETag header for this function. */
void etag_set(struct call *c, const struct function *f);

/* The ETag header for the answer as it is rendered: of lists, which change in more ways than a version shows. */
void etag_set_rendered(struct call *c);

/* Answers 304 and returns true where If-None-Match names the ETag that was set (RFC 9110, 13.1.2). */
bool etag_unchanged(struct call *c);

/* What If-Match demands of the function; not set where the header is absent or "*". ERR_PRECONDITION for a tag that is
 * none of ours. */
MUST_CHECK bool etag_expectation(const struct call *c, struct expectation *out, struct err *e);

#endif
