/*
 * daemon - what the commands have in common that run for long, serve and agent: signals, what they give up, their file
 * with the process id.
 */
#ifndef FA_CMD_DAEMON_H
#define FA_CMD_DAEMON_H

#include "core/config.h"
#include "service/service.h"

#include <signal.h>

/* SIGTERM, SIGINT and SIGHUP wait for the main thread, in *signals; SIGPIPE is ignored. Before any thread starts. */
void daemon_block_signals(sigset_t *signals);

/*
 * The log as configured; gives up root, capabilities, files and connections (core/sandbox.h); the umask; how the
 * allocator gives memory back. Before any thread starts, so that all are held by it.
 */
MUST_CHECK bool daemon_begin(const struct config *cfg, struct err *e);

/* The schema must be there, and ours: with an older one call after call would fail, with errors that say nothing. */
MUST_CHECK bool daemon_check_schema(struct service *s, struct err *e);

/* config_load() takes its options out of the array that it is given; a reload needs them again. free() the array. */
char **daemon_copy_arguments(int argc, char *const *argv);

/* The log's options take effect at once; everything else is what a process starts with, so a restart changes it. own:
 * as for config_load(). */
void daemon_reload(int argc, char *const *argv, const char *const *own);

/* The option pid_file. */
MUST_CHECK bool daemon_write_pid(const struct config *cfg, struct err *e);
void daemon_remove_pid(const struct config *cfg);

#endif
