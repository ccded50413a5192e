#include "core/crash.h"
#include "core/crypto.h"
#include "core/log.h"
#include "core/text.h"
#include "fs/folder_own.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory made for the upload, to be fsynced before it is published. */
struct made_dir {
	struct made_dir *next;
	char path[];
};

struct staged_file {
	struct staged_file *next;
	char path[];
};

struct staging {
	struct folder *folder;
	char name[FOLDER_TEMPORARY_SIZE];
	int dir;
	int file;
	struct sha256 *sum;
	int64_t size;
	struct made_dir *dirs;
	struct staged_file *files;
	bool published;
	/* staging_begin_sync() */
	bool syncing;
	pthread_t syncer;
	bool synced;
	struct err sync_error;
};

bool staging_new(struct staging **out, struct folder *f, struct err *e)
{
	struct staging *s = calloc(1, sizeof *s);
	unsigned renewals;

	if (s == NULL)
		return err_no_memory(e);
	if (!folder_check(f, &renewals, e)) {
		free(s);
		return false;
	}
	s->folder = f;
	s->file = -1;
	folder_temporary_name(s->name, "new");
	s->dir = folder_dir_make(f->staging, s->name, f->mode);
	if (s->dir < 0) {
		(void)folder_failed(errno, "Writing to the functions folder", f->path, e);
		free(s);
		return false;
	}
	*out = s;
	return true;
}

/* Makes the directories above path, each remembered for its fsync. */
static bool make_parents(struct staging *s, const char *path, struct err *e)
{
	for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		size_t len = (size_t)(slash - path);
		struct made_dir *d = calloc(1, sizeof *d + len + 1);

		if (d == NULL)
			return err_no_memory(e);
		memcpy(d->path, path, len);
		if (mkdirat(s->dir, d->path, s->folder->mode) == 0) {
			d->next = s->dirs;
			s->dirs = d;
			continue;
		}
		free(d);
		if (errno != EEXIST)
			return folder_failed(errno, "Making a directory for", path, e);
	}
	return true;
}

bool staging_begin(struct staging *s, const char *path, struct err *e)
{
	size_t len = strlen(path);
	struct staged_file *file;

	if (!make_parents(s, path, e))
		return false;
	file = calloc(1, sizeof *file + len + 1);
	if (file == NULL)
		return err_no_memory(e);
	memcpy(file->path, path, len);
	file->next = s->files;
	s->files = file;
	s->file = openat(s->dir, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, s->folder->mode & 0666);
	if (s->file < 0) {
		/* The upload names a path twice, or a file as a directory: the tree check has the better words for the
		 * second. */
		if (errno == EEXIST || errno == ENOTDIR)
			return err_set(e, ERR_INVALID, "invalid_path", "The file path \"%s\" %s", path,
				       errno == EEXIST ? "stands twice in the upload" : "has a file as its directory");
		return folder_failed(errno, "Writing", path, e);
	}
	s->size = 0;
	if (s->sum == NULL)
		s->sum = sha256_new();
	return s->sum != NULL ? true : err_no_memory(e);
}

bool staging_write(struct staging *s, const void *data, size_t len, struct err *e)
{
	if (!folder_write_all(s->file, data, len))
		return err_errno(e, errno, "Writing %s", s->files->path);
	sha256_update(s->sum, data, len);
	s->size += (int64_t)len;
	return true;
}

