/*
 * deploy - from an upload, or from a version that is there, to "it is being served": store, stage, boot, activate,
 * confirm.
 *
 * A call returns true only when its promise is kept: the new version is active, the folder shows it, and, where a
 * runtime is configured, the runtime has said that it serves it. Otherwise the deployment has failed, its row says why,
 * and what served before still serves.
 */
#ifndef FA_SERVICE_DEPLOY_H
#define FA_SERVICE_DEPLOY_H

#include "service/service.h"
#include "service/upload.h"

enum deploy_verify { VERIFY_KEEP, VERIFY_ON, VERIFY_OFF };
enum deploy_expect { EXPECT_ANY, EXPECT_NEW, EXPECT_EXISTING };

struct deploy_request {
	const char *project_ref;
	const char *slug;
	const char *name;              /* NULL keeps it; the slug for a new function */
	const char *entrypoint;        /* as uploaded */
	const char *import_map;        /* NULL or "" for none */
	const char **static_patterns;  /* NULL-terminated; NULL for none */
	enum deploy_verify verify_jwt; /* VERIFY_KEEP: as the active version has it; on for a new function */
	const char *message;           /* NULL for none */
	const char *ezbr_sha256;       /* what the client says the bundle's digest is; NULL where it says nothing */
	enum deploy_expect expect;
	bool bundle_only; /* store, and leave the activation to deploy_activate_many() */
	struct upload *upload;
};

struct deploy_result {
	struct function function; /* with the version that this deploy made */
	bool created;
	bool unchanged; /* the active version is this very upload: nothing was made */
	bool verified;  /* the runtime has confirmed it */
};

MUST_CHECK bool deploy_run(struct service *s, struct arena *a, const struct actor *who,
			   const struct deploy_request *req, struct deploy_result *out, struct err *e);

/* One function of a bulk activation. */
struct deploy_choice {
	const char *slug;
	const char *id; /* NULL: not stated; otherwise it must be the function's */
	int version;
	const char *name; /* NULL keeps it */
	enum deploy_verify
		verify_jwt; /* differs from the version's: a version like it, but for this, is made and activated */
};

/* All of them in ONE generation, or none. out: one function a choice, in order. */
MUST_CHECK bool deploy_activate_many(struct service *s, struct arena *a, const struct actor *who,
				     const char *project_ref, const struct deploy_choice *choices, size_t count,
				     const char *message, struct function **out, struct err *e);

/* Removes the function: it stops being served, then its releases leave the disk. Its versions stay in the database. */
MUST_CHECK bool deploy_remove(struct service *s, struct arena *a, const struct actor *who, const char *project_ref,
			      const char *slug, struct err *e);

#endif
