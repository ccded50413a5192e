#include "http/connections.h"

#include "core/log.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 4096

/* nginx sends at once when it has connected; who does not speak is no web server. */
#define SILENT_MS 10000
/* Longer than nginx keeps an unused connection (60 s by default), so that it is nginx who closes: a request that meets
 * our closing half-way would be lost. */
#define KEPT_MS 75000
#define LINGER_MS 2000

#define WATCH_MS 1000

struct connection {
	struct connection *next;
	struct connection *before;
	int fd;
	_Atomic bool waiting; /* for its first or next request */
	bool lingering;
	_Atomic int64_t deadline; /* monotonic milliseconds; 0 for none */
};

struct connections {
	int listening;
	int epoll;
	int stop;        /* eventfd: readable once the workers are to end */
	int end;         /* eventfd: readable once the watch is to end */
	pthread_t watch; /* a thread of its own: all workers may be waiting for what only a deadline ends */
	bool watching;
	_Atomic bool stopping;
	pthread_mutex_t
		lock; /* of the list; whoever shuts a descriptor down holds it, so that none is closed meanwhile */
	struct connection *all;
	size_t count;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool add_event(struct connections *c, int fd, uint32_t events, void *ptr)
{
	struct epoll_event event = {.events = events, .data.ptr = ptr};

	return fd >= 0 && epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* The list */

static void forget(struct connections *c, struct connection *k)
{
	*(k->before != NULL ? &k->before->next : &c->all) = k->next;
	if (k->next != NULL)
		k->next->before = k->before;
	c->count--;
	free(k);
}

void connections_forget(struct connections *c, struct connection *k)
{
	(void)pthread_mutex_lock(&c->lock);
	forget(c, k);
	(void)pthread_mutex_unlock(&c->lock);
}

void connections_close(struct connections *c, struct connection *k)
{
	(void)pthread_mutex_lock(&c->lock);
	(void)close(k->fd);
	forget(c, k);
	(void)pthread_mutex_unlock(&c->lock);
}

/* A request has arrived on it and waits for a worker: no fault of the peer's, however long it takes. */
static bool has_spoken(const struct connection *k)
{
	char byte;

	return recv(k->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Whoever owns the connection, or takes it next, finds it at its end and closes it. */
static void shut(struct connection *k)
{
	(void)shutdown(k->fd, SHUT_RDWR);
	atomic_store(&k->deadline, 0);
}

/* Makes room: the silent connection that would be shut down first. */
static void shut_oldest(struct connections *c)
{
	struct connection *oldest = NULL;

	for (struct connection *k = c->all; k != NULL; k = k->next)
		if (k->waiting && k->deadline != 0 && (oldest == NULL || k->deadline < oldest->deadline) &&
		    !has_spoken(k))
			oldest = k;
	if (oldest != NULL)
		shut(oldest);
}

static void shut_overdue(struct connections *c)
{
	int64_t now = now_ms();

	(void)pthread_mutex_lock(&c->lock);
	for (struct connection *k = c->all; k != NULL; k = k->next)
		if (k->deadline != 0 && k->deadline <= now && !(k->waiting && has_spoken(k)))
			shut(k);
	(void)pthread_mutex_unlock(&c->lock);
}

static void shut_silent(struct connections *c)
{
	(void)pthread_mutex_lock(&c->lock);
	for (struct connection *k = c->all; k != NULL; k = k->next)
		if (k->waiting && !has_spoken(k))
			shut(k);
	(void)pthread_mutex_unlock(&c->lock);
}

int connection_fd(const struct connection *k)
{
	return k->fd;
}

bool connection_gone(const struct connection *k)
{
	struct pollfd fd = {.fd = k->fd, .events = POLLRDHUP};

	return poll(&fd, 1, 0) > 0;
}

void connection_deadline(struct connection *k, int64_t ms)
{
	atomic_store(&k->deadline, ms == 0 ? 0 : now_ms() + ms);
}

/* Waiting. A connection is armed for one event at a time (EPOLLONESHOT), so that one worker gets it. */

static void await(struct connections *c, struct connection *k, int operation)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data.ptr = k};

	if (epoll_ctl(c->epoll, operation, k->fd, &event) != 0)
		connections_close(c, k);
}

static void add(struct connections *c, int fd)
{
	struct connection *k = calloc(1, sizeof *k);
	const int on = 1;

	if (k == NULL) {
		(void)close(fd);
		return;
	}
	/* Our last small record must not wait for the peer's acknowledgement. On a unix socket this fails, and is not
	 * needed. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	k->fd = fd;
	k->waiting = true;
	connection_deadline(k, SILENT_MS);
	(void)pthread_mutex_lock(&c->lock);
	if (c->count >= MAX_CONNECTIONS)
		shut_oldest(c);
	k->next = c->all;
	if (c->all != NULL)
		c->all->before = k;
	c->all = k;
	c->count++;
	(void)pthread_mutex_unlock(&c->lock);
	await(c, k, EPOLL_CTL_ADD);
}

static void accept_all(struct connections *c)
{
	int fd;

	if (atomic_load(&c->stopping))
		return;
	while ((fd = accept4(c->listening, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno == ECONNABORTED || errno == EINTR)
		if (fd >= 0)
			add(c, fd);
	if (errno == EAGAIN)
		return;
	/* Out of descriptors or memory: one connection less, and the timer comes back here. */
	log_warn("connections: accept: %s", strerror(errno));
	(void)pthread_mutex_lock(&c->lock);
	shut_oldest(c);
	(void)pthread_mutex_unlock(&c->lock);
}

/* The deadlines, and connections that could not be accepted when they came. */
static void *keep_watch(void *ctx)
{
	struct connections *c = ctx;
	struct pollfd end = {.fd = c->end, .events = POLLIN};

	while (poll(&end, 1, WATCH_MS) <= 0) {
		shut_overdue(c);
		accept_all(c);
	}
	return NULL;
}

bool connections_new(struct connections **out, int listening, struct err *e)
{
	struct connections *c = calloc(1, sizeof *c);

	if (c == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_init(&c->lock, NULL);
	c->listening = listening;
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->stop = eventfd(0, EFD_CLOEXEC);
	c->end = eventfd(0, EFD_CLOEXEC);
	/* Edge-triggered, so that a burst of connections wakes one worker, which accepts them all. */
	if (c->epoll < 0 || c->end < 0 || !add_event(c, listening, EPOLLIN | EPOLLET, &c->listening) ||
	    !add_event(c, c->stop, EPOLLIN, &c->stop) || pthread_create(&c->watch, NULL, keep_watch, c) != 0) {
		(void)err_errno(e, errno, "Preparing for connections");
		connections_free(c);
		return false;
	}
	c->watching = true;
	*out = c;
	return true;
}

void connections_keep(struct connections *c, struct connection *k)
{
	if (atomic_load(&c->stopping)) {
		connections_close(c, k);
		return;
	}
	k->waiting = true;
	connection_deadline(k, KEPT_MS);
	await(c, k, EPOLL_CTL_MOD);
}

void connections_linger(struct connections *c, struct connection *k)
{
	(void)shutdown(k->fd, SHUT_WR);
	k->lingering = true;
	connection_deadline(k, LINGER_MS);
	await(c, k, EPOLL_CTL_MOD);
}

static void throw_away(struct connections *c, struct connection *k)
{
	char trash[16 * 1024];
	ssize_t n = recv(k->fd, trash, sizeof trash, MSG_DONTWAIT);

	if (n > 0 || (n < 0 && errno == EAGAIN))
		await(c, k, EPOLL_CTL_MOD);
	else
		connections_close(c, k);
}

/* True where the peer has closed and left nothing to read. */
static bool is_over(const struct connection *k, uint32_t events)
{
	char byte;

	if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0)
		return false;
	return recv(k->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

static struct connection *take(struct connections *c, int timeout)
{
	struct epoll_event event;
	bool told = false;

	for (;;) {
		int n = epoll_wait(c->epoll, &event, 1, timeout);
		struct connection *k = event.data.ptr;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return NULL;
		if (event.data.ptr == &c->stop) {
			/* It stays readable, and goes behind what else is ready: at its second turn nothing is left. */
			if (told)
				return NULL;
			told = true;
		} else if (event.data.ptr == &c->listening) {
			accept_all(c);
		} else if (k->lingering) {
			throw_away(c, k);
		} else if (is_over(k, event.events)) {
			connections_close(c, k);
		} else {
			/* With the lock, or the watch might still take it for one that waits too long. */
			(void)pthread_mutex_lock(&c->lock);
			k->waiting = false;
			k->deadline = 0;
			(void)pthread_mutex_unlock(&c->lock);
			return k;
		}
	}
}

struct connection *connections_take(struct connections *c)
{
	return take(c, -1);
}

struct connection *connections_take_ready(struct connections *c)
{
	return take(c, 0);
}

void connections_stop(struct connections *c)
{
	const uint64_t one = 1;

	atomic_store(&c->stopping, true);
	shut_silent(c);
	if (write(c->stop, &one, sizeof one) != (ssize_t)sizeof one)
		log_error("the workers cannot be told to stop: %s", strerror(errno));
}

void connections_free(struct connections *c)
{
	if (c == NULL)
		return;
	const uint64_t one = 1;

	if (c->watching && write(c->end, &one, sizeof one) == (ssize_t)sizeof one)
		(void)pthread_join(c->watch, NULL);
	while (c->all != NULL)
		connections_close(c, c->all);
	if (c->epoll >= 0)
		(void)close(c->epoll);
	if (c->stop >= 0)
		(void)close(c->stop);
	if (c->end >= 0)
		(void)close(c->end);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}
