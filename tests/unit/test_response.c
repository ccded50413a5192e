#include "core/text.h"
#include "helper.h"
#include "http/response.h"

#include <string.h>

/* What was sent, and in how many writes; the peer goes away before write number `gone_at` (0: it stays). */
struct peer {
	struct buf got;
	int writes;
	int gone_at;
};

static bool peer_write(void *ctx, const void *data, size_t len)
{
	struct peer *p = ctx;

	if (++p->writes == p->gone_at)
		return false;
	buf_put(&p->got, data, len);
	return true;
}

struct fixture {
	struct arena *arena;
	struct response r;
	struct peer peer;
	struct response_writer w;
};

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.arena = arena_new(0), .peer = {.got = BUF_INIT(1 << 20)}};
	f.w = (struct response_writer){.write = peer_write, .ctx = &f.peer};
	response_init(&f.r, f.arena);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	response_free(&f->r);
	buf_free(&f->peer.got);
	arena_free(f->arena);
	return 0;
}

static void assert_sent(struct fixture *f, bool head_only, const char *expected)
{
	buf_clear(&f->peer.got);
	f->peer.writes = 0;
	assert_true(response_send(&f->r, &f->w, head_only));
	assert_string_equal(f->peer.got.data, expected);
}

#define STANDARD "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"

static void test_plain(void **state)
{
	struct fixture *f = *state;

	assert_sent(f, false, "Status: 200 OK\r\n" STANDARD "Content-Length: 0\r\n\r\n");
	buf_puts(&f->r.body, "hello");
	f->r.status = 201;
	response_header(&f->r, "ETag", "\"1\"");
	response_header(&f->r, "etag", "\"2\"");
	assert_sent(f, false, "Status: 201 Created\r\netag: \"2\"\r\n" STANDARD "Content-Length: 5\r\n\r\nhello");
	assert_int_equal(f->peer.writes, 1);
	assert_sent(f, true, "Status: 201 Created\r\netag: \"2\"\r\n" STANDARD "Content-Length: 5\r\n\r\n");
	response_header(&f->r, "Cache-Control", "private");
	response_header(&f->r, "X-Content-Type-Options", "x");
	assert_sent(f, false,
		    "Status: 201 Created\r\netag: \"2\"\r\nCache-Control: private\r\nX-Content-Type-Options: x\r\n"
		    "Content-Length: 5\r\n\r\nhello");
}

static void test_no_body(void **state)
{
	struct fixture *f = *state;

	buf_puts(&f->r.body, "hello");
	f->r.status = 204;
	assert_sent(f, false, "Status: 204 No Content\r\n" STANDARD "\r\n");
	f->r.status = 304;
	assert_sent(f, false, "Status: 304 Not Modified\r\n" STANDARD "\r\n");
	assert_sent(f, true, "Status: 304 Not Modified\r\n" STANDARD "\r\n");
	f->r.status = 299;
	assert_sent(f, true, "Status: 299 Unknown\r\n" STANDARD "Content-Length: 5\r\n\r\n");
}

static void test_headers(void **state)
{
	struct fixture *f = *state;

	response_header(&f->r, "X-A", "a\r\nSet-Cookie: b");
	response_header(&f->r, "X-A", "a\nb");
	response_header(&f->r, "X-A", "a\rb");
	response_header(&f->r, "X: A", "a");
	response_header(&f->r, "X\nA", "a");
	assert_sent(f, false, "Status: 200 OK\r\n" STANDARD "Content-Length: 0\r\n\r\n");
	for (int i = 0; i < RESPONSE_MAX_HEADERS + 2; i++)
		response_header(&f->r, arena_printf(f->arena, "X-%d", i), "v");
	assert_int_equal(f->r.header_count, RESPONSE_MAX_HEADERS);
	assert_true(response_send(&f->r, &f->w, false));
	assert_non_null(strstr(f->peer.got.data, "X-31: v\r\n" STANDARD));
	assert_null(strstr(f->peer.got.data, "X-32"));
}

