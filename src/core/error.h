/*
 * error - what went wrong, once, for every layer.
 *
 * Fallible functions take a trailing `struct err *` and return false (or NULL) after filling it.
 * Ownership: none; an err is a plain value that its caller keeps on the stack.
 * Limits: the message holds 511 bytes, the hint 255; longer text is cut. Both are well-formed UTF-8: what is not is
 * left out.
 */
#ifndef FA_CORE_ERROR_H
#define FA_CORE_ERROR_H

#include <stdbool.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Every way to fail. The HTTP status, the default code and the exit status of each stand in one table in error.c. */
enum err_kind {
	ERR_NONE = 0,
	ERR_MALFORMED,    /* 400: the request cannot be understood */
	ERR_UNAUTHORIZED, /* 401: no credential, or one that proves nothing */
	ERR_FORBIDDEN,    /* 403: a good credential that may not do this */
	ERR_NOT_FOUND,    /* 404 */
	ERR_METHOD,       /* 405: the path exists, not for this method */
	ERR_ACCEPT,       /* 406: there is no answer of a type that the client accepts */
	ERR_CONFLICT,     /* 409 */
	ERR_PRECONDITION, /* 412: If-Match did not match */
	ERR_TOO_LARGE,    /* 413: over a configured limit */
	ERR_MEDIA_TYPE,   /* 415 */
	ERR_INVALID,      /* 422: well-formed, but not acceptable */
	ERR_RATE_LIMITED, /* 429 */
	ERR_INTERNAL,     /* 500: a bug, or the machine failing us */
	ERR_NO_MEMORY,    /* 503: an allocation failed */
	ERR_UNAVAILABLE,  /* 503: the database or the runtime is out of reach */
	ERR_NO_SPACE,     /* 507: the functions volume is full (RFC 4918, 11.5) */
	ERR_CONFIG,       /* the program's configuration is wrong; never an HTTP answer */
	ERR_USAGE,        /* wrong command line; never an HTTP answer */
	ERR_KIND_COUNT
};

struct err {
	enum err_kind kind;
	char code[48]; /* snake_case, for programs */
	char message[512];
	char hint[256]; /* what to do about it; may be empty */
};

#define ERR_INIT                                                                                                       \
	{                                                                                                              \
		.kind = ERR_NONE                                                                                       \
	}

/*
 * These are false, always, so that a caller can `return err_set(...)`. Macros, because compilers and analyzers, which
 * see one file at a time, would else follow paths on which an error is set and the call has succeeded.
 */

/* Fills *e: (struct err *e, enum err_kind kind, const char *code, const char *fmt, ...). code NULL: the kind's own. */
#define err_set(...) (err_put(__VA_ARGS__), false)

/* Adds the hint to an error that is already set: (struct err *e, const char *fmt, ...). */
#define err_hint(...) (err_put_hint(__VA_ARGS__), false)

/* Puts "context: " before the message: (struct err *e, const char *fmt, ...). */
#define err_prefix(...) (err_put_prefix(__VA_ARGS__), false)

/* An allocation failed: (struct err *e). */
#define err_no_memory(e) (err_put_no_memory(e), false)

/* ENOSPC and EDQUOT become ERR_NO_SPACE, EMFILE and ENFILE ERR_UNAVAILABLE, all else ERR_INTERNAL: (struct err *e, int
 * number, const char *fmt, ...). */
#define err_errno(...) (err_put_errno(__VA_ARGS__), false)

void err_put(struct err *e, enum err_kind kind, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);
void err_put_hint(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
void err_put_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
void err_put_no_memory(struct err *e);
void err_put_errno(struct err *e, int number, const char *fmt, ...) PRINTF_LIKE(3, 4);

int err_http_status(enum err_kind kind);
int err_exit_status(enum err_kind kind);

#endif
