#include "fs/release.h"

#include "core/buf.h"
#include "core/embedded.h"
#include "core/json.h"
#include "fs/eszip.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_SHIM ((size_t)64 * 1024)

/* The template with `mark` replaced by "./source/<path>" as a JSON string, which is a JavaScript string as well. */
static bool fill(struct buf *out, const char *template_name, const char *mark, const char *path, struct err *e)
{
	const struct embedded *template = embedded_find(template_name);
	json_t *specifier = json_sprintf("./%s/%s", RELEASE_SOURCE, path);
	char *literal = specifier != NULL ? json_text(specifier, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
	const char *rest = template->text;
	const char *hit;

	json_decref(specifier);
	if (literal == NULL)
		return err_no_memory(e);
	while ((hit = strstr(rest, mark)) != NULL) {
		buf_put(out, rest, (size_t)(hit - rest));
		buf_puts(out, literal);
		rest = hit + strlen(mark);
	}
	buf_puts(out, rest);
	free(literal);
	return out->failed ? err_no_memory(e) : true;
}

static bool put_filled(struct staging *s, const char *name, const char *template_name, const char *mark,
		       const char *path, struct err *e)
{
	struct buf text = BUF_INIT(MAX_SHIM);
	bool ok = fill(&text, template_name, mark, path, e) && staging_put(s, name, text.data, text.len, e);

	buf_free(&text);
	return ok;
}

bool release_add_shim(struct staging *s, const char *entrypoint, const char *import_map, struct err *e)
{
	const struct embedded *boot = embedded_find("boot.ts");

	return staging_put(s, "boot.ts", boot->text, boot->len, e) &&
	       put_filled(s, "index.ts", "index.ts.in", "@ENTRYPOINT@", entrypoint, e) &&
	       (import_map == NULL ? staging_put(s, "deno.json", FOLDER_NO_IMPORT_MAP, strlen(FOLDER_NO_IMPORT_MAP), e)
				   : put_filled(s, "deno.json", "deno.json.in", "@IMPORT_MAP@", import_map, e));
}

char *release_stub_deno_json(struct arena *a, const char *slug, const char *release, const char *import_map)
{
	json_t *doc;
	char *text;
	char *copy;

	if (import_map == NULL)
		return arena_strdup(a, FOLDER_NO_IMPORT_MAP);
	doc = json_pack("{s:o, s:b}", "importMap",
			json_sprintf("../.releases/%s/%s/%s/%s", slug, release, RELEASE_SOURCE, import_map), "lock", 0);
	text = doc != NULL ? json_text(doc, JSON_COMPACT) : NULL;
	copy = text != NULL ? arena_printf(a, "%s\n", text) : NULL;
	free(text);
	json_decref(doc);
	return copy;
}

bool release_add_bundle(struct staging *s, const char *upload, const char *entrypoint, int64_t max_bytes, struct err *e)
{
	const struct embedded *shim = embedded_find("eszip.ts");
	int in = -1;
	int out = -1;
	int64_t size = 0;
	bool ok = false;

	/* Through the staging, so that the archive is fsynced with everything else. */
	if (!staging_put(s, RELEASE_BUNDLE, "", 0, e) || !staging_put(s, "index.ts", shim->text, shim->len, e))
		return false;
	in = staging_open(s, upload, O_RDONLY);
	out = staging_open(s, RELEASE_BUNDLE, O_RDWR);
	if (in < 0 || out < 0)
		(void)folder_failed(errno, "Unpacking", "the bundle", e);
	else
		ok = eszip_unpack(in, out, max_bytes, &size, e) && eszip_has_module(out, entrypoint, e);
	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
	return ok;
}
