#include "api/mcp.h"

#include "api/browser.h"
#include "api/handlers.h"
#include "api/intake.h"
#include "auth/oauth.h"
#include "core/crypto.h"
#include "core/embedded.h"
#include "core/json.h"
#include "core/names.h"
#include "core/text.h"

#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EVENT_STREAM "text/event-stream"
#define SESSION_HEADER "Mcp-Session-Id"
#define VERSION_HEADER "MCP-Protocol-Version"
#define MAX_CLIENT_NAME 64

/* Newest first: the one that is offered to a client which asks for another. */
static const char *const revisions[] = {"2025-11-25", "2025-06-18", "2025-03-26"};
#define REVISION_WITH_BATCHES "2025-03-26"

/* ---- Asking the API ---- */

json_t *mcp_ask(struct mcp *m, const struct api_question *q, struct err *e)
{
	struct response resp;
	json_t *doc = NULL;

	response_init(&resp, m->call->arena);
	if (api_ask(m->call, q, &resp, e)) {
		const char *text = resp.shared != NULL ? resp.shared : resp.body.data;
		size_t len = resp.shared != NULL ? resp.shared_len : resp.body.len;

		doc = len > 0 ? json_loadb(text, len, 0, NULL) : json_object();
		if (doc == NULL)
			(void)err_no_memory(e);
	}
	response_free(&resp);
	return doc;
}

json_t *mcp_send(struct mcp *m, const char *method, const char *ref, const char *path, json_t *body, struct err *e)
{
	char *text = body != NULL ? json_text(body, JSON_COMPACT) : NULL;
	const char *encoded = text_url_encode_path(m->call->arena, ref);
	const struct api_question q = {
		.method = method,
		.target = encoded != NULL ? arena_printf(m->call->arena, "/v1/projects/%s%s", encoded, path) : NULL,
		.content_type = body != NULL ? "application/json" : NULL,
		.body = text,
		.len = text != NULL ? strlen(text) : 0,
	};
	json_t *doc = NULL;

	if (q.target == NULL || (body != NULL && text == NULL))
		(void)err_no_memory(e);
	else
		doc = mcp_ask(m, &q, e);
	free(text);
	json_decref(body);
	return doc;
}

json_t *mcp_get(struct mcp *m, const char *ref, const char *path, struct err *e)
{
	return mcp_send(m, "GET", ref, path, NULL, e);
}

/* ---- Pages ---- */

static bool bad_cursor(struct err *e)
{
	(void)err_set(e, ERR_INVALID, "invalid_cursor", "The cursor is none that this service gave out");
	return err_hint(e, "Take the one of the page before, for the same list.");
}

json_t *mcp_functions(struct mcp *m, const char *ref, const char *cursor, int64_t limit, const char **next,
		      struct err *e)
{
	struct err ignored = ERR_INIT;
	json_t *page = json_array();
	const json_t *each;
	const char *last = NULL;
	json_t *all;
	size_t i;

	*next = NULL;
	if (cursor != NULL && !names_check_slug(cursor, &ignored)) {
		(void)bad_cursor(e);
		json_decref(page);
		return NULL;
	}
	all = mcp_get(m, ref, "/functions", e);
	/* They come in the order of their slugs' bytes (store/function.c). */
	json_array_foreach (all, i, each) {
		const char *slug = json_string_value(json_object_get(each, "slug"));

		if (cursor != NULL && strcmp(slug, cursor) <= 0)
			continue;
		if (json_array_size(page) == (size_t)limit) {
			*next = arena_strdup(m->call->arena, last);
			break;
		}
		(void)json_array_append(page, json_array_get(all, i));
		last = slug;
	}
	if (all == NULL) {
		json_decref(page);
		page = NULL;
	}
	json_decref(all);
	return page;
}

bool mcp_no_cursor(const json_t *params, enum rpc_code *code, struct err *e)
{
	if (json_object_get(params, "cursor") == NULL)
		return true;
	*code = RPC_INVALID_PARAMS;
	return bad_cursor(e);
}

/* ---- Sessions: the client's name, for the audit log ---- */

