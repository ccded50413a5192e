#include "core/log.h"
#include "core/text.h"
#include "fs/folder_own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK "lock"

/* A host's and a project's name in it are as long as they may be. */
#define HOLDER_SIZE 256

int folder_dir_open(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int folder_dir_make(int at, const char *name, mode_t mode)
{
	if (mkdirat(at, name, mode) != 0 && errno != EEXIST)
		return -1;
	return folder_dir_open(at, name);
}

/* One of ours, in which what is synced shall be found again: so its own name must be on the disk as well. */
static int make_own(int at, const char *name, mode_t mode)
{
	if (mkdirat(at, name, mode) == 0 ? fsync(at) != 0 : errno != EEXIST)
		return -1;
	return folder_dir_open(at, name);
}

/* The lock: flock(2) on a file that names its holder; a killed process gives it up by itself. */

static void describe_self(const struct folder *f, char out[HOLDER_SIZE])
{
	char host[65] = "";
	char since[32] = "";
	time_t now = time(NULL);
	struct tm tm;

	(void)gethostname(host, sizeof host - 1);
	if (gmtime_r(&now, &tm) != NULL)
		(void)strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)snprintf(out, HOLDER_SIZE, "pid %ld on %s, since %s, for project %s\n", (long)getpid(), host, since,
		       f->project);
}

/* The descriptor of the lock, which is ours; -1 with the error set. */
static int take_lock(const struct folder *f, struct err *e)
{
	int fd = openat(f->private, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	char holder[HOLDER_SIZE] = "";
	size_t len;
	ssize_t n;

	if (fd < 0) {
		(void)folder_failed(errno, "Opening", FOLDER_PRIVATE "/" LOCK, e);
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK) {
			(void)err_errno(e, errno, "Locking %s/" FOLDER_PRIVATE "/" LOCK, f->path);
			(void)err_hint(e, "The functions folder must be on a filesystem that has locks.");
		} else {
			n = read(fd, holder, sizeof holder - 1);
			holder[n > 0 ? strcspn(holder, "\n") : 0] = '\0';
			(void)err_set(e, ERR_CONFLICT, "folder_locked",
				      "The functions folder %s is in use by another functions-admin (%s)", f->path,
				      holder[0] != '\0' ? holder : "unknown process");
			(void)err_hint(e, "Only one process may deploy to a folder. Stop the other one, or give this "
					  "one its own functions_dir.");
		}
		(void)close(fd);
		return -1;
	}
	describe_self(f, holder);
	len = strlen(holder);
	if (ftruncate(fd, 0) != 0 || pwrite(fd, holder, len, 0) != (ssize_t)len) {
		(void)err_errno(e, errno, "Writing %s/" FOLDER_PRIVATE "/" LOCK, f->path);
		(void)close(fd);
		return -1;
	}
	return fd;
}

bool folder_open(struct folder **out, const char *path, const char *project, mode_t mode, struct err *e)
{
	struct folder *f = calloc(1, sizeof *f);

	if (f == NULL)
		return err_no_memory(e);
	f->root = f->releases = f->private = f->staging = f->lock = -1;
	f->mode = mode;
	f->path = strdup(path);
	f->project = strdup(project);
	(void)pthread_mutex_init(&f->renewing, NULL);
	if (f->path == NULL || f->project == NULL) {
		(void)err_no_memory(e);
		goto fail;
	}
	f->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->root < 0) {
		(void)err_errno(e, errno, "Opening the functions folder %s", path);
		(void)err_hint(e,
			       "Make the directory, and make it writable for the user that functions-admin runs as.");
		goto fail;
	}
	if ((f->releases = make_own(f->root, FOLDER_RELEASES, mode)) < 0 ||
	    (f->private = make_own(f->root, FOLDER_PRIVATE, mode)) < 0 ||
	    (f->staging = make_own(f->private, FOLDER_STAGING, 0700)) < 0) {
		(void)err_errno(e, errno, "Preparing the functions folder %s", path);
		(void)err_hint(e, "It must be writable for the user that functions-admin runs as (uid %ld).",
			       (long)geteuid());
		goto fail;
	}
	f->lock = take_lock(f, e);
	if (f->lock < 0)
		goto fail;
	folder_sweep(f);
	*out = f;
	return true;
