#include "core/text.h"
#include "helper.h"
#include "http/request.h"

#include <stdio.h>
#include <string.h>

/* A request whose variables stand in a list "NAME", "value", …, NULL, and whose body comes a few bytes at a time. */
struct fake {
	const char *params[32];
	const char *body;
	size_t step; /* bytes a read, 0 for all */
	bool gone;   /* the peer goes away instead of ending */
};

static const char *fake_param(void *ctx, const char *name)
{
	const struct fake *f = ctx;

	for (size_t i = 0; f->params[i] != NULL; i += 2)
		if (text_eq(f->params[i], name))
			return f->params[i + 1];
	return NULL;
}

static ssize_t fake_read(void *ctx, void *out, size_t len)
{
	struct fake *f = ctx;
	size_t n = f->body != NULL ? strlen(f->body) : 0;

	if (n == 0)
		return f->gone ? -1 : 0;
	if (n > len)
		n = len;
	if (f->step != 0 && n > f->step)
		n = f->step;
	memcpy(out, f->body, n);
	f->body += n;
	return (ssize_t)n;
}

static bool init(struct request *r, struct arena *a, struct fake *f, const char *base, struct err *e)
{
	struct request_source source = {.param = fake_param, .read = fake_read, .ctx = f};

	return request_init(r, a, &source, base, e);
}

static int setup(void **state)
{
	*state = arena_new(0);
	return 0;
}

static int teardown(void **state)
{
	arena_free(*state);
	return 0;
}

static void test_fields(void **state)
{
	struct fake f = {.params = {"REQUEST_METHOD", "POST", "REQUEST_URI", "/fa/v1/a%2Fb?x=1&y=a+b%C3%BC&&z",
				    "QUERY_STRING", "x=1&y=a+b%C3%BC&&z", "CONTENT_TYPE", "text/plain",
				    "CONTENT_LENGTH", "12", "REMOTE_ADDR", "192.0.2.1", "HTTP_X_REQUEST_ID",
				    "abc-1.2_3", "HTTP_IF_MATCH", "\"7\""}};
	struct err e = ERR_INIT;
	struct request r;

	assert_ok("init", init(&r, *state, &f, "/fa", &e), &e);
	assert_string_equal(r.method, "POST");
	assert_string_equal(r.path, "/v1/a%2Fb");
	assert_string_equal(r.content_type, "text/plain");
	assert_int_equal(r.content_length, 12);
	assert_string_equal(r.address, "192.0.2.1");
	assert_string_equal(r.id, "abc-1.2_3");
	assert_int_equal(r.query_count, 3);
	assert_string_equal(request_query(&r, "x"), "1");
	assert_string_equal(request_query(&r, "y"), "a bü");
	assert_string_equal(request_query(&r, "z"), "");
	assert_null(request_query(&r, "q"));
	assert_string_equal(request_header(&r, "If-Match"), "\"7\"");
	assert_string_equal(request_header(&r, "if-match"), "\"7\"");
	assert_string_equal(request_header(&r, "content-type"), "text/plain");
	assert_string_equal(request_header(&r, "Content-Length"), "12");
	assert_null(request_header(&r, "If-None-Match"));
	assert_null(request_header(&r, "A-name-of-more-than-sixty-four-characters-which-no-header-of-ours-ever-has"));
}

static void test_little(void **state)
{
	struct fake f = {
		.params = {"REQUEST_METHOD", "GET", "REQUEST_URI", "/?a=1", "CONTENT_LENGTH", "", "CONTENT_TYPE", ""}};
	char before[sizeof((struct request *)NULL)->id];
	struct err e = ERR_INIT;
	struct request r;

	assert_ok("init", init(&r, *state, &f, NULL, &e), &e);
	assert_string_equal(r.path, "/");
	assert_string_equal(r.content_type, "");
	assert_string_equal(r.address, "");
	assert_int_equal(r.content_length, -1);
	assert_string_equal(request_query(&r, "a"), "1");
	assert_null(request_header(&r, "Content-Type"));
	assert_int_equal(strlen(r.id), 32);
	memcpy(before, r.id, sizeof before);
	assert_ok("init", init(&r, *state, &f, NULL, &e), &e);
	assert_string_not_equal(before, r.id);
}

