#include "api/browser.h"
#include "api/handlers.h"
#include "api/once.h"
#include "auth/oauth.h"
#include "auth/ratelimit.h"
#include "auth/scope.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/names.h"
#include "core/net.h"
#include "core/text.h"
#include "service/audit.h"
#include "service/function.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FUNCTIONS "/v1/projects/{ref}/functions"
#define ANALYTICS "/v1/projects/{ref}/analytics/endpoints"
#define MCP_METADATA "/.well-known/oauth-protected-resource"
#define NODES "/v1/projects/{ref}/nodes"
#define SECRETS "/v1/projects/{ref}/secrets"

const struct route api_routes[] = {
	{"GET", "/healthz", SCOPE_NONE, ROUTE_PUBLIC, ops_health},
	{"GET", "/readyz", SCOPE_NONE, ROUTE_PUBLIC, ops_ready},
	{"GET", "/metrics", SCOPE_NONE, ROUTE_PUBLIC, ops_metrics},
	{"GET", "/v1/openapi.json", SCOPE_NONE, ROUTE_PUBLIC, ops_openapi},

	{"POST", "/mcp", SCOPE_NONE, ROUTE_USERS, mcp_post},
	{"GET", MCP_METADATA, SCOPE_NONE, ROUTE_PUBLIC, mcp_metadata},
	{"GET", MCP_METADATA "/mcp", SCOPE_NONE, ROUTE_PUBLIC, mcp_metadata},

	{"GET", "/v1/session", SCOPE_NONE, 0, session_get},

	{"GET", "/v1/templates", SCOPE_NONE, 0, templates_list},
	{"GET", "/v1/projects", SCOPE_NONE, 0, projects_list},
	{"GET", "/v1/projects/{ref}", SCOPE_NONE, 0, projects_get},
	{"GET", "/v1/projects/{ref}/api-keys", SCOPE_NONE, 0, projects_api_keys},

	{"GET", "/v1/projects/{ref}/settings", SCOPE_FUNCTIONS_READ, 0, projects_settings},
	{"PATCH", "/v1/projects/{ref}/settings", SCOPE_PROJECTS_ADMIN, 0, projects_set_settings},

	{"GET", "/v1/projects/{ref}/doctor", SCOPE_PROJECTS_ADMIN, 0, doctor_get},

	{"GET", "/v1/nodes", SCOPE_FUNCTIONS_READ, 0, nodes_list_all},
	{"GET", NODES, SCOPE_FUNCTIONS_READ, 0, nodes_list},
	{"POST", NODES "/{id}/drain", SCOPE_PROJECTS_ADMIN, 0, nodes_drain},
	{"POST", NODES "/{id}/resume", SCOPE_PROJECTS_ADMIN, 0, nodes_resume},
	{"POST", NODES "/{id}/check", SCOPE_PROJECTS_ADMIN, 0, nodes_check},
	{"DELETE", NODES "/{id}", SCOPE_PROJECTS_ADMIN, 0, nodes_remove},

	{"GET", FUNCTIONS, SCOPE_FUNCTIONS_READ, 0, functions_list},
	{"POST", FUNCTIONS, SCOPE_FUNCTIONS_WRITE, 0, functions_create},
	{"PUT", FUNCTIONS, SCOPE_FUNCTIONS_WRITE, 0, functions_bulk_update},
	{"POST", FUNCTIONS "/deploy", SCOPE_FUNCTIONS_WRITE, 0, functions_deploy},
	{"POST", FUNCTIONS "/import", SCOPE_FUNCTIONS_WRITE, 0, functions_import},
	{"GET", "/v1/projects/{ref}/drift", SCOPE_FUNCTIONS_READ, 0, drift_list_all},
	{"POST", FUNCTIONS "/{slug}/drift/accept", SCOPE_FUNCTIONS_WRITE, 0, drift_take},
	{"POST", FUNCTIONS "/{slug}/drift/revert", SCOPE_FUNCTIONS_WRITE, 0, drift_put_back},
	{"GET", FUNCTIONS "/{slug}", SCOPE_FUNCTIONS_READ, 0, functions_get},
	{"PATCH", FUNCTIONS "/{slug}", SCOPE_FUNCTIONS_WRITE, 0, functions_update},
	{"DELETE", FUNCTIONS "/{slug}", SCOPE_FUNCTIONS_WRITE, 0, functions_delete},
	{"GET", FUNCTIONS "/{slug}/body", SCOPE_FUNCTIONS_READ, 0, functions_body},
	{"GET", FUNCTIONS "/{slug}/files", SCOPE_FUNCTIONS_READ, 0, functions_files},
	{"POST", FUNCTIONS "/{slug}/validate", SCOPE_FUNCTIONS_READ, 0, functions_validate},

	{"GET", FUNCTIONS "/{slug}/versions", SCOPE_FUNCTIONS_READ, 0, versions_list},
	{"GET", FUNCTIONS "/{slug}/versions/{n}", SCOPE_FUNCTIONS_READ, 0, versions_get},
	{"GET", FUNCTIONS "/{slug}/versions/{n}/body", SCOPE_FUNCTIONS_READ, 0, versions_body},
	{"GET", FUNCTIONS "/{slug}/diff", SCOPE_FUNCTIONS_READ, 0, versions_diff},
	{"POST", FUNCTIONS "/{slug}/rollback", SCOPE_FUNCTIONS_WRITE, 0, functions_rollback},
	{"POST", FUNCTIONS "/{slug}/restore", SCOPE_FUNCTIONS_WRITE, 0, functions_restore},
	{"POST", FUNCTIONS "/{slug}/promote", SCOPE_FUNCTIONS_WRITE, 0, functions_promote},
	{"GET", FUNCTIONS "/{slug}/traffic", SCOPE_FUNCTIONS_READ, 0, traffic_get},
	{"PUT", FUNCTIONS "/{slug}/traffic", SCOPE_FUNCTIONS_WRITE, 0, traffic_put},
	{"GET", FUNCTIONS "/{slug}/deployments", SCOPE_FUNCTIONS_READ, 0, deployments_of_function},
	{"GET", "/v1/projects/{ref}/deployments", SCOPE_FUNCTIONS_READ, 0, deployments_of_project},
	{"GET", "/v1/projects/{ref}/deployments/{id}", SCOPE_FUNCTIONS_READ, 0, deployments_get},
	{"GET", "/v1/projects/{ref}/releases", SCOPE_FUNCTIONS_READ, 0, releases_list},
	{"GET", "/v1/projects/{ref}/releases/{n}", SCOPE_FUNCTIONS_READ, 0, releases_get},
	{"POST", "/v1/projects/{ref}/releases/{n}/rollback", SCOPE_FUNCTIONS_WRITE, 0, releases_rollback},

	{"GET", FUNCTIONS "/{slug}/settings", SCOPE_FUNCTIONS_READ, 0, settings_get},
	{"PATCH", FUNCTIONS "/{slug}/settings", SCOPE_FUNCTIONS_WRITE, 0, settings_patch},
	{"GET", "/v1/projects/{ref}/function-defaults", SCOPE_FUNCTIONS_READ, 0, defaults_get},
	{"PATCH", "/v1/projects/{ref}/function-defaults", SCOPE_PROJECTS_ADMIN, 0, defaults_patch},

	{"GET", FUNCTIONS "/{slug}/logs", SCOPE_FUNCTIONS_READ, 0, logs_get},
	{"GET", FUNCTIONS "/{slug}/stats", SCOPE_FUNCTIONS_READ, 0, stats_get},
	{"POST", "/v1/projects/{ref}/events", SCOPE_EVENTS_WRITE, 0, events_take},
	{"GET", ANALYTICS "/logs", SCOPE_FUNCTIONS_READ, 0, analytics_logs},
	{"GET", ANALYTICS "/logs.all", SCOPE_FUNCTIONS_READ, 0, analytics_logs},
	{"GET", ANALYTICS "/functions.combined-stats", SCOPE_FUNCTIONS_READ, 0, analytics_stats},

	{"GET", SECRETS, SCOPE_SECRETS_READ, 0, secrets_list},
	{"POST", SECRETS, SCOPE_SECRETS_WRITE, 0, secrets_set},
	{"DELETE", SECRETS, SCOPE_SECRETS_WRITE, 0, secrets_unset},
	{"GET", SECRETS "/revisions", SCOPE_SECRETS_READ, 0, secrets_revisions},
	{"POST", SECRETS "/rollback", SCOPE_SECRETS_WRITE, 0, secrets_rollback},
	{"GET", FUNCTIONS "/{slug}/secrets", SCOPE_SECRETS_READ, 0, secrets_list},
	{"POST", FUNCTIONS "/{slug}/secrets", SCOPE_SECRETS_WRITE, 0, secrets_set},
	{"DELETE", FUNCTIONS "/{slug}/secrets", SCOPE_SECRETS_WRITE, 0, secrets_unset},

	{"GET", "/v1/projects/{ref}/audit", SCOPE_AUDIT_READ, 0, audit_list_entries},
	{"GET", "/v1/projects/{ref}/audit/verify", SCOPE_AUDIT_READ, 0, audit_verify_entries},

	{"GET", "/v1/functions", SCOPE_FUNCTIONS_READ, ROUTE_FLAT, flat_list},
	{"POST", "/v1/functions", SCOPE_FUNCTIONS_WRITE, ROUTE_FLAT, flat_deploy},
	{"GET", "/v1/functions/{slug}", SCOPE_FUNCTIONS_READ, ROUTE_FLAT, flat_get},
	{"DELETE", "/v1/functions/{slug}", SCOPE_FUNCTIONS_WRITE, ROUTE_FLAT, flat_delete},

	{"GET", "/v1/access-tokens", SCOPE_TOKENS_ADMIN, 0, access_tokens_list},
	{"POST", "/v1/access-tokens", SCOPE_TOKENS_ADMIN, 0, access_tokens_create},
	{"POST", "/v1/access-tokens/{id}/rotate", SCOPE_TOKENS_ADMIN, 0, access_tokens_rotate},
	{"DELETE", "/v1/access-tokens/{id}", SCOPE_TOKENS_ADMIN, 0, access_tokens_revoke},
	{NULL, NULL, SCOPE_NONE, 0, NULL},
};

