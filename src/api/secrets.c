#include "api/handlers.h"
#include "api/intake.h"
#include "api/view.h"
#include "core/json.h"
#include "core/text.h"
#include "service/secret.h"

/* Secrets of the project reach every function: a token for some functions may not touch them. */
static bool check_reach(const struct call *c, struct err *e)
{
	if (c->slug != NULL || c->who.slugs == NULL)
		return true;
	(void)err_set(e, ERR_FORBIDDEN, "slug_not_allowed",
		      "This access token is for some functions only, and the project's secrets reach all");
	return err_hint(e, "Use .../functions/{slug}/secrets.");
}

bool secrets_list(struct call *c, struct err *e)
{
	struct secret_digest *items;
	json_t *array;
	size_t count;

	if (!check_reach(c, e) || !secret_digests(c->service, c->arena, c->project.ref, c->slug, &items, &count, e))
		return false;
	array = json_array();
	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(array,
					  json_pack("{s:s, s:s, s:s}", "name", items[i].name, "value", items[i].sha256,
						    "updated_at", view_time(c->arena, items[i].updated_at))) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	return response_json(c->resp, 200, array, e);
}

static bool read_array(struct call *c, const char *what, json_t **out, struct err *e)
{
	if (!check_reach(c, e) || !intake_json_upto(c, SECRET_MAX_BODY, out, e))
		return false;
	if (!json_is_array(*out))
		return err_set(e, ERR_INVALID, NULL, "The body must be an array of %s", what);
	if (json_array_size(*out) > SECRET_MAX_COUNT)
		return err_set(e, ERR_TOO_LARGE, "too_many_secrets", "More than %d secrets in one call",
			       SECRET_MAX_COUNT);
	return true;
}

bool secrets_set(struct call *c, struct err *e)
{
	struct secret_value *values;
	json_t *doc;
	size_t count;

	if (!read_array(c, "objects {name, value}", &doc, e))
		return false;
	count = json_array_size(doc);
	values = arena_array(c->arena, count, sizeof *values);
	if (values == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_array_get(doc, i);
		/* A value may hold any character, so it is not read as a name is. */
		const json_t *value = json_object_get(item, "value");

		if (!json_is_object(item) || !json_is_string(value))
			return err_set(e, ERR_INVALID, NULL, "Each secret must be an object {name, value} of strings");
		if (!json_get_string(item, "name", JSON_REQUIRED, &values[i].name, e))
			return false;
		values[i].value = json_string_value(value);
		values[i].len = json_string_length(value);
	}
	if (!secret_set(c->service, c->arena, &c->actor, c->project.ref, c->slug, values, count, e))
		return false;
	c->resp->status = 201;
	return true;
}

bool secrets_unset(struct call *c, struct err *e)
{
	const char **names;
	json_t *doc;
	size_t count;

	if (!read_array(c, "names", &doc, e))
		return false;
	count = json_array_size(doc);
	names = arena_array(c->arena, count, sizeof *names);
	if (names == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < count; i++) {
		names[i] = json_string_value(json_array_get(doc, i));
		if (names[i] == NULL)
			return err_set(e, ERR_INVALID, NULL, "Each name must be a string");
	}
	return secret_unset(c->service, c->arena, &c->actor, c->project.ref, c->slug, names, count, e);
}

bool secrets_revisions(struct call *c, struct err *e)
{
	struct secret_revision *items;
	json_t *array;
	size_t count;

	if (!check_reach(c, e) || !secret_history(c->service, c->arena, c->project.ref, &items, &count, e))
		return false;
	array = json_array();
	for (size_t i = 0; i < count; i++) {
		const struct secret_revision *r = &items[i];
		json_t *o = json_pack("{s:I, s:b, s:s, s:I, s:s, s:s}", "revision", (json_int_t)r->number, "current",
				      r->number == c->project.secrets_revision, "source", r->source, "changed",
				      (json_int_t)r->changed, "created_by", r->created_by, "created_at",
				      view_time(c->arena, r->created_at));

		if (r->restored != 0 && o != NULL)
			(void)json_object_set_new(o, "restored", json_integer(r->restored));
		if (json_array_append_new(array, o) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	}
	return response_json(c->resp, 200, json_pack("{s:o}", "data", array), e);
}

bool secrets_rollback(struct call *c, struct err *e)
{
	int64_t revision = 0;
	int64_t now = 0;
	json_t *doc;

	if (!check_reach(c, e) || !intake_json(c, &doc, e))
		return false;
	if (!json_is_object(doc))
		return err_set(e, ERR_INVALID, NULL, "The body must be an object {revision}");
	if (!json_get_int(doc, "revision", JSON_REQUIRED, 1, INT64_MAX, &revision, e) ||
	    !secret_rollback(c->service, c->arena, &c->actor, c->project.ref, revision, &now, e))
		return false;
	return response_json(c->resp, 201,
			     json_pack("{s:I, s:I}", "revision", (json_int_t)now, "restored", (json_int_t)revision), e);
}
