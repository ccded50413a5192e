#include "core/json_fast.h"

#include "core/json.h"
#include "core/text.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	const char *at;
	const char *end;
};

static bool skip_to(struct reader *r, char wanted)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
		r->at++;
	return r->at < r->end && *r->at == wanted;
}

/* ---- Strings ---- */

static bool read_hex(struct reader *r, uint32_t *out)
{
	*out = 0;
	for (int i = 0; i < 4; i++) {
		char c = r->at < r->end ? *r->at++ : '\0';

		if (c >= '0' && c <= '9')
			*out = *out << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			*out = *out << 4 | (uint32_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			*out = *out << 4 | (uint32_t)(c - 'A' + 10);
		else
			return false;
	}
	return true;
}

static size_t put_utf8(char *out, uint32_t c)
{
	size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	static const uint8_t first[] = {0x00, 0xC0, 0xE0, 0xF0};

	out[0] = (char)(first[more] | c >> (6 * more));
	for (size_t i = 1; i <= more; i++)
		out[i] = (char)(0x80 | (c >> (6 * (more - i)) & 0x3F));
	return more + 1;
}

/* What stands behind a backslash, as UTF-8; 0 for U+0000, half a pair, and what is no escape. */
static size_t read_escape(struct reader *r, char *out)
{
	static const char names[] = "\"\\/bfnrt";
	static const char meant[] = "\"\\/\b\f\n\r\t";
	char c = *r->at++;
	const char *name = memchr(names, c, sizeof names - 1);
	uint32_t point;
	uint32_t low;

	if (name != NULL) {
		*out = meant[name - names];
		return 1;
	}
	if (c != 'u' || !read_hex(r, &point) || point == 0 || (point >= 0xDC00 && point <= 0xDFFF))
		return 0;
	if (point >= 0xD800 && point <= 0xDBFF) {
		if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
			return 0;
		r->at += 2;
		if (!read_hex(r, &low) || low < 0xDC00 || low > 0xDFFF)
			return 0;
		point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
	}
	return put_utf8(out, point);
}

/* A quote, a backslash, or a control character, which may not stand in a string as it is (RFC 8259, 7). */
static bool ends_plain(char c)
{
	return c == '"' || c == '\\' || (unsigned char)c < 0x20;
}

/* The same of eight bytes at once: is it true of none? A byte below n leaves its high bit set in (word - n) & ~word. */
static bool plain_word(const char *from)
{
	const uint64_t ones = UINT64_MAX / 0xFF;
	uint64_t word;
	uint64_t quote;
	uint64_t backslash;

	memcpy(&word, from, sizeof word);
	quote = word ^ ones * '"';
	backslash = word ^ ones * '\\';
	return ((((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash)) &
		ones * 0x80) == 0;
}

/* The string from its first byte on, past its closing quote. Ends with a NUL; the caller frees it. */
static char *read_text(struct reader *r, size_t *len)
{
	const char *close = r->at;
	char *out;
	size_t n = 0;

	for (;;) {
		while (r->end - close >= (ptrdiff_t)sizeof(uint64_t) && plain_word(close))
			close += sizeof(uint64_t);
		while (close < r->end && !ends_plain(*close))
			close++;
		if (close >= r->end || *close != '\\')
			break;
		close += 2;
	}
	if (close < r->end && *close != '"')
		return NULL;
	/* An escape is never shorter than what it stands for. */
	if (close >= r->end || (out = malloc((size_t)(close - r->at) + 1)) == NULL)
		return NULL;
	while (r->at < close) {
		const char *stop = memchr(r->at, '\\', (size_t)(close - r->at));
		size_t plain = (size_t)((stop != NULL ? stop : close) - r->at);
		size_t escaped = 0;

		memcpy(out + n, r->at, plain);
		n += plain;
		r->at += plain;
		if (stop == NULL)
			break;
		r->at++;
		escaped = read_escape(r, out + n);
		if (escaped == 0) {
			free(out);
			return NULL;
		}
		n += escaped;
	}
	r->at = close + 1;
	out[n] = '\0';
	*len = n;
	return out;
}

static json_t *read_string(struct reader *r)
{
	size_t len = 0;
	char *text = read_text(r, &len);
	json_t *string = text != NULL ? json_stringn_nocheck(text, len) : NULL;

	free(text);
	return string;
}

/* ---- The rest ---- */

static json_t *read_value(struct reader *r, int depth);

static json_t *read_scalar(struct reader *r)
{
	const char *from = r->at;

	while (r->at < r->end && strchr("+-.0123456789Eaeflnrstu", *r->at) != NULL && *r->at != '\0')
		r->at++;
	return json_loadb(from, (size_t)(r->at - from), JSON_DECODE_ANY, NULL);
}

static bool read_member(struct reader *r, int depth, json_t *object)
{
	size_t len = 0;
	char *name;
	json_t *value = NULL;
	bool ok;

	if (!skip_to(r, '"'))
		return false;
	r->at++;
	name = read_text(r, &len);
	if (name != NULL && json_object_get(object, name) == NULL && skip_to(r, ':')) {
		r->at++;
		value = read_value(r, depth);
	}
	ok = value != NULL && json_object_set_new_nocheck(object, name, value) == 0;
	free(name);
	return ok;
}

static json_t *read_container(struct reader *r, int depth, char close, json_t *container)
{
	if (skip_to(r, close)) {
		r->at++;
		return container;
	}
	for (;;) {
		if (container == NULL || !(close == '}' ? read_member(r, depth, container)
							: json_array_append_new(container, read_value(r, depth)) == 0))
			break;
		if (skip_to(r, close)) {
			r->at++;
			return container;
		}
		if (!skip_to(r, ','))
			break;
		r->at++;
	}
	json_decref(container);
	return NULL;
}

static json_t *read_value(struct reader *r, int depth)
{
	if (skip_to(r, '"')) {
		r->at++;
		return read_string(r);
	}
	if (r->at == r->end)
		return NULL;
	if (*r->at != '{' && *r->at != '[')
		return depth > 0 ? read_scalar(r) : NULL;
	if (depth == JSON_MAX_DEPTH)
		return NULL;
	return *r->at++ == '{' ? read_container(r, depth + 1, '}', json_object())
			       : read_container(r, depth + 1, ']', json_array());
}

json_t *json_fast(const char *text, size_t len)
{
	struct reader r = {.at = text, .end = text + len};
	json_t *doc = text_utf8_valid(text, len) && !skip_to(&r, '"') ? read_value(&r, 0) : NULL;

	/* Nothing but space may follow. */
	if (doc != NULL && (skip_to(&r, '\0') || r.at < r.end)) {
		json_decref(doc);
		doc = NULL;
	}
	return doc;
}
