#include "service/rollout.h"

#include "core/crash.h"
#include "core/log.h"
#include "core/metrics.h"
#include "service/apply.h"
#include "service/background.h"
#include "service/bell.h"
#include "service/fleet.h"
#include "service/hold.h"
#include "service/node.h"
#include "service/prepare.h"
#include "service/probe.h"
#include "service/settings.h"
#include "service/smoke.h"
#include "service/state.h"
#include "store/audit.h"
#include "store/deployment.h"
#include "store/function.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void tell(const struct rollout *r, const char *stage)
{
	bell_ring();
	if (r->progress != NULL)
		r->progress(r->progress_ctx, stage);
}

static const char *number_text(struct arena *a, int n)
{
	return n > 0 ? arena_printf(a, "%d", n) : NULL;
}

const char *rollout_shares_json(struct arena *a, const struct shares *shares)
{
	const char *text = "";

	if (shares->count == 0)
		return NULL;
	for (size_t i = 0; i < shares->count && text != NULL; i++)
		text = arena_printf(a, "%s%s{\"version\": %d, \"percent\": %d}", text, i > 0 ? ", " : "",
				    shares->items[i].version, shares->items[i].percent);
	return text != NULL ? arena_printf(a, "[%s]", text) : NULL;
}

/* Activate, show, confirm */

static bool commit(struct service *s, struct arena *a, const struct actor *who, struct activation_set *set,
		   const char *action, struct err *e)
{
	struct audit_entry *entries = arena_array(a, set->count, sizeof *entries);
	const struct pg_result *head;
	struct pg_conn *c = NULL;
	bool ok = false;

	if (entries == NULL)
		return err_no_memory(e);
	if (!pg_acquire(s->pool, &c, e) || !pg_begin(c, e))
		goto out;
	if (!deployment_activate(c, a, set, who, &head, e)) {
		deployment_explain(c, set, e);
		goto out;
	}
	for (size_t i = 0; i < set->count; i++)
		entries[i] = (struct audit_entry){
			.project_ref = set->project_ref,
			.action = action,
			.target = set->items[i].slug,
			.outcome = "done",
			.before = number_text(a, set->items[i].version_before),
			.after = number_text(a, set->items[i].version_after),
		};
	ok = audit_write_all(c, a, who, entries, set->count, head, e);
	FA_CRASH_POINT("activate.before_commit");
	ok = ok && pg_commit(c, e);
	if (!ok)
		deployment_explain(c, set, e);
	FA_CRASH_POINT("activate.after_commit");
	for (size_t i = 0; ok && i < set->count; i++)
		metrics_count(METRICS_DEPLOYMENT_ACTIVE, set->items[i].deployment_id != NULL ? 1 : 0);
out:
	pg_release(c);
	return ok;
}

static const char **deployment_ids(struct arena *a, const struct activation_set *set, size_t *count)
{
	const char **ids = arena_array(a, set->count, sizeof *ids);

	*count = 0;
	for (size_t i = 0; ids != NULL && i < set->count; i++)
		if (set->items[i].deployment_id != NULL)
			ids[(*count)++] = set->items[i].deployment_id;
	return ids;
}

/* Puts back what was active before, so that database and folder agree again on what is served; `why` is what the rows
 * will say. */
