#include "core/metrics.h"

#include "core/clock.h"

#include <stdatomic.h>
#include <stddef.h>

/* Upper bounds of the latency histogram, in microseconds. */
static const int64_t bounds[] = {500,    1000,   2500,   5000,    10000,   25000,   50000,
				 100000, 250000, 500000, 1000000, 5000000, 30000000};

#define BOUNDS (sizeof bounds / sizeof bounds[0])
#define CLASSES 6 /* 1xx to 5xx; 0 is anything else */

struct row {
	_Atomic uint64_t by_class[CLASSES];
	_Atomic uint64_t buckets[BOUNDS];
	_Atomic uint64_t count;
	_Atomic uint64_t sum_us;
};

/* The last row is that of requests which found no route. */
static struct row rows[METRICS_MAX_ROUTES + 1];

/* Statuses that an operator asks about one by one, whatever the route. */
static const int statuses[] = {401, 403, 409, 413, 422, 429, 500, 503, 507};

#define STATUSES (sizeof statuses / sizeof statuses[0])

static _Atomic uint64_t by_status[STATUSES];

/* Rows of one name stand together: the text format wants a family in one piece. */
static const struct {
	const char *name;
	const char *label;
	const char *help;
} counter_names[METRICS_COUNTERS] = {
	{"deployments", "state=\"active\"", "Deployments that reached a state, since the start."},
	{"deployments", "state=\"verified\"", NULL},
	{"deployments", "state=\"failed\"", NULL},
	{"deployments", "state=\"rolled_back\"", NULL},
	{"runtime_checks", "result=\"booted\"",
	 "Boot checks by the edge runtime, and questions that it did not answer."},
	{"runtime_checks", "result=\"refused\"", NULL},
	{"runtime_checks", "result=\"unreachable\"", NULL},
	{"sweeps", "result=\"done\"", "Comparisons of the functions folder with the database."},
	{"sweeps", "result=\"failed\"", NULL},
};
static _Atomic uint64_t counters[METRICS_COUNTERS];
static _Atomic int64_t compared_at;

int64_t metrics_now_us(void)
{
	return clock_ns() / 1000;
}

void metrics_request(int route, int status, int64_t micros)
{
	struct row *r = &rows[route >= 0 && route < METRICS_MAX_ROUTES ? route : METRICS_MAX_ROUTES];
	int class = status / 100;

	atomic_fetch_add_explicit(&r->by_class[class > 0 && class < CLASSES ? class : 0], 1, memory_order_relaxed);
	for (size_t i = 0; i < BOUNDS; i++)
		if (micros <= bounds[i]) {
			atomic_fetch_add_explicit(&r->buckets[i], 1, memory_order_relaxed);
			break;
		}
	atomic_fetch_add_explicit(&r->sum_us, (uint64_t)micros, memory_order_relaxed);
	atomic_fetch_add_explicit(&r->count, 1, memory_order_relaxed);
	for (size_t i = 0; i < STATUSES; i++)
		if (status == statuses[i])
			atomic_fetch_add_explicit(&by_status[i], 1, memory_order_relaxed);
}

void metrics_count(enum metrics_counter counter, uint64_t n)
{
	atomic_fetch_add_explicit(&counters[counter], n, memory_order_relaxed);
}

void metrics_compared(void)
{
	atomic_store(&compared_at, metrics_now_us());
}

static void render_counters(struct buf *out)
{
	int64_t at = atomic_load(&compared_at);

	buf_puts(out, "# HELP functions_admin_responses_total Answers with a status that is worth a look, all routes.\n"
		      "# TYPE functions_admin_responses_total counter\n");
	for (size_t i = 0; i < STATUSES; i++)
		buf_printf(out, "functions_admin_responses_total{status=\"%d\"} %llu\n", statuses[i],
			   (unsigned long long)atomic_load(&by_status[i]));
	for (size_t i = 0; i < METRICS_COUNTERS; i++) {
		const char *name = counter_names[i].name;

		if (counter_names[i].help != NULL)
			buf_printf(out, "# HELP functions_admin_%s_total %s\n# TYPE functions_admin_%s_total counter\n",
				   name, counter_names[i].help, name);
		buf_printf(out, "functions_admin_%s_total{%s} %llu\n", name, counter_names[i].label,
			   (unsigned long long)atomic_load(&counters[i]));
	}
	if (at != 0)
		buf_printf(
			out,
			"# HELP functions_admin_compared_seconds Time since folders and database were found to agree.\n"
			"# TYPE functions_admin_compared_seconds gauge\n"
			"functions_admin_compared_seconds %.3f\n",
			(double)(metrics_now_us() - at) / 1e6);
}

static void render_row(struct buf *out, const struct row *r, const char *method, const char *path)
{
	uint64_t cumulative = 0;

	for (size_t i = 0; i < BOUNDS; i++) {
		cumulative += atomic_load_explicit(&r->buckets[i], memory_order_relaxed);
		buf_printf(out, "functions_admin_request_seconds_bucket{method=\"%s\",route=\"%s\",le=\"%g\"} %llu\n",
			   method, path, (double)bounds[i] / 1e6, (unsigned long long)cumulative);
	}
	buf_printf(out,
		   "functions_admin_request_seconds_bucket{method=\"%s\",route=\"%s\",le=\"+Inf\"} %llu\n"
		   "functions_admin_request_seconds_sum{method=\"%s\",route=\"%s\"} %.6f\n"
		   "functions_admin_request_seconds_count{method=\"%s\",route=\"%s\"} %llu\n",
		   method, path, (unsigned long long)atomic_load(&r->count), method, path,
		   (double)atomic_load(&r->sum_us) / 1e6, method, path, (unsigned long long)atomic_load(&r->count));
}

void metrics_render(struct buf *out, int routes, void (*name)(int route, const char **method, const char **path))
{
	buf_puts(out, "# HELP functions_admin_requests_total Requests answered, by route and status class.\n"
		      "# TYPE functions_admin_requests_total counter\n");
	for (int i = 0; i <= METRICS_MAX_ROUTES; i++) {
		const char *method = "";
		const char *path = "none";

		if (i < routes)
			name(i, &method, &path);
		for (int class = 0; class < CLASSES; class ++) {
			uint64_t n = atomic_load_explicit(&rows[i].by_class[class], memory_order_relaxed);

			if (n > 0)
				buf_printf(out,
					   "functions_admin_requests_total{method=\"%s\",route=\"%s\",status=\"%dxx\"} "
					   "%llu\n",
					   method, path, class, (unsigned long long)n);
		}
	}
	buf_puts(out, "# HELP functions_admin_request_seconds Time to answer, by route.\n"
		      "# TYPE functions_admin_request_seconds histogram\n");
	for (int i = 0; i <= METRICS_MAX_ROUTES; i++) {
		const char *method = "";
		const char *path = "none";

		if (i < routes)
			name(i, &method, &path);
		if (atomic_load(&rows[i].count) > 0)
			render_row(out, &rows[i], method, path);
	}
	render_counters(out);
}
