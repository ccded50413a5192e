#include "service/access.h"
#include "api/handlers.h"
#include "api/intake.h"
#include "api/view.h"
#include "auth/scope.h"
#include "auth/token.h"
#include "core/json.h"
#include "core/names.h"
#include "core/text.h"
#include "service/function.h"

#include <string.h>

#define MAX_SCOPES 16
#define MAX_SLUGS 64

bool access_tokens_list(struct call *c, struct err *e)
{
	struct access_token *tokens;
	json_t *array = json_array();
	size_t count;

	if (!access_list(c->api->service, c->arena, &tokens, &count, e)) {
		json_decref(array);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		/* Whoever is bound to a project sees that project's tokens only. */
		if (c->who.project != NULL &&
		    (tokens[i].project_ref == NULL || !text_eq(tokens[i].project_ref, c->who.project)))
			continue;
		if (json_array_append_new(array, view_token(c->arena, &tokens[i])) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	}
	return response_json(c->resp, 200, json_pack("{s:o}", "data", array), e);
}

static bool read_scopes(struct call *c, const json_t *doc, struct access_token *t, struct err *e)
{
	const char **names = NULL;

	if (!json_get_strings(c->arena, doc, "scopes", MAX_SCOPES, &names, e))
		return false;
	for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
		enum scope scope = scope_parse(names[i]);

		if (scope == SCOPE_NONE)
			return err_set(e, ERR_INVALID, "unknown_scope", "There is no scope \"%.60s\"", names[i]);
		t->scopes |= scope;
	}
	if (t->scopes == 0)
		return err_set(e, ERR_INVALID, "no_scopes", "scopes must name at least one scope");
	/* Nobody gives away what they do not have. */
	if (!principal_has(&c->who, t->scopes))
		return err_set(e, ERR_FORBIDDEN, "scope_not_held",
			       "A token cannot be given a scope that its creator lacks");
	return true;
}

/* A bound creator's tokens are bound at least as tightly. */
static bool inherit_bounds(struct call *c, struct access_token *t, struct err *e)
{
	if (c->who.project != NULL && t->project_ref != NULL && !text_eq(t->project_ref, c->who.project))
		return err_set(e, ERR_FORBIDDEN, "project_not_held",
			       "A token cannot be given a project that its creator may not touch");
	if (t->project_ref == NULL)
		t->project_ref = c->who.project;
	if (c->who.slugs == NULL)
		return true;
	if (t->slugs == NULL) {
		t->slugs = c->who.slugs;
		return true;
	}
	for (size_t i = 0; t->slugs[i] != NULL; i++)
		if (!principal_may_slug(&c->who, t->slugs[i]))
			return err_set(e, ERR_FORBIDDEN, "slug_not_held",
				       "A token cannot be given functions that its creator may not touch");
	return true;
}

static bool read_token(struct call *c, const json_t *doc, struct access_token *t, struct err *e)
{
	struct project project;
	int64_t seconds = 0;

	if (!json_get_string(doc, "name", JSON_REQUIRED, &t->name, e) || !names_check_name(t->name, e) ||
	    !read_scopes(c, doc, t, e) || !json_get_string(doc, "project", JSON_OPTIONAL, &t->project_ref, e) ||
	    !json_get_strings(c->arena, doc, "slugs", MAX_SLUGS, &t->slugs, e) ||
	    !json_get_int(doc, "expires_in", JSON_OPTIONAL, 1, (int64_t)10 * 366 * 86400, &seconds, e))
		return false;
	if (t->project_ref != NULL) {
		if (!function_project(c->api->service, c->arena, t->project_ref, &project, e))
			return false;
		t->project_ref = project.ref;
	}
	if (seconds > 0)
		t->expires_at = service_now() + seconds * 1000;
	if (c->who.expires_at_ms != 0 && (t->expires_at == 0 || t->expires_at > c->who.expires_at_ms))
		t->expires_at = c->who.expires_at_ms;
	return inherit_bounds(c, t, e);
}

bool access_tokens_create(struct call *c, struct err *e)
{
	struct access_token t = {0};
	uint8_t hash[TOKEN_HASH_BYTES];
	char token[TOKEN_SIZE];
	json_t *answer;
	json_t *doc;

	if (!intake_json(c, &doc, e))
		return false;
	if (!json_is_object(doc))
		return err_set(e, ERR_INVALID, NULL, "The body must be a JSON object");
	if (!read_token(c, doc, &t, e))
		return false;
	token_generate(token);
	token_hash(auth_token_key(c->api->auth), token, hash);
	if (!access_create(c->api->service, c->arena, &c->actor, &t, hash, e))
		return false;
	answer = view_token(c->arena, &t);
	if (answer != NULL && json_object_set_new(answer, "token", json_string(token)) != 0) {
		json_decref(answer);
		answer = NULL;
	}
	return response_json(c->resp, 201, answer, e);
}

bool access_tokens_revoke(struct call *c, struct err *e)
{
	return access_revoke(c->api->service, c->arena, &c->actor, c->id, e);
}
