#include "service/watch.h"

#include "core/json.h"
#include "core/log.h"
#include "core/text.h"
#include "service/change.h"
#include "service/probe.h"
#include "store/deployment.h"
#include "store/function.h"
#include "store/project.h"

#include <stdlib.h>
#include <string.h>

struct policy {
	int64_t min_calls;
	int64_t error_percent;
	int64_t window_s;
};

/* A version that has been called. */
struct seen {
	struct seen *next;
	char slug[129];
	int version;
	int64_t updated_at; /* the function's, when `base` was taken: a change since starts the watch anew */
	int64_t calls;      /* at the last look */
	int64_t errors;
	int64_t base_calls; /* when the version began to serve, as far as we know */
	int64_t base_errors;
};

struct watch {
	struct seen *seen;
	bool looked; /* before the first look nothing is known of when calls came */
};

void watch_free(struct watch *w)
{
	while (w != NULL && w->seen != NULL) {
		struct seen *gone = w->seen;

		w->seen = gone->next;
		free(gone);
	}
	free(w);
}

static bool read_policy(const json_t *setting, struct policy *out, struct err *e)
{
	*out = (struct policy){.min_calls = 20, .error_percent = 50, .window_s = 600};
	if (!json_is_object(setting))
		return err_set(e, ERR_INVALID, NULL, "auto_rollback must be an object, or null for none");
	if (!json_get_int(setting, "min_calls", JSON_OPTIONAL, 1, 1000000, &out->min_calls, e) ||
	    !json_get_int(setting, "error_percent", JSON_OPTIONAL, 1, 100, &out->error_percent, e) ||
	    !json_get_int(setting, "window_s", JSON_OPTIONAL, 10, 86400, &out->window_s, e))
		return err_prefix(e, "auto_rollback");
	return true;
}

bool watch_check(const json_t *setting, struct err *e)
{
	struct policy unused;

	return read_policy(setting, &unused, e);
}

static struct seen *find_seen(struct watch *w, const char *slug, int version)
{
	struct seen *p = w->seen;

	while (p != NULL && (p->version != version || !text_eq(p->slug, slug)))
		p = p->next;
	return p;
}

/* What the version has answered since it began to serve; false where it is not to be judged. */
static bool since_start(struct watch *w, struct seen *p, const struct function *f, const struct policy *policy,
			int64_t *calls, int64_t *errors, int64_t now_calls, int64_t now_errors)
{
	/* Counts that fell belong to a runtime that was started anew. */
	if (now_calls < p->calls)
		p->calls = p->errors = p->base_calls = p->base_errors = 0;
	if (p->updated_at != f->updated_at) {
		/* At the very first look it is unknown which calls came before. */
		p->base_calls = w->looked ? p->calls : now_calls;
		p->base_errors = w->looked ? p->errors : now_errors;
		p->updated_at = f->updated_at;
	}
	*calls = now_calls - p->base_calls;
	*errors = now_errors - p->base_errors;
	return service_now() - f->updated_at <= policy->window_s * 1000 && *calls >= policy->min_calls &&
	       *errors * 100 >= policy->error_percent * *calls;
}

/* The deployments that brought the version say what became of it. */
static void mark_deployments(struct service *s, struct arena *a, const struct function *f, int version,
			     const struct err *why)
{
	struct deployment_list list;
	struct err failed = ERR_INIT;
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, &failed) &&
		  deployment_list(c, a, f->project_ref, f->slug, NULL, 20, &list, &failed);

	for (size_t i = 0; ok && i < list.count; i++)
		if (list.items[i].version == version && list.items[i].active_at != 0) {
			ok = deployment_rolled_back(c, a, &list.items[i].id, 1, why, &failed);
			break;
		}
	pg_release(c);
	if (!ok)
		log_warn("%s: that version %d was taken back could not be recorded: %s", f->slug, version,
			 failed.message);
}

