#include "service/change.h"

#include "core/crash.h"
#include "core/names.h"
#include "core/text.h"
#include "fs/bundle.h"
#include "service/digest.h"
#include "service/fleet.h"
#include "service/rollout.h"
#include "service/settings.h"
#include "store/deployment.h"
#include "store/function.h"
#include "store/release.h"
#include "store/version.h"

#include <jansson.h>
#include <string.h>

/* Every change that activates a version has a deployment of its own to tell of it. */
static bool add_deployment(struct service *s, struct pg_conn *c, struct arena *a, const struct actor *who,
			   struct rollout_item *item, struct err *e)
{
	crypto_uuid(item->deployment_id);
	return deployment_insert(c, a, item->deployment_id, item->function.id, item->function.version.number, "pending",
				 service_instance(s), who, e);
}

/* Activating */

/* Makes the chosen version, with what the caller has changed in it, a new one: versions themselves never change. */
static bool derive_version(struct pg_conn *c, struct arena *a, const struct actor *who, struct function *f,
			   struct err *e)
{
	struct version *v = &f->version;
	struct function numbered;
	struct file_list files;

	v->source = "settings";
	v->source_version = v->number;
	v->created_by = who->name;
	v->created_at = service_now();
	if (!version_files(c, a, f->id, v->number, &files, e) || !digest_version(a, v, &files, e) ||
	    !function_next_version(c, a, f->project_ref, f->slug, f->name, f->id, &numbered, e))
		return false;
	v->number = numbered.latest_version;
	return version_insert(c, a, f->id, v, &files, e);
}

static bool choose(struct service *s, struct pg_conn *c, struct arena *a, const struct actor *who,
		   const struct change_choice *choice, const struct pg_result *found, struct rollout_item *out,
		   struct err *e)
{
	struct function *f = &out->function;
	bool verify = choice->verify_jwt == VERIFY_ON;

	out->name = choice->name;
	out->expected = choice->expected;
	if (!function_read_version(found, a, f, e)) {
		if (e->kind == ERR_NOT_FOUND)
			return err_set(e, ERR_NOT_FOUND, "version_not_found", "Function %s has no version %d",
				       choice->slug, choice->version);
		return false;
	}
	if (choice->id != NULL && !text_eq(choice->id, f->id))
		return err_set(e, ERR_CONFLICT, "id_mismatch", "Function %s has another id than the one given",
			       choice->slug);
	if (choice->verify_jwt != VERIFY_KEEP && verify != f->version.verify_jwt) {
		f->version.verify_jwt = verify;
		if (!derive_version(c, a, who, f, e))
			return false;
	}
	return add_deployment(s, c, a, who, out, e);
}

/* All are asked for before the first is waited for. */
static bool find_all(struct pg_conn *c, struct arena *a, const char *project_ref, const struct change_choice *choices,
		     size_t count, struct pg_result **found, struct err *e)
{
	for (size_t i = 0; i < count; i++) {
		const struct change_choice *choice = &choices[i];

		if ((choice->name != NULL && !names_check_name(choice->name, e)) ||
		    !function_ask_version(c, a, project_ref, choice->slug, choice->version, &found[i], e))
			return false;
	}
	return pg_flush(c, e);
}

static bool choose_all(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
		       const struct change_choice *choices, size_t count, struct rollout_item *out, struct err *e)
{
	struct pg_result **found = arena_array(a, count, sizeof(struct pg_result *));
	struct pg_conn *c = NULL;
	bool ok;

	if (found == NULL)
		return err_no_memory(e);
	/* Lazily: the activation's commit, which waits for the disk, covers this one. */
	ok = pg_acquire(s->pool, &c, e) && pg_begin_lazy(c, e) && find_all(c, a, project_ref, choices, count, found, e);
	for (size_t i = 0; ok && i < count; i++)
		ok = choose(s, c, a, who, &choices[i], found[i], &out[i], e);
	FA_CRASH_POINT("bulk.before_commit");
	ok = ok && pg_commit(c, e);
	FA_CRASH_POINT("bulk.after_commit");
	pg_release(c);
	return ok;
}

