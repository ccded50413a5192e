/*
 * sse - server-sent events (WHATWG HTML, 9.2) in answers that end: what is new since Last-Event-ID, and how soon to ask
 * again. A client of the standard (EventSource) reconnects by itself and misses nothing. Who asks with a Last-Event-ID
 * and has missed nothing yet is held until something happens (service/bell.h), as far as workers are left for others.
 */
#ifndef FA_API_SSE_H
#define FA_API_SSE_H

#include "api/api.h"
#include "service/bell.h"

#define SSE_TYPE "text/event-stream"

bool sse_wanted(const struct call *c);

/* The header, or NULL where the caller has seen nothing yet. */
const char *sse_last(const struct call *c);

/* Before the first look. Who has seen nothing is not held. */
void sse_begin(const struct call *c, struct bell_wait *w);

/* As bell_wait(), for as long as the follower is there. */
bool sse_wait(const struct call *c, struct bell_wait *w);

/* Ends the wait, and begins the answer. */
void sse_answer(struct call *c, struct bell_wait *w);

/* Appends one event; takes over `doc`. Its id is a number or a digest, its name a word of ours. */
MUST_CHECK bool sse_put(struct call *c, const char *id, const char *event, json_t *doc, struct err *e);

/* What is followed as a whole, as it is now. seen: what of it an event is told for, where some of it changes by itself
 * as time goes by; else left alone. Both are the caller's. */
typedef bool sse_look(struct call *c, void *ctx, json_t **doc, json_t **seen, struct err *e);

/* Answers with one event, whenever it is not what the caller has seen: its id is a digest. */
MUST_CHECK bool sse_follow(struct call *c, const char *event, sse_look *look, void *ctx, struct err *e);

#endif
