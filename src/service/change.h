/*
 * change - changing what serves without an upload: activating stored versions, rolling back, splitting calls, removing
 * and restoring functions, undoing a whole release. Each call is one generation, all or nothing, by service/rollout.h.
 */
#ifndef FA_SERVICE_CHANGE_H
#define FA_SERVICE_CHANGE_H

#include "service/service.h"

#include <jansson.h>

/* One function of a bulk activation. */
struct change_choice {
	const char *slug;
	const char *id; /* NULL: not stated; otherwise it must be the function's */
	int version;
	const char *name; /* NULL keeps it */
	enum verify_choice
		verify_jwt; /* differs from the version's: a version like it, but for this, is made and activated */
	struct expectation expected;
};

/* All of them in ONE generation, or none. out: one function a choice, in order. */
MUST_CHECK bool change_activate(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
				const struct change_choice *choices, size_t count, const char *message,
				struct function **out, struct err *e);

/* What a change of one function comes with. */
struct change_request {
	const char *project_ref;
	const char *slug;
	const char *message; /* NULL for none */
	struct expectation expected;
};

/*
 * Back to a version that is kept; 0: the one that was active before the present one (ERR_CONFLICT "nothing_before"
 * where there is none). From disk where the release is still there, else from the database. The runtime is not asked
 * again about a version that has booted before.
 */
MUST_CHECK bool change_roll_back(struct service *s, struct arena *a, const struct actor *who,
				 const struct change_request *req, int version, struct function *out, struct err *e);

/* Splits calls over 1 to 4 versions; percents add up to 100, and one with 100 ends the split. sticky: JSON, or NULL to
 * keep it. */
MUST_CHECK bool change_traffic(struct service *s, struct arena *a, const struct actor *who,
			       const struct change_request *req, const struct shares *shares, const char *sticky,
			       struct function *out, struct err *e);

/* What a change of settings asks for. */
struct change_settings {
	enum verify_choice verify_jwt;
	const char *const *static_patterns; /* NULL keeps them */
	const json_t *patch;                /* for settings_merge(); NULL keeps the settings */
};

/* A version like the active one but for its settings is made and activated; nothing happens where they are so already.
 */
MUST_CHECK bool change_configure(struct service *s, struct arena *a, const struct actor *who,
				 const struct change_request *req, const struct change_settings *wanted,
				 struct function *out, struct err *e);

/* Removes the function: it stops being served, then its releases leave the disk. Its versions stay in the database. */
MUST_CHECK bool change_remove(struct service *s, struct arena *a, const struct actor *who,
			      const struct change_request *req, struct err *e);

/* Brings back the function of this slug that was removed last; version 0: the one that served then. */
MUST_CHECK bool change_restore(struct service *s, struct arena *a, const struct actor *who,
			       const struct change_request *req, int version, struct function *out, struct err *e);

/*
 * The same bytes, with the same digest, as a new version of the function of this slug in project `to`, which `s`
 * deploys to; version 0: the active one. Secrets are not copied. req is about the source. A version that is active
 * there already makes none.
 */
MUST_CHECK bool change_promote(struct service *s, struct arena *a, const struct actor *who,
			       const struct change_request *req, int version, const char *to, struct function *out,
			       struct err *e);

/* Puts every function of a release back to what it was before; *release: the number of the release that this makes. */
MUST_CHECK bool change_undo_release(struct service *s, struct arena *a, const struct actor *who,
				    const char *project_ref, int64_t number, const char *message,
				    bool (*may_touch)(void *ctx, const char *slug), void *ctx, int64_t *release,
				    struct err *e);

#endif
