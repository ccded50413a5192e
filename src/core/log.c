#include "core/log.h"

#include "core/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What an event says is cut here; six bytes for each of them are kept for escapes, so that a line never breaks. */
#define MESSAGE_MAX 2048
#define CONTEXT_MAX 160
#define LINE_MAX_BYTES (6 * (MESSAGE_MAX + 2 * CONTEXT_MAX) + 256)

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static atomic_int current_level = LOG_LEVEL_INFO;
static atomic_bool as_json = false;

static _Thread_local const char *context_request;
static _Thread_local const char *context_actor;

bool log_setup(const char *level, const char *format)
{
	bool json = text_eq(format, "json");

	if (!json && !text_eq(format, "text"))
		return false;
	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		if (text_eq(level, level_names[i])) {
			atomic_store(&current_level, i);
			atomic_store(&as_json, json);
			return true;
		}
	}
	return false;
}

void log_context(const char *request_id, const char *actor)
{
	context_request = request_id;
	context_actor = actor;
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load(&current_level);
}

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

static void put(struct line *line, const char *s, size_t len)
{
	if (len > sizeof line->text - line->len)
		len = sizeof line->text - line->len;
	memcpy(line->text + line->len, s, len);
	line->len += len;
}

static void puts_plain(struct line *line, const char *s)
{
	put(line, s, strlen(s));
}

/*
 * True for what could forge or hide a line on somebody's terminal: C0 and C1 controls, DEL, and U+2028 and U+2029,
 * which some viewers show as line breaks.
 */
static bool is_control(const uint8_t *s, size_t len)
{
	if (len == 1)
		return s[0] < 0x20 || s[0] == 0x7F;
	if (len == 2)
		return s[0] == 0xC2 && s[1] < 0xA0;
	return len == 3 && s[0] == 0xE2 && s[1] == 0x80 && (s[2] == 0xA8 || s[2] == 0xA9);
}

/* The length of the well-formed UTF-8 character at s, or 0. */
static size_t character(const char *s, size_t left)
{
	for (size_t n = 1; n <= 4 && n <= left; n++)
		if (text_utf8_valid(s, n))
			return n;
	return 0;
}

/* Escapes whatever could end the line or the field: `end` is the byte that closes the field, 0 where none does. */
static void put_text(struct line *line, const char *s, char end)
{
	size_t left = strlen(s);

	while (left > 0) {
		size_t n = character(s, left);
		char escape[8];

		if (n == 1 && *s == '\n') {
			puts_plain(line, "\\n");
		} else if (n == 1 && *s == '\\') {
			puts_plain(line, "\\\\");
		} else if (n == 0 || is_control((const uint8_t *)s, n) || (end != '\0' && *s == end)) {
			n = n == 0 ? 1 : n;
			for (size_t i = 0; i < n; i++) {
				(void)snprintf(escape, sizeof escape, "\\x%02x", (unsigned)(uint8_t)s[i]);
				puts_plain(line, escape);
			}
		} else {
			put(line, s, n);
		}
		s += n;
		left -= n;
	}
}

/* A JSON string (RFC 8259, 7); bytes that are not UTF-8 become U+FFFD, since JSON cannot carry them. */
static void put_json(struct line *line, const char *s)
{
	size_t left = strlen(s);

	puts_plain(line, "\"");
	while (left > 0) {
		size_t n = character(s, left);
		const uint8_t *u = (const uint8_t *)s;
		char escape[8];

		if (n == 0) {
			puts_plain(line, "\\ufffd");
			n = 1;
		} else if (n == 1 && (*s == '"' || *s == '\\')) {
			puts_plain(line, "\\");
			put(line, s, 1);
		} else if (n == 1 && *s == '\n') {
			puts_plain(line, "\\n");
		} else if (is_control(u, n)) {
			unsigned point = n == 1 ? u[0] : n == 2 ? u[1] : 0x2000U + (u[2] & 0x3FU);

			(void)snprintf(escape, sizeof escape, "\\u%04x", point);
			puts_plain(line, escape);
		} else {
			put(line, s, n);
		}
		s += n;
		left -= n;
	}
	puts_plain(line, "\"");
}

static void put_json_member(struct line *line, const char *name, const char *value)
{
	puts_plain(line, line->len == 0 ? "{\"" : ",\"");
	puts_plain(line, name);
	puts_plain(line, "\":");
	put_json(line, value);
}

/* The context is cut like the message, so that the room reserved for a line always suffices. */
static void copy_context(char out[CONTEXT_MAX], const char *value)
{
	(void)snprintf(out, CONTEXT_MAX, "%s", value != NULL ? value : "");
	text_cut_utf8(out);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	char message[MESSAGE_MAX];
	char request[CONTEXT_MAX];
	char actor[CONTEXT_MAX];
	char when[25];
	struct timespec now;
	struct line line;
	va_list args;
	int n;

	if (!log_enabled(level))
		return;
	line.len = 0;
	va_start(args, fmt);
	n = vsnprintf(message, sizeof message, fmt, args);
	va_end(args);
	if (n < 0)
		message[0] = '\0';
	else if ((size_t)n >= sizeof message)
		text_cut_utf8(message);
	copy_context(request, context_request);
	copy_context(actor, context_actor);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	text_iso8601((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, when);

	if (atomic_load(&as_json)) {
		put_json_member(&line, "time", when);
		put_json_member(&line, "level", level_names[level]);
		if (request[0] != '\0')
			put_json_member(&line, "request_id", request);
		if (actor[0] != '\0')
			put_json_member(&line, "actor", actor);
		put_json_member(&line, "message", message);
		puts_plain(&line, "}\n");
	} else {
		/* The brackets are always there: a message that begins with brackets of its own is not taken for them.
		 */
		puts_plain(&line, when);
		puts_plain(&line, " ");
		puts_plain(&line, level_names[level]);
		puts_plain(&line, " [");
		put_text(&line, request, ']');
		if (actor[0] != '\0') {
			puts_plain(&line, " ");
			put_text(&line, actor, ']');
		}
		puts_plain(&line, "] ");
		put_text(&line, message, '\0');
		puts_plain(&line, "\n");
	}
	/* A log that cannot be written has nowhere to say so. */
	while (write(STDERR_FILENO, line.text, line.len) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}