/* The segments of a request that stand in a route's braces, still encoded. */
struct captured {
	const char *ref;
	size_t ref_len;
	const char *slug;
	size_t slug_len;
	const char *id;
	size_t id_len;
	const char *number;
	size_t number_len;
};

/* A trailing slash is allowed: the flat client sends one, and gateways add it. */
static bool match_path(const char *pattern, const char *path, struct captured *cap)
{
	while (*pattern != '\0') {
		size_t len;

		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		len = strcspn(path, "/");
		if (len == 0)
			return false;
		if (text_starts(pattern, "{ref}")) {
			cap->ref = path;
			cap->ref_len = len;
		} else if (text_starts(pattern, "{slug}")) {
			cap->slug = path;
			cap->slug_len = len;
		} else if (text_starts(pattern, "{n}")) {
			cap->number = path;
			cap->number_len = len;
		} else {
			cap->id = path;
			cap->id_len = len;
		}
		pattern = strchr(pattern, '}') + 1;
		path += len;
	}
	return path[0] == '\0' || text_eq(path, "/");
}

/* HEAD is GET without the body (RFC 9110, 9.3.2). */
static bool match_method(const struct route *r, const char *method)
{
	return text_eq(r->method, method) || (text_eq(method, "HEAD") && text_eq(r->method, "GET"));
}

