#include "core/crash.h"
#include "core/log.h"
#include "fs/folder_own.h"

#include <errno.h>
#include <pthread.h>
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
	(void)pthread_mutex_unlock(&b->lock);
	return true;
}

bool folder_batch_publish(struct folder_batch *b, struct err *e)
{
	struct folder *f = b->folder;

	if (b->first == NULL)
		return true;
	if (syncfs(f->root) != 0)
		return err_errno(e, errno, "Syncing the functions folder");
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
		free(n);
	}
	return true;
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
