/*
 * preflight - the operator's own check of an upload (option preflight_command), such as a linter or a type check.
 *
 * The program runs with the upload as its working directory and the entry point as its argument: without a shell,
 * without our environment, descriptors and signals, without the network (seccomp: sockets of the local family only), in
 * a process group that is killed when preflight_timeout is over. It may read what our user may read, as every program
 * of that user. Limits: preflight_timeout of processor time, 64 MiB a file that it writes, PREFLIGHT_MAX_SAID bytes of
 * what it says.
 */
#ifndef FA_SERVICE_PREFLIGHT_H
#define FA_SERVICE_PREFLIGHT_H

#include "fs/folder.h"
#include "service/service.h"

#define PREFLIGHT_MAX_SAID ((size_t)4096)

/*
 * True where no program is configured, or it ends with status 0. ERR_INVALID "preflight_failed" with what it said, or
 * "preflight_timeout"; ERR_UNAVAILABLE where it cannot be started.
 */
MUST_CHECK bool preflight_run(const struct service *s, struct staging *st, const char *entrypoint, struct err *e);

#endif