static bool take_back(struct service *s, struct arena *a, const struct function *f, const struct shares *shares,
		      int version, const char *message, struct err *e)
{
	const struct actor who = {
		.name = "automatic rollback", .token_id = "", .address = "local", .request_id = "watch"};
	const struct change_request req = {.project_ref = f->project_ref, .slug = f->slug, .message = message};
	struct shares rest = {.count = 1};
	struct function changed;

	for (size_t i = 0; i < shares->count; i++)
		if (shares->items[i].version != version &&
		    (rest.items[0].version == 0 || shares->items[i].percent > rest.items[0].percent))
			rest.items[0] = shares->items[i];
	if (rest.items[0].version == 0)
		return change_roll_back(s, a, &who, &req, 0, &changed, e);
	rest.items[0].percent = 100;
	return change_traffic(s, a, &who, &req, &rest, NULL, &changed, e);
}

/* Of a split the newest version is on trial; without one it is the active version. */
static bool is_on_trial(const struct function *f, const struct shares *shares, int version)
{
	int newest = shares->count == 0 ? f->active_version : 0;

	for (size_t i = 0; i < shares->count; i++)
		if (shares->items[i].version > newest)
			newest = shares->items[i].version;
	return version == newest;
}

static bool judge(struct service *s, struct arena *a, const struct policy *policy, const char *slug, int version,
		  int64_t now_calls, int64_t now_errors, struct err *e)
{
	struct seen *p = find_seen(s->watch, slug, version);
	struct err why = ERR_INIT;
	struct pg_conn *c = NULL;
	struct shares shares;
	struct function f;
	int64_t calls;
	int64_t errors;
	bool found;

	if (p == NULL) {
		p = calloc(1, sizeof *p);
		if (p == NULL)
			return err_no_memory(e);
		(void)strncpy(p->slug, slug, sizeof p->slug - 1);
		p->version = version;
		p->next = s->watch->seen;
		s->watch->seen = p;
	}
	found = now_errors > 0 && pg_acquire(s->pool, &c, e) &&
		function_find_active(c, a, s->cfg->project_ref, slug, &f, e) && function_shares(c, a, f.id, &shares, e);
	pg_release(c);
	if (found && is_on_trial(&f, &shares, version) &&
	    since_start(s->watch, p, &f, policy, &calls, &errors, now_calls, now_errors)) {
		(void)err_set(&why, ERR_INVALID, "auto_rollback", "%lld of %lld calls to version %d failed",
			      (long long)errors, (long long)calls, version);
		if (take_back(s, a, &f, &shares, version, why.message, e)) {
			log_warn("%s: taken back: %s", slug, why.message);
			mark_deployments(s, a, &f, version, &why);
		} else {
			log_error("%s: %s, and it cannot be taken back: %s", slug, why.message, e->message);
		}
	}
	p->calls = now_calls;
	p->errors = now_errors;
	/* A function that is gone, or that cannot be taken back, is no reason not to look at the others. */
	return true;
}

static bool judge_all(struct service *s, struct arena *a, const struct policy *policy, struct err *e)
{
	json_t *counts = probe_counts(s->probe, e);
	bool ok = counts != NULL;

	for (size_t i = 0; ok && i < json_array_size(counts); i++) {
		const char *slug = NULL;
		json_int_t calls = 0;
		json_int_t errors = 0;
		int version = 0;

		if (json_unpack(json_array_get(counts, i), "{s:s, s:i, s:I, s:I}", "slug", &slug, "version", &version,
				"calls", &calls, "errors", &errors) == 0)
			ok = judge(s, a, policy, slug, version, calls, errors, e);
	}
	json_decref(counts);
	s->watch->looked = true;
	return ok;
}

bool watch_sweep(struct service *s, struct err *e)
{
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	json_t *settings = NULL;
	json_t *setting;
	struct project project;
	struct policy policy;
	bool ok = a != NULL || err_no_memory(e);

	if (ok && s->watch == NULL && (s->watch = calloc(1, sizeof *s->watch)) == NULL)
		ok = err_no_memory(e);
	ok = ok && pg_acquire(s->pool, &c, e) && project_find(c, a, s->cfg->project_ref, &project, e);
	pg_release(c);
	if (ok) {
		settings = json_loads(project.settings, 0, NULL);
		setting = json_object_get(settings, "auto_rollback");
		if (setting != NULL && s->probe != NULL)
			ok = read_policy(setting, &policy, e) && judge_all(s, a, &policy, e);
	}
	json_decref(settings);
	arena_free(a);
	return ok;
}
