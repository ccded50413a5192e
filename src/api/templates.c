#include "api/handlers.h"
#include "service/template.h"

static json_t *view_template(const struct template *t)
{
	json_t *secrets = json_array();

	for (size_t i = 0; t->secrets[i] != NULL; i++)
		if (json_array_append_new(secrets, json_string(t->secrets[i])) != 0) {
			json_decref(secrets);
			return NULL;
		}
	return json_pack("{s:s, s:s, s:s, s:b, s:o, s:s}", "id", t->id, "title", t->title, "description",
			 t->description, "verify_jwt", t->verify_jwt, "secrets", secrets, "source", t->source);
}

bool templates_list(struct call *c, struct err *e)
{
	struct template *all;
	json_t *array;
	size_t count;

	if (!template_all(c->arena, &all, &count, e))
		return false;
	array = json_array();
	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(array, view_template(&all[i])) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	return response_json(c->resp, 200, json_pack("{s:o}", "data", array), e);
}
