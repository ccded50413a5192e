/*
 * event - what functions say and do: taking it in from the runtime, keeping it for a while, finding it again.
 */
#ifndef FA_SERVICE_EVENT_H
#define FA_SERVICE_EVENT_H

#include "service/service.h"
#include "store/event.h"

#include <jansson.h>

#define EVENT_MAX_BATCH 1000
#define EVENT_MAX_MESSAGE 10000 /* characters; longer ones are cut */

/*
 * Stores a batch {source, batch, dropped?, events} of the runtime's event service, once: one that is sent again is not
 * stored again. *stored: how many events. ERR_INVALID names what is wrong.
 */
MUST_CHECK bool event_take(struct service *s, struct arena *a, const char *project_ref, const json_t *body,
			   int64_t *stored, struct err *e);

MUST_CHECK bool event_find(struct service *s, struct arena *a, const char *project_ref, const struct event_filter *f,
			   struct function_event **out, size_t *count, struct err *e);

MUST_CHECK bool event_numbers(struct service *s, struct arena *a, const char *project_ref, const char *slug,
			      int64_t from, int64_t to, struct function_stats **out, size_t *count, struct err *e);

/* The same by interval of `step` seconds. */
MUST_CHECK bool event_intervals(struct service *s, struct arena *a, const char *project_ref, const char *slug,
				int64_t from, int64_t to, int64_t step, struct function_stats **out, size_t *count,
				struct err *e);

/* The days to come get their partitions; old ones go (options log_retention_days and log_max_bytes). */
MUST_CHECK bool event_tidy(struct service *s, struct err *e);

#endif
