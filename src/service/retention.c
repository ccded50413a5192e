#include "service/retention.h"

#include "core/crash.h"
#include "core/json.h"
#include "service/apply.h"
#include "store/idempotency.h"
#include "store/project.h"
#include "store/retention.h"

#define MAX_DAYS 36500

struct policy {
	int64_t versions;
	int64_t days;
	int64_t deleted_days;
};

static bool read_policy(const json_t *setting, struct policy *out, struct err *e)
{
	*out = (struct policy){.versions = 100, .days = 0, .deleted_days = 30};
	if (setting == NULL)
		return true;
	if (!json_is_object(setting))
		return err_set(e, ERR_INVALID, NULL, "retention must be an object, or null for the defaults");
	if (!json_get_int(setting, "versions", JSON_OPTIONAL, 1, INT32_MAX, &out->versions, e) ||
	    !json_get_int(setting, "days", JSON_OPTIONAL, 0, MAX_DAYS, &out->days, e) ||
	    !json_get_int(setting, "deleted_days", JSON_OPTIONAL, 0, MAX_DAYS, &out->deleted_days, e))
		return err_prefix(e, "retention");
	return true;
}

bool retention_check(const json_t *setting, struct err *e)
{
	struct policy unused;

	return read_policy(setting, &unused, e);
}

struct run {
	const char *project_ref;
	struct policy policy;
	bool dry;
	void (*shown)(void *ctx, const char *slug, int version, int64_t size);
	void *ctx;
	struct retention_report *report;
};

/* One batch of versions; *more tells whether there may be another. */
static bool remove_versions(struct run *run, struct pg_conn *c, struct arena *a, bool *more, struct err *e)
{
	struct old_version *old;
	size_t count = 0;

	if (!pg_begin(c, e) || (!run->dry && !retention_lock(c, a, run->project_ref, e)) ||
	    !retention_old_versions(c, a, run->project_ref, run->policy.versions, run->policy.days, &old, &count, e) ||
	    (!run->dry && count > 0 && !retention_delete_versions(c, a, old, count, e)))
		return false;
	FA_CRASH_POINT("prune.before_commit");
	if (!pg_commit(c, e))
		return false;
	FA_CRASH_POINT("prune.versions_removed");
	for (size_t i = 0; run->shown != NULL && i < count; i++)
		run->shown(run->ctx, old[i].slug, old[i].version, old[i].size);
	run->report->versions += (int64_t)count;
	*more = count > 0 && !run->dry;
	return true;
}

static bool remove_blobs(struct run *run, struct pg_conn *c, struct arena *a, bool *more, struct err *e)
{
	int64_t count = 0;
	int64_t bytes = 0;

	*more = false;
	if (!retention_blobs(c, a, run->dry, &count, &bytes, e))
		/* An upload began to use one of them meanwhile: the next run sees that. */
		return pg_is_foreign_key_violation(c);
	FA_CRASH_POINT("prune.blobs_removed");
	run->report->blobs += count;
	run->report->blob_bytes += bytes;
	*more = count > 0 && !run->dry;
	return true;
}

static bool run_all(struct service *s, struct run *run, struct pg_conn *c, struct arena *a, struct err *e)
{
	static bool (*const steps[])(struct run * run, struct pg_conn * c, struct arena * a, bool *more,
				     struct err *e) = {
		remove_versions,
		remove_blobs,
	};
	if (!retention_deleted_functions(c, a, run->project_ref, run->policy.deleted_days, run->dry,
					 &run->report->functions, e))
		return false;
	FA_CRASH_POINT("prune.functions_removed");
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
		for (bool more = true; more;) {
			arena_reset(a);
			if (!steps[i](run, c, a, &more, e))
				return false;
		}
	if (run->dry)
		return true;
	arena_reset(a);
	/* A command has no folder of its own; the service, which has it, comes by within the hour, and when it starts.
	 */
	if (s->folder != NULL && !apply_remove_gone(s, c, a, e))
		return false;
	FA_CRASH_POINT("prune.releases_removed");
	return idempotency_sweep(c, a, e);
}

bool retention_run(struct service *s, const char *project_ref, bool dry,
		   void (*shown)(void *ctx, const char *slug, int version, int64_t size), void *ctx,
		   struct retention_report *out, struct err *e)
{
	struct run run = {.project_ref = project_ref, .dry = dry, .shown = shown, .ctx = ctx, .report = out};
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	struct project project;
	json_t *settings = NULL;
	bool ok = a != NULL || err_no_memory(e);

	*out = (struct retention_report){0};
	ok = ok && pg_acquire(s->pool, &c, e) && project_find(c, a, project_ref, &project, e);
	if (ok) {
		settings = json_stored(project.settings, e);
		ok = settings != NULL && read_policy(json_object_get(settings, "retention"), &run.policy, e) &&
		     run_all(s, &run, c, a, e);
	}
	json_decref(settings);
	pg_release(c);
	arena_free(a);
	return ok;
}
