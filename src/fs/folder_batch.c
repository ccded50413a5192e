#include "core/crash.h"
#include "core/log.h"
#include "core/text.h"
#include "fs/folder_own.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What lies in staging/ under `temporary`, and is to be a release, or where that is "" the stub of the slug. */
struct nameless {
	struct nameless *next;
	char temporary[FOLDER_TEMPORARY_SIZE];
	const char *release;
	char slug[]; /* and behind it the release */
};

struct folder_batch {
	struct folder *folder;
	pthread_mutex_t lock;
	struct nameless *first;
	size_t count;
};

bool folder_batch_new(struct folder_batch **out, struct folder *f, struct err *e)
{
	struct folder_batch *b = calloc(1, sizeof *b);

	if (b == NULL)
		return err_no_memory(e);
	b->folder = f;
	(void)pthread_mutex_init(&b->lock, NULL);
	*out = b;
	return true;
}

bool folder_batch_add(struct folder_batch *b, const char *temporary, const char *slug, const char *release,
		      struct err *e)
{
	size_t slug_size = strlen(slug) + 1;
	size_t release_size = strlen(release) + 1;
	struct nameless *n = calloc(1, sizeof *n + slug_size + release_size);

	if (n == NULL)
		return err_no_memory(e);
	memcpy(n->temporary, temporary, strlen(temporary) + 1);
	memcpy(n->slug, slug, slug_size);
	n->release = memcpy(n->slug + slug_size, release, release_size);
	(void)pthread_mutex_lock(&b->lock);
	n->next = b->first;
	b->first = n;
	b->count++;
	(void)pthread_mutex_unlock(&b->lock);
	return true;
}

static bool sync_tree(int at, const char *name);

static bool sync_entry(int at, const struct dirent *entry)
{
	if (entry->d_type == DT_REG)
		return folder_sync_path(at, entry->d_name, 0);
	if (entry->d_type == DT_LNK || sync_tree(at, entry->d_name))
		return true;
	/* Of filesystems that do not tell (DT_UNKNOWN) it may be a file, or a link, which has nothing to sync. */
	return errno == ENOTDIR && (folder_sync_path(at, entry->d_name, 0) || errno == ELOOP);
}

static bool sync_tree(int at, const char *name)
{
	int fd = folder_dir_open(at, name);
	DIR *dir = folder_entries(fd);
	struct dirent *entry;
	bool ok = dir != NULL;

	while (ok && (entry = readdir(dir)) != NULL)
		if (!text_eq(entry->d_name, ".") && !text_eq(entry->d_name, ".."))
			ok = sync_entry(fd, entry);
	ok = ok && fsync(fd) == 0;
	if (dir != NULL)
		(void)closedir(dir);
	return ok;
}

static bool sync_all(const struct folder_batch *b)
{
	bool ok = true;

	if (b->count >= FOLDER_MANY)
		return syncfs(b->folder->root) == 0;
	for (const struct nameless *n = b->first; ok && n != NULL; n = n->next)
		ok = sync_tree(b->folder->staging, n->temporary);
	return ok;
}

bool folder_batch_publish(struct folder_batch *b, struct err *e)
{
	struct folder *f = b->folder;

	if (b->first == NULL)
		return true;
	if (!sync_all(b))
		return folder_failed(errno, "Syncing", "releases", e);
	FA_CRASH_POINT("batch.synced");
	while (b->first != NULL) {
		struct nameless *n = b->first;
		bool named = true;

		if (n->release[0] != '\0' ? !folder_name_release(f, n->temporary, n->slug, n->release, &named, e)
					  : !folder_name_stub(f, n->temporary, n->slug, e))
			return false;
		if (!named && !folder_remove_tree(f->staging, n->temporary))
			log_warn("functions folder: %s/%s cannot be removed now; the next start does it",
				 FOLDER_STAGING, n->temporary);
		b->first = n->next;
		b->count--;
		free(n);
	}
	return true;
}

/* Either may be -1. */
static void close_both(int one, int other)
{
	if (one >= 0)
		(void)close(one);
	if (other >= 0)
		(void)close(other);
}

bool folder_wait_release(struct folder *f, const char *temporary, const char *slug, const char *release)
{
	int waiting = folder_dir_make(f->private, FOLDER_WAITING, 0700);
	int of_slug = waiting >= 0 ? folder_dir_make(waiting, slug, 0700) : -1;
	bool waits = of_slug >= 0 && renameat2(f->staging, temporary, of_slug, release, RENAME_NOREPLACE) == 0;

	close_both(of_slug, waiting);
	return waits;
}

bool folder_batch_take(struct folder_batch *b, const char *slug, const char *release)
{
	char temporary[FOLDER_TEMPORARY_SIZE];
	struct folder *f = b->folder;
	struct err ignored = ERR_INIT;
	int waiting = folder_dir_open(f->private, FOLDER_WAITING);
	int of_slug = waiting >= 0 ? folder_dir_open(waiting, slug) : -1;
	bool ok;

	folder_temporary_name(temporary, "took");
	ok = of_slug >= 0 && renameat2(of_slug, release, f->staging, temporary, RENAME_NOREPLACE) == 0;
	close_both(of_slug, waiting);
	/* Where memory is out, the next start sweeps it. */
	return ok && folder_batch_add(b, temporary, slug, release, &ignored);
}

void folder_drop_waiting(struct folder *f, const char *slug)
{
	int waiting = folder_dir_open(f->private, FOLDER_WAITING);

	if (waiting >= 0 && !folder_remove_tree(waiting, slug))
		log_warn("functions folder: %s/%s/%s cannot be removed now; the next start does it", FOLDER_PRIVATE,
			 FOLDER_WAITING, slug);
	if (waiting >= 0)
		(void)close(waiting);
}

void folder_batch_free(struct folder_batch *b)
{
	if (b == NULL)
		return;
	while (b->first != NULL) {
		struct nameless *gone = b->first;

		(void)folder_remove_tree(b->folder->staging, gone->temporary);
		b->first = gone->next;
		free(gone);
	}
	(void)pthread_mutex_destroy(&b->lock);
	free(b);
}
