#include "http/fcgi.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/text.h"
#include "http/connections.h"
#include "http/listen.h"

#include <errno.h>
#include <fastcgi.h>
#include <fcgiapp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* How long a worker waits for a peer that is in the middle of something. nginx has the whole request before it
 * connects, so these are for peers that are not well. */
#define HEAD_MS 10000
#define BODY_MS 120000
#define SEND_MS 60000

/* What of a refused upload is still read, so that the connection can be kept. */
#define MAX_DRAIN (256 * 1024)

/* The largest content that keeps records aligned (FastCGI 1.0, 3.3). */
#define MAX_RECORD ((size_t)65528)
#define SMALL_WRITE ((size_t)4096)

/* The most requests that a worker takes at once. */
#define BATCH 8

/*
 * One request. libfcgi reads and writes the records of one request at a time. The connection is ours: it is put into
 * the request before FCGX_Accept_r(), which is what the library itself does with a kept connection, and taken out again
 * after FCGX_Finish_r() (docs/decisions/0004).
 */
struct exchange {
	FCGX_Request fcgi;
	struct connection *connection;
	bool keep;
	int64_t arrived; /* request.h */
};

struct worker {
	struct fcgi_server *server;
	pthread_t thread;
	struct exchange batch[BATCH];
};

struct fcgi_server {
	struct fcgi_options options;
	int socket;
	char *unix_path;
	struct connections *connections;
	int started;
	struct worker workers[];
};

bool fcgi_open(struct fcgi_server **out, const struct fcgi_options *options, struct err *e)
{
	struct fcgi_server *s = calloc(1, sizeof *s + (size_t)options->workers * sizeof s->workers[0]);

	if (s == NULL)
		return err_no_memory(e);
	s->options = *options;
	s->socket = FCGX_Init() == 0 ? listen_open(options->listen, options->mode, &s->unix_path, e)
				     : ((void)err_no_memory(e), -1);
	if (s->socket < 0 || !connections_new(&s->connections, s->socket, e)) {
		fcgi_free(s);
		return false;
	}
	*out = s;
	return true;
}

/* One request */

static const char *param(void *ctx, const char *name)
{
	const struct exchange *x = ctx;

	return FCGX_GetParam(name, x->fcgi.envp);
}

static int read_input(struct exchange *x, void *out, int len)
{
	int n;

	connection_deadline(x->connection, BODY_MS);
	n = FCGX_GetStr(out, len, x->fcgi.in);
	connection_deadline(x->connection, 0);
	return n;
}

static ssize_t read_body(void *ctx, void *out, size_t len)
{
	struct exchange *x = ctx;
	int n = read_input(x, out, len > INT32_MAX ? INT32_MAX : (int)len);

	return n == 0 && FCGX_GetError(x->fcgi.in) != 0 ? -1 : n;
}

/* The web server closes the connection where its client has gone. */
static bool is_gone(void *ctx)
{
	const struct exchange *x = ctx;

	return connection_gone(x->connection);
}

