#include "service/template.h"

#include "core/embedded.h"
#include "core/text.h"

#include <stdlib.h>
#include <string.h>

#define SUFFIX ".template.ts"
#define MAX_SECRETS 8

/* What follows `prefix` on the line at *at, which moves on to the next line. NULL where the line has another beginning.
 */
static const char *take_line(struct arena *a, const char **at, const char *prefix)
{
	size_t len = strcspn(*at, "\n");
	const char *line = arena_strndup(a, *at, len);

	*at += len + ((*at)[len] == '\n');
	return line != NULL && text_starts(line, prefix) ? line + strlen(prefix) : NULL;
}

/* "A, B" or "none" */
static const char **split_names(struct arena *a, const char *list)
{
	const char **out = arena_array(a, MAX_SECRETS + 1, sizeof *out);
	size_t count = 0;

	while (out != NULL && !text_eq(list, "none") && *list != '\0' && count < MAX_SECRETS) {
		size_t len = strcspn(list, ",");

		out[count] = arena_strndup(a, list, len);
		if (out[count++] == NULL)
			return NULL;
		list += len;
		list += strspn(list, ", ");
	}
	return out;
}

static bool read_template(struct arena *a, const struct embedded *f, struct template *out, struct err *e)
{
	const char *at = f->text;
	const char *verify;
	const char *secrets;

	out->id = arena_strndup(a, f->name, strlen(f->name) - strlen(SUFFIX));
	out->source = f->text;
	out->title = take_line(a, &at, "// ");
	out->description = take_line(a, &at, "// ");
	verify = take_line(a, &at, "// verify_jwt: ");
	secrets = take_line(a, &at, "// secrets: ");
	if (out->id == NULL || out->title == NULL || out->description == NULL || verify == NULL || secrets == NULL)
		return err_set(e, ERR_INTERNAL, NULL, "The template %s does not describe itself", f->name);
	out->verify_jwt = text_eq(verify, "true");
	out->secrets = split_names(a, secrets);
	return out->secrets != NULL || err_no_memory(e);
}

static int by_id(const void *x, const void *y)
{
	return strcmp(((const struct template *)x)->id, ((const struct template *)y)->id);
}

bool template_all(struct arena *a, struct template **out, size_t *count, struct err *e)
{
	size_t n = 0;

	for (const struct embedded *f = embedded_files; f->name != NULL; f++)
		n += text_ends(f->name, SUFFIX);
	*out = arena_array(a, n, sizeof **out);
	*count = 0;
	if (*out == NULL)
		return err_no_memory(e);
	for (const struct embedded *f = embedded_files; f->name != NULL; f++)
		if (text_ends(f->name, SUFFIX) && !read_template(a, f, &(*out)[(*count)++], e))
			return false;
	if (n > 0)
		qsort(*out, n, sizeof **out, by_id);
	return true;
}

bool template_find(struct arena *a, const char *id, struct template *out, struct err *e)
{
	struct template *all;
	size_t count;

	if (!template_all(a, &all, &count, e))
		return false;
	for (size_t i = 0; i < count; i++)
		if (text_eq(all[i].id, id)) {
			*out = all[i];
			return true;
		}
	(void)err_set(e, ERR_INVALID, "template_not_found", "There is no template of this name");
	return err_hint(e, "GET /v1/templates lists them.");
}
