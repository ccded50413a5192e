/*
 * adopt - functions that somebody put into the functions folder by hand become functions with versions.
 *
 * Each directory with an entry point is one function: its files, its deno.json or import map, and the shared files that
 * it imports, as they lie there. It is stored and deployed like any upload (booted before it serves, with a deployment,
 * a release and an entry in the audit log); then a stub takes the directory's place in one step, and the directory is
 * kept below .functions-admin/adopted/. Who calls the function notices nothing.
 */
#ifndef FA_SERVICE_ADOPT_H
#define FA_SERVICE_ADOPT_H

#include "service/service.h"

/* Something that was not taken, and why. */
struct adopt_left_out {
	const char *path;
	const char *reason;
};

enum adopt_outcome {
	ADOPT_PLANNED,  /* a dry run: it would be imported */
	ADOPT_IMPORTED, /* it is, and serves */
	ADOPT_SKIPPED,  /* it is no function */
	ADOPT_REFUSED   /* it cannot be imported as it is */
};

struct adopt_item {
	const char *name; /* the entry of the folder */
	enum adopt_outcome outcome;
	const char *reason; /* of the last two; else NULL */
	const char *hint;
	const char *entrypoint;
	const char *import_map; /* NULL for none */
	bool verify_jwt;
	int version;
	const char *kept_at; /* where the old directory is now, below the functions folder */
	size_t file_count;
	int64_t bytes;
	struct adopt_left_out *left_out;
	size_t left_out_count;
};

struct adopt_report {
	struct adopt_item *items; /* by name */
	size_t count;
	size_t imported; /* or planned */
	size_t refused;
};

struct adopt_request {
	const char *project_ref;
	const char *only; /* one function's name; NULL: all */
	bool dry_run;
	bool verify_jwt; /* of the new functions: the folder does not say */
	const char *message;
	/* May the caller touch this function? Others are left out of the report. */
	bool (*may_touch)(void *ctx, const char *slug);
	void *ctx;
};

/* One function that is refused stops none of the others. ERR_NOT_FOUND: `only` is not there, or is managed already. */
MUST_CHECK bool adopt_run(struct service *s, struct arena *a, const struct actor *who, const struct adopt_request *req,
			  struct adopt_report *out, struct err *e);

/* Puts the files of a listing (fs/foreign.h) whose index is set in `wanted` into an upload, named from `prefix` on. */
struct upload;
struct foreign_list;
MUST_CHECK bool adopt_fill(struct service *s, struct upload *u, const struct foreign_list *files, const bool *wanted,
			   size_t prefix, struct err *e);

#endif
