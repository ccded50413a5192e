#include "fs/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1

struct manifest {
	json_t *root;
	json_t *functions;
};

static bool add_settings(json_t *o, const char *settings)
{
	static const char *const known[] = {"limits", "imports", "platform", "secrets_revision"};
	json_t *s = settings != NULL ? json_loads(settings, JSON_REJECT_DUPLICATES, NULL) : NULL;
	bool ok = true;

	for (size_t i = 0; s != NULL && i < sizeof known / sizeof known[0]; i++) {
		json_t *value = json_object_get(s, known[i]);

		if (value != NULL && json_object_set(o, known[i], value) != 0)
			ok = false;
	}
	json_decref(s);
	return ok;
}

json_t *manifest_version_json(const struct manifest_version *v)
{
	json_t *patterns = json_array();
	json_t *o;

	for (size_t i = 0; v->static_patterns != NULL && v->static_patterns[i] != NULL; i++)
		if (json_array_append_new(patterns, json_string(v->static_patterns[i])) != 0) {
			json_decref(patterns);
			return NULL;
		}
	o = json_pack("{s:i, s:i, s:s, s:s, s:s, s:s*, s:b}", "version", v->number, "percent", v->percent, "kind",
		      v->eszip ? "eszip" : "source", "path", v->path, "entrypoint", v->entrypoint, "import_map",
		      v->import_map, "verify_jwt", v->verify_jwt);
	if (o == NULL || !add_settings(o, v->settings) ||
	    (json_array_size(patterns) > 0 && json_object_set(o, "static_patterns", patterns) != 0)) {
		json_decref(o);
		o = NULL;
	}
	json_decref(patterns);
	return o;
}

bool manifest_new(struct manifest **out, const char *project_ref, int64_t generation, struct err *e)
{
	struct manifest *m = calloc(1, sizeof *m);

	if (m == NULL)
		return err_no_memory(e);
	m->functions = json_object();
	m->root = json_pack("{s:i, s:s, s:I, s:O}", "format", FORMAT, "project", project_ref, "generation",
			    (json_int_t)generation, "functions", m->functions);
	if (m->root == NULL) {
		manifest_free(m);
		return err_no_memory(e);
	}
	*out = m;
	return true;
}

bool manifest_add(struct manifest *m, const char *slug, const char *id, const char *sticky,
		  const struct manifest_version *versions, size_t count, struct err *e)
{
	json_t *list = json_array();
	json_t *keys = sticky != NULL ? json_loads(sticky, 0, NULL) : NULL;
	json_t *o = json_pack("{s:s, s:O, s:o*}", "id", id, "versions", list, "sticky", keys);
	bool ok = o != NULL;

	for (size_t i = 0; ok && i < count; i++)
		ok = json_array_append_new(list, manifest_version_json(&versions[i])) == 0;
	ok = ok && json_object_set(m->functions, slug, o) == 0;
	json_decref(list);
	json_decref(o);
	return ok ? true : err_no_memory(e);
}

bool manifest_render(const struct manifest *m, char **text, size_t *len, struct err *e)
{
	*text = json_dumps(m->root, JSON_COMPACT);
	if (*text == NULL)
		return err_no_memory(e);
	*len = strlen(*text);
	return true;
}

void manifest_free(struct manifest *m)
{
	if (m == NULL)
		return;
	json_decref(m->functions);
	json_decref(m->root);
	free(m);
}

bool manifest_read_head(const char *text, size_t len, char project[21], int64_t *generation)
{
	json_t *root = json_loadb(text, len, 0, NULL);
	const char *ref = NULL;
	json_int_t number = 0;
	int format = 0;
	bool ok =
		root != NULL &&
		json_unpack(root, "{s:i, s:s, s:I}", "format", &format, "project", &ref, "generation", &number) == 0 &&
		format == FORMAT && strlen(ref) == 20;

	if (ok) {
		memcpy(project, ref, 21);
		*generation = number;
	}
	json_decref(root);
	return ok;
}