/* The function as it is once its rollout is done. */
static void set_result(struct function *out, const struct rollout_item *item, int64_t at)
{
	*out = item->function;
	out->active_version = out->version.number;
	out->updated_at = at;
	out->status = "ACTIVE";
	if (item->name != NULL)
		out->name = item->name;
}

bool change_activate(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
		     const struct change_choice *choices, size_t count, const char *message, struct function **out,
		     struct err *e)
{
	struct rollout_item *items = arena_array(a, count, sizeof *items);
	struct rollout rollout = {
		.project_ref = project_ref,
		.items = items,
		.count = count,
		.source = "deploy",
		.action = "function.deploy",
		.message = message,
	};

	*out = arena_array(a, count, sizeof **out);
	if (items == NULL || *out == NULL)
		return err_no_memory(e);
	if (count == 0)
		return true;
	if (!choose_all(s, a, who, project_ref, choices, count, items, e) || !rollout_run(s, a, who, &rollout, e))
		return false;
	for (size_t i = 0; i < count; i++)
		set_result(&(*out)[i], &items[i], rollout.at);
	return true;
}

/* One function */

/* Reads the function with the wanted version inside one transaction with its new deployment. */
static bool pick(struct service *s, struct arena *a, const struct actor *who, struct rollout_item *item,
		 bool (*find)(struct pg_conn *c, struct arena *a, void *ctx, struct rollout_item *item, struct err *e),
		 void *ctx, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && pg_begin_lazy(c, e) && find(c, a, ctx, item, e) &&
		  add_deployment(s, c, a, who, item, e) && pg_commit(c, e);

	FA_CRASH_POINT("change.after_commit");
	pg_release(c);
	return ok;
}

/* The same for a version that is there already: all of it goes to the database at once. */
static bool pick_version(struct service *s, struct arena *a, const struct actor *who, const struct change_request *req,
			 int version, struct rollout_item *item, struct err *e)
{
	const struct rollback_start start = {
		.project_ref = req->project_ref,
		.slug = req->slug,
		.version = version,
		.asks_booted = s->probe != NULL || !fleet_is_alone(s),
		.deployment_id = item->deployment_id,
		.instance = service_instance(s),
		.who = who,
	};
	struct pg_result *found;
	struct pg_conn *c = NULL;
	bool ok;

	crypto_uuid(item->deployment_id);
	ok = pg_acquire(s->pool, &c, e) && pg_begin_lazy(c, e) && function_ask_rollback(c, a, &start, &found, e) &&
	     pg_commit(c, e) && function_read_rollback(c, a, &start, found, &item->function, &item->skip_boot, e);
	FA_CRASH_POINT("change.picked");
	pg_release(c);
	return ok;
}

static bool run_one(struct service *s, struct arena *a, const struct actor *who, struct rollout_item *item,
		    const struct change_request *req, const char *source, const char *action, bool restore,
		    struct function *out, struct err *e)
{
	struct rollout rollout = {
		.project_ref = req->project_ref,
		.items = item,
		.count = 1,
		.source = source,
		.action = action,
		.message = req->message,
		.restore = restore,
	};

	item->expected = req->expected;
	if (!rollout_run(s, a, who, &rollout, e))
		return false;
	if (out != NULL)
		set_result(out, item, rollout.at);
	return true;
}

bool change_roll_back(struct service *s, struct arena *a, const struct actor *who, const struct change_request *req,
		      int version, struct function *out, struct err *e)
{
	struct rollout_item item = {0};

	return pick_version(s, a, who, req, version, &item, e) &&
	       run_one(s, a, who, &item, req, "rollback", "function.rollback", false, out, e);
}

