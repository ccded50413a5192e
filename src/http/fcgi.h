/*
 * fcgi - the FastCGI side (FastCGI 1.0, responder role): a listening socket, and worker threads that answer requests.
 *
 * The only module that knows libfcgi. A connection is held by a worker only while a request on it is answered; kept
 * and silent ones wait in connections.h (docs/decisions/0004 has the measurements).
 */
#ifndef FA_HTTP_FCGI_H
#define FA_HTTP_FCGI_H

#include "core/error.h"
#include "http/request.h"
#include "http/response.h"

struct fcgi_server;

/* Answers one request, on a worker's thread. */
typedef void fcgi_handler(void *ctx, struct request *req, struct response *resp);
/* The answer to a request that could not be read. */
typedef void fcgi_refuser(void *ctx, const struct err *e, const char *request_id, struct response *resp);

struct fcgi_options {
	const char *listen; /* unix:PATH, HOST:PORT or fd:N */
	unsigned mode;      /* of the unix socket */
	int workers;
	const char *base_path;
	fcgi_handler *handle;
	fcgi_refuser *refuse;
	void *ctx;
};

/* Opens the socket, as listen_open() does. */
MUST_CHECK bool fcgi_open(struct fcgi_server **out, const struct fcgi_options *options, struct err *e);

/* Starts the workers and returns. */
MUST_CHECK bool fcgi_start(struct fcgi_server *s, struct err *e);

/* Takes no new connection, answers what has reached us, ends the workers. */
void fcgi_stop(struct fcgi_server *s);

void fcgi_free(struct fcgi_server *s);

#endif
