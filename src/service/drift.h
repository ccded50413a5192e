/*
 * drift - what somebody has changed on disk in the functions that are deployed.
 *
 * The database says what a function is; a hand that edits its release, or its stub, makes the runtime serve something
 * else. The sweep finds that (every DRIFT_SWEEPS-th, by the change times of the files; contents are read only where
 * those have moved), it is logged once, shown by the API and by doctor, and never overwritten without being asked for:
 * drift_accept() makes a version of what lies there, drift_revert() puts back what was deployed. Of bundles (eszip)
 * only the presence is looked at: the database keeps them in another form.
 */
#ifndef FA_SERVICE_DRIFT_H
#define FA_SERVICE_DRIFT_H

#include "service/history.h"
#include "service/service.h"

/* Once a minute, with a sweep every ten seconds. */
#define DRIFT_SWEEPS 6

struct drift_item {
	const char *slug;
	int version;
	bool missing;                 /* the release is not there at all: no edit, and built anew by the next sweep */
	bool no_stub;                 /* the same of the stub; `stub` is set as well */
	bool stub;                    /* the stub is not as it was written; files may be as deployed */
	struct difference_list files; /* from the version to what lies on disk */
};

struct drift_list {
	struct drift_item *items; /* by slug */
	size_t count;
};

/* only: one function; NULL: all that are active. texts: with diffs, else only which files differ, and how. */
MUST_CHECK bool drift_find(struct service *s, struct arena *a, const char *only, bool texts, struct drift_list *out,
			   struct err *e);

/* ERR_CONFLICT "no_drift": there is nothing to accept. The files on disk become the function's next version, which is
 * deployed as any other; the release that was edited gets its own files back. */
struct deploy_result;
MUST_CHECK bool drift_accept(struct service *s, struct arena *a, const struct actor *who, const char *slug,
			     const char *message, struct deploy_result *out, struct err *e);

/* Puts files and stub back. Workers that run already keep the code that they have loaded until they retire. */
MUST_CHECK bool drift_revert(struct service *s, struct arena *a, const struct actor *who, const char *slug,
			     int *version, struct err *e);

/* One look, for the sweep; missing releases and stubs are put back. One thread at a time. */
MUST_CHECK bool drift_sweep(struct service *s, struct err *e);

/* For an agent, whose folder is nobody's to edit: what was changed, stubs included, is put back as it was deployed. */
MUST_CHECK bool drift_heal(struct service *s, struct err *e);

/* The next look reads every file, whatever the last one has seen. */
void drift_forget(struct service *s);

/* Did the last look find a change in this function? Then its releases must stay. */
bool drift_holds(struct service *s, const char *slug);

/* How many functions the last look found changed. */
size_t drift_count(struct service *s);

struct drift;
MUST_CHECK bool drift_new(struct drift **out, struct err *e);
void drift_free(struct drift *d);

#endif