static bool check_shares(const struct shares *shares, int *main_version, struct err *e)
{
	int most = -1;
	int sum = 0;

	if (shares->count == 0 || shares->count > MAX_SHARES)
		return err_set(e, ERR_INVALID, "invalid_traffic", "Calls are split over 1 to %d versions", MAX_SHARES);
	for (size_t i = 0; i < shares->count; i++) {
		const struct share *share = &shares->items[i];

		sum += share->percent;
		for (size_t j = 0; j < i; j++)
			if (shares->items[j].version == share->version)
				return err_set(e, ERR_INVALID, "invalid_traffic",
					       "Version %d stands twice in the split", share->version);
		/* The one that most calls go to is the function's active version; of equals the newest. */
		if (share->percent > most || (share->percent == most && share->version > *main_version)) {
			most = share->percent;
			*main_version = share->version;
		}
	}
	return sum == 100 ? true
			  : err_set(e, ERR_INVALID, "invalid_traffic", "The percents add up to %d, not to 100", sum);
}

bool change_traffic(struct service *s, struct arena *a, const struct actor *who, const struct change_request *req,
		    const struct shares *shares, const char *sticky, struct function *out, struct err *e)
{
	struct rollout_item item = {.sticky = sticky};
	int main_version = 0;

	if (!check_shares(shares, &main_version, e))
		return false;
	if (shares->count > 1)
		item.shares = *shares;
	return pick_version(s, a, who, req, main_version, &item, e) &&
	       run_one(s, a, who, &item, req, "traffic", "function.traffic", false, out, e);
}

struct settings_target {
	struct service *service;
	const struct actor *who;
	const struct change_request *req;
	const struct change_settings *wanted;
	bool same; /* result: nothing to change */
};

static bool find_settings(struct pg_conn *c, struct arena *a, void *ctx, struct rollout_item *item, struct err *e)
{
	struct settings_target *t = ctx;
	struct function *f = &item->function;
	struct version *v = &f->version;
	uint8_t before[sizeof v->digest];
	struct file_list files;

	if (!function_find_active(c, a, t->req->project_ref, t->req->slug, f, e) ||
	    !version_files(c, a, f->id, v->number, &files, e))
		return false;
	memcpy(before, v->digest, sizeof before);
	if (t->wanted->verify_jwt != VERIFY_KEEP)
		v->verify_jwt = t->wanted->verify_jwt == VERIFY_ON;
	if (t->wanted->static_patterns != NULL) {
		v->static_patterns = bundle_clean_patterns(a, t->wanted->static_patterns,
							   (size_t)t->service->cfg->max_path_bytes, e);
		if (v->static_patterns == NULL)
			return false;
	}
	if (t->wanted->patch != NULL && !settings_merge(a, v->settings, t->wanted->patch, false, &v->settings, e))
		return false;
	if (!digest_version(a, v, &files, e))
		return false;
	t->same = memcmp(before, v->digest, sizeof before) == 0;
	v->message = t->req->message;
	/* Two changes at once: the later one would undo the earlier, having read before it. */
	item->expected =
		t->req->expected.set ? t->req->expected : (struct expectation){true, f->active_version, f->updated_at};
	return !t->same && derive_version(c, a, t->who, f, e);
}

bool change_configure(struct service *s, struct arena *a, const struct actor *who, const struct change_request *req,
		      const struct change_settings *wanted, struct function *out, struct err *e)
{
	struct settings_target target = {.service = s, .who = who, .req = req, .wanted = wanted};
	struct change_request checked = *req;
	struct rollout_item item = {0};

	if (!pick(s, a, who, &item, find_settings, &target, e)) {
		*out = item.function;
		return target.same;
	}
	checked.expected = item.expected;
	if (run_one(s, a, who, &item, &checked, "settings", "function.settings", false, out, e))
		return true;
	if (e->kind == ERR_PRECONDITION && !req->expected.set) {
		*e = (struct err)ERR_INIT;
		(void)err_set(e, ERR_CONFLICT, "changed_meanwhile", "The function was changed at the same time");
		(void)err_hint(e, "Nothing was changed by this call; send it again.");
	}
	return false;
}

