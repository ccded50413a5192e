#include "service/state.h"

#include "core/buf.h"
#include "core/text.h"
#include "fs/release.h"
#include "service/settings.h"
#include "store/function.h"
#include "store/project.h"
#include "store/secret.h"

#include <stdlib.h>
#include <string.h>

void applied_free(struct applied *applied)
{
	if (applied == NULL)
		return;
	arena_free(applied->arena);
	free(applied);
}

static int by_slug(const void *key, const void *item)
{
	return strcmp(key, ((const struct applied_item *)item)->slug);
}

const struct applied_item *applied_find(const struct applied *applied, const char *slug)
{
	return applied == NULL ? NULL
			       : bsearch(slug, applied->items, applied->count, sizeof applied->items[0], by_slug);
}

/* The manifest */

const struct manifest_version *state_manifest_version(struct arena *a, const struct function *f, int percent,
						      const char *project_settings)
{
	const struct version *v = &f->version;
	struct manifest_version *m = arena_alloc(a, sizeof *m);
	char *release = folder_release_name(a, v->number, v->digest);
	const char **patterns;
	size_t count = 0;

	while (v->static_patterns != NULL && v->static_patterns[count] != NULL)
		count++;
	patterns = arena_array(a, count + 1, sizeof *patterns);
	if (m == NULL || release == NULL || patterns == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++)
		if ((patterns[i] = arena_printf(a, RELEASE_SOURCE "/%s", v->static_patterns[i])) == NULL)
			return NULL;
	*m = (struct manifest_version){
		.number = v->number,
		.percent = percent,
		.eszip = v->kind == KIND_ESZIP,
		.path = arena_printf(a, ".releases/%s/%s", f->slug, release),
		.entrypoint =
			v->kind == KIND_ESZIP ? v->entrypoint : arena_printf(a, RELEASE_SOURCE "/%s", v->entrypoint),
		.import_map = v->import_map != NULL ? arena_printf(a, RELEASE_SOURCE "/%s", v->import_map) : NULL,
		.static_patterns = patterns,
		.verify_jwt = v->verify_jwt,
		.settings = settings_with_defaults(a, project_settings, v->settings),
	};
	return m->path == NULL || m->settings == NULL || m->entrypoint == NULL ||
			       (v->import_map != NULL && m->import_map == NULL)
		       ? NULL
		       : m;
}

const struct split *state_split(const struct splits *splits, const char *function_id)
{
	const struct split *p = splits->first;

	while (p != NULL && !text_eq(p->function_id, function_id))
		p = p->next;
	return p;
}

static bool add_share(void *ctx, const char *function_id, int percent, const struct version *v)
{
	struct splits *splits = ctx;
	struct split *p = splits->first;

	/* Shares come by function, so the one added last is the only one that can go on. */
	if (p == NULL || !text_eq(p->function_id, function_id)) {
		p = arena_alloc(splits->arena, sizeof *p);
		if (p == NULL)
			return false;
		p->function_id = function_id;
		p->next = splits->first;
		splits->first = p;
	}
	if (p->count < MAX_SHARES) {
		p->shares[p->count] = (struct share){v->number, percent};
		p->versions[p->count++] = *v;
	}
	return true;
}

static const char *make_entry(struct arena *a, const struct function *f, const struct split *split,
			      const char *project_settings)
{
	struct manifest_version versions[MAX_SHARES];
	size_t count = split != NULL ? split->count : 1;

	for (size_t i = 0; i < count; i++) {
		struct function each = *f;
		const struct manifest_version *v;

		if (split != NULL)
			each.version = split->versions[i];
		v = state_manifest_version(a, &each, split != NULL ? split->shares[i].percent : 100, project_settings);
		if (v == NULL)
			return NULL;
		versions[i] = *v;
	}
	return manifest_entry(a, f->slug, f->id, split != NULL ? f->sticky : NULL, versions, count);
}

typedef bool put_file(struct folder *f, const char *name, const void *data, size_t len, mode_t mode, struct err *e);

static bool write_manifest(struct service *s, struct arena *a, const struct applied *applied, const char *name,
			   put_file *put, struct err *e)
{
	const char **entries = arena_array(a, applied->count, sizeof *entries);
	struct buf text = BUF_INIT(MANIFEST_MAX);
	bool ok;

	if (entries == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < applied->count; i++)
		entries[i] = applied->items[i].entry;
	ok = manifest_render(s->cfg->project_ref, applied->generation, entries, applied->count, &text, e) &&
	     put(s->folder, name, text.data, text.len, (mode_t)s->cfg->functions_mode & 0666, e);
	buf_free(&text);
	return ok;
}

bool state_put_manifest(struct service *s, struct arena *a, const struct applied *next, struct err *e)
{
	return write_manifest(s, a, next, MANIFEST_FILE, folder_replace, e);
}

bool state_keep_manifest(struct service *s, struct arena *a, const struct applied *shown, struct err *e)
{
	return write_manifest(s, a, shown, MANIFEST_KEPT_FILE, folder_put, e);
}

/* The state */

static bool ask_state(struct service *s, struct pg_conn *c, struct arena *a, bool changes, struct state *out,
		      struct err *e)
{
	const char *ref = s->cfg->project_ref;
	struct pg_result *project;
	struct pg_result *list;
	struct pg_result *shares;
	struct pg_result *pins;

