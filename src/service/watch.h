/*
 * watch - takes a new version back by itself when its calls fail.
 *
 * The project's setting auto_rollback: {"min_calls": 20, "error_percent": 50, "window_s": 600} (these are the defaults
 * of its members; without the setting nothing is watched). A version is watched for window_s after it began to serve:
 * once it has answered min_calls calls and at least error_percent of them with 5xx (boot errors count), calls go back
 * to what was there before: the version before it, or in a split the version with the largest other share. The main
 * service counts; docs/releases.md tells more.
 */
#ifndef FA_SERVICE_WATCH_H
#define FA_SERVICE_WATCH_H

#include "service/service.h"

#include <jansson.h>

struct watch;

void watch_free(struct watch *w);

/* One look at the runtime's counts, for the sweep; one thread at a time. */
MUST_CHECK bool watch_sweep(struct service *s, struct err *e);

/* Is this an auto_rollback setting? ERR_INVALID names what is wrong. */
MUST_CHECK bool watch_check(const json_t *setting, struct err *e);

#endif
