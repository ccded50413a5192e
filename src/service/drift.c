#include "service/drift.h"

#include "core/crypto.h"
#include "core/log.h"
#include "core/text.h"
#include "fs/foreign.h"
#include "fs/release.h"
#include "service/adopt.h"
#include "service/apply.h"
#include "service/audit.h"
#include "service/deploy.h"
#include "service/function.h"
#include "service/hold.h"
#include "service/state.h"
#include "store/version.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* So many versions that are new to us are read with one query. */
#define PAGE ((size_t)256)

#define READ_SIZE ((size_t)16 * 1024)

/* A release that was seen, and whether it was as deployed. */
struct look {
	char slug[132];
	char release[32];
	uint8_t signature[32]; /* over names, sizes and change times of its files */
	bool drifted;
	bool alive; /* still deployed, at the last sweep */
};

struct drift {
	pthread_mutex_t lock;
	struct look *looks; /* by slug */
	size_t count;
	size_t capacity;
};

bool drift_new(struct drift **out, struct err *e)
{
	struct drift *d = calloc(1, sizeof *d);

	if (d == NULL)
		return err_no_memory(e);
	(void)pthread_mutex_init(&d->lock, NULL);
	*out = d;
	return true;
}

void drift_free(struct drift *d)
{
	if (d == NULL)
		return;
	(void)pthread_mutex_destroy(&d->lock);
	free(d->looks);
	free(d);
}

/* What was seen before */

