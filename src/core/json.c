#include "core/json.h"

#include "core/json_fast.h"

#include <stdlib.h>
#include <string.h>

/* jansson tells of most failed allocations as mistakes in the text. */
static _Thread_local bool out_of_memory;

static void *noting_malloc(size_t size)
{
	void *p = malloc(size);

	out_of_memory = out_of_memory || p == NULL;
	return p;
}

void json_init(void)
{
	json_set_alloc_funcs(noting_malloc, free);
}

json_t *json_load(const char *text, size_t len, size_t flags, json_error_t *at)
{
	json_t *doc;

	out_of_memory = false;
	doc = json_loadb(text, len, flags, at);
	/* Where json_error_code() looks. */
	if (doc == NULL && out_of_memory)
		at->text[JSON_ERROR_TEXT_LENGTH - 1] = (char)json_error_out_of_memory;
	return doc;
}

char *json_text(const json_t *doc, size_t flags)
{
	char *text;

	out_of_memory = false;
	text = json_dumps(doc, flags);
	if (!out_of_memory)
		return text;
	free(text);
	return NULL;
}

json_t *json_stored(const char *text, struct err *e)
{
	json_error_t at;
	json_t *doc = json_load(text, strlen(text), 0, &at);

	if (doc == NULL && json_error_code(&at) == json_error_out_of_memory)
		(void)err_no_memory(e);
	else if (doc == NULL)
		(void)err_set(e, ERR_INTERNAL, NULL, "What is stored as JSON cannot be read: %s", at.text);
	return doc;
}

static void drop(void *doc)
{
	json_decref(doc);
}

/*
 * Refuses deep nesting before jansson sees the text: its own limit is 2,048 levels, and it parses by recursion. Only
 * brackets outside strings count; where the text is no JSON at all, jansson says so afterwards.
 */
static bool check_depth(const char *what, const char *text, size_t len, struct err *e)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > JSON_MAX_DEPTH)
				return err_set(e, ERR_MALFORMED, "json_too_deep",
					       "%s is nested deeper than %d levels (byte %zu)", what, JSON_MAX_DEPTH,
					       i + 1);
		} else if (c == ']' || c == '}') {
			depth--;
		}
	}
	return true;
}

json_t *json_parse(struct arena *a, const char *what, const char *text, size_t len, size_t max, struct err *e)
{
	static const char mark[] = "\xEF\xBB\xBF";
	json_error_t at;
	json_t *doc;

	if (len > max) {
		(void)err_set(e, ERR_TOO_LARGE, NULL, "%s is larger than %zu bytes", what, max);
		return NULL;
	}
	/* RFC 8259, 8.1 lets a reader ignore a byte order mark; no client sends one, so it is a mistake worth naming.
	 */
	if (len >= 3 && memcmp(text, mark, 3) == 0) {
		(void)err_set(e, ERR_MALFORMED, "invalid_json", "%s starts with a byte order mark", what);
		return NULL;
	}
	doc = json_fast(text, len);
	if (doc == NULL && !check_depth(what, text, len, e))
		return NULL;
	if (doc == NULL)
		doc = json_load(text, len, JSON_REJECT_DUPLICATES, &at);
	if (doc == NULL) {
		enum json_error_code code = json_error_code(&at);
		char *near = strstr(at.text, " near ");

		if (code == json_error_out_of_memory) {
			(void)err_no_memory(e);
			return NULL;
		}
		/* jansson quotes the text near the mistake. It could be a secret, and the line and column say as much.
		 */
		if (near != NULL)
			*near = '\0';
		/* Its words for a NUL name a flag of the library, which means nothing to a caller. */
		(void)err_set(e, ERR_MALFORMED, "invalid_json", "%s is not valid JSON: %s (line %d, column %d)", what,
			      code == json_error_null_character || code == json_error_null_byte_in_key
				      ? "a string has a NUL character"
				      : at.text,
			      at.line, at.column);
		return NULL;
	}
	if (!arena_defer(a, drop, doc)) {
		(void)err_no_memory(e);
		return NULL;
	}
	return doc;
}

/*
 * The member, or NULL where it is absent. *ok is false, with the error set, where it is absent and required.
 */
static json_t *member(const json_t *object, const char *name, enum json_presence presence, bool *ok, struct err *e)
{
	json_t *value = json_object_get(object, name);

	*ok = true;
	if (value != NULL && !json_is_null(value))
		return value;
	if (presence == JSON_REQUIRED)
		*ok = err_set(e, ERR_INVALID, NULL, "\"%s\" is missing", name);
	return NULL;
}

static bool check_text(const char *name, const json_t *value, struct err *e)
{
	const char *s = json_string_value(value);

	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F)
			return err_set(e, ERR_INVALID, NULL, "\"%s\" has a control character (U+%04X)", name, c);
	}
	return true;
}

bool json_get_string(const json_t *object, const char *name, enum json_presence presence, const char **out,
		     struct err *e)
{
	bool ok;
	json_t *value = member(object, name, presence, &ok, e);

	if (value == NULL)
		return ok;
	if (!json_is_string(value))
		return err_set(e, ERR_INVALID, NULL, "\"%s\" must be a string", name);
	if (!check_text(name, value, e))
		return false;
	*out = json_string_value(value);
	return true;
}

bool json_get_bool(const json_t *object, const char *name, enum json_presence presence, bool *present, bool *out,
		   struct err *e)
{
	bool ok;
	json_t *value = member(object, name, presence, &ok, e);

	if (present != NULL)
		*present = value != NULL;
	if (value == NULL)
		return ok;
	if (!json_is_boolean(value))
		return err_set(e, ERR_INVALID, NULL, "\"%s\" must be true or false", name);
	*out = json_is_true(value);
	return true;
}

bool json_get_int(const json_t *object, const char *name, enum json_presence presence, int64_t min, int64_t max,
		  int64_t *out, struct err *e)
{
	bool ok;
	json_t *value = member(object, name, presence, &ok, e);

	if (value == NULL)
		return ok;
	if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
		return err_set(e, ERR_INVALID, NULL, "\"%s\" must be a whole number from %lld to %lld", name,
			       (long long)min, (long long)max);
	*out = json_integer_value(value);
	return true;
}

bool json_get_strings(struct arena *a, const json_t *object, const char *name, size_t max_items, const char ***out,
		      struct err *e)
{
	bool ok;
	json_t *value = member(object, name, JSON_OPTIONAL, &ok, e);
	const char **list;

	if (value == NULL)
		return ok;
	if (!json_is_array(value))
		return err_set(e, ERR_INVALID, NULL, "\"%s\" must be an array of strings", name);
	if (json_array_size(value) > max_items)
		return err_set(e, ERR_INVALID, NULL, "\"%s\" has more than %zu items", name, max_items);
	list = arena_array(a, json_array_size(value) + 1, sizeof *list);
	if (list == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < json_array_size(value); i++) {
		json_t *item = json_array_get(value, i);

		if (!json_is_string(item))
			return err_set(e, ERR_INVALID, NULL, "\"%s\" must be an array of strings", name);
		if (!check_text(name, item, e))
			return false;
		list[i] = json_string_value(item);
	}
	*out = list;
	return true;
}