static void take_back(struct service *s, struct arena *a, const struct actor *who, const struct activation_set *set,
		      const char *const *traffic_before, const struct err *why)
{
	struct err failed = ERR_INIT;
	struct activation *items = arena_array(a, set->count, sizeof *items);
	struct activation_set back = {
		.project_ref = set->project_ref,
		.items = items,
		.count = set->count,
		.source = "revert",
		.message = why->message,
		.restore = true,
		.node = set->node,
	};
	struct pg_conn *c = NULL;
	size_t count;
	const char **ids = deployment_ids(a, set, &count);
	bool ok = items != NULL && ids != NULL;
	bool verified;

	FA_CRASH_POINT("take_back.begun");
	for (size_t i = 0; ok && i < set->count; i++)
		items[i] = (struct activation){
			.function_id = set->items[i].function_id,
			.slug = set->items[i].slug,
			.version_after = set->items[i].version_before,
			.traffic_after = traffic_before[i],
		};
	ok = ok && commit(s, a, who, &back, "function.revert", &failed);
	FA_CRASH_POINT("take_back.committed");
	ok = ok && apply_generation(s, back.generation, &failed);
	FA_CRASH_POINT("take_back.shown");
	/* What went wrong on a node may go wrong there once more; the others are back before the caller is told. */
	if (ok && !back.alone && !fleet_confirm(s, back.generation, 0, &verified, &failed))
		log_warn("generation %lld: %s", (long long)back.generation, failed.message);
	if (!ok)
		log_error("generation %lld cannot be taken back now: %s", (long long)set->generation, failed.message);
	metrics_count(METRICS_DEPLOYMENT_ROLLED_BACK, count);
	if (count > 0 && (!pg_acquire(s->pool, &c, &failed) || !deployment_rolled_back(c, a, ids, count, why, &failed)))
		log_error("deployments of generation %lld: that they were taken back could not be recorded: %s",
			  (long long)set->generation, failed.message);
	FA_CRASH_POINT("take_back.recorded");
	pg_release(c);
}

static void mark_verified(struct service *s, struct arena *a, const struct activation_set *set)
{
	struct err failed = ERR_INIT;
	struct pg_conn *c = NULL;
	size_t count;
	const char **ids = deployment_ids(a, set, &count);

	metrics_count(METRICS_DEPLOYMENT_VERIFIED, count);
	/* Lazily: a crash may lose the mark, not the fact. */
	if (count > 0 && (!pg_acquire(s->pool, &c, &failed) || !pg_begin_lazy(c, &failed) ||
			  !deployment_verified(c, a, ids, count, &failed) || !pg_commit(c, &failed)))
		log_warn("the runtime's confirmation could not be recorded: %s", failed.message);
	FA_CRASH_POINT("verified.recorded");
	pg_release(c);
}

/* What an activation of one function without a split changes, which needs no asking; NULL where it was another. One
 * that is pinned to a revision of the secrets needs more than the manifest. */
static const struct state *known_state(struct arena *a, const struct rollout *r, const struct activation_set *set)
{
	struct function *f = &r->items[0].function;
	struct state *known = NULL;

	if (r->count == 1 && r->items[0].shares.count == 0 &&
	    (f->version.number == 0 || settings_pin(f->version.settings) == 0))
		known = arena_alloc(a, sizeof *known);
	if (known != NULL)
		*known = (struct state){.project = {.ref = set->project_ref,
						    .generation = set->generation,
						    .release_number = set->release_number,
						    .settings = set->settings,
						    .secrets_revision = set->secrets_revision},
					.list = {.items = f, .count = 1}};
	return known;
}

static bool show_and_confirm(struct service *s, struct arena *a, const struct rollout *r,
			     const struct activation_set *set, bool *verified, struct err *e)
{
	bool asked = service_shows(s) && s->probe != NULL;
	bool everywhere = true;

	if (!apply_committed(s, set->generation, known_state(a, r, set), e) ||
	    (asked && !probe_wait_generation(s->probe, set->project_ref, set->generation, e)) ||
	    ((!set->alone || !service_shows(s)) && !fleet_confirm(s, set->generation, 0, &everywhere, e)))
		return false;
	*verified = everywhere && (asked || !service_shows(s));
	if (s->probe == NULL)
		return true;
	for (size_t i = 0; i < set->count; i++)
		if (set->items[i].version_after != 0 && !smoke_test(s, a, set->project_ref, set->items[i].slug, e))
			return false;
	return true;
}

