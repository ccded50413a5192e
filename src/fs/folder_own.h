/*
 * folder_own - the parts of a struct folder, for the files that implement fs/folder.h, and for no others.
 */
#ifndef FA_FS_FOLDER_OWN_H
#define FA_FS_FOLDER_OWN_H

#include "fs/folder.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>

#define FOLDER_RELEASES ".releases"
#define FOLDER_PRIVATE ".functions-admin"
#define FOLDER_STAGING "staging"
#define FOLDER_WAITING "waiting"

/* The descriptors are numbers for life: a directory that is made anew takes the number of the one that was removed. */
struct folder {
	char *path;
	char *project;
	mode_t mode;
	int root;
	int releases;
	int private;
	int staging;
	int lock;
	pthread_mutex_t renewing;
	_Atomic unsigned renewals;
};

/* -1 with errno, also where it is a link. */
int folder_dir_open(int at, const char *name);

/* Makes it where it is missing. */
int folder_dir_make(int at, const char *name, mode_t mode);

/* The entries of a directory; takes over fd, also where it fails (NULL with errno). fd -1 fails as its opening did. */
DIR *folder_entries(int fd);

/* Room for the names that folder_temporary_name() makes. */
#define FOLDER_TEMPORARY_SIZE 64

/* A name in staging/ that nobody else has. */
void folder_temporary_name(char out[FOLDER_TEMPORARY_SIZE], const char *what);

/* What lies in staging/ as `temporary`, on the disk already, gets its name. *new: there was none of that name; else
 * what had it lies there instead. */
bool folder_name_release(struct folder *f, const char *temporary, const char *slug, const char *release, bool *new,
			 struct err *e);
bool folder_name_stub(struct folder *f, const char *temporary, const char *slug, struct err *e);

/* True: it waits under waiting/; else it is where it was. */
bool folder_wait_release(struct folder *f, const char *temporary, const char *slug, const char *release);

/* release: "" for a stub. The batch takes over what lies in staging/ as `temporary`. */
bool folder_batch_add(struct folder_batch *b, const char *temporary, const char *slug, const char *release,
		      struct err *e);

/* Removes a whole tree below `at`, without following links. What is not there is no error. */
bool folder_remove_tree(int at, const char *name);

/* flags: beside those that a file is opened with to be synced. */
bool folder_sync_path(int at, const char *path, int flags);

/* False with errno. */
bool folder_write_all(int fd, const void *data, size_t len);

/* Takes away what an earlier process left under way. */
void folder_sweep(struct folder *f);

#endif