/* The row for this request, or NULL with ERR_NOT_FOUND, or ERR_METHOD and the Allow header set. */
static const struct route *find_route(const struct request *req, struct response *resp, struct captured *cap,
				      struct err *e)
{
	const struct route *found = NULL;
	char *allow = NULL;

	for (const struct route *r = api_routes; r->method != NULL && found == NULL; r++) {
		struct captured here = {0};

		if (!match_path(r->path, req->path, &here))
			continue;
		/* ".../functions/deploy" is also a "{slug}": a row without braces there comes first in the table. */
		if (match_method(r, req->method)) {
			found = r;
			*cap = here;
		} else {
			allow = allow == NULL ? arena_strdup(req->arena, r->method)
					      : arena_printf(req->arena, "%s, %s", allow, r->method);
			if (allow != NULL && text_eq(r->method, "GET"))
				allow = arena_printf(req->arena, "%s, HEAD", allow);
		}
	}
	if (found != NULL)
		return found;
	if (allow == NULL) {
		(void)err_set(e, ERR_NOT_FOUND, "route_not_found", "There is nothing at this path");
		return NULL;
	}
	response_header(resp, "Allow", allow);
	(void)err_set(e, ERR_METHOD, NULL, "This path is not for the method %.16s", req->method);
	return NULL;
}

