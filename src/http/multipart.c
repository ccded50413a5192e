#include "http/multipart.h"

#include "core/text.h"
#include "http/request.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define MAX_BOUNDARY 70
#define MAX_HEAD ((size_t)16 * 1024)
#define MAX_HEAD_LINES 32
/* Who writes the header by hand writes another boundary than the client did, or none. */
#define BOUNDARY_HINT "Leave Content-Type to the client, which knows its boundary: curl -F, or fetch with a FormData."

/*
 * Between two parts stands the delimiter: CR LF "--" boundary. The first one has no CR LF before it, so the parser
 * starts as if it had seen them. A CR can stand only at the delimiter's start, never inside: a comparison that fails
 * never has to go back further than to the byte that failed.
 */
enum state {
	AT_START,    /* the very first bytes: the delimiter, with or without its CR LF */
	AFTER_DELIM, /* CR LF begins a part, "--" ends the body */
	IN_HEAD,
	IN_DATA,
	AT_END,  /* everything that follows is the epilogue, and ignored */
	REFUSED, /* an error was reported */
};

struct multipart {
	struct multipart_handler handler;
	enum state state;
	size_t parts;
	size_t max_parts;
	char delim[MAX_BOUNDARY + 5]; /* CR LF "--" boundary NUL */
	size_t delim_len;
	size_t matched; /* bytes of the delimiter (or, AFTER_DELIM, of what follows it) seen at the end of what was fed
			 */
	char after;     /* AFTER_DELIM: the first of the two bytes */
	char head[MAX_HEAD + 1];
	size_t head_len;
	size_t line_start; /* of the head line being read */
	size_t lines;
};

/* ---- Header values with parameters: Content-Type of the request, Content-Disposition of a part ---- */

/*
 * Ends a quoted string in place and gives what follows it, or NULL where it does not end. Browsers, undici and Go send
 * a quotation mark either as \" or as %22 (RFC 7578, 2; WHATWG); a backslash before anything else is itself.
 */
