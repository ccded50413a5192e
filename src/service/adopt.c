#include "service/adopt.h"

#include "core/log.h"
#include "core/names.h"
#include "core/text.h"
#include "fs/bundle.h"
#include "fs/foreign.h"
#include "fs/imports.h"
#include "service/apply.h"
#include "service/deploy.h"
#include "service/function.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE ((size_t)16 * 1024)

/* The directory of the main service: it routes the calls, and is no function. */
#define MAIN_SERVICE "main"

struct adoption {
	struct service *service;
	struct arena *arena;
	const struct actor *who;
	const struct adopt_request *req;
	struct foreign_list all; /* everything in the folder that is not ours */
	bool *wanted;            /* of `all`: the files of the function at hand */
	struct imports_tree tree;
};

/* Reading the folder */

static bool read_foreign(void *ctx, size_t index, void *out, size_t len, struct err *e)
{
	const struct adoption *ad = ctx;
	const char *path = ad->all.items[index].path;
	char *p = out;
	int fd;

	/* Nothing is read of what is left out: it may be a link, or nothing that this user may open. */
	if (len == 0)
		return true;
	fd = foreign_open(ad->service->folder, path);
	if (fd < 0)
		return err_errno(e, errno, "Reading %s", path);
	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			(void)err_errno(e, n < 0 ? errno : EIO, "Reading %s", path);
			break;
		}
		p += n;
		len -= (size_t)n;
	}
	(void)close(fd);
	return len == 0;
}

static bool copy_file(struct service *s, struct upload *u, const char *from, const char *name, struct err *e)
{
	int fd = foreign_open(s->folder, from);
	char piece[READ_SIZE];
	bool ok = fd >= 0 ? upload_begin(u, name, e) : err_errno(e, errno, "Reading %s", from);

	while (ok) {
		ssize_t n = read(fd, piece, sizeof piece);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			ok = n == 0 ? upload_end(u, e) : err_errno(e, errno, "Reading %s", from);
			break;
		}
		ok = upload_write(u, piece, (size_t)n, e);
	}
	if (fd >= 0)
		(void)close(fd);
	return ok;
}

bool adopt_fill(struct service *s, struct upload *u, const struct foreign_list *files, const bool *wanted,
		size_t prefix, struct err *e)
{
	for (size_t i = 0; i < files->count; i++)
		if (wanted[i] && !copy_file(s, u, files->items[i].path, files->items[i].path + prefix, e))
			return false;
	return true;
}

/* What a limit forbids is left out before anything is read. */
static void apply_limits(struct adoption *ad)
{
	const struct config *cfg = ad->service->cfg;

	for (size_t i = 0; i < ad->all.count; i++) {
		struct foreign_file *f = &ad->all.items[i];
		struct err bad = ERR_INIT;

		if (f->left_out == NULL && f->size > cfg->max_file_bytes)
			f->left_out = arena_printf(ad->arena, "larger than max_file_bytes (%lld bytes)",
						   (long long)cfg->max_file_bytes);
		if (f->left_out == NULL && !bundle_check_path(f->path, (size_t)cfg->max_path_bytes, &bad))
			f->left_out = arena_strdup(ad->arena, bad.message);
	}
}

static bool make_tree(struct adoption *ad, struct err *e)
{
	const char **paths = arena_array(ad->arena, ad->all.count + 1, sizeof *paths);
	size_t *sizes = arena_array(ad->arena, ad->all.count + 1, sizeof *sizes);

	ad->wanted = arena_array(ad->arena, ad->all.count + 1, sizeof *ad->wanted);
	if (paths == NULL || sizes == NULL || ad->wanted == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < ad->all.count; i++) {
		paths[i] = ad->all.items[i].path;
		/* What is left out cannot be read; as an empty file it imports nothing. */
		sizes[i] = ad->all.items[i].left_out == NULL ? (size_t)ad->all.items[i].size : 0;
	}
	ad->tree = (struct imports_tree){
		.paths = paths, .sizes = sizes, .count = ad->all.count, .read = read_foreign, .ctx = ad};
	return true;
}

/* Which files make the function */

/* Is the path below the folder's entry `name`? */
static bool is_below(const char *path, const char *name)
{
	size_t len = strlen(name);

	return strncmp(path, name, len) == 0 && path[len] == '/';
}

/* The path of a file that is there and can be taken: "name/file", or "file" of the folder itself. NULL for none. */
static const char *find_first(const struct adoption *ad, const char *name, const char *const *candidates)
{
	for (; *candidates != NULL; candidates++) {
		const char *path = name != NULL ? arena_printf(ad->arena, "%s/%s", name, *candidates) : *candidates;

		for (size_t i = 0; path != NULL && i < ad->all.count; i++)
			if (ad->all.items[i].left_out == NULL && text_eq(ad->all.items[i].path, path))
				return path;
	}
	return NULL;
}

