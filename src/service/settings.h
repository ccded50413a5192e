/*
 * settings - what a version lets its function have: limits, imports, platform credentials, a revision of the secrets.
 *
 * A JSON object, each member optional:
 *   limits            {"memory_mb", "wall_ms", "cpu_soft_ms", "cpu_hard_ms"}
 *   imports           {"npm", "jsr", "remote"}: booleans
 *   platform          the platform credentials that it gets; absent: all
 *   secrets_revision  the revision of the secrets that it is pinned to; absent: always the current one
 * A project's defaults (projects.settings, member function_defaults) are the same without secrets_revision. What a
 * version does not choose comes from them, then from settings_builtin().
 */
#ifndef FA_SERVICE_SETTINGS_H
#define FA_SERVICE_SETTINGS_H

#include "service/service.h"

#include <jansson.h>

/* What holds where nobody chooses; the caller drops the reference. NULL when memory is out. */
json_t *settings_builtin(void);

/*
 * Applies a merge patch (RFC 7396) to settings: members of the patch replace those of the settings, null takes them
 * away. The result is checked (ERR_INVALID names what is wrong) and in one canonical form, so that equal settings are
 * equal texts. defaults: for a project, where secrets_revision has no place. Members of the patch beside those above
 * are refused.
 */
MUST_CHECK bool settings_merge(struct arena *a, const char *settings, const json_t *patch, bool defaults,
			       const char **out, struct err *e);

/* A version's settings with what it does not choose from the project's (projects.settings), for the runtime. NULL when
 * memory is out. */
const char *settings_with_defaults(struct arena *a, const char *project_settings, const char *settings);

/* The canonical form. NULL when memory is out, or for text that is no JSON object. */
char *settings_canonical(struct arena *a, const char *settings);

/* The revision that these settings are pinned to; 0 for none. */
int64_t settings_pin(const char *settings);

/* The defaults of a project; changing them changes what every function gets, in one new generation. */
MUST_CHECK bool settings_change_defaults(struct service *s, struct arena *a, const struct actor *who,
					 const char *project_ref, const json_t *patch, struct project *out,
					 struct err *e);

#endif
