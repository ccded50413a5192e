#include "fs/cache.h"

#include "core/crypto.h"
#include "core/text.h"
#include "fs/folder_own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE "cache"
#define UNFINISHED "unfinished"
#define READ_SIZE ((size_t)64 * 1024)
/* Beyond the bound this part of it goes as well, so that not every new content has to make room. */
#define SLACK_PARTS 8

struct cache {
	int dir;
	int64_t max_bytes;
	int64_t bytes;
};

struct kept {
	char name[65];
	int64_t used_ms;
	int64_t size;
};

struct kept_list {
	struct kept *items;
	size_t count;
	size_t capacity;
};

static int64_t used_ms(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

static bool add_kept(struct kept_list *list, const char *name, const struct stat *st)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity * 2 + 64;
		struct kept *items = realloc(list->items, capacity * sizeof *items);

		if (items == NULL)
			return false;
		list->items = items;
		list->capacity = capacity;
	}
	list->items[list->count] = (struct kept){.used_ms = used_ms(st), .size = st->st_size};
	memcpy(list->items[list->count].name, name, sizeof list->items[0].name);
	list->count++;
	return true;
}

/* The contents; what is no content's name was left behind half-written, and goes. */
static bool list_kept(struct cache *c, struct kept_list *list)
{
	int fd = openat(c->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	struct stat st;
	bool ok = dir != NULL;

	if (!ok && fd >= 0)
		(void)close(fd);
	while (ok && (entry = readdir(dir)) != NULL) {
		if (text_eq(entry->d_name, ".") || text_eq(entry->d_name, ".."))
			continue;
		if (strlen(entry->d_name) != 64 || fstatat(c->dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		    !S_ISREG(st.st_mode))
			(void)unlinkat(c->dir, entry->d_name, 0);
		else
			ok = add_kept(list, entry->d_name, &st);
	}
	if (dir != NULL)
		(void)closedir(dir);
	return ok;
}

bool cache_open(struct cache **out, const struct folder *f, int64_t max_bytes, struct err *e)
{
	struct cache *c = calloc(1, sizeof *c);
	struct kept_list list = {0};
	bool ok;

	if (c == NULL)
		return err_no_memory(e);
	c->max_bytes = max_bytes;
	if (mkdirat(f->private, CACHE, 0700) != 0 && errno != EEXIST) {
		(void)err_errno(e, errno, "functions folder: the cache");
		free(c);
		return false;
	}
	c->dir = openat(f->private, CACHE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (c->dir < 0) {
		(void)err_errno(e, errno, "functions folder: the cache");
		free(c);
		return false;
	}
	ok = list_kept(c, &list);
	for (size_t i = 0; i < list.count; i++)
		c->bytes += list.items[i].size;
	free(list.items);
	if (!ok) {
		cache_close(c);
		return err_no_memory(e);
	}
	*out = c;
	return true;
}

void cache_close(struct cache *c)
{
	if (c == NULL)
		return;
	(void)close(c->dir);
	free(c);
}

static bool is_whole(int fd, const uint8_t sha256[32])
{
	struct sha256 *h = sha256_new();
	uint8_t sum[32] = {0};
	char *piece = malloc(READ_SIZE);
	ssize_t n = -1;
	bool ok = h != NULL && piece != NULL;

	while (ok && ((n = read(fd, piece, READ_SIZE)) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0)
			sha256_update(h, piece, (size_t)n);
	ok = ok && n == 0 && sha256_final(h, sum) && memcmp(sum, sha256, sizeof sum) == 0;
	sha256_free(h);
	free(piece);
	return ok && lseek(fd, 0, SEEK_SET) == 0;
}

int cache_find(struct cache *c, const uint8_t sha256[32], int64_t size)
{
	/* Last used now. */
	static const struct timespec now[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
	char name[65];
	struct stat st;
	int fd;

	text_hex(sha256, 32, name);
	fd = openat(c->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == size && is_whole(fd, sha256)) {
		(void)futimens(fd, now);
		return fd;
	}
	(void)close(fd);
	if (unlinkat(c->dir, name, 0) == 0)
		c->bytes -= st.st_size;
	return -1;
}

static int by_use(const void *x, const void *y)
{
	const struct kept *a = x;
	const struct kept *b = y;

	return (a->used_ms > b->used_ms) - (a->used_ms < b->used_ms);
}

/* What was not used for longest goes, until there is room for `size` bytes and some to come. */
static bool make_room(struct cache *c, int64_t size)
{
	int64_t target = c->max_bytes - c->max_bytes / SLACK_PARTS - size;
	struct kept_list list = {0};
	bool ok = list_kept(c, &list);

	c->bytes = 0;
	for (size_t i = 0; i < list.count; i++)
		c->bytes += list.items[i].size;
	if (list.count > 1)
		qsort(list.items, list.count, sizeof list.items[0], by_use);
	for (size_t i = 0; i < list.count && c->bytes > target; i++)
		if (unlinkat(c->dir, list.items[i].name, 0) == 0)
			c->bytes -= list.items[i].size;
	free(list.items);
	return ok && c->bytes + size <= c->max_bytes;
}

void cache_begin(struct cache *c, const uint8_t sha256[32], int64_t size, struct cache_entry *out)
{
	*out = (struct cache_entry){.fd = -1, .size = size};
	text_hex(sha256, 32, out->name);
	if (size > c->max_bytes / 2 || (c->bytes + size > c->max_bytes && !make_room(c, size)))
		return;
	(void)unlinkat(c->dir, UNFINISHED, 0);
	out->fd = openat(c->dir, UNFINISHED, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static void give_up(struct cache_entry *entry)
{
	(void)close(entry->fd);
	entry->fd = -1;
}

void cache_write(struct cache_entry *entry, const void *data, size_t len)
{
	const char *p = data;

	while (entry->fd >= 0 && len > 0) {
		ssize_t n = write(entry->fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			give_up(entry);
			return;
		}
		p += n;
		len -= (size_t)n;
	}
}

void cache_end(struct cache *c, struct cache_entry *entry, bool keep)
{
	if (entry->fd < 0)
		return;
	give_up(entry);
	if (keep && renameat(c->dir, UNFINISHED, c->dir, entry->name) == 0)
		c->bytes += entry->size;
	else
		(void)unlinkat(c->dir, UNFINISHED, 0);
}
