#include "service/access.h"
#include "api/handlers.h"
#include "api/intake.h"
#include "api/view.h"
#include "auth/scope.h"
#include "auth/token.h"
#include "core/json.h"
#include "core/names.h"
#include "core/net.h"
#include "core/text.h"
#include "service/function.h"

#include <string.h>

#define MAX_SCOPES 16
#define MAX_SLUGS 64
#define MAX_NETWORKS 64

/* Whoever is bound to a project or to functions sees and touches the tokens that are bound at least as tightly. */
static bool is_within_bounds(const struct principal *who, const struct access_token *t)
{
	if (who->project != NULL && (t->project_ref == NULL || !text_eq(t->project_ref, who->project)))
		return false;
	if (who->slugs == NULL)
		return true;
	/* A pattern's own '*' is matched by a '*' only, so this also tells whether one pattern lies within another. */
	for (size_t i = 0; t->slugs != NULL && t->slugs[i] != NULL; i++)
		if (!principal_may_slug(who, t->slugs[i]))
			return false;
	return t->slugs != NULL;
}

bool access_tokens_list(struct call *c, struct err *e)
{
	struct access_token *tokens;
	json_t *array = json_array();
	size_t count;

	if (!access_list(c->service, c->arena, &tokens, &count, e)) {
		json_decref(array);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (!is_within_bounds(&c->who, &tokens[i]))
			continue;
		if (json_array_append_new(array, view_token(c->arena, &tokens[i])) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	}
	return response_json(c->resp, 200, json_pack("{s:o}", "data", array), e);
}

static bool are_networks_held(const struct principal *who, const struct access_token *t)
{
	struct net n;

	if (who->networks == NULL)
		return true;
	for (size_t i = 0; t->networks != NULL && t->networks[i] != NULL; i++)
		if (!net_network(t->networks[i], &n) || !net_any_contains(who->networks, &n))
			return false;
	return t->networks != NULL;
}

/* Nobody gives away, or gets hold of, what they do not have. */
static bool check_held(const struct principal *who, const struct access_token *t, struct err *e)
{
	if (!principal_has(who, t->scopes))
		return err_set(e, ERR_FORBIDDEN, "scope_not_held", "The token has a scope that you lack");
	if (!is_within_bounds(who, t))
		return err_set(e, ERR_FORBIDDEN, "bounds_not_held",
			       "The token is for a project or functions that you may not touch");
	if (!are_networks_held(who, t))
		return err_set(e, ERR_FORBIDDEN, "network_not_held",
			       "The token may be used from networks that you may not come from");
	if (who->expires_at_ms != 0 && (t->expires_at == 0 || t->expires_at > who->expires_at_ms))
		return err_set(e, ERR_FORBIDDEN, "expiry_not_held", "The token lives longer than your own credential");
	return true;
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
	return true;
}

/* A bound creator's tokens are bound at least as tightly, and live no longer. */
static bool inherit_bounds(struct call *c, struct access_token *t, struct err *e)
{
	const struct principal *who = &c->who;

	if (t->project_ref == NULL)
		t->project_ref = who->project;
	if (t->slugs == NULL)
		t->slugs = who->slugs;
	if (t->networks == NULL)
		t->networks = who->networks;
	if (t->expires_at == 0)
		t->expires_at = who->expires_at_ms;
	return check_held(who, t, e);
}

static bool read_lists(struct call *c, const json_t *doc, struct access_token *t, struct err *e)
{
	if (!json_get_strings(c->arena, doc, "slugs", MAX_SLUGS, &t->slugs, e) ||
	    !json_get_strings(c->arena, doc, "networks", MAX_NETWORKS, &t->networks, e))
		return false;
	for (size_t i = 0; t->slugs != NULL && t->slugs[i] != NULL; i++)
		if (!names_check_slug_pattern(t->slugs[i], e))
			return false;
	for (size_t i = 0; t->networks != NULL && t->networks[i] != NULL; i++)
		if (!names_check_network(t->networks[i], e))
			return false;
	return true;
}

static bool read_expiry(const json_t *doc, struct access_token *t, struct err *e)
{
	const char *text = NULL;

	if (!json_get_string(doc, "expires_at", JSON_OPTIONAL, &text, e))
		return false;
	if (text == NULL)
		return true;
	if (!text_parse_iso8601(text, &t->expires_at)) {
		(void)err_set(e, ERR_INVALID, "invalid_expiry", "expires_at is not a time in ISO 8601");
		return err_hint(e, "Write it as in 2027-01-31T12:00:00Z.");
	}
	if (t->expires_at <= service_now())
		return err_set(e, ERR_INVALID, "invalid_expiry", "expires_at is in the past");
	return true;
}

static bool read_token(struct call *c, const json_t *doc, struct access_token *t, struct err *e)
{
	struct project project;

	if (!json_get_string(doc, "name", JSON_REQUIRED, &t->name, e) || !names_check_name(t->name, e) ||
	    !read_scopes(c, doc, t, e) || !json_get_string(doc, "project", JSON_OPTIONAL, &t->project_ref, e) ||
	    !read_lists(c, doc, t, e) || !read_expiry(doc, t, e))
		return false;
	if (t->project_ref != NULL) {
		if (!function_project(c->service, c->arena, t->project_ref, &project, e))
			return false;
		t->project_ref = project.ref;
	}
	return inherit_bounds(c, t, e);
}

/* The token's own text stands in this one answer and nowhere else. */
static bool answer_token(struct call *c, int status, const struct access_token *t, const char *token, struct err *e)
{
	json_t *answer = view_token(c->arena, t);

	if (answer != NULL && json_object_set_new(answer, "token", json_string(token)) != 0) {
		json_decref(answer);
		answer = NULL;
	}
	return response_json(c->resp, status, answer, e);
}

bool access_tokens_create(struct call *c, struct err *e)
{
	struct access_token t = {0};
	uint8_t hash[TOKEN_HASH_BYTES];
	char token[TOKEN_SIZE];
	json_t *doc;

	if (!intake_json(c, &doc, e))
		return false;
	if (!json_is_object(doc))
		return err_set(e, ERR_INVALID, NULL, "The body must be a JSON object");
	if (!read_token(c, doc, &t, e))
		return false;
	token_generate(token);
	token_hash(auth_token_key(c->api->auth), token, hash);
	if (!access_create(c->service, c->arena, &c->actor, &t, hash, e))
		return false;
	return answer_token(c, 201, &t, token, e);
}

/* A token that the caller must not even see is not there; one that is more than the caller's own is refused. */
static bool may_rotate(void *ctx, const struct access_token *t, struct err *e)
{
	const struct call *c = ctx;

	if (!is_within_bounds(&c->who, t))
		return err_set(e, ERR_NOT_FOUND, "token_not_found", "Access token not found");
	return check_held(&c->who, t, e);
}

static bool may_revoke(void *ctx, const struct access_token *t, struct err *e)
{
	const struct call *c = ctx;

	return is_within_bounds(&c->who, t) || err_set(e, ERR_NOT_FOUND, "token_not_found", "Access token not found");
}

bool access_tokens_rotate(struct call *c, struct err *e)
{
	uint8_t hash[TOKEN_HASH_BYTES];
	struct access_token t = {0};
	char token[TOKEN_SIZE];

	token_generate(token);
	token_hash(auth_token_key(c->api->auth), token, hash);
	return access_rotate(c->service, c->arena, &c->actor, c->id, may_rotate, c, hash, &t, e) &&
	       answer_token(c, 200, &t, token, e);
}

bool access_tokens_revoke(struct call *c, struct err *e)
{
	return access_revoke(c->service, c->arena, &c->actor, c->id, may_revoke, c, e);
}
