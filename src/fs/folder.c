#include "core/crash.h"
#include "core/crypto.h"
#include "core/log.h"
#include "core/text.h"
#include "fs/folder_own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RELEASES FOLDER_RELEASES
#define PRIVATE FOLDER_PRIVATE
#define STAGING FOLDER_STAGING
#define ADOPTED "adopted"

bool folder_remove_tree(int at, const char *name)
{
	int fd = folder_dir_open(at, name);
	struct dirent *entry;
	bool ok = true;
	DIR *dir;

	if (fd < 0) {
		if (errno == ENOENT)
			return true;
		return (errno == ENOTDIR || errno == ELOOP) && unlinkat(at, name, 0) == 0;
	}
	dir = fdopendir(fd);
	if (dir == NULL) {
		(void)close(fd);
		return false;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (text_eq(entry->d_name, ".") || text_eq(entry->d_name, ".."))
			continue;
		if (entry->d_type == DT_DIR
			    ? !folder_remove_tree(fd, entry->d_name)
			    : unlinkat(fd, entry->d_name, 0) != 0 && !folder_remove_tree(fd, entry->d_name))
			ok = false;
	}
	(void)closedir(dir);
	return unlinkat(at, name, AT_REMOVEDIR) == 0 && ok;
}

DIR *folder_entries(int fd)
{
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	int number = errno;

	if (dir == NULL && fd >= 0)
		(void)close(fd);
	errno = number;
	return dir;
}

static void sweep_staging(struct folder *f)
{
	int fd = dup(f->staging);
	DIR *dir = folder_entries(fd);
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (text_eq(entry->d_name, ".") || text_eq(entry->d_name, ".."))
			continue;
		if (!folder_remove_tree(f->staging, entry->d_name))
			log_warn("functions folder: %s/%s/%s/%s cannot be removed: %s", f->path, PRIVATE, STAGING,
				 entry->d_name, strerror(errno));
	}
	(void)closedir(dir);
}

const char *folder_path(const struct folder *f)
{
	return f->path;
}

int folder_root(const struct folder *f)
{
	return f->root;
}

static bool read_stub(const struct folder *f, const char *slug, char *release, size_t size);

bool folder_is_ours(const struct folder *f, const char *name)
{
	char release[NAME_MAX];

	return name[0] == '.' || (read_stub(f, name, release, sizeof release) && release[0] != '\0');
}

int64_t folder_free_bytes(const struct folder *f)
{
	struct statvfs s;

	return fstatvfs(f->root, &s) == 0 ? (int64_t)s.f_bavail * (int64_t)s.f_frsize : -1;
}

/* Small files of our own */

bool folder_sync_path(int at, const char *path, int flags)
{
	int fd = openat(at, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | flags);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		(void)close(fd);
	return ok;
}

bool folder_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

bool folder_failed(int number, const char *doing, const char *what, struct err *e)
{
	if (number != ENOENT && number != ELOOP && number != ENOTDIR)
		return err_errno(e, number, "%s %s", doing, what);
	(void)err_set(e, ERR_UNAVAILABLE, "folder_changed",
		      "%s %s: somebody removed or replaced what lay in the functions folder meanwhile", doing, what);
	return err_hint(e, "Try again: what belongs to functions-admin in it is made again by itself.");
}

void folder_temporary_name(char out[FOLDER_TEMPORARY_SIZE], const char *what)
{
	char random[17];

	crypto_random_hex(random, 8);
	(void)snprintf(out, FOLDER_TEMPORARY_SIZE, "%s-%s", what, random);
}

/* Leaves room in a temporary name. */
static bool slug_is_short(const char *slug)
{
	return strlen(slug) < FOLDER_TEMPORARY_SIZE - 20;
}

/* Whether the content is on the disk before it gets its name. */
enum synced { SYNCED, UNSYNCED };

/* Temporary, fsync, rename: `path` below `at` has the old content or the new one, never a part; UNSYNCED, a loss of
 * power may leave a part. staging: a directory of the same filesystem. */