bool change_remove(struct service *s, struct arena *a, const struct actor *who, const struct change_request *req,
		   struct err *e)
{
	struct rollout_item item = {0};
	struct pg_conn *c = NULL;
	/* Also one that never served: a bundle whose PUT never came would else hold the slug for ever. */
	bool ok = pg_acquire(s->pool, &c, e) &&
		  function_find_present(c, a, req->project_ref, req->slug, &item.function, e);

	pg_release(c);
	return ok && run_one(s, a, who, &item, req, "delete", "function.delete", false, NULL, e);
}

struct target {
	const struct change_request *req;
	int version;
};

static bool find_removed(struct pg_conn *c, struct arena *a, void *ctx, struct rollout_item *item, struct err *e)
{
	const struct target *t = ctx;
	struct function *f = &item->function;
	struct err missing = ERR_INIT;
	struct function present;
	int version = t->version;

	if (function_find_active(c, a, t->req->project_ref, t->req->slug, &present, &missing)) {
		(void)err_set(e, ERR_CONFLICT, "slug_taken",
			      "A function of this slug exists, so the deleted one cannot come back");
		return err_hint(e, "Delete the present one first.");
	}
	if (!function_find_deleted(c, a, t->req->project_ref, t->req->slug, f, e))
		return false;
	if (version == 0 && !version_last_active(c, a, f->id, &version, e))
		return false;
	return version_find(c, a, f->id, version, &f->version, e);
}

bool change_restore(struct service *s, struct arena *a, const struct actor *who, const struct change_request *req,
		    int version, struct function *out, struct err *e)
{
	struct target target = {.req = req, .version = version};
	struct rollout_item item = {0};

	return pick(s, a, who, &item, find_removed, &target, e) &&
	       run_one(s, a, who, &item, req, "restore", "function.restore", true, out, e);
}

/* Promoting */

struct promotion {
	const struct change_request *req;
	int version;
	const char *to;
	bool unchanged;
};

static bool copy_version(struct pg_conn *c, struct arena *a, const struct actor *who, const struct promotion *p,
			 const struct function *from, struct function *to, struct err *e)
{
	struct version v = from->version;
	char new_id[CRYPTO_UUID_SIZE];
	struct file_list files;

	crypto_uuid(new_id);
	if (!version_files(c, a, from->id, v.number, &files, e) ||
	    !function_next_version(c, a, p->to, from->slug, from->name, new_id, to, e))
		return false;
	v.source = "promote";
	v.source_project = p->req->project_ref;
	v.source_version = v.number;
	v.number = to->latest_version;
	v.message = p->req->message != NULL ? p->req->message : v.message;
	v.created_by = who->name;
	v.created_at = service_now();
	to->version = v;
	return version_insert(c, a, to->id, &v, &files, e);
}

static bool find_promotion(struct service *s, struct pg_conn *c, struct arena *a, const struct actor *who,
			   struct promotion *p, struct rollout_item *item, struct err *e)
{
	struct err missing = ERR_INIT;
	struct function there;
	struct function from;

	if (!function_find_active(c, a, p->req->project_ref, p->req->slug, &from, e) ||
	    (p->version != 0 && !version_find(c, a, from.id, p->version, &from.version, e)))
		return false;
	if (p->req->expected.set &&
	    (p->req->expected.active_version != from.active_version || p->req->expected.updated_at != from.updated_at))
		return err_set(e, ERR_PRECONDITION, NULL, "The function was changed since you read it");
	if (function_find_active(c, a, p->to, p->req->slug, &there, &missing)) {
		p->unchanged = memcmp(there.version.digest, from.version.digest, sizeof from.version.digest) == 0;
		item->function = there;
	} else if (missing.kind != ERR_NOT_FOUND) {
		*e = missing;
		return false;
	}
	return p->unchanged ||
	       (copy_version(c, a, who, p, &from, &item->function, e) && add_deployment(s, c, a, who, item, e));
}

