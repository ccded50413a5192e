#include "fs/manifest.h"

#include "core/json.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT 1

static bool add_settings(json_t *o, const char *settings)
{
	static const char *const known[] = {"limits", "imports", "platform", "secrets_revision"};
	json_t *s = settings != NULL ? json_loads(settings, JSON_REJECT_DUPLICATES, NULL) : NULL;
	bool ok = settings == NULL || s != NULL;

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

char *manifest_entry(struct arena *a, const char *slug, const char *id, const char *sticky,
		     const struct manifest_version *versions, size_t count)
{
	json_t *list = json_array();
	json_t *keys = sticky != NULL ? json_loads(sticky, 0, NULL) : NULL;
	json_t *o = json_pack("{s:s, s:O, s:o*}", "id", id, "versions", list, "sticky", keys);
	bool ok = o != NULL && (sticky == NULL || keys != NULL);
	char *text = NULL;
	char *entry = NULL;

	for (size_t i = 0; ok && i < count; i++)
		ok = json_array_append_new(list, manifest_version_json(&versions[i])) == 0;
	text = ok ? json_text(o, JSON_COMPACT) : NULL;
	/* Slugs are letters, digits, "_" and "-". */
	if (text != NULL)
		entry = arena_printf(a, "\"%s\":%s", slug, text);
	free(text);
	json_decref(list);
	json_decref(o);
	return entry;
}

bool manifest_render(const char *project_ref, int64_t generation, const char *const *entries, size_t count,
		     struct buf *out, struct err *e)
{
	buf_printf(out, "{\"format\":%d,\"project\":\"%s\",\"generation\":%lld,\"functions\":{", FORMAT, project_ref,
		   (long long)generation);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_puts(out, ",");
		buf_puts(out, entries[i]);
	}
	buf_puts(out, "}}");
	return out->failed ? err_no_memory(e) : true;
}
