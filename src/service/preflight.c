#include "service/preflight.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/text.h"
#include "fs/release.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WRITTEN ((rlim_t)64 * 1024 * 1024)
/* The child's status where the program could not be started; what a shell says of it. */
#define NOT_STARTED 127

/* Sockets of other families than the local one fail; nothing else is filtered. */
static bool give_up_network(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

static bool limit(__rlimit_resource_t what, rlim_t most)
{
	const struct rlimit l = {.rlim_cur = most, .rlim_max = most};

	return setrlimit(what, &l) == 0;
}

/* In the child of a process with threads: only what may be called there (signal-safety(7)). */
static void become(const char *program, const char *entrypoint, int dir, int said, rlim_t seconds)
{
	char *const argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)entrypoint, NULL};
	static char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/nonexistent", "LANG=C.UTF-8",
				    "NO_COLOR=1", NULL};
	sigset_t none;
	int nothing;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)setpgid(0, 0);
	nothing = open("/dev/null", O_RDONLY);
	if (fchdir(dir) == 0 && nothing >= 0 && dup2(nothing, 0) >= 0 && dup2(said, 1) >= 0 && dup2(said, 2) >= 0 &&
	    syscall(SYS_close_range, 3U, ~0U, 0U) == 0 && limit(RLIMIT_CPU, seconds) &&
	    limit(RLIMIT_FSIZE, MAX_WRITTEN) && give_up_network())
		(void)execve(program, argv, env);
	_exit(NOT_STARTED);
}

/* What it says, until it has nothing more to say, or the time is over. */
static bool listen_to(int fd, int64_t deadline, char *out, size_t size)
{
	struct pollfd waiting = {.fd = fd, .events = POLLIN};
	size_t len = 0;

	out[0] = '\0';
	for (;;) {
		int64_t left = deadline - clock_ms();
		char piece[1024];
		ssize_t n;

		if (left <= 0)
			return false;
		if (poll(&waiting, 1, (int)left) <= 0)
			continue;
		n = read(fd, piece, sizeof piece);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return true;
		/* The end is what matters; but what fits is kept from the beginning, where the first error stands. */
		if (len + 1 < size) {
			size_t take = (size_t)n < size - 1 - len ? (size_t)n : size - 1 - len;

			memcpy(out + len, piece, take);
			len += take;
			out[len] = '\0';
		}
	}
}

/* It may hold anything: one line of text is left of it. */
static void clean(char *said)
{
	size_t n = 0;

	for (const char *p = said; *p != '\0'; p++) {
		bool space = (unsigned char)*p <= ' ' || *p == 127;

		if (space && (n == 0 || said[n - 1] == ' '))
			continue;
		said[n++] = space ? ' ' : *p;
	}
	while (n > 0 && said[n - 1] == ' ')
		n--;
	said[n] = '\0';
	if (!text_utf8_valid(said, n))
		said[0] = '\0';
}

static bool judge(int status, bool in_time, char *said, const struct config *cfg, struct err *e)
{
	if (!in_time) {
		(void)err_set(e, ERR_INVALID, "preflight_timeout", "The preflight check took longer than %lld ms",
			      (long long)cfg->preflight_timeout);
		return err_hint(e, "The option preflight_timeout sets the limit.");
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_STARTED && said[0] == '\0') {
		log_error("preflight_command %s cannot be started", cfg->preflight_command);
		(void)err_set(e, ERR_UNAVAILABLE, "preflight_unavailable", "The preflight check cannot be started");
		return err_hint(e,
				"The option preflight_command names it: is it there, and executable for the user that "
				"functions-admin runs as?");
	}
	clean(said);
	return err_set(e, ERR_INVALID, "preflight_failed", "The preflight check refuses the upload: %s",
		       said[0] != '\0' ? said : "it did not say why");
}

static bool run(const struct service *s, int dir, const char *entrypoint, struct err *e)
{
	const struct config *cfg = s->cfg;
	int64_t deadline = clock_ms() + cfg->preflight_timeout;
	char said[PREFLIGHT_MAX_SAID];
	int status = 0;
	bool in_time;
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return err_errno(e, errno, "The preflight check");
	child = fork();
	if (child == 0)
		become(cfg->preflight_command, entrypoint, dir, ends[1], (rlim_t)(cfg->preflight_timeout / 1000 + 1));
	(void)close(ends[1]);
	if (child < 0) {
		(void)close(ends[0]);
		return err_errno(e, errno, "The preflight check");
	}
	in_time = listen_to(ends[0], deadline, said, sizeof said);
	(void)close(ends[0]);
	/* It, and what it has started and left. */
	(void)kill(-child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
	}
	return judge(status, in_time, said, cfg, e);
}

bool preflight_run(const struct service *s, struct staging *st, const char *entrypoint, struct err *e)
{
	const char *program = s->cfg->preflight_command;
	bool ok;
	int dir;

	if (program == NULL || program[0] == '\0')
		return true;
	dir = staging_open_dir(st, RELEASE_SOURCE);
	if (dir < 0)
		return err_errno(e, errno, "The preflight check");
	ok = run(s, dir, entrypoint, e);
	(void)close(dir);
	return ok;
}