static bool bind_project(struct call *c, const char *ref, struct err *e)
{
	if (!function_project_since(c->service, c->arena, ref, c->req->arrived, &c->project, e))
		return false;
	/* To whoever is bound to another project this one does not exist. */
	if (!principal_may_project(&c->who, c->project.ref))
		return err_set(e, ERR_NOT_FOUND, "project_not_found", "Project not found");
	c->service = service_of(c->service, c->project.ref);
	return true;
}

bool api_bind_slug(struct call *c, const char *slug, struct err *e)
{
	if (!names_check_slug(slug, e))
		return false;
	if (!principal_may_slug(&c->who, slug))
		return err_set(e, ERR_FORBIDDEN, "slug_not_allowed", "This access token is not for this function");
	c->slug = slug;
	return true;
}

/* Decoded segments; checks that the caller may touch this project and function. */
static bool bind_path(struct call *c, const struct route *r, const struct captured *cap, struct err *e)
{
	/* The flat API knows one project: the default one. */
	if (r->flags & ROUTE_FLAT && !bind_project(c, "default", e))
		return false;
	if (cap->ref != NULL) {
		const char *ref = text_url_decode(c->arena, cap->ref, cap->ref_len, false);

		if (ref == NULL)
			return err_set(e, ERR_MALFORMED, NULL, "The path has a bad percent-escape");
		if (!bind_project(c, ref, e))
			return false;
	}
	if (cap->slug != NULL) {
		const char *slug = text_url_decode(c->arena, cap->slug, cap->slug_len, false);

		if (slug == NULL)
			return err_set(e, ERR_MALFORMED, NULL, "The path has a bad percent-escape");
		if (!api_bind_slug(c, slug, e))
			return false;
	}
	if (cap->id != NULL) {
		c->id = text_url_decode(c->arena, cap->id, cap->id_len, false);
		if (c->id == NULL)
			return err_set(e, ERR_MALFORMED, NULL, "The path has a bad percent-escape");
	}
	if (cap->number != NULL) {
		const char *number = text_url_decode(c->arena, cap->number, cap->number_len, false);

		if (number == NULL || !text_int64(number, 1, INT32_MAX, &c->number))
			return err_set(e, ERR_MALFORMED, NULL, "The path must have a number from 1 on here");
	}
	return true;
}

/*
 * The configured project's keys and all access tokens first; then the keys of the further projects, each of which opens
 * its own project only.
 */
static bool check_keys(struct call *c, const char *apikey, bool users, struct err *e)
{
	const char *authorization = request_header(c->req, "Authorization");
	struct err refused = ERR_INIT;

	if (auth_check(c->api->auth, c->arena, authorization, apikey, c->req->address, users, &c->who, e))
		return true;
	/* One token is looked up once, however many projects there are. */
	if (e->kind != ERR_UNAUTHORIZED || auth_is_token(authorization, apikey))
		return false;
	for (struct door *d = atomic_load(&c->api->doors); d != NULL; d = atomic_load(&d->next)) {
		if (!auth_check(d->auth, c->arena, authorization, apikey, c->req->address, users, &c->who, &refused)) {
			if (refused.kind == ERR_UNAUTHORIZED)
				continue;
			*e = refused;
			return false;
		}
		c->who.project = d->service->cfg->project_ref;
		*e = (struct err)ERR_INIT;
		return true;
	}
	return false;
}

