#include "service/upload.h"

#include "fs/bundle.h"
#include "fs/release.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct upload {
	struct service *service;
	struct arena *arena;
	enum version_kind kind;
	struct staging *staging;
	struct file *files;
	size_t count;
	size_t capacity;
	int64_t file_bytes;
	int64_t bytes;
	/* The file that upload_read() has open. */
	size_t open_index;
	int open_fd;
};

static void release_upload(void *ctx)
{
	struct upload *u = ctx;

	if (u->open_fd >= 0)
		(void)close(u->open_fd);
	staging_free(u->staging);
}

bool upload_new(struct upload **out, struct service *s, struct arena *a, enum version_kind kind, struct err *e)
{
	struct upload *u = arena_alloc(a, sizeof *u);

	if (u == NULL)
		return err_no_memory(e);
	u->service = s;
	u->arena = a;
	u->kind = kind;
	u->open_fd = -1;
	if (s->folder == NULL)
		return service_not_here(s, s->cfg->project_ref[0] != '\0' ? s->cfg->project_ref : "of another folder",
					e);
	if (!staging_new(&u->staging, s->folder, e))
		return false;
	if (!arena_defer(a, release_upload, u))
		return err_no_memory(e);
	*out = u;
	return true;
}

/* Where the file lies in the staging area. NULL when memory is out. */
static const char *staged_path(const struct upload *u, const char *path)
{
	return u->kind == KIND_ESZIP ? path : arena_printf(u->arena, RELEASE_SOURCE "/%s", path);
}

static bool add_file(struct upload *u, const char *path, struct err *e)
{
	struct file *f;

	if (u->count == u->capacity) {
		size_t capacity = 2 * u->capacity + 8;
		struct file *more = arena_array(u->arena, capacity, sizeof *more);

		if (more == NULL)
			return err_no_memory(e);
		if (u->count > 0)
			memcpy(more, u->files, u->count * sizeof *more);
		u->files = more;
		u->capacity = capacity;
	}
	f = &u->files[u->count];
	f->path = arena_strdup(u->arena, path);
	if (f->path == NULL)
		return err_no_memory(e);
	u->count++;
	return true;
}

bool upload_begin(struct upload *u, const char *path, struct err *e)
{
	const struct config *cfg = u->service->cfg;
	const char *staged;

	if ((int64_t)u->count >= cfg->max_files) {
		(void)err_set(e, ERR_TOO_LARGE, "too_many_files", "The upload has more than %lld files",
			      (long long)cfg->max_files);
		return err_hint(e, "The option max_files sets the limit.");
	}
	if (!bundle_check_path(path, (size_t)cfg->max_path_bytes, e) || !add_file(u, path, e))
		return false;
	staged = staged_path(u, path);
	if (staged == NULL)
		return err_no_memory(e);
	u->file_bytes = 0;
	return staging_begin(u->staging, staged, e);
}

bool upload_write(struct upload *u, const void *data, size_t len, struct err *e)
{
	const struct config *cfg = u->service->cfg;
	/* A bundle is one file, whatever it holds: the limit of a whole upload is its own. */
	int64_t max_file = u->kind == KIND_ESZIP ? cfg->max_upload_bytes : cfg->max_file_bytes;

	if ((int64_t)len > max_file - u->file_bytes) {
		(void)err_set(e, ERR_TOO_LARGE, "file_too_large", "The file \"%s\" is larger than %lld bytes",
			      u->files[u->count - 1].path, (long long)max_file);
		return err_hint(e, "The option max_file_bytes sets the limit.");
	}
	if ((int64_t)len > cfg->max_upload_bytes - u->bytes) {
		(void)err_set(e, ERR_TOO_LARGE, "upload_too_large", "The upload is larger than %lld bytes",
			      (long long)cfg->max_upload_bytes);
		return err_hint(e, "The option max_upload_bytes sets the limit.");
	}
	u->file_bytes += (int64_t)len;
	u->bytes += (int64_t)len;
	return staging_write(u->staging, data, len, e);
}

bool upload_end(struct upload *u, struct err *e)
{
	struct file *f = &u->files[u->count - 1];

	return staging_end(u->staging, f->sha256, &f->size, e);
}

bool upload_put(struct upload *u, const char *path, const void *data, size_t len, struct err *e)
{
	return upload_begin(u, path, e) && upload_write(u, data, len, e) && upload_end(u, e);
}

enum version_kind upload_kind(const struct upload *u)
{
	return u->kind;
}

static int by_path(const void *x, const void *y)
{
	return strcmp(((const struct file *)x)->path, ((const struct file *)y)->path);
}

bool upload_files(struct upload *u, struct file_list *out, struct err *e)
{
	const char **paths = arena_array(u->arena, u->count, sizeof *paths);

	if (paths == NULL)
		return err_no_memory(e);
	if (u->count > 0)
		qsort(u->files, u->count, sizeof *u->files, by_path);
	for (size_t i = 0; i < u->count; i++)
		paths[i] = u->files[i].path;
	*out = (struct file_list){.items = u->files, .count = u->count};
	return bundle_check_tree(u->arena, paths, u->count, e);
}

int64_t upload_bytes(const struct upload *u)
{
	return u->bytes;
}

struct staging *upload_staging(struct upload *u)
{
	return u->staging;
}

bool upload_read(void *ctx, size_t index, int64_t offset, void *out, size_t len, struct err *e)
{
	struct upload *u = ctx;
	char *p = out;

	if (u->open_fd < 0 || u->open_index != index) {
		const char *path = staged_path(u, u->files[index].path);

		if (path == NULL)
			return err_no_memory(e);
		if (u->open_fd >= 0)
			(void)close(u->open_fd);
		u->open_fd = staging_open(u->staging, path, O_RDONLY);
		if (u->open_fd < 0)
			return folder_failed(errno, "Reading", u->files[index].path, e);
		u->open_index = index;
	}
	while (len > 0) {
		ssize_t n = pread(u->open_fd, p, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_errno(e, n < 0 ? errno : EIO, "Reading %s", u->files[index].path);
		p += n;
		offset += n;
		len -= (size_t)n;
	}
	return true;
}