/* From "ready" to "served", or back to what was before. */
static bool activate(struct service *s, struct arena *a, const struct actor *who, struct rollout *r,
		     struct activation_set *set, struct err *e)
{
	const char **traffic_before = arena_array(a, set->count, sizeof *traffic_before);

	if (traffic_before == NULL)
		return err_no_memory(e);
	if (!commit(s, a, who, set, r->action, e))
		return false;
	for (size_t i = 0; i < set->count; i++)
		traffic_before[i] = set->items[i].traffic_before;
	r->generation = set->generation;
	r->release_number = set->release_number;
	r->at = set->at;
	tell(r, "active");
	if (!show_and_confirm(s, a, r, set, &r->verified, e)) {
		r->verified = false;
		take_back(s, a, who, set, traffic_before, e);
		return false;
	}
	if (r->verified) {
		tell(r, "verified");
		mark_verified(s, a, set);
	}
	return true;
}

/* After the fact */

/* Tells the deployments' rows how they ended; the caller's own error stays as it is. */
static void record_failure(struct service *s, struct arena *a, const struct rollout *r, const struct err *why)
{
	struct err ignored = ERR_INIT;
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, &ignored);

	for (size_t i = 0; i < r->count; i++) {
		if (r->items[i].deployment_id[0] == '\0')
			continue;
		log_warn("deployment %s of %s failed: %s", r->items[i].deployment_id, r->items[i].function.slug,
			 why->message);
		metrics_count(METRICS_DEPLOYMENT_FAILED, 1);
		ok = ok && deployment_fail(c, a, r->items[i].deployment_id, why, &ignored);
	}
	if (!ok)
		log_warn("a failed deployment could not be recorded; the sweep does it");
	pg_release(c);
}

static bool run_held(struct service *s, struct arena *a, const struct actor *who, struct rollout *r, struct err *e)
{
	struct activation *items = arena_array(a, r->count, sizeof *items);
	struct activation_set set = {
		.project_ref = r->project_ref,
		.items = items,
		.count = r->count,
		.source = r->source,
		.message = r->message,
		.restore = r->restore,
		.node = node_id(s),
	};
	struct fleet_rollout elsewhere;
	bool ok;

	if (items == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < r->count; i++) {
		const struct rollout_item *ri = &r->items[i];

		items[i] = (struct activation){
			.function_id = ri->function.id,
			.slug = ri->function.slug,
			.name = ri->name,
			.version_after = ri->function.version.number,
			.traffic_after = rollout_shares_json(a, &ri->shares),
			.sticky = ri->sticky,
			.deployment_id = ri->deployment_id[0] != '\0' ? ri->deployment_id : NULL,
			.expected = ri->expected,
		};
		if (ri->shares.count > 0 && items[i].traffic_after == NULL)
			return err_no_memory(e);
	}
	/* The other nodes and this one at the same time. */
	ok = fleet_begin(s, a, r, &elsewhere, e) && prepare_all(s, a, who, r->items, r->count, items, e) &&
	     fleet_await_staged(s, &elsewhere, e);
	if (ok)
		tell(r, "booted");
	ok = ok && activate(s, a, who, r, &set, e);
	fleet_finish(s, a, &elsewhere, r->generation);
	if (!ok)
		return false;
	FA_CRASH_POINT("activate.confirmed");
	log_info("generation %lld is %s", (long long)r->generation, r->verified ? "served" : "active");
	return true;
}

bool rollout_run(struct service *s, struct arena *a, const struct actor *who, struct rollout *r, struct err *e)
{
	size_t held = 0;
	bool ok = (s->folder != NULL && strcmp(r->project_ref, s->cfg->project_ref) == 0) ||
		  service_not_here(s, r->project_ref, e);

	while (ok && held < r->count) {
		ok = hold_take(s, r->items[held].function.slug, e);
		held += ok ? 1 : 0;
	}
	ok = ok && run_held(s, a, who, r, e);
	if (!ok) {
		FA_CRASH_POINT("rollout.failed");
		record_failure(s, a, r, e);
		FA_CRASH_POINT("rollout.failure_recorded");
	}
	while (held > 0)
		hold_drop(s, r->items[--held].function.slug, true);
	return ok;
}