bool api_refresh(struct api *api, struct err *e)
{
	struct door *_Atomic *end = &api->doors;

	/* Doors stand in the order of the services, so those that are missing are the last ones. */
	for (const struct service *s = atomic_load(&api->service->further); s != NULL; s = atomic_load(&s->further)) {
		struct door *d = atomic_load(end);

		if (d == NULL) {
			d = calloc(1, sizeof *d);
			if (d == NULL)
				return err_no_memory(e);
			d->service = s;
			if (!auth_new(&d->auth, s->cfg, s->pool, e)) {
				free(d);
				return err_prefix(e, "project %s", s->cfg->project_ref);
			}
			atomic_store(end, d);
		}
		end = &d->next;
	}
	return true;
}

void api_close(struct api *api)
{
	struct door *d = atomic_load(&api->doors);

	while (d != NULL) {
		struct door *next = atomic_load(&d->next);

		auth_free(d->auth);
		free(d);
		d = next;
	}
}

static void limit_headers(struct call *c, const struct limit_state *l)
{
	const char *limit = arena_printf(c->arena, "%lld", (long long)l->limit);
	const char *remaining = arena_printf(c->arena, "%lld", (long long)l->remaining);
	const char *reset = arena_printf(c->arena, "%lld", (long long)l->reset);
	const char *retry;

	/* Without memory for them the answer goes without. */
	if (limit == NULL || remaining == NULL || reset == NULL)
		return;
	response_header(c->resp, "X-RateLimit-Limit", limit);
	response_header(c->resp, "X-RateLimit-Remaining", remaining);
	response_header(c->resp, "X-RateLimit-Reset", reset);
	if (l->allowed)
		return;
	retry = arena_printf(c->arena, "%lld", (long long)l->retry_after);
	if (retry != NULL)
		response_header(c->resp, "Retry-After", retry);
}

/* Refuses where the state says so; where limits run dry, only the log tells. */
static bool obey(struct call *c, const struct limit_state *l, const char *what, struct err *e)
{
	if (l->allowed)
		return true;
	if (ratelimit_is_dry(c->api->limits)) {
		log_warn("rate limit (dry): %s from %s would be refused", what, c->req->address);
		return true;
	}
	limit_headers(c, l);
	(void)err_set(e, ERR_RATE_LIMITED, NULL, "Too many %s", what);
	return err_hint(e, "Try again in %lld seconds.", (long long)l->retry_after);
}

/* By caller and by address; the headers tell of the caller's own bucket. */
static bool take_turn(struct call *c, const struct route *r, struct err *e)
{
	bool reads = text_eq(r->method, "GET");
	enum limit_class class = reads ? LIMIT_READ : LIMIT_WRITE;
	const char *caller = principal_identity(&c->who, c->arena);
	const char *what = reads ? "reading requests" : "changing requests";
	int64_t now = metrics_now_us();
	char from[NET_SUBSCRIBER_SIZE];
	struct limit_state l;

	if (c->api->limits == NULL)
		return true;
	if (caller == NULL)
		return err_no_memory(e);
	net_subscriber(c->req->address, from);
	ratelimit_take(c->api->limits, class, from, now, &l);
	if (!obey(c, &l, what, e))
		return false;
	ratelimit_take(c->api->limits, class, caller, now, &l);
	if (l.limit > 0)
		limit_headers(c, &l);
	return obey(c, &l, what, e);
}

/* Tells a client where its user can sign in (RFC 9728, 5.1), and that the token which it had is no good (RFC 6750, 3).
 */
static void challenge(struct call *c, const struct route *r, const struct err *e)
{
	const struct oauth *o = auth_oauth(c->api->auth);
	const char *authorization = request_header(c->req, "Authorization");
	const char *why = authorization != NULL && authorization[0] != '\0' ? "error=\"invalid_token\", " : "";
	const char *value;

	if (o == NULL || !(r->flags & ROUTE_USERS) || e->kind != ERR_UNAUTHORIZED)
		return;
	value = arena_printf(c->arena, "Bearer %sresource_metadata=\"%s\"", why, o->metadata);
	if (value != NULL)
		response_header(c->resp, "WWW-Authenticate", value);
}