static void test_large(void **state)
{
	struct fixture *f = *state;
	static char text[100 * 1024];

	memset(text, 'x', sizeof text);
	buf_put(&f->r.body, text, sizeof text);
	assert_true(response_send(&f->r, &f->w, false));
	assert_int_equal(f->peer.writes, 2);
	assert_non_null(strstr(f->peer.got.data, "Content-Length: 102400\r\n\r\nxxx"));
	for (int i = 1; i <= 2; i++) {
		f->peer.writes = 0;
		f->peer.gone_at = i;
		assert_false(response_send(&f->r, &f->w, false));
	}
}

static void test_json(void **state)
{
	struct fixture *f = *state;
	struct err e = ERR_INIT;

	buf_puts(&f->r.body, "old");
	assert_ok("json", response_json(&f->r, 201, json_pack("{s:i, s:s}", "a", 1, "b", "ü/\""), &e), &e);
	assert_sent(f, false,
		    "Status: 201 Created\r\nContent-Type: application/json\r\n" STANDARD
		    "Content-Length: 19\r\n\r\n{\"a\":1,\"b\":\"ü/\\\"\"}");
	assert_refused("NULL", response_json(&f->r, 200, NULL, &e), &e, ERR_NO_MEMORY, "out of memory");
	assert_int_equal(f->r.body.len, 0);
}

static bool stream_text(void *ctx, const struct response_writer *w)
{
	const char *const *pieces = ctx;

	for (; *pieces != NULL; pieces++)
		if (!w->write(w->ctx, *pieces, strlen(*pieces)))
			return false;
	return true;
}

static void test_stream(void **state)
{
	const char *pieces[] = {"one ", "two", NULL};
	struct fixture *f = *state;

	f->r.stream = stream_text;
	f->r.stream_ctx = pieces;
	f->r.content_length = 7;
	assert_sent(f, false, "Status: 200 OK\r\n" STANDARD "Content-Length: 7\r\n\r\none two");
	assert_sent(f, true, "Status: 200 OK\r\n" STANDARD "Content-Length: 7\r\n\r\n");
	/* A stream that breaks its promise is an answer cut short, never one with wrong framing. */
	f->r.content_length = 8;
	assert_false(response_send(&f->r, &f->w, false));
	f->r.content_length = 6;
	buf_clear(&f->peer.got);
	assert_false(response_send(&f->r, &f->w, false));
	assert_true(text_ends(f->peer.got.data, "\r\n\r\none "));
	f->r.content_length = -2;
	f->peer.writes = 0;
	assert_false(response_send(&f->r, &f->w, false));
	assert_int_equal(f->peer.writes, 0);
	f->r.content_length = 7;
	for (int i = 1; i <= 3; i++) {
		f->peer.writes = 0;
		f->peer.gone_at = i;
		assert_false(response_send(&f->r, &f->w, false));
	}
}

