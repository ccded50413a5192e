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

#include "core/crypto.h"
#include "service/service.h"
#include "service/upload.h"

enum deploy_expect { EXPECT_ANY, EXPECT_NEW, EXPECT_EXISTING };

struct deploy_request {
	const char *project_ref;
	const char *slug;
	const char *name;              /* NULL keeps it; the slug for a new function */
	const char *entrypoint;        /* as uploaded */
	const char *import_map;        /* NULL or "" for none */
	const char **static_patterns;  /* NULL-terminated; NULL for none */
	enum verify_choice verify_jwt; /* VERIFY_KEEP: as the active version has it; on for a new function */
	const char *message;           /* NULL for none */
	const char *ezbr_sha256;       /* what the client says the bundle's digest is; NULL where it says nothing */
	enum deploy_expect expect;
	bool bundle_only;   /* store, and leave the activation to change_activate() */
	bool respond_async; /* answer once it is stored and staged, where that can be done; see deploy_result.accepted
			     */
	const char *source; /* deploy (also where it is NULL), import, template */
	bool adopts;        /* a directory that is not ours may lie where the stub belongs; see apply_adopt() */
	struct expectation expected; /* of the function as it is now: ERR_PRECONDITION where it is not so */
	struct upload *upload;
	/* Told of each stage that is reached: staged, stored, booted, active, verified. NULL: nobody asks. */
	void (*progress)(void *ctx, const char *stage);
	void *progress_ctx;
};

struct deploy_result {
	struct function function;             /* with the version that this deploy made */
	char deployment_id[CRYPTO_UUID_SIZE]; /* "" where nothing was made */
	bool created;
	bool unchanged; /* the active version is this very upload: nothing was made */
	bool verified;  /* the runtime has confirmed it */
	bool accepted;  /* it goes on behind the answer; the deployment's row will tell how it ended */
};

MUST_CHECK bool deploy_run(struct service *s, struct arena *a, const struct actor *who,
			   const struct deploy_request *req, struct deploy_result *out, struct err *e);

/* What deploy_run() would refuse before it stores anything: names, limits, entry point, imports. Nothing is kept. */
MUST_CHECK bool deploy_check(struct service *s, struct arena *a, const struct actor *who,
			     const struct deploy_request *req, struct err *e);

#endif
