/*
 * project - making and changing projects: each has its own reference, folder, runtime, keys and settings.
 *
 * Keys are made here, sealed with the master key in the database, and shown once.
 */
#ifndef FA_SERVICE_PROJECT_H
#define FA_SERVICE_PROJECT_H

#include "service/service.h"

#include <jansson.h>

/*
 * Makes the project (name, functions_dir and runtime_url of *p; a reference is chosen where it has none). *keys:
 * {"jwt_secret", "anon_key", "service_role_key", "publishable_key", "secret_key"}, for the caller to show once and
 * drop.
 */
MUST_CHECK bool project_add(struct service *s, struct arena *a, const struct actor *who, struct project *p,
			    json_t **keys, struct err *e);

/* Sets what is not NULL of name, functions_dir, runtime_url. */
MUST_CHECK bool project_change(struct service *s, struct arena *a, const struct actor *who, const struct project *p,
			       struct err *e);

/* Merges `patch` into the settings (RFC 7396); every known setting is checked (ERR_INVALID). *settings: what holds now.
 */
MUST_CHECK bool project_set_settings(struct service *s, struct arena *a, const struct actor *who, const char *ref,
				     const json_t *patch, json_t **settings, struct err *e);

/* ERR_CONFLICT "project_in_use" for the default project and for one that still serves functions. */
MUST_CHECK bool project_drop(struct service *s, struct arena *a, const struct actor *who, const char *ref,
			     struct err *e);

/* Fills the keys of cfg with the project's. */
MUST_CHECK bool project_keys_open(const struct service *s, const struct project *p, struct config *cfg, struct err *e);

#endif
