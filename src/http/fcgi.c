#include "http/fcgi.h"

#include "core/log.h"
#include "core/text.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024
#define SYSTEMD_FIRST_FD 3

struct worker {
	struct fcgi_server *server;
	pthread_t thread;
	int epoll;
};

struct fcgi_server {
	struct fcgi_options options;
	int socket;
	int stop; /* eventfd: readable once the workers are to end */
	char *unix_path;
	int started;
	struct worker workers[];
};

/* The socket */

static bool is_somebody_listening(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool answered = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;

	if (fd >= 0)
		(void)close(fd);
	return answered;
}

static int open_unix(const char *path, unsigned mode, struct err *e)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof address.sun_path) {
		(void)err_set(e, ERR_CONFIG, NULL, "listen: the socket's path is longer than %zu bytes",
			      sizeof address.sun_path - 1);
		(void)err_hint(e, "Choose a shorter one, such as unix:/run/functions-admin/functions-admin.sock.");
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (is_somebody_listening(&address)) {
		(void)err_set(e, ERR_CONFLICT, NULL, "listen: another process listens on %s", path);
		(void)err_hint(e, "Stop it, or choose another socket.");
		return -1;
	}
	(void)unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* The mode is set before anybody can connect: a socket without listen() refuses. */
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || chmod(path, (mode_t)mode) != 0 ||
	    listen(fd, BACKLOG) != 0) {
		(void)err_errno(e, errno, "listen: %s", path);
		(void)err_hint(
			e, "Its directory must be there and be writable for the user that functions-admin runs as.");
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	return fd;
}

static int open_tcp(const char *listen_on, struct err *e)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	const char *colon = strrchr(listen_on, ':');
	struct addrinfo *found = NULL;
	char host[256];
	size_t len = (size_t)(colon - listen_on);
	const int on = 1;
	int fd = -1;
	int failed;

	/* "[::1]:9001" is the IPv6 address ::1. */
	if (len >= 2 && listen_on[0] == '[' && listen_on[len - 1] == ']') {
		listen_on++;
		len -= 2;
	}
	(void)snprintf(host, sizeof host, "%.*s", (int)len, listen_on);
	failed = getaddrinfo(host[0] != '\0' ? host : NULL, colon + 1, &hints, &found);
	if (failed != 0) {
		(void)err_set(e, ERR_CONFIG, NULL, "listen: %s: %s", host, gai_strerror(failed));
		return -1;
	}
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
	    bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
		(void)err_errno(e, errno, "listen: %s:%s", host, colon + 1);
		(void)err_hint(e, "Is another process using this port?");
		if (fd >= 0)
			(void)close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