static void test_base_path(void **state)
{
	static const struct {
		const char *base;
		const char *uri;
		const char *path;
	} rows[] = {
		{"/fa", "/fa", "/"},
		{"/fa", "/fa/", "/"},
		{"/fa", "/fa?x=1", "/"},
		{"/fa/", "/fa/v1", "/v1"},
		{"/fa", "/fab/v1", "/fab/v1"},
		{"/fa", "/v1", "/v1"},
		{"/fa", "/f", "/f"},
		{"", "/fa/v1", "/fa/v1"},
		{"/", "/fa/v1", "/fa/v1"},
		{NULL, "/fa/v1", "/fa/v1"},
		{"/fa", "/fa/fa", "/fa"},
		{"/fa", "/.well-known/x/fa/y?z", "/.well-known/x/y"},
		{"/fa", "/.well-known/x/fa", "/.well-known/x/fa"},
		{"/fa", "/.well-known/x/fab", "/.well-known/x/fab"},
		{"/fa", "/.well-known/x", "/.well-known/x"},
		{"/fa", "/.well-known/", "/.well-known/"},
		{"/fa", "/.well-known", "/.well-known"},
		{"/fa", "/fa/.well-known/x/fa/y", "/.well-known/x/fa/y"},
		{"", "/.well-known/x/fa/y", "/.well-known/x/fa/y"},
	};
	struct err e = ERR_INIT;
	struct request r;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake f = {.params = {"REQUEST_METHOD", "GET", "REQUEST_URI", rows[i].uri}};

		assert_ok(rows[i].uri, init(&r, *state, &f, rows[i].base, &e), &e);
		assert_string_equal(r.path, rows[i].path);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *method;
		const char *uri;
		const char *query;
		const char *length;
		const char *message;
	} rows[] = {
		{"", "/", "", "", "no method"},
		{"GET", "", "", "", "does not start with a slash"},
		{"GET", "v1", "", "", "does not start with a slash"},
		{"GET", "http://h/v1", "", "", "does not start with a slash"},
		{"GET", "/a b", "", "", "must be percent-encoded"},
		{"GET", "/a\tb", "", "", "must be percent-encoded"},
		{"GET", "/\xC3\xBC", "", "", "must be percent-encoded"},
		{"GET", "/", "a=%", "", "bad percent-escape"},
		{"GET", "/", "a=%4", "", "bad percent-escape"},
		{"GET", "/", "%zz=1", "", "bad percent-escape"},
		{"GET", "/", "a=%00", "", "bad percent-escape"},
		{"GET", "/", "a=%FF", "", "not UTF-8"},
		{"GET", "/", "a=1&b=2&a=1", "", "\"a\" is given twice"},
		{"GET", "/", "a=1&%61", "", "\"a\" is given twice"},
		{"GET", "/", "", "-1", "Content-Length is not a number"},
		{"GET", "/", "", "1x", "Content-Length is not a number"},
		{"GET", "/", "", " 1", "Content-Length is not a number"},
		{"GET", "/", "", "9223372036854775808", "Content-Length is not a number"},
	};
	struct err e = ERR_INIT;
	struct request r;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake f = {.params = {"REQUEST_METHOD", rows[i].method, "REQUEST_URI", rows[i].uri,
					    "QUERY_STRING", rows[i].query, "CONTENT_LENGTH", rows[i].length}};

		assert_refused(rows[i].message, init(&r, *state, &f, "", &e), &e, ERR_MALFORMED, rows[i].message);
		assert_int_equal(strlen(r.id), 32);
	}
}

