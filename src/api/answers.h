/*
 * answers - bodies that were rendered before, held in memory as long as the project's revision stands still.
 *
 * The revision that a request works with was read after it arrived (service/current.h), and everything that a held
 * answer shows moves it in the same transaction; so no answer is staler than the database. Only for callers who may see
 * all functions: what a bound access token may see is not held.
 *
 * Limits: 1,024 answers, 1 MiB each, 8 MiB together; then all are forgotten.
 */
#ifndef FA_API_ANSWERS_H
#define FA_API_ANSWERS_H

#include "api/api.h"

struct answers;

MUST_CHECK bool answers_new(struct answers **out, struct err *e);
void answers_free(struct answers *h);

/* Answers from memory where that is held: status 200, the body, Content-Type and ETag; or 304 for If-None-Match. `what`
 * names the answer within its project. */
bool answers_recall(struct call *c, const char *what);

/* Holds c->resp, a 200 whose body is complete. Without memory for it nothing is held. */
void answers_hold(struct call *c, const char *what);

#endif