/* A folder that begins with _ is shared: whoever imports one file of it may read others at run time. */
static bool is_of_reached_shared(const struct adoption *ad, const bool *reached, const char *path)
{
	size_t top = strcspn(path, "/");

	if (path[0] != '_' || path[top] == '\0')
		return false;
	for (size_t i = 0; i < ad->all.count; i++)
		if (reached[i] && strncmp(ad->all.items[i].path, path, top + 1) == 0)
			return true;
	return false;
}

static bool note_left_out(struct adoption *ad, struct adopt_item *item, struct err *e)
{
	for (size_t i = 0; i < ad->all.count; i++)
		item->left_out_count +=
			ad->all.items[i].left_out != NULL && is_below(ad->all.items[i].path, item->name);
	item->left_out = arena_array(ad->arena, item->left_out_count + 1, sizeof *item->left_out);
	if (item->left_out == NULL)
		return err_no_memory(e);
	item->left_out_count = 0;
	for (size_t i = 0; i < ad->all.count; i++)
		if (ad->all.items[i].left_out != NULL && is_below(ad->all.items[i].path, item->name))
			item->left_out[item->left_out_count++] =
				(struct adopt_left_out){ad->all.items[i].path, ad->all.items[i].left_out};
	return true;
}

static bool choose_files(struct adoption *ad, struct adopt_item *item, struct err *e)
{
	bool *reached = arena_array(ad->arena, ad->all.count + 1, sizeof *reached);

	if (reached == NULL)
		return err_no_memory(e);
	if (!imports_reach(ad->arena, &ad->tree, item->entrypoint, item->import_map, reached, e))
		return false;
	memset(ad->wanted, 0, ad->all.count * sizeof *ad->wanted);
	for (size_t i = 0; i < ad->all.count; i++) {
		const struct foreign_file *f = &ad->all.items[i];

		ad->wanted[i] =
			f->left_out == NULL && (is_below(f->path, item->name) || reached[i] ||
						(item->import_map != NULL && text_eq(f->path, item->import_map)) ||
						is_of_reached_shared(ad, reached, f->path));
		item->file_count += ad->wanted[i];
		item->bytes += ad->wanted[i] ? f->size : 0;
	}
	return true;
}

/* What the upload of these files would be told, without storing anything. */
static bool check_tree(const struct adoption *ad, const struct adopt_item *item, struct err *e)
{
	const struct config *cfg = ad->service->cfg;
	const char **paths = arena_array(ad->arena, item->file_count + 1, sizeof *paths);
	size_t *sizes = arena_array(ad->arena, item->file_count + 1, sizeof *sizes);
	struct adoption part = *ad;
	size_t n = 0;

	part.all.items = arena_array(ad->arena, item->file_count + 1, sizeof *part.all.items);
	if (paths == NULL || sizes == NULL || part.all.items == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < ad->all.count; i++) {
		if (!ad->wanted[i])
			continue;
		part.all.items[n] = ad->all.items[i];
		paths[n] = ad->all.items[i].path;
		sizes[n++] = (size_t)ad->all.items[i].size;
	}
	part.all.count = n;
	part.tree =
		(struct imports_tree){.paths = paths, .sizes = sizes, .count = n, .read = read_foreign, .ctx = &part};
	if ((int64_t)n > cfg->max_files)
		return err_set(e, ERR_TOO_LARGE, "too_many_files", "It has %zu files, more than max_files (%lld)", n,
			       (long long)cfg->max_files);
	if (item->bytes > cfg->max_upload_bytes)
		return err_set(e, ERR_TOO_LARGE, "upload_too_large",
			       "It has %lld bytes, more than max_upload_bytes (%lld)", (long long)item->bytes,
			       (long long)cfg->max_upload_bytes);
	return imports_check(ad->arena, &part.tree, item->entrypoint, item->import_map, cfg->import_hosts, e);
}

/* One entry of the folder */

static bool refuse(struct adoption *ad, struct adopt_item *item, const struct err *why, struct err *e)
{
	item->outcome = ADOPT_REFUSED;
	item->reason = arena_strdup(ad->arena, why->message);
	item->hint = why->hint[0] != '\0' ? arena_strdup(ad->arena, why->hint) : NULL;
	return item->reason != NULL ? true : err_no_memory(e);
}

static bool skip(struct adopt_item *item, const char *reason)
{
	item->outcome = ADOPT_SKIPPED;
	item->reason = reason;
	return true;
}

static bool deploy(struct adoption *ad, struct adopt_item *item, struct err *e)
{
	struct deploy_request req = {
		.project_ref = ad->req->project_ref,
		.slug = item->name,
		.entrypoint = item->entrypoint,
		.import_map = item->import_map,
		.verify_jwt = ad->req->verify_jwt ? VERIFY_ON : VERIFY_OFF,
		.message = ad->req->message != NULL ? ad->req->message : "Imported from the functions folder",
		.source = "import",
		.adopts = true,
	};
	struct deploy_result result;
	char *kept_at = NULL;

	if (!upload_new(&req.upload, ad->service, ad->arena, KIND_SOURCE, e) ||
	    !adopt_fill(ad->service, req.upload, &ad->all, ad->wanted, 0, e) ||
	    !deploy_run(ad->service, ad->arena, ad->who, &req, &result, e) ||
	    !apply_adopt(ad->service, ad->arena, &result.function, &kept_at, e))
		return false;
	item->outcome = ADOPT_IMPORTED;
	item->version = result.function.version.number;
	item->kept_at = kept_at;
	log_info("%s: imported as version %d; what lay there before is kept in %s", item->name, item->version, kept_at);
	return true;
}