fail:
	folder_close(f);
	return false;
}

void folder_close(struct folder *f)
{
	if (f == NULL)
		return;
	const int fds[] = {f->staging, f->private, f->releases, f->root, f->lock};

	for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	(void)pthread_mutex_destroy(&f->renewing);
	free(f->path);
	free(f->project);
	free(f);
}

/* What somebody did to the folder while we work in it */

/* Is the name still that of what is open? follow: 0 or AT_SYMLINK_NOFOLLOW. */
static bool is_there(int at, const char *name, int fd, int follow)
{
	struct stat there;
	struct stat ours;

	return fstatat(at, name, &there, follow) == 0 && fstat(fd, &ours) == 0 && there.st_dev == ours.st_dev &&
	       there.st_ino == ours.st_ino;
}

static bool all_there(const struct folder *f)
{
	return is_there(AT_FDCWD, f->path, f->root, 0) &&
	       is_there(f->root, FOLDER_PRIVATE, f->private, AT_SYMLINK_NOFOLLOW) &&
	       is_there(f->private, LOCK, f->lock, AT_SYMLINK_NOFOLLOW) &&
	       is_there(f->private, FOLDER_STAGING, f->staging, AT_SYMLINK_NOFOLLOW) &&
	       is_there(f->root, FOLDER_RELEASES, f->releases, AT_SYMLINK_NOFOLLOW);
}

/* Puts a fresh descriptor in the place of the old one, whose number stays, for all threads at once. */
static bool take_place(int fresh, int fd, struct err *e)
{
	bool ok = dup3(fresh, fd, O_CLOEXEC) >= 0 || err_errno(e, errno, "Opening the functions folder anew");

	(void)close(fresh);
	return ok;
}

static bool renew_dir(struct folder *f, int at, const char *name, mode_t mode, int fd, struct err *e)
{
	int fresh;

	if (is_there(at, name, fd, AT_SYMLINK_NOFOLLOW))
		return true;
	fresh = make_own(at, name, mode);
	if (fresh < 0 && (errno == ELOOP || errno == ENOTDIR)) {
		(void)err_set(e, ERR_UNAVAILABLE, "folder_changed",
			      "Somebody put something else in the place of %s in the functions folder %s", name,
			      f->path);
		return err_hint(e, "Take it away: the directory is made again by itself.");
	}
	if (fresh < 0)
		return folder_failed(errno, "Making", name, e);
	log_warn("functions folder: somebody removed %s from %s; it is made again", name, f->path);
	return take_place(fresh, fd, e);
}

static bool renew(struct folder *f, struct err *e)
{
	int fresh;

	if (!is_there(AT_FDCWD, f->path, f->root, 0)) {
		/* The sandbox lets us into the directory that was there at the start, and into no other. */
		(void)err_set(e, ERR_UNAVAILABLE, "folder_changed",
			      "The functions folder %s is no longer the one that was there at the start", f->path);
		return err_hint(e, "Put it back, or restart functions-admin to use the one that is there now.");
	}
	if (!renew_dir(f, f->root, FOLDER_PRIVATE, f->mode, f->private, e))
		return false;
	if (!is_there(f->private, LOCK, f->lock, AT_SYMLINK_NOFOLLOW)) {
		fresh = take_lock(f, e);
		if (fresh < 0 || !take_place(fresh, f->lock, e))
			return false;
	}
	return renew_dir(f, f->private, FOLDER_STAGING, 0700, f->staging, e) &&
	       renew_dir(f, f->root, FOLDER_RELEASES, f->mode, f->releases, e);
}

bool folder_check(struct folder *f, unsigned *renewals, struct err *e)
{
	bool ok = true;

	if (!all_there(f)) {
		(void)pthread_mutex_lock(&f->renewing);
		if (!all_there(f)) {
			ok = renew(f, e);
			atomic_fetch_add(&f->renewals, 1U);
		}
		(void)pthread_mutex_unlock(&f->renewing);
	}
	*renewals = atomic_load(&f->renewals);
	return ok;
}