	*out = (struct state){.epoch = pg_pool_epoch(s->pool), .changes = changes, .splits.arena = a};
	if (!pg_begin_snapshot(c, e) || !project_ask(c, a, ref, &project, e) ||
	    !(changes ? function_ask_changed(c, a, ref, s->applied->release_number, &list, e)
		      : function_ask_active(c, a, ref, &list, e)) ||
	    !function_ask_shares(c, a, ref, &shares, e) || !secret_ask_pins(c, a, ref, &pins, e) || !pg_commit(c, e)) {
		pg_rollback(c);
		return false;
	}
	return project_read(project, &out->project, e) && function_read_list(list, a, &out->list, e) &&
	       function_each_share(shares, a, add_share, &out->splits, e) &&
	       secret_read_pins(pins, a, &out->pins, &out->pin_count, e);
}

/* Has nothing happened between what is shown and what the caller has committed? */
static bool follows(const struct applied *old, const struct state *known)
{
	return known->project.generation == old->generation + 1 &&
	       known->project.release_number == old->release_number + 1 &&
	       text_eq(known->project.settings, old->settings);
}

/*
 * What changed is enough where it is known what the rest is: the same database as then, every change of a function told
 * by a release, and the settings that all of them take from the project as they were.
 */
bool state_read(struct service *s, struct pg_conn *c, struct arena *a, const struct state *known, struct state *out,
		struct err *e)
{
	const struct applied *old = s->applied;

	if (old == NULL || old->epoch != pg_pool_epoch(s->pool))
		return ask_state(s, c, a, false, out, e);
	if (known != NULL && follows(old, known)) {
		*out = *known;
		out->epoch = old->epoch;
		out->changes = true;
		return true;
	}
	if (!ask_state(s, c, a, true, out, e))
		return false;
	return (old->epoch == pg_pool_epoch(s->pool) && text_eq(old->settings, out->project.settings)) ||
	       ask_state(s, c, a, false, out, e);
}

static bool add_item(struct applied *n, struct arena *a, const struct state *now, const struct function *f)
{
	struct applied_item *item = &n->items[n->count++];
	const struct split *split = state_split(&now->splits, f->id);
	const char *entry = make_entry(a, f, split, now->project.settings);

	*item = (struct applied_item){
		.slug = arena_strdup(n->arena, f->slug),
		.id = arena_strdup(n->arena, f->id),
		.release = folder_release_name(n->arena, f->version.number, f->version.digest),
		.entry = entry != NULL ? arena_strdup(n->arena, entry) : NULL,
		.split = split != NULL,
	};
	return item->slug != NULL && item->id != NULL && item->release != NULL && item->entry != NULL;
}

static bool keep_item(struct applied *n, const struct applied_item *old)
{
	struct applied_item *item = &n->items[n->count++];

	*item = (struct applied_item){
		.slug = arena_strdup(n->arena, old->slug),
		.id = arena_strdup(n->arena, old->id),
		.release = arena_strdup(n->arena, old->release),
		.entry = arena_strdup(n->arena, old->entry),
		.split = old->split,
	};
	return item->slug != NULL && item->id != NULL && item->release != NULL && item->entry != NULL;
}

/* The changed functions of one slug: a deleted one, and one that was made anew, may be among them. */
static bool add_changed(struct applied *n, struct arena *a, const struct applied_item *old, const struct state *now,
			size_t from, size_t to)
{
	bool replaced = false;

	for (size_t i = from; i < to; i++) {
		const struct function *f = &now->list.items[i];

		replaced = replaced || f->version.number != 0 || (old != NULL && text_eq(old->id, f->id));
		if (f->version.number != 0 && !add_item(n, a, now, f))
			return false;
	}
	return old == NULL || replaced || keep_item(n, old);
}

/* Both are sorted by slug. */
static bool merge(struct applied *n, struct arena *a, const struct applied *old, const struct state *now)
{
	size_t old_count = now->changes ? old->count : 0;
	size_t i = 0;
	size_t j = 0;

	while (i < old_count || j < now->list.count) {
		const char *slug = j < now->list.count ? now->list.items[j].slug : NULL;
		int order = i == old_count ? 1 : slug == NULL ? -1 : strcmp(old->items[i].slug, slug);
		size_t to = j;

		if (order < 0) {
			if (!keep_item(n, &old->items[i++]))
				return false;
			continue;
		}
		while (to < now->list.count && text_eq(now->list.items[to].slug, slug))
			to++;
		if (!add_changed(n, a, order == 0 ? &old->items[i++] : NULL, now, j, to))
			return false;
		j = to;
	}
	return true;
}

struct applied *applied_new(struct arena *a, const struct applied *old, const struct state *now)
{
	struct applied *n = calloc(1, sizeof *n);
	size_t most = now->list.count + (now->changes ? old->count : 0);

	if (n == NULL || (n->arena = arena_new(0)) == NULL ||
	    (n->items = arena_array(n->arena, most, sizeof *n->items)) == NULL ||
	    (n->settings = arena_strdup(n->arena, now->project.settings)) == NULL || !merge(n, a, old, now)) {
		applied_free(n);
		return NULL;
	}
	n->generation = now->project.generation;
	n->release_number = now->project.release_number;
	n->epoch = now->epoch;
	return n;
}