/*
 * Bytes a second at which nginx sends a refusal to who goes on with bad credentials (its upstream module takes this
 * header, and keeps it to itself): some seconds for one answer, which cost a timer there and nothing here. Who sends
 * the next request only then leaves the others their share.
 */
#define SLOW_ANSWER "128"

/* The credential is worth a look, if its address has not sent too many bad ones. */
static bool check_credential(struct call *c, const struct route *r, struct err *e)
{
	const char *authorization = request_header(c->req, "Authorization");
	const char *apikey = request_header(c->req, "apikey");
	struct ratelimit *limits = c->api->limits;
	int64_t now = metrics_now_us();
	char from[NET_SUBSCRIBER_SIZE];
	const char *credential;
	struct limit_state l;
	bool ok;

	if (apikey == NULL || apikey[0] == '\0')
		apikey = request_query(c->req, "apikey");
	credential = authorization != NULL && authorization[0] != '\0' ? authorization : apikey;
	net_subscriber(c->req->address, from);
	if (limits != NULL) {
		ratelimit_may_try(limits, from, credential, now, &l);
		if (!obey(c, &l, "bad credentials", e)) {
			response_header(c->resp, "X-Accel-Limit-Rate", SLOW_ANSWER);
			return false;
		}
	}
	ok = check_keys(c, apikey, (r->flags & ROUTE_USERS) != 0, e);
	if (!ok)
		challenge(c, r, e);
	if (limits != NULL && ok)
		ratelimit_good(limits, credential, now);
	else if (limits != NULL && e->kind == ERR_UNAUTHORIZED)
		ratelimit_bad(limits, from, now);
	return ok;
}

/* The caller is known: may it do this, and is it its turn? */
static bool authorize(struct call *c, const struct route *r, struct err *e)
{
	if (!take_turn(c, r, e))
		return false;
	if (r->scope & SCOPE_PROJECTS_ADMIN && c->who.slugs != NULL)
		return err_set(e, ERR_FORBIDDEN, "slug_not_allowed",
			       "This access token is for some functions only, not for the whole project");
	if (!principal_has(&c->who, r->scope)) {
		(void)err_set(e, ERR_FORBIDDEN, "missing_scope", "This access token lacks the scope %s",
			      scope_name(r->scope));
		return err_hint(e, "Create one that has it: functions-admin token create --scope %s",
				scope_name(r->scope));
	}
	return true;
}

static bool authenticate(struct call *c, const struct route *r, struct err *e)
{
	if (!browser_check(c->api->cfg, c->req, c->resp, e) || !check_credential(c, r, e))
		return false;
	c->actor.name = c->who.name;
	c->actor.token_id = c->who.id;
	log_context(c->req->id, c->who.name);
	return authorize(c, r, e);
}

/* The flat API's client reads "error". Without memory for it, the plain answer stays. */
static void add_flat_error(struct response *resp, const struct err *e, const char *request_id)
{
	struct err failed = ERR_INIT;
	json_t *doc =
		json_pack("{s:s, s:s, s:s, s:s, s:o*}", "error", e->message, "message", e->message, "code", e->code,
			  "request_id", request_id, "hint", e->hint[0] != '\0' ? json_string(e->hint) : NULL);

	if (doc != NULL && !response_json(resp, err_http_status(e->kind), doc, &failed))
		response_error(resp, &failed, request_id);
}

void api_refuse(const struct err *e, const char *request_id, struct response *resp)
{
	response_error(resp, e, request_id);
	response_header(resp, "X-Request-Id", request_id);
}

/* 401, 403 and 429 go to the audit log: who, from where, what. */
static void record_refusal(const struct call *c, const struct route *r, const struct err *e)
{
	const char *project = c->project.ref != NULL ? c->project.ref : c->api->cfg->project_ref;
	char target[160];

	if (e->kind != ERR_UNAUTHORIZED && e->kind != ERR_FORBIDDEN && e->kind != ERR_RATE_LIMITED)
		return;
	(void)snprintf(target, sizeof target, "%s %s", r != NULL ? r->method : c->req->method,
		       r != NULL ? r->path : "(none)");
	audit_refused(&c->actor, project, target, e->code);
}