static void test_many_pairs(void **state)
{
	struct err e = ERR_INIT;
	struct request r;
	char query[65 * 8];
	struct fake f = {.params = {"REQUEST_METHOD", "GET", "REQUEST_URI", "/", "QUERY_STRING", query}};
	size_t len = 0;

	for (int i = 0; i < 64; i++)
		len += (size_t)snprintf(query + len, sizeof query - len, "%sp%d=%d", i > 0 ? "&" : "", i, i);
	assert_ok("64", init(&r, *state, &f, "", &e), &e);
	assert_string_equal(request_query(&r, "p63"), "63");
	(void)snprintf(query + len, sizeof query - len, "&x");
	assert_refused("65", init(&r, *state, &f, "", &e), &e, ERR_MALFORMED, "more than 64");
}

static void test_ids(void **state)
{
	static const char *const refused[] = {
		"", "a b", "a\"b", "a\nb", "ü", "0123456789012345678901234567890123456789012345678901234567890123"};
	struct err e = ERR_INIT;
	struct request r;

	for (size_t i = 0; i < COUNT(refused); i++) {
		struct fake f = {
			.params = {"REQUEST_METHOD", "GET", "REQUEST_URI", "/", "HTTP_X_REQUEST_ID", refused[i]}};

		assert_ok(refused[i], init(&r, *state, &f, "", &e), &e);
		assert_int_equal(strlen(r.id), 32);
		assert_string_not_equal(r.id, refused[i]);
	}
}

static void test_body(void **state)
{
	static const struct {
		const char *body;
		const char *length;
		bool gone;
		const char *expected; /* NULL: refused */
		enum err_kind kind;
	} rows[] = {
		{"hello world", "11", false, "hello world", ERR_NONE},
		{"hello world", "", false, "hello world", ERR_NONE},
		{"hello world!", "11", false, "hello world", ERR_NONE},
		{"", "0", false, "", ERR_NONE},
		{"", "", false, "", ERR_NONE},
		{"hello", "11", false, NULL, ERR_MALFORMED},
		{"hello", "11", true, NULL, ERR_MALFORMED},
		{"hello", "", true, NULL, ERR_MALFORMED},
		{"hello, world", "", false, NULL, ERR_TOO_LARGE},
		{"hello, world", "12", false, NULL, ERR_TOO_LARGE},
	};
	struct err e = ERR_INIT;
	struct request r;

	for (size_t i = 0; i < COUNT(rows); i++)
		for (size_t step = 0; step < 4; step++) {
			struct fake f = {.params = {"REQUEST_METHOD", "POST", "REQUEST_URI", "/", "CONTENT_LENGTH",
						    rows[i].length},
					 .body = rows[i].body,
					 .step = step,
					 .gone = rows[i].gone};
			char *body = NULL;
			size_t len = 99;
			bool ok;

			assert_ok("init", init(&r, *state, &f, "", &e), &e);
			ok = request_body(&r, 11, &body, &len, &e);
			if (rows[i].expected == NULL) {
				assert_refused(rows[i].body, ok, &e, rows[i].kind,
					       rows[i].kind == ERR_MALFORMED ? "before it was complete"
									     : "larger than 11 bytes");
				continue;
			}
			assert_ok(rows[i].body, ok, &e);
			assert_int_equal(len, strlen(rows[i].expected));
			assert_string_equal(body, rows[i].expected);
			assert_int_equal(r.body_read, len);
		}
}

