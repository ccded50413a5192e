#include "service/apply.h"

#include "core/crash.h"
#include "core/log.h"
#include "core/text.h"
#include "fs/release.h"
#include "service/background.h"
#include "service/contents.h"
#include "service/drift.h"
#include "service/hold.h"
#include "service/secret.h"
#include "service/state.h"
#include "store/deployment.h"
#include "store/project.h"
#include "store/retention.h"
#include "store/secret.h"
#include "store/version.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Releases */

static bool to_staging(void *ctx, const void *data, size_t len, struct err *e)
{
	return staging_write(ctx, data, len, e);
}

static bool build_file(struct service *s, struct pg_conn *c, struct staging *st, const char *path,
		       const struct file *file, struct err *e)
{
	uint8_t sum[32];
	int64_t size;

	if (!staging_begin(st, path, e) || !contents_load(s, c, file, to_staging, st, e) ||
	    !staging_end(st, sum, &size, e))
		return false;
	if (size != file->size || memcmp(sum, file->sha256, sizeof sum) != 0)
		return err_set(e, ERR_INTERNAL, "blob_damaged", "The database's copy of %s is damaged", file->path);
	return true;
}

/* batch: with which it gets its name; NULL: at once. */
static bool build_release(struct service *s, struct pg_conn *c, struct arena *a, const struct function *f,
			  const char *release, struct folder_batch *batch, struct err *e)
{
	const struct version *v = &f->version;
	struct staging *st = NULL;
	struct file_list files;
	bool ok = false;

	if (!version_files(c, a, f->id, v->number, &files, e) || !staging_new(&st, s->folder, e))
		return false;
	for (size_t i = 0; i < files.count; i++) {
		const char *path = v->kind == KIND_ESZIP ? files.items[i].path
							 : arena_printf(a, RELEASE_SOURCE "/%s", files.items[i].path);

		if (path == NULL) {
			(void)err_no_memory(e);
			goto out;
		}
		if (!build_file(s, c, st, path, &files.items[i], e))
			goto out;
		FA_CRASH_POINT("release.file_built");
	}
	if (v->kind == KIND_ESZIP ? !release_add_bundle(st, ESZIP_FILE, v->entrypoint, s->cfg->max_eszip_bytes, e) ||
					    !staging_remove(st, ESZIP_FILE, e)
				  : !release_add_shim(st, v->entrypoint, v->import_map, e))
		goto out;
	ok = batch != NULL ? staging_publish_later(st, batch, f->slug, release, e)
			   : staging_publish(st, f->slug, release, e);
out:
	staging_free(st);
	return ok;
}

static bool ensure_release(struct service *s, struct pg_conn *c, struct arena *a, const struct function *f,
			   struct folder_batch *batch, struct err *e)
{
	char *release = folder_release_name(a, f->version.number, f->version.digest);

	if (release == NULL)
		return err_no_memory(e);
	if (folder_has_release(s->folder, f->slug, release))
		return true;
	log_info("%s: release %s is built from the database", f->slug, release);
	return build_release(s, c, a, f, release, batch, e);
}

bool apply_ensure_release(struct service *s, struct pg_conn *c, struct arena *a, const struct function *f,
			  struct err *e)
{
	return ensure_release(s, c, a, f, NULL, e);
}

bool apply_rebuild_release(struct service *s, struct arena *a, const struct function *f, struct err *e)
{
	char *release = folder_release_name(a, f->version.number, f->version.digest);
	struct pg_conn *c = NULL;
	bool ok = release != NULL || err_no_memory(e);

	ok = ok && pg_acquire(s->pool, &c, e) && build_release(s, c, a, f, release, NULL, e);
	pg_release(c);
	return ok;
}

/*
 * Something that is not ours lies where the stub belongs: it stays, and so does the service to all other functions. Our
 * main service reads the manifest and serves the function all the same.
 */
static bool switch_stub(struct service *s, struct arena *a, const struct function *f, const char *release,
			struct folder_batch *batch, struct err *e)
{
	const char *deno_json = release_stub_deno_json(a, f->slug, release, f->version.import_map);

	if (deno_json == NULL)
		return err_no_memory(e);
	if (folder_switch(s->folder, f->slug, release, deno_json, batch, e))
		return true;
	if (e->kind != ERR_CONFLICT)
		return false;
	/* An import goes on to put the stub there itself. */
	if (text_eq(f->version.source, "import"))
		log_info("%s: the directory that it was imported from is still in its place", f->slug);
	else
		log_error("%s: %s", f->slug, e->message);
	*e = (struct err)ERR_INIT;
	return true;
}