static char *unquote(char *s)
{
	char *out = s;

	for (; *s != '"'; s++) {
		if (*s == '\0')
			return NULL;
		if (s[0] == '\\' && (s[1] == '"' || s[1] == '\\')) {
			*out++ = *++s;
		} else if (strncmp(s, "%22", 3) == 0) {
			*out++ = '"';
			s += 2;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
	return s + 1;
}

/*
 * Reads the parameter at *at, `name=value` with its `;` or the text's end, and steps past it. Name and value are cut
 * out of the text in place. Gives 1 for a parameter, 0 where none is left, -1 for anything else.
 */
static int next_param(char **at, const char **name, const char **value)
{
	char *s = *at + strspn(*at, " \t");
	char *end;
	char *next;

	if (*s == '\0')
		return 0;
	*name = s;
	s += strcspn(s, "=; \t\"");
	if (*s != '=' || s == *name)
		return -1;
	*s++ = '\0';
	if (*s == '"') {
		*value = ++s;
		next = end = unquote(s);
		if (end == NULL)
			return -1;
	} else {
		/* Boundaries often go unquoted with characters that no token may have ("="), so they are let pass here.
		 */
		*value = s;
		next = end = s + strcspn(s, "; \t\"");
		if (end == s || *end == '"')
			return -1;
	}
	next += strspn(next, " \t");
	if (*next != ';' && *next != '\0')
		return -1;
	*at = *next == ';' ? next + 1 : next;
	*end = '\0';
	return 1;
}

/* ---- The boundary ---- */

/* RFC 2046, 5.1.1: 1 to 70 of these, not ending with a space. */
static bool boundary_valid(const char *b)
{
	size_t len = strlen(b);

	return len > 0 && len <= MAX_BOUNDARY && b[len - 1] != ' ' &&
	       b[strspn(b, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=? ")] == '\0';
}

static bool read_boundary(struct arena *a, const char *content_type, const char **out, struct err *e)
{
	char *text = arena_strdup(a, content_type);
	const char *boundary = NULL;
	const char *name;
	const char *value;
	char *at;
	int found;

	if (text == NULL)
		return err_no_memory(e);
	at = text + strcspn(text, ";");
	at += *at == ';';
	while ((found = next_param(&at, &name, &value)) > 0) {
		if (strcasecmp(name, "boundary") != 0)
			continue;
		if (boundary != NULL)
			return err_set(e, ERR_MALFORMED, NULL, "Content-Type has more than one boundary");
		boundary = value;
	}
	if (found < 0)
		return err_set(e, ERR_MALFORMED, NULL, "Content-Type has a parameter that cannot be read");
	if (boundary == NULL) {
		(void)err_set(e, ERR_MALFORMED, NULL, "Content-Type names no boundary");
		return err_hint(e, BOUNDARY_HINT);
	}
	if (!boundary_valid(boundary))
		return err_set(e, ERR_MALFORMED, NULL,
			       "The boundary in Content-Type is empty, longer than %d characters, or has a character "
			       "that is not allowed there",
			       MAX_BOUNDARY);
	*out = boundary;
	return true;
}

bool multipart_new(struct multipart **out, struct arena *a, const char *content_type, size_t max_parts,
		   const struct multipart_handler *handler, struct err *e)
{
	const char *boundary = NULL;
	struct multipart *m;

	if (!request_is_type(content_type, "multipart/form-data")) {
		(void)err_set(e, ERR_MEDIA_TYPE, NULL, "The body must be multipart/form-data");
		return err_hint(e, BOUNDARY_HINT);
	}
	if (!read_boundary(a, content_type, &boundary, e))
		return false;
	m = arena_alloc(a, sizeof *m);
	if (m == NULL)
		return err_no_memory(e);
	m->handler = *handler;
	m->max_parts = max_parts;
	m->delim_len = 4 + strlen(boundary);
	memcpy(m->delim, "\r\n--", 4);
	memcpy(m->delim + 4, boundary, m->delim_len - 4);
	*out = m;
	return true;
}

/* ---- A part's head ---- */

/* Names end up in messages, in logs and, after more checks, in paths. */
static bool check_name(const char *what, const char *s, struct err *e)
{
	for (const char *c = s; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7F || strncmp(c, "%0D", 3) == 0 || strncmp(c, "%0A", 3) == 0)
			return err_set(e, ERR_MALFORMED, NULL, "A part's %s has a control character", what);
	if (!text_utf8_valid(s, strlen(s)))
		return err_set(e, ERR_MALFORMED, NULL, "A part's %s is not UTF-8 text", what);
	return true;
}

static bool set_once(const char **slot, const char *what, const char *value, struct err *e)
{
	if (*slot != NULL)
		return err_set(e, ERR_MALFORMED, NULL, "A part has more than one %s", what);
	*slot = value;
	return true;
}

static bool read_disposition(char *value, struct multipart_part *part, struct err *e)
{
	size_t type_len = strcspn(value, "; \t");
	const char *name;
	const char *param;
	char *at = value + type_len + strspn(value + type_len, " \t");
	int found;

	if (type_len != 9 || strncasecmp(value, "form-data", 9) != 0 || (*at != ';' && *at != '\0'))
		return err_set(e, ERR_MALFORMED, NULL, "A part's Content-Disposition is not form-data");
	at += *at == ';';
	while ((found = next_param(&at, &name, &param)) > 0) {
		if (strcasecmp(name, "name") == 0) {
			if (!set_once(&part->name, "name", param, e) || !check_name("name", param, e))
				return false;
		} else if (strcasecmp(name, "filename") == 0) {
			if (!set_once(&part->filename, "file name", param, e) || !check_name("file name", param, e))
				return false;
		} else if (strcasecmp(name, "filename*") == 0) {
			/* Two names for one file would let two readers see two files. */
			(void)err_set(e, ERR_MALFORMED, NULL,
				      "A part uses \"filename*\", which form data must not have (RFC 7578, 4.2)");
			return err_hint(e, "Send the name as UTF-8 in \"filename\".");
		}
	}
	if (found < 0)
		return err_set(e, ERR_MALFORMED, NULL,
			       "A part's Content-Disposition has a parameter that cannot be read");
	if (part->name == NULL || part->name[0] == '\0')
		return err_set(e, ERR_MALFORMED, NULL, "A part has no name");
	return true;
}

/* One header line, without its CR LF; it is cut to pieces in place. */
static bool read_line(char *line, struct multipart_part *part, bool *disposed, struct err *e)
{
	size_t name_len = strcspn(line, ": \t");
	char *value = line + name_len;
	size_t len;

	if (name_len == 0 || *value != ':')
		return err_set(e, ERR_MALFORMED, NULL, "A part's head has a line that is no header");
	*value++ = '\0';
	value += strspn(value, " \t");
	for (len = strlen(value); len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'); len--)
		value[len - 1] = '\0';

	if (strcasecmp(line, "Content-Disposition") == 0) {
		if (*disposed)
			return err_set(e, ERR_MALFORMED, NULL, "A part has more than one Content-Disposition");
		*disposed = true;
		return read_disposition(value, part, e);
	}
	if (strcasecmp(line, "Content-Type") == 0)
		return set_once(&part->content_type, "Content-Type", value, e);
	/* RFC 7578, 4.7 deprecates it. An encoded part stored as it came would be a wrong file. */
	if (strcasecmp(line, "Content-Transfer-Encoding") == 0 && strcasecmp(value, "binary") != 0 &&
	    strcasecmp(value, "8bit") != 0 && strcasecmp(value, "7bit") != 0)
		return err_set(e, ERR_MALFORMED, NULL,
			       "A part has a Content-Transfer-Encoding, which is not supported");
	return true;
}

/* The head is complete: its lines stand in m->head, each ended by a NUL where its CR was. */
static bool begin_part(struct multipart *m, struct err *e)
{
	struct multipart_part part = {0};
	bool disposed = false;
	size_t at = 0;

	if (m->parts == m->max_parts)
		return err_set(e, ERR_TOO_LARGE, "too_many_parts", "The body has more than %zu parts", m->max_parts);
	m->parts++;
	while (at < m->head_len) {
		size_t len = strlen(m->head + at);

		if (!read_line(m->head + at, &part, &disposed, e))
			return false;
		at += len + 2;
	}
	if (!disposed)
		return err_set(e, ERR_MALFORMED, NULL, "A part has no Content-Disposition");
	return m->handler.part_begin(m->handler.ctx, &part, e);
}

static bool feed_head(struct multipart *m, const char **at, const char *end, struct err *e)
{
	for (; *at < end; ++*at) {
		char c = **at;
		bool after_cr = m->head_len > m->line_start && m->head[m->head_len - 1] == '\r';

		if (m->head_len == MAX_HEAD)
			return err_set(e, ERR_TOO_LARGE, NULL, "A part's head is larger than %zu bytes", MAX_HEAD);
		if (after_cr != (c == '\n'))
			return err_set(e, ERR_MALFORMED, NULL, "A line of a part's head does not end with CR LF");
		if ((unsigned char)c < 0x20 && c != '\t' && c != '\r' && c != '\n')
			return err_set(e, ERR_MALFORMED, NULL, "A part's head has a control character");
		m->head[m->head_len++] = c;
		if (c != '\n')
			continue;
		if (m->head_len - m->line_start == 2) {
			++*at;
			m->head_len = m->line_start;
			m->state = IN_DATA;
			m->matched = 0;
			return begin_part(m, e);
		}
		if (++m->lines > MAX_HEAD_LINES)
			return err_set(e, ERR_TOO_LARGE, NULL, "A part's head has more than %d lines", MAX_HEAD_LINES);
		/* A line that continues the one before is refused (RFC 9112, 5.2): it begins with a blank, as no header
		 * does. */
		m->head[m->head_len - 2] = '\0';
		m->line_start = m->head_len;
	}
	return true;
}

/* ---- The rest of the body ---- */

/* RFC 2046 has room for a preamble before the first boundary; no client of ours sends one, and text there is a mistake.
 */
static bool feed_start(struct multipart *m, const char **at, const char *end, struct err *e)
{
	if (m->matched == 0 && *at < end && **at == '-')
		m->matched = 2;
	for (; *at < end && m->matched < m->delim_len; ++*at)
		if (**at != m->delim[m->matched++]) {
			(void)err_set(e, ERR_MALFORMED, NULL,
				      "The body does not start with the boundary of Content-Type");
			return err_hint(e, BOUNDARY_HINT);
		}
	if (m->matched == m->delim_len) {
		m->state = AFTER_DELIM;
		m->matched = 0;
	}
	return true;
}

/* Padding after the boundary (RFC 2046, 5.1.1) comes from mail transports only; here it is refused. */
static bool feed_after_delim(struct multipart *m, const char **at, struct err *e)
{
	char c = *(*at)++;

	if (m->matched == 0 && (c == '\r' || c == '-')) {
		m->after = c;
		m->matched = 1;
		return true;
	}
	if (m->matched == 0 || c != (m->after == '\r' ? '\n' : '-'))
		return err_set(e, ERR_MALFORMED, NULL, "A boundary is followed by neither CR LF nor \"--\"");
	m->state = c == '-' ? AT_END : IN_HEAD;
	m->head_len = 0;
	m->line_start = 0;
	m->lines = 0;
	return true;
}

static bool emit(struct multipart *m, const char *data, size_t len, struct err *e)
{
	return len == 0 || m->handler.part_data(m->handler.ctx, data, len, e);
}

static bool end_part(struct multipart *m, struct err *e)
{
	m->state = AFTER_DELIM;
	m->matched = 0;
	return m->handler.part_end(m->handler.ctx, e);
}

/* Continues a delimiter whose beginning was the last thing fed before. Bytes that prove to be data are handed on. */
static bool feed_rest_of_delim(struct multipart *m, const char **at, const char *end, struct err *e)
{
	size_t held = m->matched;

	while (*at < end && m->matched < m->delim_len && **at == m->delim[m->matched]) {
		m->matched++;
		++*at;
	}
	if (m->matched == m->delim_len)
		return end_part(m, e);
	if (*at == end)
		return true;
	/* What was held back is data, and so is what matched in this piece, which the caller hands on from its start.
	 */
	*at -= m->matched - held;
	m->matched = 0;
	return emit(m, m->delim, held, e);
}

static bool feed_data(struct multipart *m, const char **at, const char *end, struct err *e)
{
	const char *start;
	const char *cr;

	if (m->matched > 0) {
		if (!feed_rest_of_delim(m, at, end, e))
			return false;
		if (m->state != IN_DATA || m->matched > 0 || *at == end)
			return true;
	}
	start = *at;
	for (cr = memchr(start, '\r', (size_t)(end - start)); cr != NULL;
	     cr = memchr(cr + 1, '\r', (size_t)(end - cr - 1))) {
		size_t left = (size_t)(end - cr);
		size_t len = left < m->delim_len ? left : m->delim_len;

		if (memcmp(cr, m->delim, len) != 0)
			continue;
		*at = cr + len;
		m->matched = len;
		if (!emit(m, start, (size_t)(cr - start), e))
			return false;
		return len < m->delim_len || end_part(m, e);
	}
	*at = end;
	return emit(m, start, (size_t)(end - start), e);
}

bool multipart_feed(struct multipart *m, const void *data, size_t len, struct err *e)
{
	const char *at = data;
	const char *end = at + len;
	bool ok = true;

	if (m->state == REFUSED)
		return err_set(e, ERR_MALFORMED, NULL, "The body was refused before its end");
	while (ok && at < end && m->state != AT_END) {
		if (m->state == AT_START)
			ok = feed_start(m, &at, end, e);
		else if (m->state == AFTER_DELIM)
			ok = feed_after_delim(m, &at, e);
		else if (m->state == IN_HEAD)
			ok = feed_head(m, &at, end, e);
		else
			ok = feed_data(m, &at, end, e);
	}
	if (!ok)
		m->state = REFUSED;
	return ok;
}

bool multipart_finish(struct multipart *m, struct err *e)
{
	if (m->state == AT_END)
		return true;
	m->state = REFUSED;
	(void)err_set(e, ERR_MALFORMED, "truncated_body", "The body ends before its closing boundary");
	return err_hint(e, "The connection may have broken off. Send it again.");
}