bool staging_end(struct staging *s, uint8_t sha256[32], int64_t *size, struct err *e)
{
	int fd = s->file;

	s->file = -1;
	*size = s->size;
	if (!sha256_final(s->sum, sha256)) {
		(void)close(fd);
		return err_no_memory(e);
	}
	/* The disk begins now, while the rest of the upload is read and stored; the fsync of each file, at the end,
	 * then finds little left to do. */
	(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	FA_CRASH_POINT("staging.file_written");
	return close(fd) == 0 ? true : err_errno(e, errno, "Writing %s", s->files->path);
}

bool staging_put(struct staging *s, const char *path, const void *data, size_t len, struct err *e)
{
	uint8_t sum[32];
	int64_t size;

	return staging_begin(s, path, e) && staging_write(s, data, len, e) && staging_end(s, sum, &size, e);
}

int staging_open_dir(struct staging *s, const char *path)
{
	return folder_dir_open(s->dir, path);
}

int staging_open(struct staging *s, const char *path, int flags)
{
	return openat(s->dir, path, flags | O_NOFOLLOW | O_CLOEXEC, s->folder->mode & 0666);
}

bool staging_remove(struct staging *s, const char *path, struct err *e)
{
	struct staged_file **link = &s->files;

	while (*link != NULL && !text_eq((*link)->path, path))
		link = &(*link)->next;
	if (*link != NULL) {
		struct staged_file *gone = *link;

		*link = gone->next;
		free(gone);
	}
	return unlinkat(s->dir, path, 0) == 0 ? true : folder_failed(errno, "Removing", path, e);
}

static bool sync_all(struct staging *s, struct err *e)
{
	for (const struct staged_file *f = s->files; f != NULL; f = f->next)
		if (!folder_sync_path(s->dir, f->path, 0))
			return folder_failed(errno, "Syncing", f->path, e);
	for (const struct made_dir *d = s->dirs; d != NULL; d = d->next)
		if (!folder_sync_path(s->dir, d->path, O_DIRECTORY))
			return folder_failed(errno, "Syncing", d->path, e);
	return fsync(s->dir) == 0 ? true : err_errno(e, errno, "Syncing a release");
}

static void *sync_beside(void *ctx)
{
	struct staging *s = ctx;

	s->synced = sync_all(s, &s->sync_error);
	return NULL;
}

void staging_begin_sync(struct staging *s)
{
	s->syncing = pthread_create(&s->syncer, NULL, sync_beside, s) == 0;
}

static bool end_sync(struct staging *s, struct err *e)
{
	if (!s->syncing)
		return sync_all(s, e);
	s->syncing = false;
	(void)pthread_join(s->syncer, NULL);
	if (!s->synced)
		*e = s->sync_error;
	return s->synced;
}

bool folder_name_release(struct folder *f, const char *temporary, const char *slug, const char *release, bool *new,
			 struct err *e)
{
	int parent = folder_dir_make(f->releases, slug, f->mode);
	bool ok;

	*new = false;
	if (parent < 0)
		return folder_failed(errno, "Making the directory for the releases of", slug, e);
	FA_CRASH_POINT("publish.synced");
	ok = *new = renameat2(f->staging, temporary, parent, release, RENAME_NOREPLACE) == 0;
	if (ok) {
		FA_CRASH_POINT("publish.renamed");
	} else if (errno == EEXIST) {
		/* One of that name is there: swapped in one step, so that a reader always finds a whole one. */
		ok = renameat2(f->staging, temporary, parent, release, RENAME_EXCHANGE) == 0 && fsync(parent) == 0;
		FA_CRASH_POINT("publish.exchanged");
	}
	/* Where a loss of power takes a new name away, the next start builds the release from the database. */
	if (!ok)
		ok = folder_failed(errno, "Publishing a release of", slug, e);
	(void)close(parent);
	return ok;
}

bool staging_publish(struct staging *s, const char *slug, const char *release, struct err *e)
{
	return end_sync(s, e) && folder_name_release(s->folder, s->name, slug, release, &s->published, e);
}

bool staging_publish_later(struct staging *s, struct folder_batch *batch, const char *slug, const char *release,
			   struct err *e)
{
	s->published = folder_batch_add(batch, s->name, slug, release, e);
	return s->published;
}

void staging_wait(struct staging *s, const char *slug, const char *release)
{
	s->published = folder_wait_release(s->folder, s->name, slug, release);
}

void staging_free(struct staging *s)
{
	if (s == NULL)
		return;
	if (s->syncing)
		(void)pthread_join(s->syncer, NULL);
	if (s->file >= 0)
		(void)close(s->file);
	sha256_free(s->sum);
	(void)close(s->dir);
	if (!s->published && !folder_remove_tree(s->folder->staging, s->name))
		log_warn("functions folder: %s/%s/%s/%s cannot be removed now; the next start does it", s->folder->path,
			 FOLDER_PRIVATE, FOLDER_STAGING, s->name);
	while (s->files != NULL) {
		struct staged_file *gone = s->files;

		s->files = gone->next;
		free(gone);
	}
	while (s->dirs != NULL) {
		struct made_dir *gone = s->dirs;

		s->dirs = gone->next;
		free(gone);
	}
	free(s);
}