/* A request that is made here, from one that was let in. */
struct inside {
	const struct call *outer;
	const struct api_question *question;
	char length[24];
	size_t at;
};

static const char *inside_param(void *ctx, const char *name)
{
	const struct inside *in = ctx;

	if (text_eq(name, "REQUEST_METHOD"))
		return in->question->method;
	if (text_eq(name, "REQUEST_URI"))
		return in->question->target;
	if (text_eq(name, "CONTENT_TYPE"))
		return in->question->content_type;
	if (text_eq(name, "CONTENT_LENGTH"))
		return in->question->content_type != NULL ? in->length : NULL;
	if (text_eq(name, "HTTP_X_REQUEST_ID"))
		return in->outer->req->id;
	return text_eq(name, "REMOTE_ADDR") ? in->outer->req->address : NULL;
}

static ssize_t inside_read(void *ctx, void *out, size_t len)
{
	struct inside *in = ctx;
	size_t left = in->question->len - in->at;
	size_t n = len < left ? len : left;

	memcpy(out, in->question->body + in->at, n);
	in->at += n;
	return (ssize_t)n;
}

bool api_ask(struct call *outer, const struct api_question *question, struct response *resp, struct err *e)
{
	struct inside *in = arena_alloc(outer->arena, sizeof *in);
	const struct request_source source = {.param = inside_param, .read = inside_read, .ctx = in};
	struct request *req = arena_alloc(outer->arena, sizeof *req);
	struct captured cap = {0};
	const struct route *r;
	struct call c;

	if (in == NULL || req == NULL)
		return err_no_memory(e);
	*in = (struct inside){.outer = outer, .question = question};
	(void)snprintf(in->length, sizeof in->length, "%zu", question->len);
	c = (struct call){
		.api = outer->api,
		.service = outer->api->service,
		.arena = outer->arena,
		.req = req,
		.resp = resp,
		.who = outer->who,
		.actor = outer->actor,
		.progress = outer->progress,
		.progress_ctx = outer->progress_ctx,
	};
	if (!request_init(req, outer->arena, &source, "", e) || (r = find_route(req, resp, &cap, e)) == NULL)
		return false;
	/* Now, not when the outer one did: it may have changed what this one reads. */
	req->arrived = clock_ns();
	if (authorize(&c, r, e) && bind_path(&c, r, &cap, e) && r->handler(&c, e))
		return true;
	record_refusal(&c, r, e);
	return false;
}

void api_handle(struct api *api, struct request *req, struct response *resp)
{
	struct call c = {
		.api = api,
		.service = api->service,
		.arena = req->arena,
		.req = req,
		.resp = resp,
		.actor = {.name = "anonymous", .token_id = "", .address = req->address, .request_id = req->id},
	};
	struct captured cap = {0};
	struct err e = ERR_INIT;
	const struct route *r;
	int64_t started = metrics_now_us();
	bool preflight = browser_preflight(api->cfg, req, resp);

	request_trust_proxies(req, api->cfg->trusted_proxies);
	c.actor.address = req->address;
	log_context(req->id, "-");
	r = preflight ? NULL : find_route(req, resp, &cap, &e);
	if (preflight) {
		/* answered */
	} else if (r == NULL || (!(r->flags & ROUTE_PUBLIC) && !authenticate(&c, r, &e)) ||
		   !bind_path(&c, r, &cap, &e) || !once_handle(&c, r, &e)) {
		record_refusal(&c, r, &e);
		response_error(resp, &e, req->id);
		if (r != NULL && r->flags & ROUTE_FLAT)
			add_flat_error(resp, &e, req->id);
	}
	response_header(resp, "X-Request-Id", req->id);
	metrics_request(r != NULL ? (int)(r - api_routes) : -1, resp->status, metrics_now_us() - started);
	if (resp->status >= 500)
		log_error("%s %s: %d %s: %s", req->method, req->path, resp->status, e.code, e.message);
	else
		log_info("%s %s: %d%s%s in %lld us", req->method, req->path, resp->status,
			 e.kind != ERR_NONE ? " " : "", e.code, (long long)(metrics_now_us() - started));
	log_context(NULL, NULL);
}
