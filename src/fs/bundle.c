#include "fs/bundle.h"

#include "core/names.h"
#include "core/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The path as it may be shown: at most 80 bytes, everything but plain ASCII as \xNN. */
static const char *shown(const char *path, char out[84])
{
	size_t n = 0;

	for (; *path != '\0' && n < 76; path++) {
		unsigned char c = (unsigned char)*path;

		if (c >= 0x20 && c < 0x7F)
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
	}
	(void)snprintf(out + n, 84 - n, "%s", *path != '\0' ? "..." : "");
	return out;
}

static bool bad_path(struct err *e, const char *path, const char *why)
{
	char text[84];

	(void)err_set(e, ERR_INVALID, "invalid_path", "The file path \"%s\" %s", shown(path, text), why);
	return err_hint(e, "Paths are relative to the project's root, with '/' between their parts.");
}

bool bundle_check_path(const char *path, size_t max_bytes, struct err *e)
{
	size_t len = strlen(path);
	const char *segment = path;
	int depth = 0;

	if (len == 0)
		return bad_path(e, path, "is empty");
	if (len > max_bytes)
		return bad_path(e, path, "is too long");
	if (!text_utf8_valid(path, len))
		return bad_path(e, path, "is not UTF-8");
	if (names_has_control(path))
		return bad_path(e, path, "has a control character");
	if (strchr(path, '\\') != NULL)
		return bad_path(e, path, "has a backslash");
	if (path[0] == '/')
		return bad_path(e, path, "is absolute");
	for (;;) {
		const char *end = strchrnul(segment, '/');
		size_t n = (size_t)(end - segment);

		if (n == 0)
			return bad_path(e, path, "has an empty part");
		if ((n == 1 && segment[0] == '.') || (n == 2 && segment[0] == '.' && segment[1] == '.'))
			return bad_path(e, path, "has a part \".\" or \"..\"");
		if (n > 255)
			return bad_path(e, path, "has a part of more than 255 bytes");
		if (*end == '\0')
			return true;
		if (++depth > BUNDLE_MAX_DEPTH)
			return bad_path(e, path, "lies below too many directories");
		segment = end + 1;
	}
}

/* '/' sorts before every other character, so that a directory's files follow a file of its name at once. */
static int by_tree(const void *x, const void *y)
{
	const unsigned char *a = *(const unsigned char *const *)x;
	const unsigned char *b = *(const unsigned char *const *)y;

	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return (*a == '/' ? 1 : *a == '\0' ? 0 : *a + 1) - (*b == '/' ? 1 : *b == '\0' ? 0 : *b + 1);
}

bool bundle_check_tree(struct arena *a, const char *const *paths, size_t count, struct err *e)
{
	const char **sorted = arena_array(a, count, sizeof *sorted);

	if (sorted == NULL)
		return err_no_memory(e);
	memcpy(sorted, paths, count * sizeof *sorted);
	qsort(sorted, count, sizeof *sorted, by_tree);
	for (size_t i = 1; i < count; i++) {
		size_t len = strlen(sorted[i - 1]);

		if (text_eq(sorted[i - 1], sorted[i]))
			return bad_path(e, sorted[i], "stands twice in the upload");
		if (text_starts(sorted[i], sorted[i - 1]) && sorted[i][len] == '/')
			return bad_path(e, sorted[i - 1], "is a file and also another file's directory");
	}
	return true;
}

bool bundle_has_path(const char *const *paths, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (text_eq(paths[i], path))
			return true;
	return false;
}

const char **bundle_clean_patterns(struct arena *a, const char *const *patterns, size_t max_path, struct err *e)
{
	const char **out;
	size_t count = 0;

	while (patterns != NULL && patterns[count] != NULL)
		count++;
	out = arena_array(a, count + 1, sizeof *out);
	if (out == NULL) {
		(void)err_no_memory(e);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		out[i] = text_starts(patterns[i], "./") ? patterns[i] + 2 : patterns[i];
		if (!bundle_check_path(out[i], max_path, e)) {
			(void)err_prefix(e, "static_patterns");
			return NULL;
		}
	}
	return out;
}
