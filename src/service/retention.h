/*
 * retention - what is kept, and removing the rest: versions, deleted functions, blobs that no version has.
 *
 * The project's setting retention: {"versions": 100, "days": 0, "deleted_days": 30}; these are the defaults (a version
 * goes only when it is beyond the newest `versions` AND older than `days`). What is active, has a share of the calls,
 * or was active before the present version always stays. Each step is a transaction of its own, so an interrupted run
 * has removed whole things only.
 */
#ifndef FA_SERVICE_RETENTION_H
#define FA_SERVICE_RETENTION_H

#include "service/service.h"

#include <jansson.h>

struct retention_report {
	int64_t versions;
	int64_t functions; /* deleted ones that can be restored no longer */
	int64_t blobs;
	int64_t blob_bytes;
};

/* shown: called for each version that goes; may be NULL. dry: nothing is removed; blobs of versions that would go are
 * not counted. */
MUST_CHECK bool retention_run(struct service *s, const char *project_ref, bool dry,
			      void (*shown)(void *ctx, const char *slug, int version, int64_t size), void *ctx,
			      struct retention_report *out, struct err *e);

/* Is this a retention setting? ERR_INVALID names what is wrong. */
MUST_CHECK bool retention_check(const json_t *setting, struct err *e);

#endif
