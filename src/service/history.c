#include "service/history.h"

#include "core/text.h"
#include "service/function.h"
#include "store/deployment.h"
#include "store/function.h"
#include "store/release.h"
#include "store/version.h"

#include <git2.h>
#include <string.h>

bool history_versions(struct service *s, struct arena *a, const char *project_ref, const char *slug, int before,
		      int limit, struct function *f, struct version_list *out, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && function_find_active(c, a, project_ref, slug, f, e) &&
		  version_list(c, a, f->id, before, limit, out, e);

	pg_release(c);
	return ok;
}

bool history_version(struct service *s, struct arena *a, const char *project_ref, const char *slug, int number,
		     struct function *out, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && function_find_active(c, a, project_ref, slug, out, e) &&
		  version_find(c, a, out->id, number, &out->version, e);

	pg_release(c);
	return ok;
}

bool history_deployments(struct service *s, struct arena *a, const char *project_ref, const char *slug,
			 const char *after, int limit, struct deployment_list *out, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && deployment_list(c, a, project_ref, slug, after, limit, out, e);

	pg_release(c);
	return ok;
}

bool history_deployment(struct service *s, struct arena *a, const char *project_ref, const char *id,
			struct deployment *out, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && deployment_find(c, a, project_ref, id, out, e);

	pg_release(c);
	return ok;
}

bool history_releases(struct service *s, struct arena *a, const char *project_ref, int64_t before, int limit,
		      struct release_list *out, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && release_list(c, a, project_ref, before, limit, out, e);

	pg_release(c);
	return ok;
}

bool history_release(struct service *s, struct arena *a, const char *project_ref, int64_t number, struct release *out,
		     struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && release_find(c, a, project_ref, number, out, e);

	pg_release(c);
	return ok;
}

bool history_traffic(struct service *s, struct arena *a, const struct function *f, struct shares *out, struct err *e)
{
	struct pg_conn *c = NULL;
	bool ok = pg_acquire(s->pool, &c, e) && function_shares(c, a, f->id, out, e);

	pg_release(c);
	if (ok && out->count == 0)
		*out = (struct shares){.items = {{f->active_version, 100}}, .count = 1};
	return ok;
}

/* Differences */

struct comparison {
	struct service *service;
	struct arena *arena;
	size_t shown; /* bytes of diff text so far */
	bool eszip;   /* a bundle is binary, whatever it looks like */
};

static bool load(struct comparison *cmp, const struct file *file, const char **text, struct err *e)
{
	char *content = NULL;

	*text = "";
	if (file == NULL)
		return true;
	if (!function_text(cmp->service, cmp->arena, file, &content, e))
		return false;
	*text = content;
	return true;
}

bool history_text_diff(struct arena *a, const struct difference_text *from, const struct difference_text *to,
		       size_t *shown, struct difference *out, struct err *e)
{
	git_diff_options options;
	git_buf text = GIT_BUF_INIT;
	git_patch *patch = NULL;
	bool ok = false;

	if (git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION) != 0)
		return err_no_memory(e);
	options.context_lines = 3;
	if (git_patch_from_buffers(&patch, from != NULL ? from->text : NULL, from != NULL ? from->len : 0, out->path,
				   to != NULL ? to->text : NULL, to != NULL ? to->len : 0, out->path, &options) != 0 ||
	    git_patch_to_buf(&text, patch) != 0) {
		(void)err_no_memory(e);
		goto out;
	}
	out->binary = patch != NULL && git_patch_get_delta(patch)->flags & GIT_DIFF_FLAG_BINARY;
	if (!out->binary && *shown + text.size > DIFFERENCE_MAX_TOTAL) {
		out->too_large = true;
	} else if (!out->binary) {
		/* What is not UTF-8 cannot stand in JSON; to the reader it is as good as binary. */
		out->binary = !text_utf8_valid(text.ptr != NULL ? text.ptr : "", text.size);
		out->diff = out->binary ? NULL : arena_strndup(a, text.ptr != NULL ? text.ptr : "", text.size);
		if (!out->binary && out->diff == NULL) {
			(void)err_no_memory(e);
			goto out;
		}
		*shown += text.size;
	}
	ok = true;
out:
	git_buf_dispose(&text);
	git_patch_free(patch);
	return ok;
}

static bool make_diff(struct comparison *cmp, const struct file *from, const struct file *to, struct difference *out,
		      struct err *e)
{
	struct difference_text old_text = {.len = from != NULL ? (size_t)from->size : 0};
	struct difference_text new_text = {.len = to != NULL ? (size_t)to->size : 0};

	return load(cmp, from, &old_text.text, e) && load(cmp, to, &new_text.text, e) &&
	       history_text_diff(cmp->arena, from != NULL ? &old_text : NULL, to != NULL ? &new_text : NULL,
				 &cmp->shown, out, e);
}

static bool compare(struct comparison *cmp, const char *path, const struct file *from, const struct file *to,
		    struct difference *out, struct err *e)
{
	*out = (struct difference){
		.path = path,
		.kind = from == NULL ? DIFFERENCE_ADDED
			: to == NULL ? DIFFERENCE_REMOVED
				     : DIFFERENCE_MODIFIED,
		.binary = cmp->eszip,
		.too_large = (from != NULL && from->size > DIFFERENCE_MAX_FILE) ||
			     (to != NULL && to->size > DIFFERENCE_MAX_FILE),
	};
	return out->binary || out->too_large || make_diff(cmp, from, to, out, e);
}

bool history_diff(struct service *s, struct arena *a, const struct function *from, const struct function *to,
		  struct difference_list *out, struct err *e)
{
	struct comparison cmp = {
		.service = s,
		.arena = a,
		.eszip = from->version.kind == KIND_ESZIP || to->version.kind == KIND_ESZIP,
	};
	struct file_list old_files;
	struct file_list new_files;
	size_t i = 0;
	size_t j = 0;

	if (!function_files(s, a, from, &old_files, e) || !function_files(s, a, to, &new_files, e))
		return false;
	out->count = 0;
	out->items = arena_array(a, old_files.count + new_files.count, sizeof *out->items);
	if (out->items == NULL)
		return err_no_memory(e);
	/* Both lists are sorted by path. */
	while (i < old_files.count || j < new_files.count) {
		const struct file *was = i < old_files.count ? &old_files.items[i] : NULL;
		const struct file *is = j < new_files.count ? &new_files.items[j] : NULL;
		int order = was == NULL ? 1 : is == NULL ? -1 : strcmp(was->path, is->path);

		i += order <= 0;
		j += order >= 0;
		if (order == 0 && memcmp(was->sha256, is->sha256, sizeof was->sha256) == 0)
			continue;
		/* One of the two is there. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
		if (!compare(&cmp, (order <= 0 ? was : is)->path, order <= 0 ? was : NULL, order >= 0 ? is : NULL,
			     &out->items[out->count], e))
			return false;
		out->count++;
	}
	return true;
}