static bool write_all(int fd, struct iovec *part, int count)
{
	while (count > 0) {
		ssize_t n = writev(fd, part, count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		while (count > 0 && (size_t)n >= part->iov_len) {
			n -= (ssize_t)part->iov_len;
			part++;
			count--;
		}
		if (count > 0) {
			part->iov_base = (char *)part->iov_base + n;
			part->iov_len -= (size_t)n;
		}
	}
	return true;
}

/* FCGI_STDOUT records of the largest size, straight from the caller's memory. */
static bool write_records(struct exchange *x, const char *p, size_t len)
{
	int fd = connection_fd(x->connection);
	unsigned id = (unsigned)x->fcgi.requestId;
	bool ok = true;

	while (ok && len > 0) {
		size_t piece = len < MAX_RECORD ? len : MAX_RECORD;
		unsigned char head[8] = {FCGI_VERSION_1,
					 FCGI_STDOUT,
					 (unsigned char)(id >> 8),
					 (unsigned char)id,
					 (unsigned char)(piece >> 8),
					 (unsigned char)piece,
					 0,
					 0};
		struct iovec parts[] = {{.iov_base = head, .iov_len = sizeof head},
					{.iov_base = (void *)(uintptr_t)p, .iov_len = piece}};

		ok = write_all(fd, parts, 2);
		p += piece;
		len -= piece;
	}
	return ok;
}

/*
 * What is small leaves with the end of the request, in the library's one write. The rest goes past the library, which
 * would copy it and write 8 KiB at a time, each of which wakes nginx.
 */
static bool write_out(void *ctx, const void *data, size_t len)
{
	struct exchange *x = ctx;
	bool ok;

	connection_deadline(x->connection, SEND_MS);
	if (len <= SMALL_WRITE)
		ok = FCGX_PutStr(data, (int)len, x->fcgi.out) == (int)len;
	else
		ok = FCGX_FFlush(x->fcgi.out) == 0 && write_records(x, data, len);
	connection_deadline(x->connection, 0);
	return ok;
}

static bool flush_out(void *ctx)
{
	struct exchange *x = ctx;
	bool ok;

	connection_deadline(x->connection, SEND_MS);
	ok = FCGX_FFlush(x->fcgi.out) == 0;
	connection_deadline(x->connection, 0);
	return ok;
}

static void answer(struct fcgi_server *s, struct exchange *x, struct arena *a)
{
	const struct request_source source = {.param = param, .read = read_body, .gone = is_gone, .ctx = x};
	const struct response_writer writer = {.write = write_out, .flush = flush_out, .ctx = x};
	struct err e = ERR_INIT;
	struct response resp;
	struct request req;

	response_init(&resp, a);
	if (request_init(&req, a, &source, s->options.base_path, &e)) {
		req.arrived = x->arrived;
		s->options.handle(s->options.ctx, &req, &resp);
	} else {
		s->options.refuse(s->options.ctx, &e, req.id, &resp);
	}
	if (!response_send(&resp, &writer, text_eq(req.method, "HEAD")))
		log_debug("the answer to %s %s was not delivered", req.method, req.path);
	response_free(&resp);
}

/* Reads what the handler left of the body. False where that is too much, or where the peer did not end it. */
static bool drain(struct exchange *x)
{
	char trash[8 * 1024];
	int total = 0;
	int n;

	while ((n = read_input(x, trash, sizeof trash)) == (int)sizeof trash && total < MAX_DRAIN)
		total += n;
	return n < (int)sizeof trash && FCGX_GetError(x->fcgi.in) == 0;
}

/* Reads the request up to its body. False where that is no FastCGI, or broken off: the connection is gone then. */
static bool read_head(struct fcgi_server *s, struct exchange *x)
{
	struct connection *k = x->connection;

	x->fcgi.ipcFd = connection_fd(k);
	x->fcgi.keepConnection = 1;
	/* Where the library closes the descriptor, it must not wait for the peer to do so. */
	(void)FCGX_Detach(&x->fcgi);
	connection_deadline(k, HEAD_MS);
	if (FCGX_Accept_r(&x->fcgi) != 0) {
		connections_forget(s->connections, k);
		return false;
	}
	connection_deadline(k, 0);
	x->keep = x->fcgi.keepConnection != 0;
	x->fcgi.keepConnection = 1;
	x->arrived = clock_ns();
	return true;
}

static void finish(struct fcgi_server *s, struct exchange *x)
{
	struct connection *k = x->connection;
	bool drained = drain(x);

	connection_deadline(k, SEND_MS);
	FCGX_Finish_r(&x->fcgi);
	if (x->fcgi.ipcFd < 0) {
		connections_forget(s->connections, k);
		return;
	}
	x->fcgi.ipcFd = -1;
	if (!drained)
		connections_linger(s->connections, k);
	else if (x->keep)
		connections_keep(s->connections, k);
	else
		connections_close(s->connections, k);
}

/* And is answered at once: who follows events may be kept waiting for the next one. */
static bool only_reads(const struct exchange *x)
{
	const char *method = FCGX_GetParam("REQUEST_METHOD", x->fcgi.envp);
	const char *accept = FCGX_GetParam("HTTP_ACCEPT", x->fcgi.envp);

	return method != NULL && (text_eq(method, "GET") || text_eq(method, "HEAD")) &&
	       (accept == NULL || strcasestr(accept, "text/event-stream") == NULL);
}

/*
 * Takes the connection, and others on which a request waits already, until one of them may take long: that one is
 * answered last. Requests that arrived before the first of them asks for the project's row share its answer
 * (service/current.h), which costs more than all else of a read.
 */
static int gather(struct worker *w, struct connection *k)
{
	int n = 0;

	do {
		struct exchange *x = &w->batch[n];

		x->connection = k;
		if (read_head(w->server, x)) {
			n++;
			if (!only_reads(x))
				break;
		}
	} while (n < BATCH && (k = connections_take_ready(w->server->connections)) != NULL);
	return n;
}

static void *work(void *ctx)
{
	struct worker *w = ctx;
	struct fcgi_server *s = w->server;
	struct arena *a = arena_new(0);
	struct connection *k;

	if (a == NULL) {
		log_error("a worker cannot start: out of memory");
		return NULL;
	}
	/* No listening socket: the library never accepts by itself. */
	for (int i = 0; i < BATCH; i++)
		if (FCGX_InitRequest(&w->batch[i].fcgi, -1, FCGI_FAIL_ACCEPT_ON_INTR) != 0)
			log_error("libfcgi was not initialised");
	while ((k = connections_take(s->connections)) != NULL) {
		int n = gather(w, k);

		for (int i = 0; i < n; i++) {
			answer(s, &w->batch[i], a);
			finish(s, &w->batch[i]);
			arena_reset(a);
		}
	}
	arena_free(a);
	return NULL;
}

bool fcgi_start(struct fcgi_server *s, struct err *e)
{
	for (int i = 0; i < s->options.workers; i++) {
		int failed;

		s->workers[i].server = s;
		failed = pthread_create(&s->workers[i].thread, NULL, work, &s->workers[i]);
		if (failed != 0) {
			fcgi_stop(s);
			return err_errno(e, failed, "starting a worker");
		}
		s->started++;
	}
	return true;
}

void fcgi_stop(struct fcgi_server *s)
{
	connections_stop(s->connections);
	while (s->started > 0)
		(void)pthread_join(s->workers[--s->started].thread, NULL);
}

void fcgi_free(struct fcgi_server *s)
{
	if (s == NULL)
		return;
	connections_free(s->connections);
	if (s->unix_path != NULL)
		(void)unlink(s->unix_path);
	if (s->socket >= 0)
		(void)close(s->socket);
	free(s->unix_path);
	free(s);
}
