/*
 * sandbox - what the serving process gives up before it starts: root, capabilities, core dumps, other programs, files,
 * connections.
 *
 * Linux only. Called by the main thread before any other thread is there, since threads inherit what it gave up.
 */
#ifndef FA_CORE_SANDBOX_H
#define FA_CORE_SANDBOX_H

#include "core/config.h"
#include "core/error.h"

/*
 * Always: ERR_CONFIG as root unless allow_root; no core dumps, no debugger of the same user, no new privileges, no
 * capabilities but those that were lent on purpose (ambient ones).
 */
MUST_CHECK bool sandbox_harden(const struct config *cfg, struct err *e);

/*
 * By the option sandbox. auto and on: system calls that this program never makes are refused (starting programs,
 * tracing, mounting, namespaces, kernel modules, keyrings). on: also files, by Landlock: reading below the system's own
 * folders and the configuration's, writing below functions_dir, spool_dir, secrets_dir, the socket's and the pid file's
 * folders, and sandbox_paths; nothing can be executed. And TCP connections, where Landlock can (Linux 6.7): to
 * database_ports (separated by commas; NULL or "" for none), the ports of runtime_url and jwks_url, 53 (DNS), and
 * sandbox_ports, on any host; a TCP port is bound only where `listen` names it, and no other transport than TCP and UDP
 * is there. Neither UDP nor listening on a port of the kernel's choice is restricted. An older kernel leaves
 * connections as they are, which the log says. ERR_CONFIG for on where the kernel lacks the rest, or
 * secrets_key_command or preflight_command is set.
 */
MUST_CHECK bool sandbox_enter(const struct config *cfg, const char *database_ports, struct err *e);

#endif