/* The number of a descriptor that was inherited as a listening socket; -1 with the error set. */
static int inherited(int64_t fd, struct err *e)
{
	int listening = 0;
	socklen_t len = sizeof listening;

	if (getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || !listening) {
		(void)err_set(e, ERR_CONFIG, NULL, "listen: descriptor %lld is no listening socket", (long long)fd);
		(void)err_hint(e,
			       "fd:N is for a socket that the parent process opened, such as systemd or spawn-fcgi.");
		return -1;
	}
	(void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
	return (int)fd;
}

/* systemd's socket activation, sd_listen_fds(3): LISTEN_PID is ours and LISTEN_FDS says how many. */
static bool is_activated(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");
	int64_t number;

	return pid != NULL && fds != NULL && text_int64(pid, 1, INT32_MAX, &number) && number == getpid() &&
	       text_int64(fds, 1, 1, &number);
}

static bool open_socket(struct fcgi_server *s, struct err *e)
{
	const char *on = s->options.listen;
	int64_t number;

	if (is_activated()) {
		s->socket = inherited(SYSTEMD_FIRST_FD, e);
	} else if (text_starts(on, "fd:") && text_int64(on + 3, 0, INT32_MAX, &number)) {
		s->socket = inherited(number, e);
	} else if (text_starts(on, "unix:")) {
		s->socket = open_unix(on + 5, s->options.mode, e);
		if (s->socket >= 0)
			s->unix_path = strdup(on + 5);
	} else {
		s->socket = open_tcp(on, e);
	}
	if (s->socket < 0)
		return false;
	/* Workers wait in epoll, where a stop reaches them; accept() itself must never wait. */
	return fcntl(s->socket, F_SETFL, O_NONBLOCK) == 0 ? true : err_errno(e, errno, "listen");
}

bool fcgi_open(struct fcgi_server **out, const struct fcgi_options *options, struct err *e)
{
	struct fcgi_server *s = calloc(1, sizeof *s + (size_t)options->workers * sizeof s->workers[0]);

	if (s == NULL)
		return err_no_memory(e);
	s->options = *options;
	s->socket = -1;
	s->stop = eventfd(0, EFD_CLOEXEC);
	if (s->stop < 0 || FCGX_Init() != 0) {
		(void)err_errno(e, errno, "starting FastCGI");
		fcgi_free(s);
		return false;
	}
	if (!open_socket(s, e)) {
		fcgi_free(s);
		return false;
	}
	*out = s;
	return true;
}

/* One request */

static const char *param(void *ctx, const char *name)
{
	const FCGX_Request *r = ctx;

	return FCGX_GetParam(name, r->envp);
}

static ssize_t read_body(void *ctx, void *out, size_t len)
{
	FCGX_Request *r = ctx;
	int n = FCGX_GetStr(out, len > INT32_MAX ? INT32_MAX : (int)len, r->in);

	return n == 0 && FCGX_GetError(r->in) != 0 ? -1 : n;
}

static bool write_out(void *ctx, const void *data, size_t len)
{
	FCGX_Request *r = ctx;
	const char *p = data;

	while (len > 0) {
		int piece = len > INT32_MAX ? INT32_MAX : (int)len;

		if (FCGX_PutStr(p, piece, r->out) != piece)
			return false;
		p += piece;
		len -= (size_t)piece;
	}
	return true;
}

static void serve_request(struct fcgi_server *s, FCGX_Request *r, struct arena *a)
{
	const struct request_source source = {.param = param, .read = read_body, .ctx = r};
	const struct response_writer writer = {.write = write_out, .ctx = r};
	struct err e = ERR_INIT;
	struct response resp;
	struct request req;

	response_init(&resp, a);
	if (request_init(&req, a, &source, s->options.base_path, &e))
		s->options.handle(s->options.ctx, &req, &resp);
	else
		s->options.refuse(s->options.ctx, &e, req.id, &resp);
	if (!response_send(&resp, &writer, text_eq(req.method, "HEAD")))
		log_debug("the answer to %s %s was not delivered", req.method, req.path);
	response_free(&resp);
}

/* Waits for a connection; false once the server is to stop. */
static bool wait_for_work(struct worker *w)
{
	struct epoll_event events[2];
	int n;

	do {
		n = epoll_wait(w->epoll, events, 2, -1);
	} while (n < 0 && errno == EINTR);
	for (int i = 0; i < n; i++)
		if (events[i].data.fd == w->server->stop)
			return false;
	return n >= 0;
}

static void *work(void *ctx)
{
	struct worker *w = ctx;
	struct fcgi_server *s = w->server;
	struct arena *a = arena_new(0);
	FCGX_Request r;

	if (a == NULL || FCGX_InitRequest(&r, s->socket, FCGI_FAIL_ACCEPT_ON_INTR) != 0) {
		log_error("a worker cannot start: out of memory");
		arena_free(a);
		return NULL;
	}
	while (wait_for_work(w)) {
		/* Another worker may have been faster: accept() finds nothing then, and that is no error. */
		if (FCGX_Accept_r(&r) != 0)
			continue;
		serve_request(s, &r, a);
		FCGX_Finish_r(&r);
		arena_reset(a);
	}
	FCGX_Free(&r, 1);
	arena_free(a);
	return NULL;
}

/* EPOLLEXCLUSIVE: a connection wakes one worker, not all of them. */
static bool start_worker(struct fcgi_server *s, struct worker *w, struct err *e)
{
	struct epoll_event on_socket = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = s->socket};
	struct epoll_event on_stop = {.events = EPOLLIN, .data.fd = s->stop};
	int failed;

	w->server = s;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, s->socket, &on_socket) != 0 ||
	    epoll_ctl(w->epoll, EPOLL_CTL_ADD, s->stop, &on_stop) != 0)
		return err_errno(e, errno, "starting a worker");
	failed = pthread_create(&w->thread, NULL, work, w);
	return failed == 0 ? true : err_errno(e, failed, "starting a worker");
}

bool fcgi_start(struct fcgi_server *s, struct err *e)
{
	for (int i = 0; i < s->options.workers; i++) {
		if (!start_worker(s, &s->workers[i], e)) {
			fcgi_stop(s);
			return false;
		}
		s->started++;
	}
	return true;
}

void fcgi_stop(struct fcgi_server *s)
{
	const uint64_t one = 1;

	if (write(s->stop, &one, sizeof one) != (ssize_t)sizeof one)
		log_error("the workers cannot be told to stop: %s", strerror(errno));
	while (s->started > 0) {
		struct worker *w = &s->workers[--s->started];

		(void)pthread_join(w->thread, NULL);
		(void)close(w->epoll);
	}
}

void fcgi_free(struct fcgi_server *s)
{
	if (s == NULL)
		return;
	if (s->unix_path != NULL)
		(void)unlink(s->unix_path);
	if (s->socket >= 0)
		(void)close(s->socket);
	if (s->stop >= 0)
		(void)close(s->stop);
	free(s->unix_path);
	free(s);
}
