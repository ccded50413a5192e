/* history - reading what was: versions, their differences, deployments, releases. */
#ifndef FA_SERVICE_HISTORY_H
#define FA_SERVICE_HISTORY_H

#include "service/service.h"

/* The function with its active version, and one page of its versions. */
MUST_CHECK bool history_versions(struct service *s, struct arena *a, const char *project_ref, const char *slug,
				 int before, int limit, struct function *f, struct version_list *out, struct err *e);

/* The function with the given version in .version. */
MUST_CHECK bool history_version(struct service *s, struct arena *a, const char *project_ref, const char *slug,
				int number, struct function *out, struct err *e);

/* slug NULL: of the whole project. */
MUST_CHECK bool history_deployments(struct service *s, struct arena *a, const char *project_ref, const char *slug,
				    const char *after, int limit, struct deployment_list *out, struct err *e);
MUST_CHECK bool history_deployment(struct service *s, struct arena *a, const char *project_ref, const char *id,
				   struct deployment *out, struct err *e);

MUST_CHECK bool history_releases(struct service *s, struct arena *a, const char *project_ref, int64_t before, int limit,
				 struct release_list *out, struct err *e);
MUST_CHECK bool history_release(struct service *s, struct arena *a, const char *project_ref, int64_t number,
				struct release *out, struct err *e);

/* How a function's calls are split; one share of 100 % where they are not. */
MUST_CHECK bool history_traffic(struct service *s, struct arena *a, const struct function *f, struct shares *out,
				struct err *e);

enum difference_kind { DIFFERENCE_ADDED, DIFFERENCE_REMOVED, DIFFERENCE_MODIFIED };

/* One file that is not the same in two versions. */
struct difference {
	const char *path;
	enum difference_kind kind;
	bool binary;      /* no text is shown */
	bool too_large;   /* over DIFFERENCE_MAX_FILE, or the answer was full */
	const char *diff; /* unified, with three lines of context; NULL where there is none to show */
};

struct difference_list {
	struct difference *items;
	size_t count;
};

/* Of larger files only the fact is told. */
#define DIFFERENCE_MAX_FILE ((int64_t)512 * 1024)
#define DIFFERENCE_MAX_TOTAL ((size_t)4 * 1024 * 1024)

MUST_CHECK bool history_diff(struct service *s, struct arena *a, const struct function *from, const struct function *to,
			     struct difference_list *out, struct err *e);

struct difference_text {
	const char *text;
	size_t len;
};

/* The unified diff of one file's two texts, NULL for one that is not there, into *out, whose path is set. *shown: bytes
 * of diffs so far, which grows; beyond DIFFERENCE_MAX_TOTAL only too_large is told. */
MUST_CHECK bool history_text_diff(struct arena *a, const struct difference_text *from, const struct difference_text *to,
				  size_t *shown, struct difference *out, struct err *e);

#endif
