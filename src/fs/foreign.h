/*
 * foreign - what lies in the functions folder that functions-admin did not put there, and reading it.
 *
 * Everything is opened beneath the folder and without following links (openat2(2), RESOLVE_BENEATH and
 * RESOLVE_NO_SYMLINKS), so that a link cannot bring a file from elsewhere into a version.
 */
#ifndef FA_FS_FOREIGN_H
#define FA_FS_FOREIGN_H

#include "core/arena.h"
#include "core/error.h"
#include "fs/folder.h"

#include <stdint.h>

/* Directories below one another, at most. */
#define FOREIGN_MAX_DEPTH 32
/* Entries of one listing, at most; ERR_TOO_LARGE. */
#define FOREIGN_MAX_ENTRIES ((size_t)200000)

struct foreign_file {
	const char *path; /* below the functions folder */
	int64_t size;
	int64_t changed; /* st_ctim in nanoseconds: moves with every change of content, mode or name */
	uint64_t inode;
	const char *left_out; /* why it cannot be taken; NULL for a good one */
};

struct foreign_list {
	struct foreign_file *items; /* by path, in byte order */
	size_t count;
};

/*
 * All files below `top` ("" for the entries of the folder itself, without going into directories of ours), in the
 * arena. What is no plain readable file is in the list too, with the reason. choosy: directories named .git and
 * node_modules are one entry, left out; so are .env files, which hold secrets.
 */
MUST_CHECK bool foreign_list(const struct folder *f, struct arena *a, const char *top, bool choosy,
			     struct foreign_list *out, struct err *e);

/* Opens a file of the list for reading; -1 with errno. */
int foreign_open(const struct folder *f, const char *path);

#endif
