/*
 * probe - asks the edge runtime's main service: does this version boot, which generation do you serve
 * (docs/runtime.md).
 *
 * Thread-safe; keeps connections to the runtime open. Limits: an answer of 1 MiB; the deadline of the options
 * boot_timeout and request_timeout.
 */
#ifndef FA_SERVICE_PROBE_H
#define FA_SERVICE_PROBE_H

#include "core/arena.h"
#include "core/error.h"

#include <jansson.h>
#include <stdint.h>

struct probe;

MUST_CHECK bool probe_new(struct probe **out, const char *runtime_url, const char *token, int64_t boot_timeout_ms,
			  int64_t timeout_ms, struct err *e);
void probe_free(struct probe *p);

/*
 * Boots a staged version without calling its handler. ERR_INVALID "boot_failed" with the runtime's own words where it
 * does not boot; ERR_UNAVAILABLE where the runtime cannot be asked. *check: "full" or "weak".
 */
MUST_CHECK bool probe_boot(struct probe *p, const char *slug, const json_t *version, const char **check, int *boot_ms,
			   struct err *e);

/* Waits until the runtime serves this generation or a later one. ERR_UNAVAILABLE where it does not within the deadline.
 */
MUST_CHECK bool probe_wait_generation(struct probe *p, const char *project_ref, int64_t generation, struct err *e);

/*
 * A request to a function, for the smoke test; bearer: a key to send, or NULL. Only the status of the answer counts.
 */
MUST_CHECK bool probe_call(struct probe *p, const char *method, const char *path, const char *bearer,
			   int64_t timeout_ms, long *status, struct err *e);

/* As above, for the revision of the secrets. */
MUST_CHECK bool probe_wait_secrets(struct probe *p, const char *project_ref, int64_t revision, struct err *e);

/* One question, for doctor and readiness. */
MUST_CHECK bool probe_generation(struct probe *p, char project[21], int64_t *generation, struct err *e);

/* [{"slug", "version", "calls", "errors"}] since the runtime's start, by version; the caller drops the reference. NULL
 * with the error set. */
json_t *probe_counts(struct probe *p, struct err *e);

#endif
