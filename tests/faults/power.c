/*
 * power - what a program does to names and files, so that a test can take back what a loss of power would.
 *
 * Preloaded (LD_PRELOAD) in tests/faults/power-loss.test.mjs. Each change of a directory and each fsync is a line of
 * the file that FA_POWER_LOG names; what would lose its last name keeps one in the folder FA_POWER_GRAVES, by its
 * inode, since the removal may be what is lost. Lines, with tabs, the directories by their inodes: create DIR NAME
 * INODE, mkdir DIR NAME INODE, symlink DIR NAME INODE, remove DIR NAME, rename DIR NAME DIR NAME, exchange DIR NAME DIR
 * NAME, fsync INODE SIZE MTIME, syncfs. A syncfs of the folder FA_POWER_ROOT is an fsync of each file that it has then,
 * and of its directories.
 *
 * Half of what a directory lists is of a kind that is not told, as on filesystems that do not know it (readdir(3)).
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int log_fd = -1;
static const char *graves;
/* A line is written before the next change is made. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int (*real_openat)(int, const char *, int, ...);
static int (*real_mkdirat)(int, const char *, mode_t);
static int (*real_symlinkat)(const char *, int, const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_renameat)(int, const char *, int, const char *);
static int (*real_renameat2)(int, const char *, int, const char *, unsigned);
static int (*real_fsync)(int);
static int (*real_syncfs)(int);
static struct dirent *(*real_readdir)(DIR *);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FA_POWER_LOG");

	*(void **)&real_openat = dlsym(RTLD_NEXT, "openat");
	*(void **)&real_mkdirat = dlsym(RTLD_NEXT, "mkdirat");
	*(void **)&real_symlinkat = dlsym(RTLD_NEXT, "symlinkat");
	*(void **)&real_unlinkat = dlsym(RTLD_NEXT, "unlinkat");
	*(void **)&real_renameat = dlsym(RTLD_NEXT, "renameat");
	*(void **)&real_renameat2 = dlsym(RTLD_NEXT, "renameat2");
	*(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
	*(void **)&real_syncfs = dlsym(RTLD_NEXT, "syncfs");
	*(void **)&real_readdir = dlsym(RTLD_NEXT, "readdir");
	graves = getenv("FA_POWER_GRAVES");
	if (path != NULL)
		log_fd = real_openat(AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

__attribute__((format(printf, 1, 2))) static void line(const char *format, ...)
{
	int number = errno;
	char text[2048];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (log_fd >= 0 && write(log_fd, text, (size_t)len) != len)
		abort();
	errno = number;
}

/* The directory that `path` is in, by its inode; *name is the last part. */
static unsigned long long parent_of(int at, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char dir[2048] = ".";
	struct stat st;

	*name = slash != NULL ? slash + 1 : path;
	if (slash != NULL)
		(void)snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
	return fstatat(at, dir, &st, 0) == 0 ? (unsigned long long)st.st_ino : 0;
}

static unsigned long long inode_of(int at, const char *path)
{
	struct stat st;

	return fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (unsigned long long)st.st_ino : 0;
}

/* Directories cannot be linked, and need not: what was in them has been. */
static void bury(int at, const char *path)
{
	int number = errno;
	char grave[2048];
	struct stat st;

	if (graves != NULL && fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode)) {
		(void)snprintf(grave, sizeof grave, "%s/%llu", graves, (unsigned long long)st.st_ino);
		if (linkat(at, path, AT_FDCWD, grave, 0) != 0 && errno != EEXIST)
			abort();
	}
	errno = number;
}

int openat(int at, const char *path, int flags, ...)
{
	const char *name;
	mode_t mode = 0;
	va_list args;
	bool new;
	int fd;

	va_start(args, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(args, mode_t);
	va_end(args);
	if (!(flags & O_CREAT))
		return real_openat(at, path, flags, mode);
	(void)pthread_mutex_lock(&lock);
	new = inode_of(at, path) == 0;
	fd = real_openat(at, path, flags, mode);
	if (fd >= 0 && new) {
		unsigned long long dir = parent_of(at, path, &name);

		line("create\t%llu\t%s\t%llu\n", dir, name, inode_of(at, path));
	}
	(void)pthread_mutex_unlock(&lock);
	return fd;
}

int mkdirat(int at, const char *path, mode_t mode)
{
	const char *name;
	int done;

	(void)pthread_mutex_lock(&lock);
	done = real_mkdirat(at, path, mode);
	if (done == 0) {
		unsigned long long dir = parent_of(at, path, &name);

		line("mkdir\t%llu\t%s\t%llu\n", dir, name, inode_of(at, path));
	}
	(void)pthread_mutex_unlock(&lock);
	return done;
}

int symlinkat(const char *target, int at, const char *path)
{
	const char *name;
	int done;

	(void)pthread_mutex_lock(&lock);
	done = real_symlinkat(target, at, path);
	if (done == 0) {
		unsigned long long dir = parent_of(at, path, &name);

		line("symlink\t%llu\t%s\t%llu\n", dir, name, inode_of(at, path));
	}
	(void)pthread_mutex_unlock(&lock);
	return done;
}

int unlinkat(int at, const char *path, int flags)
{
	unsigned long long dir;
	const char *name;
	int done;

	(void)pthread_mutex_lock(&lock);
	dir = parent_of(at, path, &name);
	bury(at, path);
	done = real_unlinkat(at, path, flags);
	if (done == 0)
		line("remove\t%llu\t%s\n", dir, name);
	(void)pthread_mutex_unlock(&lock);
	return done;
}

int renameat2(int from, const char *path, int to, const char *target, unsigned flags)
{
	const char *name;
	const char *new_name;
	unsigned long long dir;
	unsigned long long new_dir;
	int done;

	(void)pthread_mutex_lock(&lock);
	dir = parent_of(from, path, &name);
	new_dir = parent_of(to, target, &new_name);
	if (flags == 0)
		bury(to, target);
	done = real_renameat2(from, path, to, target, flags);
	if (done == 0)
		line("%s\t%llu\t%s\t%llu\t%s\n", flags & RENAME_EXCHANGE ? "exchange" : "rename", dir, name, new_dir,
		     new_name);
	(void)pthread_mutex_unlock(&lock);
	return done;
}

int renameat(int from, const char *path, int to, const char *target)
{
	return renameat2(from, path, to, target, 0);
}

static void synced(const struct stat *st)
{
	line("fsync\t%llu\t%lld\t%lld\n", (unsigned long long)st->st_ino, (long long)st->st_size,
	     (long long)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec);
}

int fsync(int fd)
{
	int done = real_fsync(fd);
	struct stat st;

	if (done == 0 && fstat(fd, &st) == 0)
		synced(&st);
	return done;
}

static int synced_file(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)path;
	(void)where;
	if (type == FTW_F)
		synced(st);
	return 0;
}

/* Files as they are before: what is written meanwhile may have been missed. */
int syncfs(int fd)
{
	const char *root = getenv("FA_POWER_ROOT");
	int done;

	(void)pthread_mutex_lock(&lock);
	if (log_fd >= 0 && root != NULL)
		(void)nftw(root, synced_file, 16, FTW_PHYS);
	done = real_syncfs(fd);
	if (done == 0)
		line("syncfs\n");
	(void)pthread_mutex_unlock(&lock);
	return done;
}

struct dirent *readdir(DIR *dir)
{
	struct dirent *entry = real_readdir(dir);

	if (entry != NULL && entry->d_ino % 2 == 0)
		entry->d_type = DT_UNKNOWN;
	return entry;
}
