/*
 * connections - the web server's connections while no worker answers on them, and the deadlines of all of them.
 *
 * A connection belongs to one worker from connections_take() until it is given back or closed. Between requests it
 * waits here, at the cost of a descriptor and a few bytes, so that neither kept connections nor silent ones hold a
 * worker. Deadlines are kept by shutting the connection down, which ends whatever read or write waits on it.
 *
 * Limits: 4,096 connections at once; for one more, the silent one that has waited longest is shut down.
 */
#ifndef FA_HTTP_CONNECTIONS_H
#define FA_HTTP_CONNECTIONS_H

#include "core/error.h"

#include <stdint.h>

struct connections;
struct connection;

/* listening: a non-blocking socket, which stays the caller's. */
MUST_CHECK bool connections_new(struct connections **out, int listening, struct err *e);

/*
 * Waits for a connection on which something can be read. NULL once connections_stop() was called and none is readable
 * any more: what has reached us is still answered, new connections are not accepted.
 */
struct connection *connections_take(struct connections *c);

/* As connections_take(), but without waiting: NULL where nothing can be read now. */
struct connection *connections_take_ready(struct connections *c);

/* The descriptor, in blocking mode. */
int connection_fd(const struct connection *k);

/* Whether the peer has closed it, or its half of it, whatever is left to read. */
bool connection_gone(const struct connection *k);

/* The connection is shut down in `ms` from now, if no later call moves that; 0: never. */
void connection_deadline(struct connection *k, int64_t ms);

/* Gives the connection back, to wait for the next request; after a stop it is closed. */
void connections_keep(struct connections *c, struct connection *k);

void connections_close(struct connections *c, struct connection *k);

/* As close, for a peer that may still be sending: it gets our answer first, what it sends is thrown away. */
void connections_linger(struct connections *c, struct connection *k);

/* Somebody else has closed the descriptor. */
void connections_forget(struct connections *c, struct connection *k);

/* Ends the waiting: connections_take() says when. Those without a request are closed at once. */
void connections_stop(struct connections *c);

/* Closes all; no worker may be left. */
void connections_free(struct connections *c);

#endif