bool apply_adopt(struct service *s, struct arena *a, const struct function *f, char **kept_at, struct err *e)
{
	char *release = folder_release_name(a, f->version.number, f->version.digest);
	const char *deno_json =
		release != NULL ? release_stub_deno_json(a, f->slug, release, f->version.import_map) : NULL;
	bool ok;

	if (deno_json == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_lock(&s->apply_lock);
	ok = folder_adopt(s->folder, f->slug, release, deno_json, kept_at, a, e);
	(void)pthread_mutex_unlock(&s->apply_lock);
	return ok;
}

bool apply_put_stub(struct service *s, struct arena *a, const struct function *f, struct err *e)
{
	char *release = folder_release_name(a, f->version.number, f->version.digest);
	const struct applied_item *shown;
	bool ok = true;

	if (release == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_lock(&s->apply_lock);
	/* Of what is shown: it may have been deleted since it was looked at. */
	shown = applied_find(s->applied, f->slug);
	if (shown != NULL && text_eq(shown->release, release))
		ok = switch_stub(s, a, f, release, NULL, e);
	(void)pthread_mutex_unlock(&s->apply_lock);
	return ok;
}

/* The releases of all versions that get calls. */
static bool ensure_split(struct service *s, struct pg_conn *c, struct arena *a, const struct function *f,
			 const struct split *split, struct err *e)
{
	for (size_t i = 0; split != NULL && i < split->count; i++) {
		struct function each = *f;

		each.version = split->versions[i];
		if (!apply_ensure_release(s, c, a, &each, e))
			return false;
	}
	return true;
}

/* Several releases are built side by side: each spends most of its time waiting for the disk and for the database. */
#define BUILDERS 4

struct building {
	struct service *service;
	struct folder_batch *batch;
	const struct function **missing;
	size_t count;
	_Atomic size_t next;
	_Atomic bool failed;
	pthread_mutex_t lock;
	struct err *error; /* the first; under the lock */
};

static void *build_some(void *ctx)
{
	struct building *b = ctx;
	struct err e = ERR_INIT;
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(b->service->pool, &c, &e);
	size_t i;

	while (ok && !atomic_load(&b->failed) && (i = atomic_fetch_add(&b->next, 1)) < b->count) {
		struct arena *a = arena_new(0);

		ok = a != NULL ? ensure_release(b->service, c, a, b->missing[i], b->batch, &e) : err_no_memory(&e);
		arena_free(a);
	}
	pg_release(c);
	if (!ok && !atomic_exchange(&b->failed, true)) {
		(void)pthread_mutex_lock(&b->lock);
		*b->error = e;
		(void)pthread_mutex_unlock(&b->lock);
	}
	return NULL;
}

/* The release that the function's stub is to stand for, where it does not already; NULL: nothing is to be done. */
static const char *release_to_switch(const struct service *s, const struct applied *next, const struct function *f)
{
	const struct applied_item *old = applied_find(s->applied, f->slug);
	const struct applied_item *new = f->version.number != 0 ? applied_find(next, f->slug) : NULL;

	return new == NULL || (old != NULL && text_eq(old->release, new->release)) ? NULL : new->release;
}

/* What is missing on disk, where that is more than a few: after a lost volume, all of it. */
static bool build_missing(struct service *s, struct arena *a, const struct function_list *list,
			  const struct applied *next, struct err *e)
{
	struct building b = {.service = s, .lock = PTHREAD_MUTEX_INITIALIZER, .error = e};
	pthread_t builders[BUILDERS];
	size_t count = 0;
	bool ok;

	b.missing = arena_array(a, list->count, sizeof *b.missing);
	if (b.missing == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < list->count; i++) {
		const struct function *f = &list->items[i];
		const char *release = release_to_switch(s, next, f);

		if (release != NULL && !folder_has_release(s->folder, f->slug, release))
			b.missing[b.count++] = f;
	}
	/* The others of a split, and these few, are built on the way; so is all where there are few connections: ours
	 * is in use while the builders wait for theirs. */
	if (b.count < FOLDER_MANY || pg_pool_stats(s->pool).max <= BUILDERS)
		return true;
	if (!folder_batch_new(&b.batch, s->folder, e))
		return false;
	while (count < BUILDERS && pthread_create(&builders[count], NULL, build_some, &b) == 0)
		count++;
	for (size_t i = 0; i < count; i++)
		(void)pthread_join(builders[i], NULL);
	(void)pthread_mutex_destroy(&b.lock);
	ok = !atomic_load(&b.failed) && folder_batch_publish(b.batch, e);
	folder_batch_free(b.batch);
	return ok;
}

static bool switch_stubs(struct service *s, struct pg_conn *c, struct arena *a, const struct state *now,
			 const struct applied *next, struct folder_batch *batch, struct err *e)
{
	for (size_t i = 0; i < now->list.count; i++) {
		const struct function *f = &now->list.items[i];
		const char *release = release_to_switch(s, next, f);

		if (!ensure_split(s, c, a, f, state_split(&now->splits, f->id), e))
			return false;
		if (release == NULL)
			continue;
		if (!apply_ensure_release(s, c, a, f, e) || !switch_stub(s, a, f, release, batch, e))
			return false;
		FA_CRASH_POINT("apply.stub_switched");
	}
	return folder_batch_publish(batch, e);
}

/* Stubs first, manifest last: under our main service nothing changes before the manifest does. */
static bool show_state(struct service *s, struct pg_conn *c, struct arena *a, const struct state *now,
		       const struct applied *next, struct err *e)
{
	struct folder_batch *batch = NULL;
	bool ok;

	if (!build_missing(s, a, &now->list, next, e) || !folder_batch_new(&batch, s->folder, e))
		return false;
	ok = switch_stubs(s, c, a, now, next, batch, e);
	folder_batch_free(batch);
	if (!ok)
		return false;
	for (size_t i = 0; s->applied != NULL && i < s->applied->count; i++)
		if (applied_find(next, s->applied->items[i].slug) == NULL &&
		    !folder_unlink(s->folder, s->applied->items[i].slug, e))
			return false;
	FA_CRASH_POINT("apply.before_manifest");
	return state_put_manifest(s, a, next, e);
}

static bool apply_now(struct service *s, struct pg_conn *c, struct arena *a, const struct state *known, struct err *e)
{
	struct applied *next;
	struct state now;

	if (!state_read(s, c, a, known, &now, e))
		return false;
	/* Secrets first: a version that is pinned to a revision must find it from its first call on. */
	if (!secret_is_delivered(s, now.project.secrets_revision, now.pins, now.pin_count) &&
	    !secret_deliver(s, c, a, e))
		return false;
	next = applied_new(a, s->applied, &now);
	if (next == NULL)
		return err_no_memory(e);
	if (!show_state(s, c, a, &now, next, e)) {
		applied_free(next);
		return false;
	}
	FA_CRASH_POINT("apply.after_manifest");
	s->manifest_stamp = folder_stamp(s->folder, MANIFEST_FILE);
	applied_free(s->applied);
	s->applied = next;
	atomic_store(&s->shown, next->generation);
	return true;
}

static void forget_shown(struct service *s)
{
	applied_free(s->applied);
	s->applied = NULL;
	secret_file_free(s->secret_file);
	s->secret_file = NULL;
	s->kept_generation = -1;
}

/* With apply_lock held. */
static bool keep_manifest(struct service *s, struct arena *a, struct err *e)
{
	if (s->applied == NULL || s->applied->generation == s->kept_generation)
		return true;
	if (!state_keep_manifest(s, a, s->applied, e))
		return false;
	FA_CRASH_POINT("manifest.kept");
	s->kept_generation = s->applied->generation;
	return true;
}

bool apply_keep_manifest(struct service *s, struct err *e)
{
	struct arena *a = arena_new(0);
	bool ok;

	if (a == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_lock(&s->apply_lock);
	ok = keep_manifest(s, a, e);
	(void)pthread_mutex_unlock(&s->apply_lock);
	arena_free(a);
	return ok;
}

/* What somebody took out of the folder is not shown any more, whatever we remember. */
static bool look_at_folder(struct service *s, struct err *e)
{
	unsigned renewals;

	if (!folder_check(s->folder, &renewals, e))
		return false;
	if (renewals != s->renewals || folder_stamp(s->folder, MANIFEST_FILE) != s->manifest_stamp) {
		if (s->applied != NULL)
			log_warn("functions folder: somebody changed what is ours in it; all of it is compared with "
				 "the database");
		forget_shown(s);
	}
	s->renewals = renewals;
	return service_leave_files(s, e);
}

bool apply_generation(struct service *s, int64_t generation, struct err *e)
{
	return apply_committed(s, generation, NULL, e);
}

bool apply_committed(struct service *s, int64_t generation, const struct state *known, struct err *e)
{
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	bool ok;

	if (!service_shows(s))
		return true;
	if (a == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_lock(&s->apply_lock);
	ok = look_at_folder(s, e);
	if (ok && (s->applied == NULL || s->applied->generation < generation))
		ok = pg_acquire(s->pool, &c, e) && apply_now(s, c, a, known, e);
	(void)pthread_mutex_unlock(&s->apply_lock);
	pg_release(c);
	arena_free(a);
	return ok;
}

bool apply_secrets(struct service *s, struct err *e)
{
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	bool ok;

	if (!service_shows(s))
		return true;
	if (a == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_lock(&s->apply_lock);
	ok = pg_acquire(s->pool, &c, e) && secret_deliver(s, c, a, e);
	(void)pthread_mutex_unlock(&s->apply_lock);
	pg_release(c);
	arena_free(a);
	return ok;
}

/* Reconciling */

struct leftovers {
	struct service *service;
	bool releases; /* the walk is over .releases, not over stubs */
};

static bool remove_leftover(void *ctx, const char *slug, struct err *e)
{
	static const char *const keep_none[] = {NULL};
	struct leftovers *l = ctx;

	if (applied_find(l->service->applied, slug) != NULL)
		return true;
	log_info("%s: no longer deployed, its %s go", slug, l->releases ? "releases" : "stub");
	return l->releases ? folder_remove_releases(l->service->folder, slug, keep_none, e)
			   : folder_unlink(l->service->folder, slug, e);
}

/* Every release on disk: pairs of slug and name. */
struct released {
	struct service *service;
	struct arena *arena;
	const char **slugs;
	const char **names;
	size_t count;
	size_t capacity;
};

static bool grow(struct released *r, size_t more)
{
	size_t capacity = 2 * (r->count + more) + 64;
	const char **slugs;
	const char **names;

	if (r->count + more <= r->capacity)
		return true;
	slugs = arena_array(r->arena, capacity, sizeof *slugs);
	names = arena_array(r->arena, capacity, sizeof *names);
	if (slugs == NULL || names == NULL)
		return false;
	for (size_t i = 0; i < r->count; i++) {
		slugs[i] = r->slugs[i];
		names[i] = r->names[i];
	}
	r->slugs = slugs;
	r->names = names;
	r->capacity = capacity;
	return true;
}

static bool list_released(void *ctx, const char *slug, struct err *e)
{
	struct released *r = ctx;
	const char *kept = arena_strdup(r->arena, slug);
	size_t count;
	const char **names = folder_releases(r->service->folder, r->arena, slug, &count);

	/* What is no directory, or was removed in this moment, holds no releases. */
	if (names == NULL)
		return true;
	if (kept == NULL || !grow(r, count))
		return err_no_memory(e);
	for (size_t i = 0; i < count; i++) {
		r->slugs[r->count] = kept;
		r->names[r->count++] = names[i];
	}
	return true;
}

/* The releases of versions that the database has no more. */
static bool remove_gone(struct service *s, struct pg_conn *c, struct arena *a, struct err *e)
{
	struct released all = {.service = s, .arena = a};
	size_t *gone = NULL;
	size_t count = 0;

	if (!folder_each_released(s->folder, list_released, &all, e))
		return false;
	if (all.count > 0 &&
	    !retention_gone_releases(c, a, s->cfg->project_ref, all.slugs, all.names, all.count, &gone, &count, e))
		return false;
	for (size_t i = 0; i < count; i++) {
		const char *slug = all.slugs[gone[i]];
		const char *release = all.names[gone[i]];
		const struct applied_item *shown = applied_find(s->applied, slug);

		/* Of a database that was restored from a backup, say: what is served stays. */
		if (drift_holds(s, slug) || (shown != NULL && (shown->split || text_eq(shown->release, release))))
			continue;
		log_info("%s: release %s is of a version that is gone, it goes as well", slug, release);
		if (!folder_remove_release(s->folder, slug, release, e))
			return false;
	}
	return true;
}

bool apply_remove_gone(struct service *s, struct pg_conn *c, struct arena *a, struct err *e)
{
	bool ok;

	if (!service_shows(s))
		return true;
	(void)pthread_mutex_lock(&s->apply_lock);
	ok = remove_gone(s, c, a, e);
	(void)pthread_mutex_unlock(&s->apply_lock);
	return ok;
}

static bool fail_abandoned(struct service *s, struct pg_conn *c, struct arena *a, struct err *e)
{
	int64_t count = 0;
	size_t busy_count;
	const char **busy = hold_list(s, a, &busy_count);

	if (busy == NULL)
		return err_no_memory(e);
	/* An agent carries out no deployments, and knows nothing of those who do. */
	if (s->agent)
		return true;
	if (!deployment_fail_abandoned(c, a, s->cfg->project_ref, service_instance(s), s->predecessor, busy, busy_count,
				       &count, e))
		return false;
	if (count > 0)
		log_warn("%lld deployments that were left unfinished have failed", (long long)count);
	return true;
}

static bool reconcile(struct service *s, struct pg_conn *c, struct arena *a, struct err *e)
{
	struct leftovers stubs = {.service = s};
	struct leftovers releases = {.service = s, .releases = true};

	if ((s->base == NULL && !s->agent && !project_ensure(c, a, s->cfg->project_ref, s->cfg->project_name, e)) ||
	    !fail_abandoned(s, c, a, e))
		return false;
	if (!service_shows(s))
		return true;
	/* Nothing is taken for granted: every stub is looked at, not only those that changed. */
	forget_shown(s);
	if (!apply_now(s, c, a, NULL, e) || !keep_manifest(s, a, e))
		return false;
	FA_CRASH_POINT("reconcile.applied");
	return folder_each_stub(s->folder, remove_leftover, &stubs, e) &&
	       folder_each_released(s->folder, remove_leftover, &releases, e) && remove_gone(s, c, a, e);
}

bool apply_reconcile(struct service *s, struct err *e)
{
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	bool ok;

	if (a == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_lock(&s->apply_lock);
	ok = pg_acquire(s->pool, &c, e) && reconcile(s, c, a, e);
	(void)pthread_mutex_unlock(&s->apply_lock);
	pg_release(c);
	arena_free(a);
	return ok;
}

static void end_removal(void *ctx)
{
	struct err failed = ERR_INIT;

	if (!folder_end_removal(ctx, &failed))
		log_warn("old releases cannot be removed now, the next start does it: %s", failed.message);
}

void apply_end_removal(struct folder_removal *r)
{
	if (r != NULL && !background_start(end_removal, r))
		end_removal(r);
}

struct folder_removal *apply_tidy(struct service *s, const char *slug)
{
	static const char *const keep_none[] = {NULL};
	struct folder_removal *removal = NULL;
	const struct applied_item *shown;
	struct err failed = ERR_INIT;
	bool ok = true;

	if (!service_shows(s))
		return NULL;
	(void)pthread_mutex_lock(&s->apply_lock);
	shown = applied_find(s->applied, slug);
	folder_drop_waiting(s->folder, slug);
	if (drift_holds(s, slug))
		log_warn("%s: a release was edited on disk, so old releases of it stay", slug);
	else if (shown == NULL)
		ok = folder_remove_releases(s->folder, slug, keep_none, &failed);
	else if (!shown->split)
		ok = folder_prune_releases(s->folder, slug, shown->release, (size_t)s->cfg->max_disk_releases, &removal,
					   &failed);
	(void)pthread_mutex_unlock(&s->apply_lock);
	if (!ok)
		log_warn("%s: old releases cannot be removed: %s", slug, failed.message);
	return removal;
}

bool apply_sweep(struct service *s, struct err *e)
{
	struct arena *a = arena_new(0);
	struct pg_conn *c = NULL;
	struct project project;
	bool ok = a != NULL || err_no_memory(e);

	ok = ok && pg_acquire(s->pool, &c, e) && fail_abandoned(s, c, a, e) &&
	     project_find(c, a, s->cfg->project_ref, &project, e);
	pg_release(c);
	/* Another process may have changed the secrets, or somebody removed their file. */
	ok = ok && apply_generation(s, project.generation, e) && apply_secrets(s, e) && apply_keep_manifest(s, e);
	arena_free(a);
	return ok;
}