static bool put_file(int staging, int at, const char *path, const void *data, size_t len, mode_t mode, enum synced how,
		     struct err *e)
{
	char temporary[FOLDER_TEMPORARY_SIZE];
	bool ok;
	int fd;

	folder_temporary_name(temporary, "put");
	fd = openat(staging, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return folder_failed(errno, "Writing", path, e);
	ok = folder_write_all(fd, data, len) && (how == UNSYNCED || fsync(fd) == 0);
	if (close(fd) != 0)
		ok = false;
	FA_CRASH_POINT("put.written");
	if (ok && renameat(staging, temporary, at, path) == 0) {
		FA_CRASH_POINT("put.renamed");
		return true;
	}
	(void)folder_failed(errno, "Writing", path, e);
	(void)unlinkat(staging, temporary, 0);
	return false;
}

bool folder_replace(struct folder *f, const char *name, const void *data, size_t len, mode_t mode, struct err *e)
{
	return put_file(f->staging, f->private, name, data, len, mode, UNSYNCED, e);
}

bool folder_put(struct folder *f, const char *name, const void *data, size_t len, mode_t mode, struct err *e)
{
	if (!put_file(f->staging, f->private, name, data, len, mode, SYNCED, e))
		return false;
	return fsync(f->private) == 0 ? true : err_errno(e, errno, "Writing %s/%s/%s", f->path, PRIVATE, name);
}

bool folder_put_outside(const char *dir, const char *name, const void *data, size_t len, mode_t mode, struct err *e)
{
	int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok;

	if (at < 0)
		return err_errno(e, errno, "Writing %s/%s", dir, name);
	ok = put_file(at, at, name, data, len, mode, SYNCED, e);
	if (ok && fsync(at) != 0)
		ok = err_errno(e, errno, "Writing %s/%s", dir, name);
	(void)close(at);
	return ok;
}

uint64_t folder_stamp(const struct folder *f, const char *name)
{
	struct stat st;

	if (fstatat(f->private, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
		return 0;
	return ((uint64_t)st.st_ino << 32) ^
	       ((uint64_t)st.st_ctim.tv_sec * 1000000000U + (uint64_t)st.st_ctim.tv_nsec) ^
	       ((uint64_t)st.st_size << 48);
}

bool folder_has(const struct folder *f, const char *name)
{
	struct stat st;

	return fstatat(f->private, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* Stubs and releases */

char *folder_release_name(struct arena *a, int version, const uint8_t digest[32])
{
	char hex[13];

	text_hex(digest, 6, hex);
	return arena_printf(a, "%d-%s", version, hex);
}

/*
 * A stub is what stands in <slug>/ for the main service that looks there (docs/decisions/0003): index.ts, which imports
 * the release; deno.json, which names its import map; and source, a link for people who look.
 */
#define STUB_HEAD                                                                                                      \
	"// Written by functions-admin: this function's code lies in the release below. Deploy, do not edit.\n"
#define STUB_IMPORT "export { default } from \"../" RELEASES "/%s/"
#define STUB_TAIL "/index.ts\";\n"
#define STUB_MAX 1024

static ssize_t read_small(int at, const char *path, char *out, size_t size)
{
	int fd = openat(at, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, out, size - 1);
	(void)close(fd);
	if (n >= 0)
		out[n] = '\0';
	return n;
}

static const char *const stub_files[] = {"deno.json", "source", "index.ts"};

/* Not to be guessed where it cannot be read: what is left of a stub without its directory would be a stranger's. */
static bool holds_only_ours(const struct folder *f, const char *slug, bool *only, struct err *e)
{
	int fd = folder_dir_open(f->root, slug);
	DIR *dir = folder_entries(fd);
	struct dirent *entry;

	if (dir == NULL)
		return folder_failed(errno, "Reading the directory of", slug, e);
	*only = true;
	while ((entry = readdir(dir)) != NULL) {
		bool ours = text_eq(entry->d_name, ".") || text_eq(entry->d_name, "..");

		for (size_t i = 0; i < sizeof stub_files / sizeof stub_files[0]; i++)
			ours = ours || text_eq(entry->d_name, stub_files[i]);
		*only = *only && ours;
	}
	(void)closedir(dir);
	return true;
}

/* In the place of a release's name: a stub of ours of which a loss of power has left a part. */
#define TORN "?"

/*
 * Is the text, to which zeros may belong, the beginning of a stub's index.ts? Its replacement is not synced; beside it
 * lies the link into our releases, so nobody's empty file is taken for ours.
 */
static bool is_torn(const struct folder *f, const char *slug, const char *text, size_t len)
{
	char releases[STUB_MAX];
	char target[STUB_MAX];
	char whole[STUB_MAX];
	char path[NAME_MAX];
	size_t there = strnlen(text, len);
	ssize_t n;

	(void)snprintf(path, sizeof path, "%s/source", slug);
	(void)snprintf(releases, sizeof releases, "../" RELEASES "/%s/", slug);
	n = readlinkat(f->root, path, target, sizeof target - 1);
	target[n > 0 ? n : 0] = '\0';
	for (size_t i = there; i < len; i++)
		if (text[i] != '\0')
			return false;
	(void)snprintf(whole, sizeof whole, STUB_HEAD STUB_IMPORT, slug);
	if (there > strlen(whole)) {
		size_t name = strspn(text + strlen(whole), "0123456789abcdef-");

		(void)snprintf(whole, sizeof whole, STUB_HEAD STUB_IMPORT "%.*s" STUB_TAIL, slug, (int)name,
			       text + strlen(whole));
	}
	return text_starts(target, releases) && strncmp(text, whole, there) == 0;
}

/*
 * Is it a directory that is empty, or what is left of a stub that somebody was removing: without index.ts, with nothing
 * but the link into our releases, or the deno.json that we wrote? A deploy to that slug may fill it; nothing else
 * touches it.
 */
static bool is_remainder(const struct folder *f, const char *slug)
{
	char text[STUB_MAX];
	char ours[STUB_MAX];
	char path[NAME_MAX];
	struct err ignored = ERR_INIT;
	bool only = false;
	ssize_t len;

	(void)snprintf(path, sizeof path, "%s/index.ts", slug);
	if (read_small(f->root, path, text, sizeof text) >= 0 || errno != ENOENT ||
	    !holds_only_ours(f, slug, &only, &ignored) || !only)
		return false;
	(void)snprintf(path, sizeof path, "%s/source", slug);
	if (readlinkat(f->root, path, text, sizeof text) >= 0)
		return is_torn(f, slug, "", 0);
	(void)snprintf(path, sizeof path, "%s/deno.json", slug);
	len = read_small(f->root, path, text, sizeof text);
	if (len < 0)
		return errno == ENOENT;
	(void)snprintf(ours, sizeof ours, "{\"importMap\":\"../" RELEASES "/%s/", slug);
	return text_starts(text, ours) || text_eq(text, FOLDER_NO_IMPORT_MAP);
}

/* The release that <slug> stands for; "" where nothing is there, TORN for a part of a stub. False where something else
 * is there. */
static bool read_stub(const struct folder *f, const char *slug, char *release, size_t size)
{
	char prefix[STUB_MAX];
	char text[STUB_MAX];
	char path[NAME_MAX];
	struct stat st;
	ssize_t len;
	char *end;

	release[0] = '\0';
	if (fstatat(f->root, slug, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT;
	(void)snprintf(path, sizeof path, "%s/index.ts", slug);
	if (!S_ISDIR(st.st_mode) || (len = read_small(f->root, path, text, sizeof text)) < 0)
		return false;
	(void)snprintf(prefix, sizeof prefix, STUB_HEAD STUB_IMPORT, slug);
	end = text_starts(text, prefix) ? strchr(text + strlen(prefix), '/') : NULL;
	if (end != NULL && end > text + strlen(prefix) && text_eq(end, STUB_TAIL) && strlen(text) == (size_t)len) {
		*end = '\0';
		(void)snprintf(release, size, "%s", text + strlen(prefix));
		return true;
	}
	(void)snprintf(release, size, TORN);
	return is_torn(f, slug, text, (size_t)len);
}

bool folder_check_slug(const struct folder *f, const char *slug, struct err *e)
{
	char release[NAME_MAX];

	if (read_stub(f, slug, release, sizeof release) || is_remainder(f, slug))
		return true;
	(void)err_set(e, ERR_CONFLICT, "not_managed",
		      "\"%s\" is in the functions folder already, and functions-admin did not put it there", slug);
	return err_hint(e, "functions-admin import takes it over; or deploy under another slug. It was not touched.");
}

char *folder_active_release(const struct folder *f, struct arena *a, const char *slug)
{
	char release[NAME_MAX];

	return read_stub(f, slug, release, sizeof release) && release[0] != '\0' && !text_eq(release, TORN)
		       ? arena_strdup(a, release)
		       : NULL;
}

bool folder_has_release(const struct folder *f, const char *slug, const char *release)
{
	int dir = folder_dir_open(f->releases, slug);
	struct stat st;
	bool found;

	if (dir < 0)
		return false;
	found = fstatat(dir, release, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
	(void)close(dir);
	return found;
}

/* Puts a small file into staging and renames it to <slug>/<name>; one that has this content already stays. */
static bool put_stub_file(struct folder *f, const char *slug, const char *name, const char *text, struct err *e)
{
	char current[STUB_MAX];
	char path[NAME_MAX];

	(void)snprintf(path, sizeof path, "%s/%s", slug, name);
	if (read_small(f->root, path, current, sizeof current) >= 0 && text_eq(current, text))
		return true;
	return put_file(f->staging, f->root, path, text, strlen(text), f->mode & 0666, UNSYNCED, e);
}

static bool put_stub_link(struct folder *f, const char *slug, const char *release, struct err *e)
{
	char target[STUB_MAX];
	char current[STUB_MAX];
	char temporary[FOLDER_TEMPORARY_SIZE];
	char path[NAME_MAX];
	ssize_t n;

	folder_temporary_name(temporary, "link");
	(void)snprintf(target, sizeof target, "../" RELEASES "/%s/%s/source", slug, release);
	(void)snprintf(path, sizeof path, "%s/source", slug);
	n = readlinkat(f->root, path, current, sizeof current);
	if (n == (ssize_t)strlen(target) && memcmp(current, target, (size_t)n) == 0)
		return true;
	if (symlinkat(target, f->staging, temporary) != 0)
		return folder_failed(errno, "Linking the source of", slug, e);
	if (renameat(f->staging, temporary, f->root, path) == 0)
		return true;
	(void)folder_failed(errno, "Linking the source of", slug, e);
	(void)unlinkat(f->staging, temporary, 0);
	return false;
}

/* Stubs that a killed import has left where old directories are kept; what holds anything else stays as it is. */
static void sweep_adopted(const struct folder *f)
{
	int fd = folder_dir_open(f->private, ADOPTED);
	DIR *dir = folder_entries(fd);
	char path[NAME_MAX + sizeof "/deno.json"];
	char text[STUB_MAX];
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		(void)snprintf(path, sizeof path, "%s/index.ts", entry->d_name);
		if (entry->d_name[0] == '.' || read_small(fd, path, text, sizeof text) < 0 ||
		    !text_starts(text, STUB_HEAD))
			continue;
		(void)unlinkat(fd, path, 0);
		(void)snprintf(path, sizeof path, "%s/deno.json", entry->d_name);
		(void)unlinkat(fd, path, 0);
		(void)snprintf(path, sizeof path, "%s/source", entry->d_name);
		(void)unlinkat(fd, path, 0);
		(void)unlinkat(fd, entry->d_name, AT_REMOVEDIR);
	}
	(void)closedir(dir);
}

void folder_sweep(struct folder *f)
{
	sweep_staging(f);
	sweep_adopted(f);
	if (!folder_remove_tree(f->private, FOLDER_WAITING))
		log_warn("functions folder: %s/%s/%s cannot be removed: %s", f->path, PRIVATE, FOLDER_WAITING,
			 strerror(errno));
}

/* The whole stub under a temporary name in staging/. */
static bool build_stub(struct folder *f, const char *directory, const char *slug, const char *release,
		       const char *deno_json, enum synced how, struct err *e)
{
	char index[STUB_MAX];
	char target[STUB_MAX];
	char path[NAME_MAX];

	(void)snprintf(index, sizeof index, STUB_HEAD STUB_IMPORT "%s" STUB_TAIL, slug, release);
	(void)snprintf(target, sizeof target, "../" RELEASES "/%s/%s/source", slug, release);
	if (mkdirat(f->staging, directory, f->mode) != 0)
		return folder_failed(errno, "Making the directory of", slug, e);
	(void)snprintf(path, sizeof path, "%s/deno.json", directory);
	if (!put_file(f->staging, f->staging, path, deno_json, strlen(deno_json), f->mode & 0666, how, e))
		return false;
	(void)snprintf(path, sizeof path, "%s/source", directory);
	if (symlinkat(target, f->staging, path) != 0)
		return folder_failed(errno, "Linking the source of", slug, e);
	(void)snprintf(path, sizeof path, "%s/index.ts", directory);
	if (!put_file(f->staging, f->staging, path, index, strlen(index), f->mode & 0666, how, e))
		return false;
	/* Else a loss of power could leave the directory without index.ts, by which it is known as ours. */
	return how == UNSYNCED || folder_sync_path(f->staging, directory, O_DIRECTORY)
		       ? true
		       : folder_failed(errno, "Syncing the directory of", slug, e);
}

bool folder_check_adopt(const struct folder *f, const char *slug, struct err *e)
{
	/* A directory that moves to another one changes its "..": that takes writing in it (rename(2)). */
	if (faccessat(f->root, slug, W_OK | X_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW) == 0)
		return true;
	(void)err_set(e, ERR_CONFLICT, "not_writable", "The directory %s cannot be moved aside: %s", slug,
		      strerror(errno));
	return err_hint(e, "chown it to the user that functions-admin runs as (uid %ld).", (long)geteuid());
}

bool folder_adopt(struct folder *f, const char *slug, const char *release, const char *deno_json, char **moved_to,
		  struct arena *a, struct err *e)
{
	int adopted = folder_dir_make(f->private, ADOPTED, 0700);
	char directory[FOLDER_TEMPORARY_SIZE];
	bool ok = false;

	folder_temporary_name(directory, slug_is_short(slug) ? slug : "function");
	*moved_to = arena_printf(a, PRIVATE "/" ADOPTED "/%s", directory);
	if (adopted < 0)
		return err_errno(e, errno, "Making %s/%s/%s", f->path, PRIVATE, ADOPTED);
	if (*moved_to == NULL) {
		(void)err_no_memory(e);
		goto out;
	}
	if (!build_stub(f, directory, slug, release, deno_json, SYNCED, e))
		goto out;
	FA_CRASH_POINT("adopt.stub_built");
	/* Beside the adopted ones first, so that what the exchange puts there is where it stays: the next start sweeps
	 * staging/, and must never find somebody's directory in it. */
	if (renameat2(f->staging, directory, adopted, directory, RENAME_NOREPLACE) != 0) {
		(void)folder_failed(errno, "Keeping the old directory of", slug, e);
		goto out;
	}
	/* The place where somebody's directory goes must outlive a loss of power as well. */
	if (fsync(f->private) != 0) {
		(void)folder_failed(errno, "Keeping the old directory of", slug, e);
		(void)folder_remove_tree(adopted, directory);
		goto out;
	}
	FA_CRASH_POINT("adopt.prepared");
	/* One step: a reader finds the old directory or the stub, never nothing. */
	if (renameat2(adopted, directory, f->root, slug, RENAME_EXCHANGE) != 0) {
		(void)err_errno(e, errno, "Replacing the directory %s", slug);
		(void)err_hint(e, "It must belong to the user that functions-admin runs as (uid %ld).",
			       (long)geteuid());
		(void)folder_remove_tree(adopted, directory);
		goto out;
	}
	FA_CRASH_POINT("adopt.exchanged");
	ok = fsync(adopted) == 0 && fsync(f->root) == 0 ? true : err_errno(e, errno, "Adopting %s", slug);
out:
	if (!ok)
		(void)folder_remove_tree(f->staging, directory);
	(void)close(adopted);
	return ok;
}

bool folder_name_stub(struct folder *f, const char *temporary, const char *slug, struct err *e)
{
	if (renameat2(f->staging, temporary, f->root, slug, RENAME_NOREPLACE) != 0)
		return folder_failed(errno, "Making the directory of", slug, e);
	FA_CRASH_POINT("stub.made");
	return true;
}

/* A new stub gets its name when it is whole, so that a directory of ours is never taken for a stranger's. */
static bool make_stub(struct folder *f, const char *slug, const char *release, const char *deno_json,
		      struct folder_batch *batch, struct err *e)
{
	char directory[FOLDER_TEMPORARY_SIZE];

	folder_temporary_name(directory, "stub");
	if (build_stub(f, directory, slug, release, deno_json, batch != NULL ? UNSYNCED : SYNCED, e) &&
	    (batch != NULL ? folder_batch_add(batch, directory, slug, "", e) : folder_name_stub(f, directory, slug, e)))
		return true;
	(void)folder_remove_tree(f->staging, directory);
	return false;
}

bool folder_switch(struct folder *f, const char *slug, const char *release, const char *deno_json,
		   struct folder_batch *batch, struct err *e)
{
	char current[NAME_MAX];
	char index[STUB_MAX];

	if (!folder_check_slug(f, slug, e))
		return false;
	if (read_stub(f, slug, current, sizeof current) && current[0] == '\0')
		return make_stub(f, slug, release, deno_json, batch, e);
	(void)snprintf(index, sizeof index, STUB_HEAD STUB_IMPORT "%s" STUB_TAIL, slug, release);
	/* index.ts last: it is what a main service looks at. None of them is synced: where a loss of power brings an
	 * old one back, or leaves a part, the next start, which looks at each of them, puts the new one there again. */
	if (!put_stub_file(f, slug, "deno.json", deno_json, e) || !put_stub_link(f, slug, release, e))
		return false;
	FA_CRASH_POINT("stub.linked");
	return put_stub_file(f, slug, "index.ts", index, e);
}

/* index.ts, by which a stub is known as ours, goes last. */
static bool remove_stub_files(int at, const char *directory, struct err *e)
{
	char path[NAME_MAX];

	for (size_t i = 0; i < sizeof stub_files / sizeof stub_files[0]; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", directory, stub_files[i]);
		if (unlinkat(at, path, 0) != 0 && errno != ENOENT)
			return folder_failed(errno, "Removing", path, e);
		FA_CRASH_POINT("unlink.file_removed");
	}
	return true;
}

/*
 * Takes away what is ours; a directory into which somebody put more stays with that. The stub goes out of sight as a
 * whole before anything in it goes: what a crash leaves is a stub, or nothing.
 */
bool folder_unlink(struct folder *f, const char *slug, struct err *e)
{
	char moved[FOLDER_TEMPORARY_SIZE];
	char release[NAME_MAX];
	bool only = false;

	if (!read_stub(f, slug, release, sizeof release) || release[0] == '\0')
		return true;
	if (!holds_only_ours(f, slug, &only, e))
		return false;
	if (!only)
		return remove_stub_files(f->root, slug, e);
	folder_temporary_name(moved, "gone");
	if (renameat2(f->root, slug, f->staging, moved, RENAME_NOREPLACE) != 0)
		return folder_failed(errno, "Removing the directory of", slug, e);
	FA_CRASH_POINT("unlink.moved");
	/* A loss of power must not bring the directory back without index.ts. */
	if (fsync(f->root) != 0)
		return folder_failed(errno, "Removing the directory of", slug, e);
	if (!remove_stub_files(f->staging, moved, e))
		return false;
	if (unlinkat(f->staging, moved, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return true;
	/* Somebody put a file there in this moment. */
	if (errno == ENOTEMPTY && renameat2(f->staging, moved, f->root, slug, RENAME_NOREPLACE) == 0)
		return true;
	return folder_failed(errno, "Removing the directory of", slug, e);
}

static bool in_list(const char *const *list, const char *name)
{
	for (; *list != NULL; list++)
		if (text_eq(*list, name))
			return true;
	return false;
}

/*
 * Out of sight at once, then removed at leisure: a crash in between leaves no half release under its name. Nor does a
 * loss of power: that they are out of sight is synced before anything in them goes.
 */
struct folder_removal {
	struct folder *folder;
	char moved[FOLDER_TEMPORARY_SIZE]; /* below staging/ */
	int from;
	int to;
};

static struct folder_removal *begin_removal(struct folder *f, const char *slug, struct err *e)
{
	struct folder_removal *r = malloc(sizeof *r);

	if (r == NULL) {
		(void)err_no_memory(e);
		return NULL;
	}
	*r = (struct folder_removal){.folder = f, .from = folder_dir_open(f->releases, slug), .to = -1};
	folder_temporary_name(r->moved, "gone");
	if (r->from >= 0 && (r->to = folder_dir_make(f->staging, r->moved, 0700)) >= 0)
		return r;
	(void)folder_failed(errno, "Removing releases of", slug, e);
	if (r->from >= 0)
		(void)close(r->from);
	free(r);
	return NULL;
}

static bool take_out(const struct folder_removal *r, const char *release, struct err *e)
{
	if (renameat(r->from, release, r->to, release) != 0)
		return folder_failed(errno, "Removing release", release, e);
	FA_CRASH_POINT("remove.renamed");
	return true;
}

bool folder_end_removal(struct folder_removal *r, struct err *e)
{
	bool ok = (fsync(r->from) == 0 && folder_remove_tree(r->folder->staging, r->moved)) ||
		  folder_failed(errno, "Removing", r->moved, e);

	(void)close(r->to);
	(void)close(r->from);
	free(r);
	return ok;
}

bool folder_remove_release(struct folder *f, const char *slug, const char *release, struct err *e)
{
	struct folder_removal *r = begin_removal(f, slug, e);
	bool ok;

	if (r == NULL)
		return false;
	ok = take_out(r, release, e);
	return folder_end_removal(r, e) && ok;
}

/* All but those to keep. *out is to be ended also where one of them could not be taken out; NULL: none was. */
static bool take_out_all(struct folder *f, const char *slug, const char *const *keep, struct folder_removal **out,
			 struct err *e)
{
	struct folder_removal *r = *out = begin_removal(f, slug, e);
	DIR *dir = r != NULL ? folder_entries(openat(r->from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) : NULL;
	struct dirent *entry;
	bool ok = true;

	if (dir == NULL)
		return r != NULL ? folder_failed(errno, "Reading the releases of", slug, e) : false;
	while ((entry = readdir(dir)) != NULL)
		if (!text_eq(entry->d_name, ".") && !text_eq(entry->d_name, "..") && !in_list(keep, entry->d_name))
			ok = take_out(r, entry->d_name, e) && ok;
	(void)closedir(dir);
	return ok;
}

bool folder_remove_releases(struct folder *f, const char *slug, const char *const *keep, struct err *e)
{
	struct folder_removal *r;
	bool ok;

	if (faccessat(f->releases, slug, F_OK, 0) != 0 && errno == ENOENT)
		return true;
	ok = take_out_all(f, slug, keep, &r, e);
	ok = (r == NULL || folder_end_removal(r, e)) && ok;
	if (ok && keep[0] == NULL && unlinkat(f->releases, slug, AT_REMOVEDIR) != 0 && errno != ENOENT &&
	    errno != ENOTEMPTY)
		return folder_failed(errno, "Removing the releases of", slug, e);
	return ok;
}

static int by_version_descending(const void *x, const void *y)
{
	long a = strtol(*(char *const *)x, NULL, 10);
	long b = strtol(*(char *const *)y, NULL, 10);

	return (a < b) - (a > b);
}

const char **folder_releases(const struct folder *f, struct arena *a, const char *slug, size_t *count)
{
	int fd = folder_dir_open(f->releases, slug);
	DIR *dir = folder_entries(fd);
	const char **names = NULL;
	size_t capacity = 0;
	struct dirent *entry;
	bool ok = dir != NULL;

	*count = 0;
	while (ok && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (*count + 2 >= capacity) {
			const char **more = arena_array(a, 2 * capacity + 16, sizeof *more);

			if (more != NULL && *count > 0)
				memcpy(more, names, *count * sizeof *names);
			names = more;
			capacity = 2 * capacity + 16;
		}
		ok = names != NULL && (names[(*count)++] = arena_strdup(a, entry->d_name)) != NULL;
	}
	if (dir != NULL)
		(void)closedir(dir);
	return !ok ? NULL : names != NULL ? names : arena_array(a, 2, sizeof *names);
}

bool folder_prune_releases(struct folder *f, const char *slug, const char *active, size_t count,
			   struct folder_removal **out, struct err *e)
{
	struct arena *a = arena_new(0);
	const char **names = NULL;
	size_t found = 0;
	bool ok = a != NULL && (names = folder_releases(f, a, slug, &found)) != NULL;

	*out = NULL;
	if (!ok) {
		(void)err_set(e, ERR_INTERNAL, NULL, "Reading the releases of %s failed", slug);
	} else if (found > count) {
		qsort(names, found, sizeof *names, by_version_descending);
		names[count] = active;
		names[count + 1] = NULL;
		ok = take_out_all(f, slug, names, out, e);
	}
	arena_free(a);
	return ok;
}

static bool each_entry(int dir_fd, bool (*take)(struct folder *f, const struct dirent *entry), struct folder *f,
		       bool (*fn)(void *ctx, const char *slug, struct err *e), void *ctx, struct err *e)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = folder_entries(fd);
	struct dirent *entry;
	bool ok = true;

	if (dir == NULL)
		return err_errno(e, errno, "Reading the functions folder %s", f->path);
	while (ok && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' && take(f, entry))
			ok = fn(ctx, entry->d_name, e);
	(void)closedir(dir);
	return ok;
}

static bool is_our_stub(struct folder *f, const struct dirent *entry)
{
	char release[NAME_MAX];

	return read_stub(f, entry->d_name, release, sizeof release) && release[0] != '\0';
}

static bool is_any(struct folder *f, const struct dirent *entry)
{
	(void)f;
	(void)entry;
	return true;
}

bool folder_each_stub(struct folder *f, bool (*fn)(void *ctx, const char *slug, struct err *e), void *ctx,
		      struct err *e)
{
	return each_entry(f->root, is_our_stub, f, fn, ctx, e);
}

bool folder_each_released(struct folder *f, bool (*fn)(void *ctx, const char *slug, struct err *e), void *ctx,
			  struct err *e)
{
	return each_entry(f->releases, is_any, f, fn, ctx, e);
}

char *folder_get(const struct folder *f, struct arena *a, const char *name, size_t max, size_t *len)
{
	int fd = openat(f->private, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char *text = NULL;
	struct stat st;

	*len = 0;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size <= max)
		text = arena_alloc(a, (size_t)st.st_size + 1);
	while (text != NULL && *len < (size_t)st.st_size) {
		ssize_t n = read(fd, text + *len, (size_t)st.st_size - *len);

		if (n <= 0)
			break;
		*len += (size_t)n;
	}
	(void)close(fd);
	return text;
}
