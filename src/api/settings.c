#include "service/settings.h"

#include "api/etag.h"
#include "api/handlers.h"
#include "api/intake.h"
#include "core/json.h"
#include "service/change.h"
#include "service/function.h"
#include "service/secret.h"

#define MAX_PATTERNS 256

/* What holds in the end: the version's choice, the project's, the built-in one. NULL when memory is out. */
static json_t *effective(const struct call *c, const char *settings)
{
	const char *chosen = settings_with_defaults(c->arena, c->project.settings, settings);
	json_t *all = settings_builtin();
	json_t *over = chosen != NULL ? json_loads(chosen, 0, NULL) : NULL;
	const char *const groups[] = {"limits", "imports"};
	bool ok = all != NULL && over != NULL;

	for (size_t i = 0; ok && i < sizeof groups / sizeof groups[0]; i++) {
		json_t *group = json_object_get(over, groups[i]);

		ok = group == NULL || json_object_update(json_object_get(all, groups[i]), group) == 0;
	}
	if (ok && json_object_get(over, "platform") != NULL)
		ok = json_object_set(all, "platform", json_object_get(over, "platform")) == 0;
	json_decref(over);
	if (!ok) {
		json_decref(all);
		return NULL;
	}
	return all;
}

static bool answer(struct call *c, const struct function *f, struct err *e)
{
	const struct version *v = &f->version;
	json_t *doc = json_loads(v->settings, 0, NULL);
	json_t *patterns = json_array();
	bool ok = doc != NULL;

	for (size_t i = 0; v->static_patterns != NULL && v->static_patterns[i] != NULL; i++)
		ok = ok && json_array_append_new(patterns, json_string(v->static_patterns[i])) == 0;
	ok = ok && json_object_set_new(doc, "version", json_integer(v->number)) == 0 &&
	     json_object_set_new(doc, "verify_jwt", json_boolean(v->verify_jwt)) == 0 &&
	     json_object_set(doc, "static_patterns", patterns) == 0 &&
	     json_object_set_new(doc, "effective", effective(c, v->settings)) == 0;
	json_decref(patterns);
	etag_set(c, f);
	if (!ok) {
		json_decref(doc);
		return err_no_memory(e);
	}
	return response_json(c->resp, 200, doc, e);
}

bool settings_get(struct call *c, struct err *e)
{
	struct function f;

	return function_get(c->service, c->arena, c->project.ref, c->slug, &f, e) && answer(c, &f, e);
}

static void drop(void *doc)
{
	json_decref(doc);
}

/* What is left of the body once the members that are not for settings_merge() are read. */
static bool read_patch(struct call *c, struct change_request *req, struct change_settings *wanted, struct err *e)
{
	static const char *const taken[] = {"verify_jwt", "static_patterns", "message"};
	const char **patterns = NULL;
	bool present = false;
	bool verify = false;
	json_t *rest;
	json_t *pin;
	json_t *doc;

	if (!intake_json(c, &doc, e))
		return false;
	if (!json_is_object(doc))
		return err_set(e, ERR_INVALID, NULL, "The body must be a JSON object");
	if (!json_get_bool(doc, "verify_jwt", JSON_OPTIONAL, &present, &verify, e) ||
	    !json_get_strings(c->arena, doc, "static_patterns", MAX_PATTERNS, &patterns, e) ||
	    !json_get_string(doc, "message", JSON_OPTIONAL, &req->message, e) || !intake_message(c, &req->message, e))
		return false;
	pin = json_object_get(doc, "secrets_revision");
	if (json_is_integer(pin) && json_integer_value(pin) > 0 &&
	    !secret_check_pin(c->service, c->arena, c->project.ref, json_integer_value(pin), e))
		return false;
	wanted->verify_jwt = !present ? VERIFY_KEEP : verify ? VERIFY_ON : VERIFY_OFF;
	wanted->static_patterns = json_object_get(doc, "static_patterns") != NULL ? patterns : NULL;
	/* A copy: what was read above still lies in the document. */
	rest = json_copy(doc);
	if (rest == NULL || !arena_defer(c->arena, drop, rest))
		return err_no_memory(e);
	for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
		(void)json_object_del(rest, taken[i]);
	wanted->patch = rest;
	return true;
}

bool settings_patch(struct call *c, struct err *e)
{
	struct change_request req = {.project_ref = c->project.ref, .slug = c->slug};
	struct change_settings wanted = {0};
	struct function f;

	return read_patch(c, &req, &wanted, e) && etag_expectation(c, &req.expected, e) &&
	       change_configure(c->service, c->arena, &c->actor, &req, &wanted, &f, e) && answer(c, &f, e);
}

static bool answer_defaults(struct call *c, struct err *e)
{
	json_t *all = json_loads(c->project.settings, 0, NULL);
	json_t *chosen = json_copy(json_object_get(all, "function_defaults"));
	json_t *doc = chosen != NULL ? chosen : json_object();
	bool ok = all != NULL && doc != NULL && json_object_set_new(doc, "effective", effective(c, "{}")) == 0;

	json_decref(all);
	if (!ok) {
		json_decref(doc);
		return err_no_memory(e);
	}
	return response_json(c->resp, 200, doc, e);
}

bool defaults_get(struct call *c, struct err *e)
{
	return answer_defaults(c, e);
}

bool defaults_patch(struct call *c, struct err *e)
{
	json_t *doc;

	if (!intake_json(c, &doc, e))
		return false;
	if (!json_is_object(doc))
		return err_set(e, ERR_INVALID, NULL, "The body must be a JSON object");
	/* They reach every function: a token for some functions may not change them. */
	if (c->who.slugs != NULL)
		return err_set(e, ERR_FORBIDDEN, "slug_not_allowed",
			       "This access token is for some functions only, and defaults reach all");
	return settings_change_defaults(c->service, c->arena, &c->actor, c->project.ref, doc, &c->project, e) &&
	       answer_defaults(c, e);
}