/* Where its look is, or would be. */
static size_t look_place(const struct drift *d, const char *slug)
{
	size_t from = 0;
	size_t to = d->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (strcmp(d->looks[middle].slug, slug) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static struct look *find_look(struct drift *d, const char *slug)
{
	size_t place = look_place(d, slug);

	return place < d->count && text_eq(d->looks[place].slug, slug) ? &d->looks[place] : NULL;
}

bool drift_holds(struct service *s, const char *slug)
{
	const struct look *look;
	bool holds;

	(void)pthread_mutex_lock(&s->drift->lock);
	look = find_look(s->drift, slug);
	holds = look != NULL && look->drifted;
	(void)pthread_mutex_unlock(&s->drift->lock);
	return holds;
}

size_t drift_count(struct service *s)
{
	size_t n = 0;

	(void)pthread_mutex_lock(&s->drift->lock);
	for (size_t i = 0; i < s->drift->count; i++)
		n += s->drift->looks[i].drifted;
	(void)pthread_mutex_unlock(&s->drift->lock);
	return n;
}

static bool is_known_good(struct drift *d, const char *slug, const char *release, const uint8_t signature[32])
{
	const struct look *look;
	bool good;

	(void)pthread_mutex_lock(&d->lock);
	look = find_look(d, slug);
	good = look != NULL && !look->drifted && text_eq(look->release, release) &&
	       memcmp(look->signature, signature, 32) == 0;
	(void)pthread_mutex_unlock(&d->lock);
	return good;
}

static bool is_new(struct drift *d, const char *slug, const char *release)
{
	const struct look *look;
	bool new;

	(void)pthread_mutex_lock(&d->lock);
	look = find_look(d, slug);
	new = look == NULL || !text_eq(look->release, release);
	(void)pthread_mutex_unlock(&d->lock);
	return new;
}

/* True where this is news: it drifted, and had not before. A look that cannot be remembered is only made again. */
static bool remember(struct drift *d, const char *slug, const char *release, const uint8_t signature[32], bool drifted)
{
	struct look *look;
	bool news = drifted;

	(void)pthread_mutex_lock(&d->lock);
	look = find_look(d, slug);
	if (look == NULL && d->count == d->capacity) {
		size_t capacity = 2 * d->capacity + 64;
		struct look *more = realloc(d->looks, capacity * sizeof *more);

		if (more != NULL) {
			d->looks = more;
			d->capacity = capacity;
		}
	}
	if (look == NULL && d->looks != NULL && d->count < d->capacity) {
		look = &d->looks[look_place(d, slug)];
		memmove(look + 1, look, (size_t)(&d->looks[d->count++] - look) * sizeof *look);
		*look = (struct look){0};
		(void)strncpy(look->slug, slug, sizeof look->slug - 1);
	}
	if (look != NULL) {
		news = drifted && !look->drifted;
		(void)strncpy(look->release, release, sizeof look->release - 1);
		memcpy(look->signature, signature, sizeof look->signature);
		look->drifted = drifted;
		look->alive = true;
	}
	(void)pthread_mutex_unlock(&d->lock);
	return news;
}

/* Not looked at this time; what was seen before is still true. */
static void keep_look(struct drift *d, const char *slug)
{
	struct look *look;

	(void)pthread_mutex_lock(&d->lock);
	look = find_look(d, slug);
	if (look != NULL)
		look->alive = true;
	(void)pthread_mutex_unlock(&d->lock);
}

/* Functions that are gone are forgotten. */
static void forget_dead(struct drift *d)
{
	size_t kept = 0;

	(void)pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < d->count; i++)
		if (d->looks[i].alive) {
			d->looks[kept] = d->looks[i];
			d->looks[kept++].alive = false;
		}
	d->count = kept;
	(void)pthread_mutex_unlock(&d->lock);
}

/* Comparing */

struct comparison {
	struct service *service;
	struct arena *arena;
	bool texts;
	size_t shown;
};

static bool sign(const struct foreign_list *disk, const char *stub, uint8_t out[32])
{
	struct sha256 *h = sha256_new();

	if (h == NULL)
		return false;
	for (size_t i = 0; i < disk->count; i++) {
		const struct foreign_file *f = &disk->items[i];

		sha256_update(h, f->path, strlen(f->path) + 1);
		sha256_update(h, &f->size, sizeof f->size);
		sha256_update(h, &f->changed, sizeof f->changed);
		sha256_update(h, &f->inode, sizeof f->inode);
	}
	if (stub != NULL)
		sha256_update(h, stub, strlen(stub));
	if (!sha256_final(h, out)) {
		sha256_free(h);
		return false;
	}
	sha256_free(h);
	return true;
}

/* A file of the release that cannot be opened any more differs. *same: it is what was deployed. */
static bool compare_content(struct service *s, const struct foreign_file *file, const struct file *deployed, bool *same,
			    struct err *e)
{
	uint8_t sum[SHA256_BYTES];
	char piece[READ_SIZE];
	struct sha256 *h;
	ssize_t n = 0;
	int fd;

	*same = false;
	if (file->left_out != NULL || file->size != deployed->size || (fd = foreign_open(s->folder, file->path)) < 0)
		return true;
	h = sha256_new();
	while (h != NULL && ((n = read(fd, piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0)
			sha256_update(h, piece, (size_t)n);
	(void)close(fd);
	if (h == NULL || !sha256_final(h, sum)) {
		sha256_free(h);
		return err_no_memory(e);
	}
	sha256_free(h);
	*same = n == 0 && memcmp(sum, deployed->sha256, sizeof sum) == 0;
	return true;
}

static bool load_disk(struct comparison *cmp, const struct foreign_file *file, struct difference_text *out,
		      struct err *e)
{
	char *text = arena_alloc(cmp->arena, (size_t)file->size + 1);
	int fd = text != NULL ? foreign_open(cmp->service->folder, file->path) : -1;
	size_t len = 0;
	ssize_t n = 0;

	if (text == NULL)
		return err_no_memory(e);
	while (fd >= 0 && len < (size_t)file->size &&
	       ((n = read(fd, text + len, (size_t)file->size - len)) > 0 || (n < 0 && errno == EINTR)))
		len += n > 0 ? (size_t)n : 0;
	if (fd >= 0)
		(void)close(fd);
	text[len] = '\0';
	*out = (struct difference_text){text, len};
	return true;
}

static bool describe(struct comparison *cmp, const char *path, const struct file *was, const struct foreign_file *is,
		     struct difference *out, struct err *e)
{
	struct difference_text old_text = {0};
	struct difference_text new_text = {0};
	char *content = NULL;

	*out = (struct difference){
		.path = path,
		.kind = was == NULL  ? DIFFERENCE_ADDED
			: is == NULL ? DIFFERENCE_REMOVED
				     : DIFFERENCE_MODIFIED,
		.too_large = (was != NULL && was->size > DIFFERENCE_MAX_FILE) ||
			     (is != NULL && is->size > DIFFERENCE_MAX_FILE),
		.binary = is != NULL && is->left_out != NULL,
	};
	if (!cmp->texts || out->too_large || out->binary)
		return true;
	if (was != NULL) {
		if (!function_text(cmp->service, cmp->arena, was, &content, e))
			return false;
		old_text = (struct difference_text){content, (size_t)was->size};
	}
	if (is != NULL && !load_disk(cmp, is, &new_text, e))
		return false;
	return history_text_diff(cmp->arena, was != NULL ? &old_text : NULL, is != NULL ? &new_text : NULL, &cmp->shown,
				 out, e);
}

/* Both lists are sorted by path; those on disk stand below `prefix` bytes of directory. */
static bool compare_files(struct comparison *cmp, const struct file_list *deployed, const struct foreign_list *disk,
			  size_t prefix, struct difference_list *out, struct err *e)
{
	size_t i = 0;
	size_t j = 0;

	out->items = arena_array(cmp->arena, deployed->count + disk->count + 1, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	while (i < deployed->count || j < disk->count) {
		const struct file *was = i < deployed->count ? &deployed->items[i] : NULL;
		const struct foreign_file *is = j < disk->count ? &disk->items[j] : NULL;
		int order = was == NULL ? 1 : is == NULL ? -1 : strcmp(was->path, is->path + prefix);
		bool same = false;

		i += order <= 0;
		j += order >= 0;
		if (order == 0 && !compare_content(cmp->service, is, was, &same, e))
			return false;
		if (same)
			continue;
		/* One of the two is there. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
		if (!describe(cmp, order <= 0 ? was->path : is->path + prefix, order <= 0 ? was : NULL,
			      order >= 0 ? is : NULL, &out->items[out->count], e))
			return false;
		out->count++;
	}
	return true;
}

/* Does the folder show this release? Then *stub is what its stub stands for. Where it does not, a deployment has just
 * been committed, or read before: there is nothing to compare with until both agree. */
static bool is_shown(struct comparison *cmp, const char *slug, const char *release, char **stub)
{
	struct service *s = cmp->service;
	const struct applied_item *shown;
	bool same;

	(void)pthread_mutex_lock(&s->apply_lock);
	shown = applied_find(s->applied, slug);
	same = shown != NULL && text_eq(shown->release, release);
	if (same)
		*stub = folder_active_release(s->folder, cmp->arena, slug);
	(void)pthread_mutex_unlock(&s->apply_lock);
	return same;
}

/* The files of those whose version is new to us: what a look will most likely ask for. Of the rest, without items. */
static bool read_new(struct comparison *cmp, const struct function *f, size_t count, struct file_list *files,
		     struct err *e)
{
	struct file_list read[PAGE];
	const char *ids[PAGE];
	int64_t numbers[PAGE];
	size_t place[PAGE];
	size_t n = 0;
	struct pg_conn *c = NULL;
	bool ok;

	for (size_t i = 0; i < count; i++) {
		const char *release = folder_release_name(cmp->arena, f[i].version.number, f[i].version.digest);

		files[i] = (struct file_list){0};
		if (release == NULL)
			return err_no_memory(e);
		if (f[i].version.kind != KIND_SOURCE || !is_new(cmp->service->drift, f[i].slug, release))
			continue;
		ids[n] = f[i].id;
		numbers[n] = f[i].version.number;
		place[n++] = i;
	}
	if (n == 0)
		return true;
	ok = pg_acquire(cmp->service->pool, &c, e) && version_files_of(c, cmp->arena, ids, numbers, n, read, e);
	pg_release(c);
	for (size_t i = 0; ok && i < n; i++)
		files[place[i]] = read[i];
	return ok;
}

/* deployed: its files, or without items where they are not read yet. *drifted: it differs, and *out says how. *news:
 * nobody knew. */
static bool look_at(struct comparison *cmp, const struct function *f, struct file_list deployed, struct drift_item *out,
		    bool *drifted, bool *news, struct err *e)
{
	struct service *s = cmp->service;
	char *release = folder_release_name(cmp->arena, f->version.number, f->version.digest);
	char *stub = NULL;
	char *top = arena_printf(cmp->arena, ".releases/%s/%s/" RELEASE_SOURCE, f->slug, release);
	struct foreign_list disk = {0};
	struct err ignored = ERR_INIT;
	uint8_t signature[32];

	*news = *drifted = false;
	*out = (struct drift_item){.slug = f->slug, .version = f->version.number};
	if (release == NULL || top == NULL)
		return err_no_memory(e);
	if (!is_shown(cmp, f->slug, release, &stub)) {
		keep_look(s->drift, f->slug);
		return true;
	}
	if (!folder_has_release(s->folder, f->slug, release)) {
		/* Not one that has been replaced since, and was removed. */
		*drifted = out->missing = is_shown(cmp, f->slug, release, &stub);
		return true;
	}
	out->stub = stub == NULL || !text_eq(stub, release);
	out->no_stub = stub == NULL && folder_check_slug(s->folder, f->slug, &ignored);
	if (f->version.kind == KIND_SOURCE && !foreign_list(s->folder, cmp->arena, top, false, &disk, e))
		return false;
	if (!sign(&disk, stub, signature))
		return err_no_memory(e);
	if (is_known_good(s->drift, f->slug, release, signature)) {
		(void)remember(s->drift, f->slug, release, signature, false);
		return true;
	}
	if (f->version.kind == KIND_SOURCE &&
	    ((deployed.items == NULL && !function_files(s, cmp->arena, f, &deployed, e)) ||
	     !compare_files(cmp, &deployed, &disk, strlen(top) + 1, &out->files, e)))
		return false;
	*drifted = out->stub || out->files.count > 0;
	if (*drifted && !is_shown(cmp, f->slug, release, &stub)) {
		keep_look(s->drift, f->slug);
		*drifted = false;
		return true;
	}
	*news = remember(s->drift, f->slug, release, signature, *drifted);
	return true;
}

bool drift_find(struct service *s, struct arena *a, const char *only, bool texts, struct drift_list *out, struct err *e)
{
	struct comparison cmp = {.service = s, .arena = a, .texts = texts};
	struct file_list files[PAGE];
	struct function_list list;
	struct function one;

	*out = (struct drift_list){0};
	if (!service_shows(s))
		return service_not_here(s, s->cfg->project_ref, e);
	if (only != NULL) {
		if (!function_get(s, a, s->cfg->project_ref, only, &one, e))
			return false;
		list = (struct function_list){&one, 1};
	} else if (!function_all(s, a, s->cfg->project_ref, &list, e)) {
		return false;
	}
	out->items = arena_array(a, list.count + 1, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < list.count; i++) {
		size_t left = list.count - i;
		bool drifted;
		bool news;

		if (i % PAGE == 0 && !read_new(&cmp, &list.items[i], left < PAGE ? left : PAGE, files, e))
			return false;
		if (!look_at(&cmp, &list.items[i], files[i % PAGE], &out->items[out->count], &drifted, &news, e))
			return false;
		out->count += drifted;
		if (news)
			log_warn("%s: version %d was changed on disk: functions-admin drift shows how, `drift accept` "
				 "keeps it, `drift revert` puts it back",
				 list.items[i].slug, list.items[i].version.number);
	}
	return true;
}

/* What is not there at all was not edited: it is put back. */
static bool put_back_missing(struct service *s, struct arena *a, const struct drift_list *found, struct err *e)
{
	for (size_t i = 0; i < found->count; i++) {
		struct function f;

		if (!found->items[i].missing && !found->items[i].no_stub)
			continue;
		log_warn("%s: the %s of version %d is missing on disk, and is put back", found->items[i].slug,
			 found->items[i].missing ? "release" : "stub", found->items[i].version);
		if (!function_get(s, a, s->cfg->project_ref, found->items[i].slug, &f, e) ||
		    (found->items[i].missing && !apply_rebuild_release(s, a, &f, e)) ||
		    (found->items[i].no_stub && !apply_put_stub(s, a, &f, e)))
			return false;
	}
	return true;
}

/* Release and stub of one function as they were deployed. */
static bool put_back(struct service *s, struct arena *a, const struct drift_item *item, struct err *e)
{
	char *kept_at = NULL;
	struct function f;

	return function_get(s, a, s->cfg->project_ref, item->slug, &f, e) &&
	       ((item->files.count == 0 && !item->missing) || apply_rebuild_release(s, a, &f, e)) &&
	       (!item->stub || apply_adopt(s, a, &f, &kept_at, e));
}

bool drift_sweep(struct service *s, struct err *e)
{
	struct arena *a = arena_new(0);
	struct drift_list found;
	bool ok = a != NULL ? drift_find(s, a, NULL, false, &found, e) && put_back_missing(s, a, &found, e)
			    : err_no_memory(e);

	if (ok)
		forget_dead(s->drift);
	arena_free(a);
	return ok;
}

bool drift_heal(struct service *s, struct err *e)
{
	struct arena *a = arena_new(0);
	struct drift_list found = {0};
	bool ok = a != NULL ? drift_find(s, a, NULL, false, &found, e) : err_no_memory(e);

	for (size_t i = 0; ok && i < found.count; i++) {
		struct drift_item *item = &found.items[i];

		log_warn("%s: version %d %s on disk, and is put back as it was deployed", item->slug, item->version,
			 item->missing ? "is missing" : "was changed");
		ok = hold_take(s, item->slug, e);
		if (ok) {
			ok = put_back(s, a, item, e);
			hold_drop(s, item->slug, false);
		}
	}
	if (ok)
		forget_dead(s->drift);
	arena_free(a);
	return ok;
}

void drift_forget(struct service *s)
{
	(void)pthread_mutex_lock(&s->drift->lock);
	s->drift->count = 0;
	(void)pthread_mutex_unlock(&s->drift->lock);
}

/* Deciding */

static bool nothing_to_do(const char *slug, struct err *e)
{
	return err_set(e, ERR_CONFLICT, "no_drift", "Function %s is on disk as it was deployed", slug);
}

static bool find_one(struct service *s, struct arena *a, const char *slug, struct function *f, struct drift_list *found,
		     struct err *e)
{
	return function_get(s, a, s->cfg->project_ref, slug, f, e) && drift_find(s, a, slug, false, found, e) &&
	       (found->count > 0 || nothing_to_do(slug, e));
}

bool drift_accept(struct service *s, struct arena *a, const struct actor *who, const char *slug, const char *message,
		  struct deploy_result *out, struct err *e)
{
	struct deploy_request req = {
		.slug = slug,
		.message = message != NULL ? message : "Accepted from the functions folder",
		.source = "drift",
		.expect = EXPECT_EXISTING,
	};
	struct foreign_list disk;
	struct drift_list found;
	struct function f;
	bool *all;
	char *top;

	if (!find_one(s, a, slug, &f, &found, e))
		return false;
	if (found.items[0].missing)
		return nothing_to_do(slug, e);
	if (found.items[0].files.count == 0) {
		(void)err_set(e, ERR_CONFLICT, "only_the_stub", "Only the stub of %s was changed, which is no version",
			      slug);
		return err_hint(e, "functions-admin drift revert %s puts it back.", slug);
	}
	top = arena_printf(a, ".releases/%s/%s/" RELEASE_SOURCE, slug,
			   folder_release_name(a, f.version.number, f.version.digest));
	if (top == NULL)
		return err_no_memory(e);
	if (!foreign_list(s->folder, a, top, false, &disk, e))
		return false;
	all = arena_array(a, disk.count + 1, sizeof *all);
	if (all == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < disk.count; i++) {
		all[i] = true;
		if (disk.items[i].left_out != NULL)
			return err_set(e, ERR_INVALID, "not_a_file", "%s cannot be part of a version: %s",
				       disk.items[i].path, disk.items[i].left_out);
	}
	req.project_ref = s->cfg->project_ref;
	req.entrypoint = f.version.entrypoint;
	req.import_map = f.version.import_map;
	req.static_patterns = f.version.static_patterns;
	req.expected = (struct expectation){true, f.active_version, f.updated_at};
	if (!upload_new(&req.upload, s, a, KIND_SOURCE, e) ||
	    !adopt_fill(s, req.upload, &disk, all, strlen(top) + 1, e) || !deploy_run(s, a, who, &req, out, e))
		return false;
	/* The version that was edited is itself again, for who rolls back to it. */
	return apply_rebuild_release(s, a, &f, e);
}

bool drift_revert(struct service *s, struct arena *a, const struct actor *who, const char *slug, int *version,
		  struct err *e)
{
	const struct audit_entry entry = {.project_ref = s->cfg->project_ref,
					  .action = "function.drift.revert",
					  .target = slug,
					  .outcome = "done"};
	struct drift_list found;
	struct function f;
	bool ok;

	if (!find_one(s, a, slug, &f, &found, e) || !audit_record(s, a, who, &entry, e) || !hold_take(s, slug, e))
		return false;
	ok = put_back(s, a, &found.items[0], e) && drift_find(s, a, slug, false, &found, e);
	hold_drop(s, slug, false);
	*version = f.version.number;
	return ok;
}
