/*
 * smoke - a project's optional test after each activation: one request to each changed function; failing it rolls back.
 *
 * The project's setting smoke_test: {"path": "/{slug}/health", "method": "GET", "min_status": 200, "max_status": 299,
 * "timeout_ms": 5000}. The path is that of the runtime, {slug} stands for the function's; the project's anon key is
 * sent along where there is one.
 */
#ifndef FA_SERVICE_SMOKE_H
#define FA_SERVICE_SMOKE_H

#include "service/service.h"

#include <jansson.h>

/* True where the project has no such setting, or the answer is as wished. ERR_INVALID "smoke_test_failed". */
MUST_CHECK bool smoke_test(struct service *s, struct arena *a, const char *project_ref, const char *slug,
			   struct err *e);

/* Is this a smoke_test setting? ERR_INVALID names what is wrong. */
MUST_CHECK bool smoke_check(const json_t *setting, struct err *e);

#endif
