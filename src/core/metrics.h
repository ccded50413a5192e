/*
 * metrics - counters for Prometheus (text exposition format 0.0.4). Lock-free; kept for the life of the process.
 */
#ifndef FA_CORE_METRICS_H
#define FA_CORE_METRICS_H

#include "core/buf.h"

#include <stdint.h>

#define METRICS_MAX_ROUTES 128

/* Microseconds of a clock that only goes forward. */
int64_t metrics_now_us(void);

/* One answered request. route: the place in the route table, or -1 for none. */
void metrics_request(int route, int status, int64_t micros);

/* What is counted beside requests; the order is that of the table in metrics.c. */
enum metrics_counter {
	METRICS_DEPLOYMENT_ACTIVE,
	METRICS_DEPLOYMENT_VERIFIED,
	METRICS_DEPLOYMENT_FAILED,
	METRICS_DEPLOYMENT_ROLLED_BACK,
	METRICS_RUNTIME_BOOTED,
	METRICS_RUNTIME_REFUSED,
	METRICS_RUNTIME_UNREACHABLE,
	METRICS_SWEEP_DONE,
	METRICS_SWEEP_FAILED,
	METRICS_COUNTERS
};
void metrics_count(enum metrics_counter counter, uint64_t n);

/* All folders and the database have just been compared, and agree. */
void metrics_compared(void);

/* Appends all of them; name(ctx, route) gives a route's "METHOD /path" as two strings. */
void metrics_render(struct buf *out, int routes, void (*name)(int route, const char **method, const char **path));

#endif