/* "0123…ef-436c61756465": random, then the name in hexadecimal. */
static const char *make_session(struct arena *a, const char *client)
{
	char name[2 * MAX_CLIENT_NAME + 1];
	char random[33];
	size_t len = strlen(client);

	if (len > MAX_CLIENT_NAME)
		len = MAX_CLIENT_NAME;
	/* session_client() takes whole characters only: what the cut has halved goes. */
	while (!text_utf8_valid(client, len))
		len--;
	crypto_random_hex(random, 16);
	text_hex((const uint8_t *)client, len, name);
	return arena_printf(a, "%s-%s", random, name);
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

/* The client's name in a session id of ours; NULL where it is none. */
static const char *session_client(struct arena *a, const char *session)
{
	size_t len = strlen(session);
	char *name;
	size_t n = 0;

	if (len < 33 || session[32] != '-' || (len - 33) % 2 != 0 || len > 33 + 2 * MAX_CLIENT_NAME)
		return NULL;
	for (size_t i = 0; i < len; i++)
		if (i != 32 && hex_digit(session[i]) < 0)
			return NULL;
	name = arena_alloc(a, (len - 33) / 2 + 1);
	if (name == NULL)
		return NULL;
	for (size_t i = 33; i < len; i += 2)
		name[n++] = (char)(hex_digit(session[i]) << 4 | hex_digit(session[i + 1]));
	name[n] = '\0';
	return names_has_control(name) || !text_utf8_valid(name, n) ? NULL : name;
}

/* ---- Methods ---- */

static void drop_json(void *doc)
{
	json_decref(doc);
}

const json_t *mcp_definitions(struct mcp *m, struct err *e)
{
	const struct embedded *file = embedded_find("mcp.json");
	json_t *doc;

	if (m->definitions != NULL)
		return m->definitions;
	doc = json_loadb(file->text, file->len, 0, NULL);
	if (doc == NULL || !arena_defer(m->call->arena, drop_json, doc))
		(void)err_no_memory(e);
	else
		m->definitions = doc;
	return m->definitions;
}

static bool initialize(struct mcp *m, const json_t *params, json_t **result, enum rpc_code *code, struct err *e)
{
	const json_t *client = json_object_get(params, "clientInfo");
	const char *name = json_string_value(json_object_get(client, "name"));
	const char *asked = NULL;
	const char *session;
	const char *revision = revisions[0];

	*code = RPC_INVALID_PARAMS;
	if (!json_get_string(params, "protocolVersion", JSON_REQUIRED, &asked, e))
		return false;
	for (size_t i = 0; i < sizeof revisions / sizeof revisions[0]; i++)
		if (text_eq(asked, revisions[i]))
			revision = revisions[i];
	session = make_session(m->call->arena, name != NULL && !names_has_control(name) ? name : "unknown client");
	if (session == NULL)
		return err_no_memory(e);
	if (mcp_definitions(m, e) == NULL)
		return false;
	response_header(m->call->resp, SESSION_HEADER, session);
	*result = json_pack("{s:s, s:{s:{s:b}, s:{s:b}, s:{s:b}}, s:{s:s, s:s, s:s}, s:O}", "protocolVersion", revision,
			    "capabilities", "tools", "listChanged", 0, "resources", "listChanged", 0, "prompts",
			    "listChanged", 0, "serverInfo", "name", "functions-admin", "title",
			    "Edge functions of a self-hosted Supabase", "version", PACKAGE_VERSION, "instructions",
			    json_object_get(m->definitions, "instructions"));
	return *result != NULL ? true : err_no_memory(e);
}

static bool ping(struct mcp *m, const json_t *params, json_t **result, enum rpc_code *code, struct err *e)
{
	(void)m;
	(void)params;
	(void)code;
	*result = json_object();
	return *result != NULL ? true : err_no_memory(e);
}

static const struct {
	const char *name;
	mcp_method *run;
} methods[] = {
	{"initialize", initialize},
	{"ping", ping},
	{"tools/list", mcp_tools_list},
	{"tools/call", mcp_tools_call},
	{"resources/list", mcp_resources_list},
	{"resources/templates/list", mcp_resource_templates_list},
	{"resources/read", mcp_resources_read},
	{"prompts/list", mcp_prompts_list},
	{"prompts/get", mcp_prompts_get},
};

static bool run_method(void *ctx, const struct rpc_message *message, json_t **result, enum rpc_code *code,
		       struct err *e)
{
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
		if (text_eq(methods[i].name, message->method))
			return methods[i].run(ctx, message->params, result, code, e);
	*code = RPC_METHOD_NOT_FOUND;
	return err_set(e, ERR_NOT_FOUND, NULL, "There is no method \"%.60s\"", message->method);
}

/* ---- Streams: progress on the way, the answer at the end ---- */

struct stream {
	struct mcp mcp;
	const json_t *message;
	const json_t *token;
	const struct response_writer *writer;
	int done;
	bool broken;
};

static void send_event(struct stream *s, json_t *doc)
{
	char *text = doc != NULL ? json_text(doc, JSON_COMPACT) : NULL;

	json_decref(doc);
	if (text == NULL || s->broken || !s->writer->write(s->writer->ctx, "event: message\ndata: ", 21) ||
	    !s->writer->write(s->writer->ctx, text, strlen(text)) || !s->writer->write(s->writer->ctx, "\n\n", 2) ||
	    (s->writer->flush != NULL && !s->writer->flush(s->writer->ctx)))
		s->broken = true;
	free(text);
}

static void send_progress(void *ctx, const char *stage)
{
	struct stream *s = ctx;

	send_event(s,
		   json_pack("{s:s, s:s, s:{s:O, s:i, s:i, s:s}}", "jsonrpc", "2.0", "method", "notifications/progress",
			     "params", "progressToken", s->token, "progress", ++s->done, "total", 6, "message", stage));
}

/* The deploy runs while the answer is being written: what it has begun it ends, whoever still listens. */
static bool run_stream(void *ctx, const struct response_writer *w)
{
	struct stream *s = ctx;
	struct err e = ERR_INIT;
	json_t *answer = NULL;

	s->writer = w;
	s->mcp.call->progress = send_progress;
	s->mcp.call->progress_ctx = s;
	send_progress(s, "received");
	/* Without memory there is no event, and the stream ends as a broken one. */
	(void)!rpc_answer(s->message, run_method, &s->mcp, &answer, &e);
	send_event(s, answer);
	return !s->broken;
}

/* The token under which a deploy's progress is wanted; NULL for none. What is kept under a key is one answer. */
static const json_t *progress_token(const struct call *c, const json_t *doc)
{
	const char *accept = request_header(c->req, "Accept");
	struct err ignored = ERR_INIT;
	struct rpc_message message;
	const char *tool;

	if (request_header(c->req, "Idempotency-Key") != NULL || !rpc_read(doc, &message, &ignored) ||
	    message.id == NULL || message.method == NULL || !text_eq(message.method, "tools/call") || accept == NULL ||
	    strstr(accept, EVENT_STREAM) == NULL)
		return NULL;
	tool = json_string_value(json_object_get(message.params, "name"));
	return tool != NULL && text_starts(tool, "deploy_") ? rpc_progress_token(&message) : NULL;
}

static bool start_stream(const struct mcp *m, const json_t *message, const json_t *token, struct err *e)
{
	struct call *kept = arena_alloc(m->call->arena, sizeof *kept);
	struct stream *s = arena_alloc(m->call->arena, sizeof *s);
	struct response *resp = m->call->resp;

	if (kept == NULL || s == NULL)
		return err_no_memory(e);
	/* The call lives on the stack of its handler, which returns before the stream begins. */
	*kept = *m->call;
	*s = (struct stream){.mcp = *m, .message = message, .token = token};
	s->mcp.call = kept;
	resp->status = 200;
	resp->content_length = RESPONSE_UNTIL_END;
	resp->stream = run_stream;
	resp->stream_ctx = s;
	response_header(resp, "Content-Type", EVENT_STREAM);
	response_header(resp, "X-Accel-Buffering", "no");
	return true;
}

/* ---- HTTP ---- */

static bool answer_rpc_error(struct call *c, int status, enum rpc_code code, const struct err *why, struct err *e)
{
	return response_json(c->resp, status, rpc_error(NULL, code, why), e);
}

/* Which revision the client speaks; NULL for one that we do not. Without the header it is the one that had none. */
static const char *spoken_revision(const struct call *c)
{
	const char *said = request_header(c->req, VERSION_HEADER);

	if (said == NULL || said[0] == '\0')
		return REVISION_WITH_BATCHES;
	for (size_t i = 0; i < sizeof revisions / sizeof revisions[0]; i++)
		if (text_eq(said, revisions[i]))
			return revisions[i];
	return NULL;
}

static bool answer_with(struct mcp *m, json_t *answer, struct err *e)
{
	if (answer != NULL)
		return response_json(m->call->resp, 200, answer, e);
	m->call->resp->status = 202;
	return true;
}

static bool answer_document(struct mcp *m, const json_t *doc, const char *revision, struct err *e)
{
	struct err why = ERR_INIT;
	const json_t *token;
	json_t *answer;

	if (json_is_array(doc)) {
		if (text_eq(revision, REVISION_WITH_BATCHES) && json_array_size(doc) > 0 &&
		    json_array_size(doc) <= MCP_MAX_BATCH)
			return rpc_answer_batch(doc, run_method, m, &answer, e) && answer_with(m, answer, e);
		(void)err_set(&why, ERR_INVALID, NULL,
			      "A batch must have 1 to %zu messages, and only revision " REVISION_WITH_BATCHES
			      " of the protocol has batches",
			      MCP_MAX_BATCH);
		return answer_rpc_error(m->call, 400, RPC_INVALID_REQUEST, &why, e);
	}
	if (!json_is_object(doc)) {
		(void)err_set(&why, ERR_INVALID, NULL, "A message must be a JSON object");
		return answer_rpc_error(m->call, 400, RPC_INVALID_REQUEST, &why, e);
	}
	token = progress_token(m->call, doc);
	if (token != NULL)
		return start_stream(m, doc, token, e);
	return rpc_answer(doc, run_method, m, &answer, e) && answer_with(m, answer, e);
}

/* Who the audit log shall name: the credential, and the program that uses it. */
static bool name_client(struct call *c, struct err *e)
{
	const char *session = request_header(c->req, SESSION_HEADER);
	const char *client;

	if (session == NULL || session[0] == '\0')
		return true;
	client = session_client(c->arena, session);
	/* As the specification has it, a client then begins anew. */
	if (client == NULL)
		return err_set(e, ERR_NOT_FOUND, "unknown_session", "There is no such session");
	c->actor.name = arena_printf(c->arena, "%s through MCP (%s)", c->actor.name, client);
	return c->actor.name != NULL ? true : err_no_memory(e);
}

/*
 * The specification wants Origin checked (streamable HTTP, "Security Warning"): a page may rebind its name to our
 * address, and then is of the same site to its browser. Ours are the public address and what cors_origins lists.
 */
static bool check_origin(const struct call *c, struct err *e)
{
	const char *origin = request_header(c->req, "Origin");
	const char *own = c->api->cfg->public_url;
	const char *host = own != NULL ? strstr(own, "://") : NULL;
	/* Scheme, host and port: up to the path. */
	size_t len = host != NULL ? (size_t)(host - own) + 3 + strcspn(host + 3, "/") : 0;

	if (origin == NULL || origin[0] == '\0' || browser_is_listed(c->api->cfg, origin) ||
	    (len > 0 && strlen(origin) == len && strncasecmp(own, origin, len) == 0))
		return true;
	(void)err_set(e, ERR_FORBIDDEN, "cross_origin", "A page of another origin may not ask this");
	return err_hint(e, "The option cors_origins lists the origins that may.");
}

bool mcp_post(struct call *c, struct err *e)
{
	const char *revision = spoken_revision(c);
	const char *ref = request_query(c->req, "project_ref");
	struct mcp m = {.call = c};
	struct err why = ERR_INIT;
	json_t *doc;

	m.ref = ref != NULL && ref[0] != '\0' ? ref : c->who.project != NULL ? c->who.project : "default";
	if (!check_origin(c, e))
		return false;
	if (revision == NULL)
		return err_set(e, ERR_MALFORMED, "unknown_revision",
			       "The header " VERSION_HEADER " names a revision that is not spoken here");
	if (!request_accepts(c->req, "application/json"))
		return err_set(e, ERR_ACCEPT, NULL, "Answers are application/json or " EVENT_STREAM);
	if (!name_client(c, e))
		return false;
	if (!intake_json(c, &doc, &why)) {
		if (why.kind != ERR_MALFORMED) {
			*e = why;
			return false;
		}
		return answer_rpc_error(c, 400, RPC_PARSE_ERROR, &why, e);
	}
	return answer_document(&m, doc, revision, e);
}

/* Where a client learns who signs users in (RFC 9728). It tells nothing that any page might not know. */
bool mcp_metadata(struct call *c, struct err *e)
{
	const struct oauth *o = auth_oauth(c->api->auth);

	if (o == NULL)
		return err_set(e, ERR_NOT_FOUND, "oauth_not_set_up", "Users do not sign in here");
	response_header(c->resp, "Access-Control-Allow-Origin", "*");
	return response_json(c->resp, 200,
			     json_pack("{s:s, s:s, s:[s], s:[s]}", "resource", o->resource, "resource_name",
				       "Edge functions of a self-hosted Supabase", "authorization_servers", o->issuer,
				       "bearer_methods_supported", "header"),
			     e);
}
