#include "cmd/daemon.h"

#include "core/log.h"
#include "core/sandbox.h"
#include "service/function.h"
#include "service/ownership.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void daemon_block_signals(sigset_t *signals)
{
	(void)sigemptyset(signals);
	(void)sigaddset(signals, SIGTERM);
	(void)sigaddset(signals, SIGINT);
	(void)sigaddset(signals, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, signals, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

/* Of the database, and of the replica where there is one. */
static bool database_ports(const struct config *cfg, char **out, struct err *e)
{
	struct config there = *cfg;
	char *replica = NULL;
	char *both = NULL;

	if (cfg->replica_url == NULL)
		return pg_ports(cfg, out, e);
	there.database_url = cfg->replica_url;
	if (!pg_ports(cfg, out, e) || !pg_ports(&there, &replica, e))
		return false;
	if (asprintf(&both, "%s%s%s", *out, (*out)[0] != '\0' && replica[0] != '\0' ? "," : "", replica) < 0)
		both = NULL;
	free(*out);
	free(replica);
	*out = both;
	return both != NULL || err_no_memory(e);
}

static bool give_up(const struct config *cfg, struct err *e)
{
	char *ports = NULL;
	bool ok = sandbox_harden(cfg, e) && database_ports(cfg, &ports, e) && sandbox_enter(cfg, ports, e);

	free(ports);
	return ok;
}

/* Of glibc, which by itself makes up to eight for each processor, and each keeps the megabytes that its largest request
 * took. Sharing them keeps these megabytes once, and warm: with every large piece given back at once (M_MMAP_THRESHOLD)
 * a deploy of 1 MB by MCP faults in 900 pages again. */
#define ARENAS 2

bool daemon_begin(const struct config *cfg, struct err *e)
{
	(void)mallopt(M_ARENA_MAX, ARENAS);
	if (!log_setup(cfg->log_level, cfg->log_format))
		return err_set(e, ERR_CONFIG, NULL, "log_level or log_format is not known");
	if (!give_up(cfg, e))
		return false;
	/* Modes of what the runtime reads are the option's; everything else is made with its own narrow mode. */
	(void)umask((mode_t)(0777 & ~cfg->functions_mode));
	return true;
}

bool daemon_check_schema(struct service *s, struct err *e)
{
	struct arena *a = arena_new(0);
	bool ok = a != NULL ? function_ready(s, a, e) && ownership_claim(s, e) : err_no_memory(e);

	arena_free(a);
	return ok;
}

char **daemon_copy_arguments(int argc, char *const *argv)
{
	char **copy = calloc((size_t)argc + 1, sizeof *copy);

	if (copy != NULL)
		memcpy(copy, argv, (size_t)argc * sizeof *copy);
	return copy;
}

void daemon_reload(int argc, char *const *argv, const char *const *own)
{
	char **again = daemon_copy_arguments(argc, argv);
	struct config *fresh = NULL;
	struct err e = ERR_INIT;

	if (again == NULL)
		(void)err_no_memory(&e);
	if (again == NULL || !config_load(&fresh, &argc, again, own, &e))
		log_error("reload: %s; nothing was changed", e.message);
	else if (log_setup(fresh->log_level, fresh->log_format))
		log_info("reload: log_level %s, log_format %s; other options need a restart", fresh->log_level,
			 fresh->log_format);
	config_free(fresh);
	free(again);
}

bool daemon_write_pid(const struct config *cfg, struct err *e)
{
	const char *path = cfg->pid_file;
	char text[24];
	int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	int fd;

	if (path == NULL || path[0] == '\0')
		return true;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, (size_t)n) != n) {
		(void)err_errno(e, errno, "pid_file: %s", path);
		if (fd >= 0)
			(void)close(fd);
		return false;
	}
	return close(fd) == 0 ? true : err_errno(e, errno, "pid_file: %s", path);
}

void daemon_remove_pid(const struct config *cfg)
{
	if (cfg->pid_file != NULL && cfg->pid_file[0] != '\0')
		(void)unlink(cfg->pid_file);
}