bool change_promote(struct service *s, struct arena *a, const struct actor *who, const struct change_request *req,
		    int version, const char *to, struct function *out, struct err *e)
{
	struct promotion promotion = {.req = req, .version = version, .to = to};
	/* What the caller has seen is the source; the target is whatever it is. */
	const struct change_request there = {.project_ref = to, .slug = req->slug, .message = req->message};
	struct rollout_item item = {0};
	struct pg_conn *c = NULL;
	bool ok;

	if (text_eq(req->project_ref, to))
		return err_set(e, ERR_INVALID, NULL, "A version is promoted to another project, not to its own");
	if (s->folder == NULL)
		return service_not_here(s, to, e);
	ok = pg_acquire(s->pool, &c, e) && pg_begin_lazy(c, e) && find_promotion(s, c, a, who, &promotion, &item, e) &&
	     pg_commit(c, e);
	FA_CRASH_POINT("promote.after_commit");
	pg_release(c);
	if (ok && promotion.unchanged) {
		*out = item.function;
		return true;
	}
	return ok && run_one(s, a, who, &item, &there, "promote", "function.promote", false, out, e);
}

/* A whole release */

static bool read_shares(const char *json, struct shares *out)
{
	json_t *list = json != NULL ? json_loads(json, 0, NULL) : NULL;
	bool ok = json == NULL || list != NULL;

	out->count = 0;
	for (size_t i = 0; ok && i < json_array_size(list) && i < MAX_SHARES; i++) {
		struct share *share = &out->items[out->count++];

		ok = json_unpack(json_array_get(list, i), "{s:i, s:i}", "version", &share->version, "percent",
				 &share->percent) == 0;
	}
	json_decref(list);
	return ok;
}

static bool undo_item(struct service *s, struct pg_conn *c, struct arena *a, const struct actor *who,
		      const char *project_ref, const struct release_item *was, struct rollout_item *out, struct err *e)
{
	if (!function_find_id(c, a, project_ref, was->function_id, &out->function, e))
		return false;
	if (was->version_before == 0)
		return true;
	if (!read_shares(was->traffic_before, &out->shares))
		return err_set(e, ERR_INTERNAL, NULL, "The split of function %s before the release cannot be read",
			       was->slug);
	return version_find(c, a, was->function_id, was->version_before, &out->function.version, e) &&
	       version_has_booted(c, a, was->function_id, was->version_before, &out->skip_boot, e) &&
	       add_deployment(s, c, a, who, out, e);
}

static bool undo_items(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
		       int64_t number, bool (*may_touch)(void *ctx, const char *slug), void *ctx,
		       struct rollout *rollout, struct err *e)
{
	struct release release;
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && pg_begin_lazy(c, e) &&
		  release_find(c, a, project_ref, number, &release, e);

	if (ok) {
		rollout->count = release.item_count;
		rollout->items = arena_array(a, release.item_count, sizeof *rollout->items);
		ok = rollout->items != NULL || err_no_memory(e);
	}
	for (size_t i = 0; ok && i < rollout->count; i++) {
		if (!may_touch(ctx, release.items[i].slug))
			ok = err_set(e, ERR_FORBIDDEN, "slug_not_allowed",
				     "This access token is not for the function %s", release.items[i].slug);
		else if (!undo_item(s, c, a, who, project_ref, &release.items[i], &rollout->items[i], e))
			ok = err_prefix(e, "%s", release.items[i].slug);
	}
	ok = ok && pg_commit(c, e);
	FA_CRASH_POINT("undo.after_commit");
	pg_release(c);
	return ok;
}

bool change_undo_release(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
			 int64_t number, const char *message, bool (*may_touch)(void *ctx, const char *slug), void *ctx,
			 int64_t *release, struct err *e)
{
	struct rollout rollout = {
		.project_ref = project_ref,
		.source = "rollback",
		.action = "release.rollback",
		.message = message,
		.restore = true,
	};

	if (!undo_items(s, a, who, project_ref, number, may_touch, ctx, &rollout, e) ||
	    !rollout_run(s, a, who, &rollout, e))
		return false;
	*release = rollout.release_number;
	return true;
}