static void test_errors(void **state)
{
	static const struct {
		enum err_kind kind;
		const char *hint;
		const char *expected;
	} rows[] = {
		{ERR_NOT_FOUND, "",
		 "Status: 404 Not Found\r\nContent-Type: application/json\r\n" STANDARD
		 "Content-Length: 61\r\n\r\n{\"message\":\"Say "
		 "\\\"it\\\"\",\"code\":\"the_code\",\"request_id\":\"r-1\"}"},
		{ERR_INVALID, "Do that.",
		 "Status: 422 Unprocessable Content\r\nContent-Type: application/json\r\n" STANDARD
		 "Content-Length: 79\r\n\r\n{\"message\":\"Say "
		 "\\\"it\\\"\",\"code\":\"the_code\",\"request_id\":\"r-1\",\"hint\":"
		 "\"Do that.\"}"},
		{ERR_UNAUTHORIZED, "",
		 "Status: 401 Unauthorized\r\nContent-Type: application/json\r\nWWW-Authenticate: Bearer\r\n" STANDARD
		 "Content-Length: 61\r\n\r\n{\"message\":\"Say "
		 "\\\"it\\\"\",\"code\":\"the_code\",\"request_id\":\"r-1\"}"},
		{ERR_UNAVAILABLE, "",
		 "Status: 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n" STANDARD
		 "Content-Length: 61\r\n\r\n{\"message\":\"Say "
		 "\\\"it\\\"\",\"code\":\"the_code\",\"request_id\":\"r-1\"}"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct err e = ERR_INIT;

		response_init(&f->r, f->arena);
		(void)err_set(&e, rows[i].kind, "the_code", "Say \"it\"");
		(void)err_hint(&e, "%s", rows[i].hint);
		response_error(&f->r, &e, "r-1");
		assert_sent(f, false, rows[i].expected);
		response_free(&f->r);
	}
}

/* An error takes the place of an answer that was half made. */
static void test_error_replaces(void **state)
{
	const char *pieces[] = {"x", NULL};
	struct fixture *f = *state;
	struct err e = ERR_INIT;

	response_header(&f->r, "ETag", "\"1\"");
	response_header(&f->r, "X-RateLimit-Remaining", "0");
	response_header(&f->r, "Content-Disposition", "attachment");
	response_header(&f->r, "Retry-After", "7");
	response_header(&f->r, "Allow", "GET");
	buf_puts(&f->r.body, "half");
	f->r.stream = stream_text;
	f->r.stream_ctx = pieces;
	f->r.content_length = 1;
	(void)err_no_memory(&e);
	response_error(&f->r, &e, "r");
	assert_sent(f, false,
		    "Status: 503 Service Unavailable\r\nX-RateLimit-Remaining: 0\r\nRetry-After: 7\r\nAllow: GET\r\n"
		    "Content-Type: application/json\r\n" STANDARD
		    "Content-Length: 81\r\n\r\n{\"message\":\"The server is out of "
		    "memory\",\"code\":\"out_of_memory\",\"request_id\":\"r\"}");
	/* A document that cannot be made (here: text that is not UTF-8) still tells the code. */
	(void)err_set(&e, ERR_CONFLICT, "the_code", "x");
	/* No err_set() leaves such bytes; a document that cannot be made still has its code. */
	memcpy(e.message, "\xFF", 2);
	response_error(&f->r, &e, "r");
	assert_int_equal(f->r.status, 409);
	assert_string_equal(f->r.body.data, "{\"message\":\"the_code\",\"code\":\"the_code\",\"request_id\":\"r\"}");
}

/* No memory for the answer: that is said, in pieces that need none. */
static void test_no_memory(void **state)
{
	static const char said[] =
		"Status: 503 Service Unavailable\r\nContent-Type: application/json\r\n" STANDARD
		"Retry-After: 1\r\nX-Request-Id: r-1\r\n\r\n"
		"{\"message\":\"The server has no memory for the answer\",\"code\":\"out_of_memory\","
		"\"request_id\":\"r-1\"}";
	struct fixture *f = *state;

	response_header(&f->r, "X-Request-Id", "r-1");
	response_header(&f->r, "ETag", "\"1\"");
	buf_puts(&f->r.body, "half");
	f->r.body.failed = true;
	assert_sent(f, false, said);
	buf_clear(&f->peer.got);
	assert_true(response_send(&f->r, &f->w, true));
	assert_int_equal(f->peer.got.len, strstr(said, "\r\n\r\n") + 4 - said);
}

#define WITH_PEER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_PEER(test_plain),  WITH_PEER(test_no_body),        WITH_PEER(test_headers),
		WITH_PEER(test_large),  WITH_PEER(test_json),           WITH_PEER(test_stream),
		WITH_PEER(test_errors), WITH_PEER(test_error_replaces), WITH_PEER(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
