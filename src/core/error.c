#include "core/error.h"

#include "core/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct kind_row {
	int http_status;
	int exit_status;
	const char *code;
};

/*
 * Exit statuses: 0 done, 1 failed, 2 wrong usage or configuration, 3 something that we depend on is out of reach,
 * 4 refused, 5 not found. Scripts rely on them; docs/man lists them.
 */
static const struct kind_row kinds[ERR_KIND_COUNT] = {
	[ERR_NONE] = {200, 0, "ok"},
	[ERR_MALFORMED] = {400, 1, "bad_request"},
	[ERR_UNAUTHORIZED] = {401, 4, "unauthorized"},
	[ERR_FORBIDDEN] = {403, 4, "forbidden"},
	[ERR_NOT_FOUND] = {404, 5, "not_found"},
	[ERR_METHOD] = {405, 1, "method_not_allowed"},
	[ERR_ACCEPT] = {406, 1, "not_acceptable"},
	[ERR_CONFLICT] = {409, 1, "conflict"},
	[ERR_PRECONDITION] = {412, 1, "precondition_failed"},
	[ERR_TOO_LARGE] = {413, 1, "too_large"},
	[ERR_MEDIA_TYPE] = {415, 1, "unsupported_media_type"},
	[ERR_INVALID] = {422, 1, "invalid"},
	[ERR_RATE_LIMITED] = {429, 1, "rate_limited"},
	[ERR_INTERNAL] = {500, 1, "internal_error"},
	[ERR_NO_MEMORY] = {503, 3, "out_of_memory"},
	[ERR_UNAVAILABLE] = {503, 3, "unavailable"},
	[ERR_NO_SPACE] = {507, 1, "no_space"},
	[ERR_CONFIG] = {500, 2, "configuration"},
	[ERR_USAGE] = {500, 2, "usage"},
};

__attribute__((format(printf, 3, 0))) static void format_into(char *out, size_t size, const char *fmt, va_list args)
{
	int n = vsnprintf(out, size, fmt, args);

	if (n < 0)
		out[0] = '\0';
	/* A cut here, a "%.60s", or bytes from the disk: JSON could not carry what they leave. */
	text_mend_utf8(out);
}

void err_put(struct err *e, enum err_kind kind, const char *code, const char *fmt, ...)
{
	va_list args;

	e->kind = kind;
	(void)snprintf(e->code, sizeof e->code, "%s", code != NULL ? code : kinds[kind].code);
	e->hint[0] = '\0';
	va_start(args, fmt);
	format_into(e->message, sizeof e->message, fmt, args);
	va_end(args);
}

void err_put_hint(struct err *e, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	format_into(e->hint, sizeof e->hint, fmt, args);
	va_end(args);
}

void err_put_prefix(struct err *e, const char *fmt, ...)
{
	char prefix[128];
	char whole[sizeof e->message + sizeof prefix + 2];
	va_list args;

	va_start(args, fmt);
	format_into(prefix, sizeof prefix, fmt, args);
	va_end(args);
	(void)snprintf(whole, sizeof whole, "%s: %s", prefix, e->message);
	whole[sizeof e->message - 1] = '\0';
	text_cut_utf8(whole);
	memcpy(e->message, whole, strlen(whole) + 1);
}

void err_put_no_memory(struct err *e)
{
	err_put(e, ERR_NO_MEMORY, NULL, "The server is out of memory");
}

void err_put_errno(struct err *e, int number, const char *fmt, ...)
{
	char what[384];
	va_list args;

	va_start(args, fmt);
	format_into(what, sizeof what, fmt, args);
	va_end(args);
	if (number == ENOMEM) {
		err_put_no_memory(e);
	} else if (number == ENOSPC || number == EDQUOT) {
		err_put(e, ERR_NO_SPACE, NULL, "%s: %s", what, strerror(number));
		err_put_hint(e, "Free space on the functions volume and try again; nothing was changed.");
	} else if (number == EMFILE || number == ENFILE) {
		err_put(e, ERR_UNAVAILABLE, "out_of_files", "%s: %s", what, strerror(number));
		err_put_hint(e,
			     "Try again in a moment. If it lasts, raise the limit of open files; nothing was changed.");
	} else {
		err_put(e, ERR_INTERNAL, number == EROFS || number == EACCES || number == EPERM ? "not_writable" : NULL,
			"%s: %s", what, strerror(number));
	}
}

int err_http_status(enum err_kind kind)
{
	return kinds[kind].http_status;
}

int err_exit_status(enum err_kind kind)
{
	return kinds[kind].exit_status;
}
