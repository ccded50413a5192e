#include "http/listen.h"

#include "core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024
#define SYSTEMD_FIRST_FD 3

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

int listen_open(const char *on, unsigned mode, char **unix_path, struct err *e)
{
	int64_t number;
	int fd;

	*unix_path = NULL;
	if (is_activated()) {
		fd = inherited(SYSTEMD_FIRST_FD, e);
	} else if (text_starts(on, "fd:") && text_int64(on + 3, 0, INT32_MAX, &number)) {
		fd = inherited(number, e);
	} else if (text_starts(on, "unix:")) {
		fd = open_unix(on + 5, mode, e);
		if (fd >= 0)
			*unix_path = strdup(on + 5);
	} else {
		fd = open_tcp(on, e);
	}
	/* Whoever waits for connections waits in epoll; accept() itself must never wait. */
	if (fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
		(void)err_errno(e, errno, "listen");
		(void)close(fd);
		fd = -1;
	}
	return fd;
}
