#include "core/dotenv.h"

#include <string.h>

#define BLANKS " \t"

struct reader {
	struct arena *arena;
	const char *at;
	int line;
};

static bool wrong(const struct reader *r, const char *what, struct err *e)
{
	return err_set(e, ERR_MALFORMED, "invalid_env_file", "Line %d of the environment file %s", r->line, what);
}

static void skip_line(struct reader *r)
{
	r->at += strcspn(r->at, "\n");
	if (*r->at == '\n') {
		r->at++;
		r->line++;
	}
}

static char unescaped(char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return c;
	}
}

static bool read_quoted(struct reader *r, const char **value, struct err *e)
{
	const char quote = *r->at++;
	const struct reader start = *r;
	char *out = arena_alloc(r->arena, strlen(r->at) + 1);
	size_t n = 0;

	if (out == NULL)
		return err_no_memory(e);
	while (*r->at != '\0' && *r->at != quote) {
		if (quote == '"' && *r->at == '\\' && r->at[1] != '\0' && strchr("nrt\"\\", r->at[1]) != NULL) {
			out[n++] = unescaped(r->at[1]);
			r->at += 2;
			continue;
		}
		if (*r->at == '\n')
			r->line++;
		out[n++] = *r->at++;
	}
	if (*r->at == '\0')
		return wrong(&start, "has a quote that is never closed", e);
	r->at++;
	*value = out;
	r->at += strspn(r->at, BLANKS "\r");
	return *r->at == '\0' || *r->at == '\n' || *r->at == '#' || wrong(r, "goes on after a closing quote", e);
}

static bool read_plain(struct reader *r, const char **value, struct err *e)
{
	size_t len = strcspn(r->at, "\r\n");

	for (size_t i = 1; i < len; i++)
		if (r->at[i] == '#' && strchr(BLANKS, r->at[i - 1]) != NULL)
			len = i;
	while (len > 0 && strchr(BLANKS, r->at[len - 1]) != NULL)
		len--;
	*value = arena_strndup(r->arena, r->at, len);
	return *value != NULL || err_no_memory(e);
}

static bool read_pair(struct reader *r, struct dotenv_pair *out, struct err *e)
{
	size_t len;

	if (strncmp(r->at, "export ", 7) == 0)
		r->at += 7 + strspn(r->at + 7, BLANKS);
	len = strcspn(r->at, "= \t\r\n");
	out->name = arena_strndup(r->arena, r->at, len);
	if (out->name == NULL)
		return err_no_memory(e);
	r->at += len;
	r->at += strspn(r->at, BLANKS);
	if (len == 0 || *r->at != '=')
		return wrong(r, "is not NAME=value", e);
	r->at++;
	r->at += strspn(r->at, BLANKS);
	return *r->at == '"' || *r->at == '\'' ? read_quoted(r, &out->value, e) : read_plain(r, &out->value, e);
}

bool dotenv_parse(struct arena *a, const char *text, size_t len, struct dotenv_pair **out, size_t *count, struct err *e)
{
	struct reader r = {.arena = a, .line = 1};
	size_t lines = 1;

	if (memchr(text, '\0', len) != NULL)
		return wrong(&r, "or a later one has a NUL byte", e);
	r.at = arena_strndup(a, text, len);
	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	*out = arena_array(a, lines, sizeof **out);
	*count = 0;
	if (r.at == NULL || *out == NULL)
		return err_no_memory(e);
	while (*r.at != '\0') {
		r.at += strspn(r.at, BLANKS "\r");
		if (*r.at != '\n' && *r.at != '#' && *r.at != '\0' && !read_pair(&r, &(*out)[(*count)++], e))
			return false;
		skip_line(&r);
	}
	return true;
}
