#include "fs/foreign.h"

#include "core/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct walk {
	const struct folder *folder;
	struct arena *arena;
	struct foreign_list *list;
	size_t capacity;
	bool choosy;
};

static int open_beneath(int at, const char *path, int flags)
{
	struct open_how how = {
		.flags = (unsigned)(flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, at, path, &how, sizeof how);
}

int foreign_open(const struct folder *f, const char *path)
{
	return open_beneath(folder_root(f), path, 0);
}

static bool add(struct walk *w, const struct foreign_file *file, struct err *e)
{
	struct foreign_list *list = w->list;

	if (list->count == FOREIGN_MAX_ENTRIES)
		return err_set(e, ERR_TOO_LARGE, "folder_too_large", "More than %zu files lie there",
			       FOREIGN_MAX_ENTRIES);
	if (list->count == w->capacity) {
		size_t capacity = 2 * w->capacity + 64;
		struct foreign_file *more = arena_array(w->arena, capacity, sizeof *more);

		if (more == NULL)
			return err_no_memory(e);
		if (list->count > 0)
			memcpy(more, list->items, list->count * sizeof *more);
		list->items = more;
		w->capacity = capacity;
	}
	list->items[list->count++] = *file;
	return true;
}

/* Names that are never taken, whatever they are. */
static const char *never(const char *name)
{
	if (text_eq(name, "node_modules"))
		return "packages are fetched by the runtime, or named in deno.json";
	if (text_eq(name, ".git"))
		return "the history of a repository is no part of a function";
	if (text_starts(name, ".env"))
		return "it holds secrets: set them with `supabase secrets set --env-file`";
	return NULL;
}

static const char *kind_of(const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return NULL;
	if (S_ISLNK(st->st_mode))
		return "a symbolic link: put what it leads to there";
	return "neither a file nor a directory";
}

static bool walk(struct walk *w, int dir_fd, const char *prefix, int depth, struct err *e);

static bool enter(struct walk *w, int dir_fd, const char *name, const char *path, int depth, struct foreign_file *file,
		  struct err *e)
{
	int fd;

	if (depth == FOREIGN_MAX_DEPTH) {
		file->left_out = "too many directories below one another";
		return add(w, file, e);
	}
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return walk(w, fd, path, depth + 1, e);
	file->left_out = errno == EACCES ? "a directory that may not be read by the user that functions-admin runs as"
					 : strerror(errno);
	return add(w, file, e);
}

static bool take(struct walk *w, int dir_fd, const char *prefix, const char *name, int depth, struct err *e)
{
	const char *path =
		prefix[0] != '\0' ? arena_printf(w->arena, "%s/%s", prefix, name) : arena_strdup(w->arena, name);
	struct foreign_file file = {.path = path, .left_out = w->choosy ? never(name) : NULL};
	struct stat st;

	if (path == NULL)
		return err_no_memory(e);
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? true : err_errno(e, errno, "Reading %s", path);
	if (S_ISDIR(st.st_mode) && file.left_out == NULL)
		return enter(w, dir_fd, name, path, depth, &file, e);
	if (file.left_out == NULL)
		file.left_out = kind_of(&st);
	if (file.left_out == NULL && faccessat(dir_fd, name, R_OK, AT_SYMLINK_NOFOLLOW | AT_EACCESS) != 0)
		file.left_out = "it may not be read by the user that functions-admin runs as";
	file.size = st.st_size;
	file.changed = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
	file.inode = st.st_ino;
	return add(w, &file, e);
}

/* Takes over dir_fd. */
static bool walk(struct walk *w, int dir_fd, const char *prefix, int depth, struct err *e)
{
	DIR *dir = fdopendir(dir_fd);
	const struct dirent *entry;
	bool ok = true;

	if (dir == NULL) {
		(void)err_errno(e, errno, "Reading the functions folder");
		(void)close(dir_fd);
		return false;
	}
	while (ok && (entry = readdir(dir)) != NULL) {
		if (text_eq(entry->d_name, ".") || text_eq(entry->d_name, ".."))
			continue;
		if (prefix[0] == '\0' && folder_is_ours(w->folder, entry->d_name))
			continue;
		ok = take(w, dir_fd, prefix, entry->d_name, depth, e);
	}
	(void)closedir(dir);
	return ok;
}

static int by_path(const void *x, const void *y)
{
	return strcmp(((const struct foreign_file *)x)->path, ((const struct foreign_file *)y)->path);
}

bool foreign_list(const struct folder *f, struct arena *a, const char *top, bool choosy, struct foreign_list *out,
		  struct err *e)
{
	struct walk w = {.folder = f, .arena = a, .list = out, .choosy = choosy};
	int fd = open_beneath(folder_root(f), top[0] != '\0' ? top : ".", O_DIRECTORY);

	*out = (struct foreign_list){0};
	if (fd < 0)
		return errno == ENOENT ? true : err_errno(e, errno, "Reading %s in the functions folder", top);
	if (!walk(&w, fd, top, 0, e))
		return false;
	if (out->count > 0)
		qsort(out->items, out->count, sizeof *out->items, by_path);
	return true;
}