static void test_proxies(void **state)
{
	static const struct {
		const char *networks;
		const char *peer;
		const char *forwarded;
		const char *address;
	} rows[] = {
		{NULL, "10.0.0.1", "192.0.2.1", "10.0.0.1"},
		{"", "10.0.0.1", "192.0.2.1", "10.0.0.1"},
		{"10.0.0.0/8", "10.0.0.1", NULL, "10.0.0.1"},
		{"10.0.0.0/8", "10.0.0.1", "", "10.0.0.1"},
		{"10.0.0.0/8", "10.0.0.1", "192.0.2.1", "192.0.2.1"},
		{"10.0.0.0/8", "10.0.0.1", "203.0.113.9, 192.0.2.1", "192.0.2.1"},
		{"10.0.0.0/8", "10.0.0.1", "203.0.113.9 ,192.0.2.1 , 10.2.3.4", "192.0.2.1"},
		{"10.0.0.0/8", "10.0.0.1", "10.9.9.9, 10.2.3.4", "10.9.9.9"},
		{"10.0.0.0/8", "10.0.0.1", "192.0.2.1, unknown, 10.2.3.4", "10.2.3.4"},
		{"10.0.0.0/8", "192.0.2.7", "203.0.113.9", "192.0.2.7"},
		{"10.0.0.0/8", "unix:", "203.0.113.9", "unix:"},
		{"172.16.0.0/12, ::1", "172.31.0.1", "192.0.2.1", "192.0.2.1"},
		{"172.16.0.0/12, ::1", "172.32.0.1", "192.0.2.1", "172.32.0.1"},
		{"172.16.0.0/12, ::1", "::1", "2001:db8::1", "2001:db8::1"},
		{"2001:db8::/33", "2001:db8:7fff::1", "192.0.2.1", "192.0.2.1"},
		{"2001:db8::/33", "2001:db8:8000::1", "192.0.2.1", "2001:db8:8000::1"},
		{"0.0.0.0/0", "10.0.0.1", "192.0.2.1", "192.0.2.1"},
		{"0.0.0.0/0", "::1", "192.0.2.1", "::1"},
		{"127.0.0.1,10.0.0.1", "10.0.0.1", "192.0.2.1", "192.0.2.1"},
		{"127.0.0.1/33, x, 10.0.0.1/", "10.0.0.1", "192.0.2.1", "10.0.0.1"},
	};
	struct err e = ERR_INIT;
	struct request r;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake f = {.params = {"REQUEST_METHOD", "GET", "REQUEST_URI", "/", "REMOTE_ADDR", rows[i].peer,
					    rows[i].forwarded != NULL ? "HTTP_X_FORWARDED_FOR" : NULL,
					    rows[i].forwarded}};

		assert_ok("init", init(&r, *state, &f, "", &e), &e);
		request_trust_proxies(&r, rows[i].networks);
		assert_string_equal(r.address, rows[i].address);
	}
}

static void test_is_type(void **state)
{
	(void)state;
	assert_true(request_is_type("application/json", "application/json"));
	assert_true(request_is_type("Application/JSON ; charset=utf-8", "application/json"));
	assert_false(request_is_type("application/jsonx", "application/json"));
	assert_false(request_is_type("application/jso", "application/json"));
	assert_false(request_is_type("text/plain; application/json", "application/json"));
	assert_false(request_is_type("", "application/json"));
}

static void test_accepts(void **state)
{
	static const struct {
		const char *header;
		bool accepted;
	} rows[] = {
		{NULL, true},
		{"", true},
		{" , ", true},
		{"text/plain", true},
		{"TEXT/Plain", true},
		{"text/plain;charset=utf-8", true},
		{"text/*", true},
		{"*/*", true},
		{"image/png, text/plain", true},
		{"image/png,*/*;q=0.1", true},
		{"text/plain;q=0.001", true},
		{"text/html", false},
		{"text/plainer", false},
		{"text/plai", false},
		{"text", false},
		{"image/*", false},
		{"text/plain;q=0", false},
		{"text/plain; q=0.000 , image/png", false},
		{"*/*, text/plain;q=0", false},
		{"text/plain;q=0, */*", false},
		{"text/*;q=0, text/plain", true},
	};
	struct err e = ERR_INIT;
	struct request r;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct fake f = {.params = {"REQUEST_METHOD", "GET", "REQUEST_URI", "/",
					    rows[i].header != NULL ? "HTTP_ACCEPT" : NULL, rows[i].header}};

		assert_ok("init", init(&r, *state, &f, "", &e), &e);
		if (request_accepts(&r, "text/plain") != rows[i].accepted)
			fail_msg("Accept: %s", rows[i].header);
	}
}

#define WITH_ARENA(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ARENA(test_fields),  WITH_ARENA(test_little),     WITH_ARENA(test_base_path),
		WITH_ARENA(test_refused), WITH_ARENA(test_many_pairs), WITH_ARENA(test_ids),
		WITH_ARENA(test_body),    WITH_ARENA(test_proxies),    cmocka_unit_test(test_is_type),
		WITH_ARENA(test_accepts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