/* Later */

struct later {
	struct arena *arena;
	struct service *service;
	struct actor who;
	struct rollout rollout;
};

/* NULL stays NULL; *ok turns false when memory is out. */
static const char *kept(struct arena *a, const char *text, bool *ok)
{
	const char *copy = text != NULL ? arena_strdup(a, text) : NULL;

	if (text != NULL && copy == NULL)
		*ok = false;
	return copy;
}

static void keep_version(struct arena *a, struct version *v, bool *ok)
{
	const char **patterns;
	size_t count = 0;

	v->name = kept(a, v->name, ok);
	v->entrypoint = kept(a, v->entrypoint, ok);
	v->import_map = kept(a, v->import_map, ok);
	v->settings = kept(a, v->settings, ok);
	v->ezbr_sha256 = kept(a, v->ezbr_sha256, ok);
	v->message = kept(a, v->message, ok);
	v->source = kept(a, v->source, ok);
	v->source_project = kept(a, v->source_project, ok);
	v->created_by = kept(a, v->created_by, ok);
	while (v->static_patterns != NULL && v->static_patterns[count] != NULL)
		count++;
	patterns = arena_array(a, count + 1, sizeof *patterns);
	for (size_t i = 0; patterns != NULL && i < count; i++)
		patterns[i] = kept(a, v->static_patterns[i], ok);
	v->static_patterns = patterns;
	*ok = *ok && patterns != NULL;
}

static void keep_item(struct arena *a, struct rollout_item *item, bool *ok)
{
	struct function *f = &item->function;

	item->name = kept(a, item->name, ok);
	item->sticky = kept(a, item->sticky, ok);
	f->id = kept(a, f->id, ok);
	f->project_ref = kept(a, f->project_ref, ok);
	f->slug = kept(a, f->slug, ok);
	f->name = kept(a, f->name, ok);
	f->status = kept(a, f->status, ok);
	f->sticky = kept(a, f->sticky, ok);
	keep_version(a, &f->version, ok);
}

static void run_later(void *ctx)
{
	struct later *l = ctx;
	struct err e = ERR_INIT;

	log_context(l->who.request_id, l->who.name);
	if (!rollout_run(l->service, l->arena, &l->who, &l->rollout, &e))
		log_warn("a deploy that was answered before its end has failed: %s", e.message);
	log_context(NULL, NULL);
	arena_free(l->arena);
}

bool rollout_start(struct service *s, const struct actor *who, const struct rollout *r)
{
	struct arena *a = arena_new(0);
	struct later *l = a != NULL ? arena_alloc(a, sizeof *l) : NULL;
	bool ok = l != NULL;

	if (ok) {
		*l = (struct later){.arena = a, .service = s, .who = *who, .rollout = *r};
		l->rollout.progress = NULL;
		l->who.name = kept(a, who->name, &ok);
		l->who.token_id = kept(a, who->token_id, &ok);
		l->who.address = kept(a, who->address, &ok);
		l->who.request_id = kept(a, who->request_id, &ok);
		l->rollout.project_ref = kept(a, r->project_ref, &ok);
		l->rollout.source = kept(a, r->source, &ok);
		l->rollout.action = kept(a, r->action, &ok);
		l->rollout.message = kept(a, r->message, &ok);
		l->rollout.items = arena_array(a, r->count, sizeof *l->rollout.items);
		ok = ok && l->rollout.items != NULL;
	}
	for (size_t i = 0; ok && i < r->count; i++) {
		l->rollout.items[i] = r->items[i];
		keep_item(a, &l->rollout.items[i], &ok);
	}
	if (ok && background_start(run_later, l))
		return true;
	arena_free(a);
	return false;
}
