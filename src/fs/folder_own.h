/*
 * folder_own - the parts of a struct folder, for the files that implement fs/folder.h, and for no others.
 */
#ifndef FA_FS_FOLDER_OWN_H
#define FA_FS_FOLDER_OWN_H

#include "fs/folder.h"

#include <pthread.h>
#include <stdatomic.h>

#define FOLDER_RELEASES ".releases"
#define FOLDER_PRIVATE ".functions-admin"
#define FOLDER_STAGING "staging"

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

/* Takes away what an earlier process left under way. */
void folder_sweep(struct folder *f);

#endif