/* A function of this name that is deployed: only one that an earlier import left between its two steps is gone on with.
 */
static bool check_deployed(struct adoption *ad, const struct adopt_item *item, struct err *e)
{
	struct function f;

	if (!function_get(ad->service, ad->arena, ad->req->project_ref, item->name, &f, e)) {
		if (e->kind != ERR_NOT_FOUND)
			return false;
		*e = (struct err)ERR_INIT;
		return true;
	}
	if (text_eq(f.version.source, "import"))
		return true;
	(void)err_set(e, ERR_CONFLICT, "slug_taken", "A function of this name is deployed already");
	return err_hint(e, "Rename the directory, or delete the deployed function first.");
}

/* left_out: why what is no directory with something in it cannot be taken, NULL for a plain file. */
static bool consider(struct adoption *ad, struct adopt_item *item, bool is_directory, const char *left_out,
		     struct err *e)
{
	static const char *const entries[] = {"index.ts", "index.tsx", "index.js", "index.jsx", "index.mjs", NULL};
	static const char *const own_maps[] = {"deno.json", "deno.jsonc", "import_map.json", NULL};
	static const char *const common_maps[] = {"import_map.json", "deno.json", "deno.jsonc", NULL};
	struct err why = ERR_INIT;

	if (!is_directory)
		return skip(item, left_out != NULL ? left_out : "not a directory");
	if (text_eq(item->name, MAIN_SERVICE))
		return skip(item, "the main service, which calls the functions");
	if (!note_left_out(ad, item, e))
		return false;
	if (item->name[0] == '_')
		return skip(item, "shared code: it comes with the functions that import it");
	item->entrypoint = find_first(ad, item->name, entries);
	if (item->entrypoint == NULL)
		return skip(item, "it has no index.ts that can be read");
	item->import_map = find_first(ad, item->name, own_maps);
	if (item->import_map == NULL)
		item->import_map = find_first(ad, NULL, common_maps);
	item->verify_jwt = ad->req->verify_jwt;
	if (!names_check_slug(item->name, &why) || !check_deployed(ad, item, &why) ||
	    !folder_check_adopt(ad->service->folder, item->name, &why) || !choose_files(ad, item, &why) ||
	    !check_tree(ad, item, &why) || (!ad->req->dry_run && !deploy(ad, item, &why)))
		return refuse(ad, item, &why, e);
	if (ad->req->dry_run)
		item->outcome = ADOPT_PLANNED;
	return true;
}

/* All of them */

static bool is_wanted(const struct adopt_request *req, const char *name)
{
	return (req->only == NULL || text_eq(req->only, name)) && req->may_touch(req->ctx, name);
}

bool adopt_run(struct service *s, struct arena *a, const struct actor *who, const struct adopt_request *req,
	       struct adopt_report *out, struct err *e)
{
	struct adoption ad = {.service = s, .arena = a, .who = who, .req = req};

	*out = (struct adopt_report){0};
	if (s->folder == NULL || !text_eq(req->project_ref, s->cfg->project_ref))
		return service_not_here(s, req->project_ref, e);
	if (!foreign_list(s->folder, a, "", true, &ad.all, e))
		return false;
	apply_limits(&ad);
	out->items = arena_array(a, ad.all.count + 1, sizeof *out->items);
	if (out->items == NULL || !make_tree(&ad, e))
		return out->items == NULL ? err_no_memory(e) : false;
	for (size_t i = 0; i < ad.all.count;) {
		const char *path = ad.all.items[i].path;
		size_t len = strcspn(path, "/");
		struct adopt_item *item = &out->items[out->count];
		const char *left_out = ad.all.items[i].left_out;
		bool is_directory = path[len] == '/';

		*item = (struct adopt_item){.name = arena_strndup(a, path, len)};
		if (item->name == NULL)
			return err_no_memory(e);
		for (i++; is_directory && i < ad.all.count && is_below(ad.all.items[i].path, item->name);)
			i++;
		if (!is_wanted(req, item->name))
			continue;
		if (!consider(&ad, item, is_directory, left_out, e))
			return false;
		out->count++;
		out->imported += item->outcome == ADOPT_PLANNED || item->outcome == ADOPT_IMPORTED;
		out->refused += item->outcome == ADOPT_REFUSED;
	}
	if (req->only != NULL && out->count == 0) {
		(void)err_set(e, ERR_NOT_FOUND, "not_in_folder",
			      "The functions folder has no \"%s\" that functions-admin did not put there", req->only);
		return err_hint(e, "functions-admin import --dry-run lists what could be imported.");
	}
	return true;
}
