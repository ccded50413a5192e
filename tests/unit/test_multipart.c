#include "core/buf.h"
#include "core/text.h"
#include "helper.h"
#include "http/multipart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TYPE "multipart/form-data; boundary=b"
#define PART(head, data) "--b\r\n" head "\r\n\r\n" data "\r\n"
#define NAMED "Content-Disposition: form-data; name=\"a\""

/* Writes every event into a buffer, so that two runs can be compared: one line a part, then its bytes. */
static bool on_begin(void *ctx, const struct multipart_part *part, struct err *e)
{
	(void)e;
	buf_printf(ctx, "<%s|%s|%s>", part->name, part->filename != NULL ? part->filename : "-",
		   part->content_type != NULL ? part->content_type : "-");
	return true;
}

static bool on_data(void *ctx, const void *data, size_t len, struct err *e)
{
	(void)e;
	assert_true(len > 0);
	buf_put(ctx, data, len);
	return true;
}

static bool on_end(void *ctx, struct err *e)
{
	(void)e;
	buf_puts(ctx, "</>");
	return true;
}

/* Feeds the body up to each cut, in turn; cuts ends with the body's length. */
static bool parse(struct buf *events, const char *type, const char *body, const size_t *cuts, size_t cut_count,
		  size_t max_parts, struct err *e)
{
	struct multipart_handler handler = {on_begin, on_data, on_end, events};
	struct arena *a = arena_new(0);
	struct multipart *m;
	size_t at = 0;
	bool ok = multipart_new(&m, a, type, max_parts, &handler, e);

	buf_clear(events);
	buf_puts(events, "");
	for (size_t i = 0; ok && i < cut_count; i++) {
		/* A copy of exact size lets AddressSanitizer see a read past the piece. */
		char *piece = malloc(cuts[i] - at + 1);

		assert_non_null(piece);
		memcpy(piece, body + at, cuts[i] - at);
		ok = multipart_feed(m, piece, cuts[i] - at, e);
		at = cuts[i];
		free(piece);
	}
	ok = ok && multipart_finish(m, e);
	arena_free(a);
	return ok;
}

static bool parse_whole(struct buf *events, const char *type, const char *body, size_t len, struct err *e)
{
	return parse(events, type, body, &len, 1, 10, e);
}

/* One piece, every split in two, and byte by byte: the events are the same. */
static void assert_same_for_all_splits(const char *type, const char *body, size_t len)
{
	struct buf whole = BUF_INIT(1 << 20);
	struct buf split = BUF_INIT(1 << 20);
	size_t *each = calloc(len, sizeof *each);
	struct err e = ERR_INIT;

	assert_non_null(each);
	assert_ok("one piece", parse_whole(&whole, type, body, len, &e), &e);
	for (size_t i = 0; i <= len; i++) {
		size_t cuts[] = {i, len};

		if (i < len)
			each[i] = i + 1;
		assert_ok("two pieces", parse(&split, type, body, cuts, 2, 10, &e), &e);
		assert_string_equal(split.data, whole.data);
	}
	assert_ok("bytes", parse(&split, type, body, each, len, 10, &e), &e);
	assert_int_equal(split.len, whole.len);
	assert_memory_equal(split.data, whole.data, whole.len);
	free(each);
	buf_free(&whole);
	buf_free(&split);
}

static void test_clients(void **state)
{
	static const char *const names[] = {"cli-3.1.0", "mcp-0.13.0"};
	static const char *const expected[] = {
		"<file|supabase/functions/hello/index.ts|application/octet-stream>import { cors } from "
		"\"../_shared/cors.ts\";\n"
		"import \"./ünï code.ts\";\nDeno.serve(() => new Response(\"hi\", { headers: cors }));\n</>"
		"<file|supabase/functions/hello/ünï code.ts|application/octet-stream>export {};\n</>"
		"<file|supabase/functions/_shared/cors.ts|application/octet-stream>export const cors = {};\r\n</>"
		"<metadata|-|->{\"entrypoint_path\":\"supabase/functions/hello/index.ts\",\"import_map_path\":\"\","
		"\"static_patterns\":[],\"name\":\"hello\"}</>",
		"<metadata|blob|application/"
		"json>{\"name\":\"hello\",\"entrypoint_path\":\"index.ts\",\"verify_jwt\":true}</>"
		"<file|index.ts|application/typescript>import \"./lib/ü \\\"q\\\".ts\";\nDeno.serve(() => new "
		"Response(\"hi\"));\n</>"
		"<file|lib/ü \"q\".ts|application/typescript>export {};\n</><file|empty.txt|application/typescript></>",
	};
	struct buf events = BUF_INIT(1 << 20);
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		char name[64];
		size_t type_len;
		size_t len;
		char *type;
		char *body;

		(void)snprintf(name, sizeof name, "multipart/%s.type", names[i]);
		type = fixture(name, &type_len);
		(void)snprintf(name, sizeof name, "multipart/%s.body", names[i]);
		body = fixture(name, &len);
		assert_ok(names[i], parse_whole(&events, type, body, len, &e), &e);
		assert_string_equal(events.data, expected[i]);
		assert_same_for_all_splits(type, body, len);
		free(type);
		free(body);
	}
	buf_free(&events);
}

/* Content that looks like a delimiter, but is none. */
static void test_near_delimiters(void **state)
{
	static const char body[] = PART(NAMED, "\r\r\n\r\n-\r\n--\r\n--c\r\n--B\r\r\n--a--b\n--b\r--b\r")
		PART(NAMED, "") PART(NAMED, "\r\n") "--b--";
	struct buf events = BUF_INIT(4096);
	struct err e = ERR_INIT;

	(void)state;
	assert_ok("near", parse_whole(&events, TYPE, body, sizeof body - 1, &e), &e);
	assert_string_equal(events.data, "<a|-|->\r\r\n\r\n-\r\n--\r\n--c\r\n--B\r\r\n--a--b\n--b\r--b\r</><a|-|-></>"
					 "<a|-|->\r\n</>");
	assert_same_for_all_splits(TYPE, body, sizeof body - 1);
	buf_free(&events);
}

static void test_accepted(void **state)
{
	static const struct {
		const char *type;
		const char *body;
		const char *events;
	} rows[] = {
		{TYPE, "--b--", ""},
		{TYPE, "\r\n" PART(NAMED, "x") "--b--\r\nepilogue --b\r\n", "<a|-|->x</>"},
		{"Multipart/Form-Data ;charset=utf-8; BOUNDARY=\"b\" ;", PART(NAMED, "x") "--b--", "<a|-|->x</>"},
		{"multipart/form-data; boundary=\"a b\"", "--a b\r\n" NAMED "\r\n\r\nx\r\n--a b--", "<a|-|->x</>"},
		{"multipart/form-data; boundary===b==", "--==b==\r\n" NAMED "\r\n\r\nx\r\n--==b==--", "<a|-|->x</>"},
		{TYPE, PART("content-disposition:FORM-DATA ; Name=a;filename=f.ts", "x") "--b--", "<a|f.ts|->x</>"},
		{TYPE, PART(NAMED "; filename=\"q\\\"\\\\ %22;.ts\"; size=1", "x") "--b--", "<a|q\"\\ \";.ts|->x</>"},
		{TYPE, PART(NAMED "; filename=\"a\\b.ts\"", "x") "--b--", "<a|a\\b.ts|->x</>"},
		{TYPE, PART(NAMED "; filename=\"\"", "x") "--b--", "<a||->x</>"},
		{TYPE, PART("X-Y: z\r\n" NAMED "\r\nContent-Type: \t text/plain \t", "x") "--b--",
		 "<a|-|text/plain>x</>"},
		{TYPE, PART(NAMED "\r\nContent-Transfer-Encoding: binary", "x") "--b--", "<a|-|->x</>"},
	};
	struct buf events = BUF_INIT(4096);
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_ok(rows[i].body, parse_whole(&events, rows[i].type, rows[i].body, strlen(rows[i].body), &e), &e);
		assert_string_equal(events.data, rows[i].events);
		assert_same_for_all_splits(rows[i].type, rows[i].body, strlen(rows[i].body));
	}
	buf_free(&events);
}

static void test_refused_types(void **state)
{
	static const struct {
		const char *type;
		enum err_kind kind;
		const char *message;
	} rows[] = {
		{"", ERR_MEDIA_TYPE, "must be multipart/form-data"},
		{"application/json", ERR_MEDIA_TYPE, "must be multipart/form-data"},
		{"multipart/mixed; boundary=b", ERR_MEDIA_TYPE, "must be multipart/form-data"},
		{"multipart/form-data", ERR_MALFORMED, "names no boundary"},
		{"multipart/form-data; charset=utf-8", ERR_MALFORMED, "names no boundary"},
		{"multipart/form-data; boundary", ERR_MALFORMED, "cannot be read"},
		{"multipart/form-data; boundary=", ERR_MALFORMED, "cannot be read"},
		{"multipart/form-data; boundary=a\"b", ERR_MALFORMED, "cannot be read"},
		{"multipart/form-data; boundary=a b", ERR_MALFORMED, "cannot be read"},
		{"multipart/form-data; boundary=\"a\"b", ERR_MALFORMED, "cannot be read"},
		{"multipart/form-data; boundary=\"a", ERR_MALFORMED, "cannot be read"},
		{"multipart/form-data; boundary=a; boundary=a", ERR_MALFORMED, "more than one boundary"},
		{"multipart/form-data; boundary=\"\"", ERR_MALFORMED, "empty"},
		{"multipart/form-data; boundary=\"a \"", ERR_MALFORMED, "not allowed"},
		{"multipart/form-data; boundary=a%b", ERR_MALFORMED, "not allowed"},
		{"multipart/form-data; boundary=a\r\nb", ERR_MALFORMED, "not allowed"},
		{"multipart/form-data; "
		 "boundary=12345678901234567890123456789012345678901234567890123456789012345678901",
		 ERR_MALFORMED, "longer than 70"},
	};
	struct buf events = BUF_INIT(4096);
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_refused(rows[i].type, parse_whole(&events, rows[i].type, "--b--", 5, &e), &e, rows[i].kind,
			       rows[i].message);
	/* Where a person has set the header by hand, the way out is said. */
	(void)parse_whole(&events, "multipart/form-data", "--b--", 5, &e);
	assert_non_null(strstr(e.hint, "curl -F"));
	(void)parse_whole(&events, TYPE, "--another--", 11, &e);
	assert_non_null(strstr(e.hint, "curl -F"));
	buf_free(&events);
}

static void test_refused_bodies(void **state)
{
	static const struct {
		const char *body;
		const char *message;
	} rows[] = {
		{"", "before its closing boundary"},
		{"\r\n", "before its closing boundary"},
		{"--b", "before its closing boundary"},
		{"--b-", "before its closing boundary"},
		{"--b\r\n", "before its closing boundary"},
		{"--b\r\n" NAMED "\r\n\r\nx", "before its closing boundary"},
		{PART(NAMED, "x"), "before its closing boundary"},
		{PART(NAMED, "x") "--b", "before its closing boundary"},
		{PART(NAMED, "x") "--B--", "before its closing boundary"},
		{"preamble\r\n" PART(NAMED, "x") "--b--", "does not start with the boundary"},
		{"\r\n\r\n--b--", "does not start with the boundary"},
		{"\n--b--", "does not start with the boundary"},
		{"-b", "does not start with the boundary"},
		{"--other--", "does not start with the boundary"},
		{"--b\n" NAMED "\n\nx\n--b--", "followed by neither"},
		{"--b \r\n" NAMED "\r\n\r\nx\r\n--b--", "followed by neither"},
		{"--b\r\r\n", "followed by neither"},
		{"--b-\r\n", "followed by neither"},
		{PART(NAMED, "x\r\n--bc") "--b--", "followed by neither"},
		{"--b\r\n" NAMED "\n\nx\r\n--b--", "does not end with CR LF"},
		{"--b\r\n" NAMED "\r\r\n\r\nx", "does not end with CR LF"},
		{"--b\r\n\r\nx\r\n--b--", "no Content-Disposition"},
		{PART("Content-Type: text/plain", "x") "--b--", "no Content-Disposition"},
		{PART(NAMED "\r\n" NAMED, "x") "--b--", "more than one Content-Disposition"},
		{PART(NAMED "\r\nContent-Type: a/b\r\nContent-Type: a/b", "x") "--b--", "more than one Content-Type"},
		{PART(NAMED "\r\nContent-Transfer-Encoding: base64", "x") "--b--", "Content-Transfer-Encoding"},
		{PART(NAMED ";\r\n filename=\"f\"", "x") "--b--", "no header"},
		{PART("Content-Disposition : form-data; name=\"a\"", "x") "--b--", "no header"},
		{PART(": x", "x") "--b--", "no header"},
		{PART("nothing", "x") "--b--", "no header"},
		{PART("Content-Disposition: attachment; name=\"a\"", "x") "--b--", "is not form-data"},
		{PART("Content-Disposition: form-data x; name=\"a\"", "x") "--b--", "is not form-data"},
		{PART("Content-Disposition: form-data-x; name=\"a\"", "x") "--b--", "is not form-data"},
		{PART("Content-Disposition: form-data", "x") "--b--", "has no name"},
		{PART("Content-Disposition: form-data; filename=\"f\"", "x") "--b--", "has no name"},
		{PART("Content-Disposition: form-data; name=\"\"", "x") "--b--", "has no name"},
		{PART(NAMED "; name=\"b\"", "x") "--b--", "more than one name"},
		{PART(NAMED "; filename=\"f\"; FileName=\"g\"", "x") "--b--", "more than one file name"},
		{PART(NAMED "; filename*=utf-8''f", "x") "--b--", "filename*"},
		{PART(NAMED "; filename=\"f", "x") "--b--", "cannot be read"},
		{PART(NAMED "; filename=\"f\\\"", "x") "--b--", "cannot be read"},
		{PART(NAMED "; filename=f\"g\"", "x") "--b--", "cannot be read"},
		{PART(NAMED "; filename", "x") "--b--", "cannot be read"},
		{PART(NAMED "; filename=", "x") "--b--", "cannot be read"},
		{PART(NAMED "; filename=\"f\" x", "x") "--b--", "cannot be read"},
		{PART(NAMED "; filename=\"f\tg\"", "x") "--b--", "file name has a control character"},
		{PART(NAMED "; filename=\"f\x7Fg\"", "x") "--b--", "file name has a control character"},
		{PART(NAMED "; filename=\"f%0Ag\"", "x") "--b--", "file name has a control character"},
		{PART(NAMED "; filename=\"f%0Dg\"", "x") "--b--", "file name has a control character"},
		{PART("Content-Disposition: form-data; name=\"a\tb\"", "x") "--b--", "name has a control character"},
		{PART(NAMED "\x01", "x") "--b--", "head has a control character"},
		{PART(NAMED "; filename=\"\xC3(\"", "x") "--b--", "file name is not UTF-8"},
		{PART("Content-Disposition: form-data; name=\"\xFF\"", "x") "--b--", "name is not UTF-8"},
	};
	struct buf events = BUF_INIT(4096);
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *body = rows[i].body;
		size_t cuts[256];
		size_t len = strlen(body);

		assert_refused(body, parse_whole(&events, TYPE, body, len, &e), &e, ERR_MALFORMED, rows[i].message);
		assert_true(len <= COUNT(cuts));
		for (size_t j = 0; j < len; j++)
			cuts[j] = j + 1;
		assert_refused(body, parse(&events, TYPE, body, cuts, len, 10, &e), &e, ERR_MALFORMED, rows[i].message);
	}
	buf_free(&events);
}

static void test_refused_nul(void **state)
{
	static const char body[] = "--b\r\n" NAMED "; filename=\"f\0g\"\r\n\r\nx\r\n--b--";
	struct buf events = BUF_INIT(4096);
	struct err e = ERR_INIT;

	(void)state;
	assert_refused("NUL", parse_whole(&events, TYPE, body, sizeof body - 1, &e), &e, ERR_MALFORMED,
		       "control character");
	buf_free(&events);
}

static void test_limits(void **state)
{
	struct buf events = BUF_INIT(1 << 20);
	struct buf body = BUF_INIT(1 << 20);
	struct err e = ERR_INIT;

	(void)state;
	buf_puts(&body, PART(NAMED, "1") PART(NAMED, "2") "--b--");
	assert_ok("two parts", parse(&events, TYPE, body.data, &body.len, 1, 2, &e), &e);
	assert_refused("three parts", parse(&events, TYPE, body.data, &body.len, 1, 1, &e), &e, ERR_TOO_LARGE,
		       "more than 1 parts");
	assert_string_equal(e.code, "too_many_parts");

	buf_clear(&body);
	buf_puts(&body, "--b\r\n" NAMED "\r\n");
	for (int i = 1; i < 32; i++)
		buf_puts(&body, "X: y\r\n");
	buf_puts(&body, "\r\nx\r\n--b--");
	assert_ok("32 lines", parse_whole(&events, TYPE, body.data, body.len, &e), &e);
	buf_clear(&body);
	buf_puts(&body, "--b\r\n" NAMED "\r\n");
	for (int i = 1; i < 33; i++)
		buf_puts(&body, "X: y\r\n");
	assert_refused("33 lines", parse_whole(&events, TYPE, body.data, body.len, &e), &e, ERR_TOO_LARGE, "32 lines");

	buf_clear(&body);
	buf_puts(&body, "--b\r\nX: ");
	for (int i = 0; i < 17 * 1024; i++)
		buf_puts(&body, "y");
	assert_refused("long head", parse_whole(&events, TYPE, body.data, body.len, &e), &e, ERR_TOO_LARGE,
		       "16384 bytes");
	buf_free(&events);
	buf_free(&body);
}

static bool refuse_part(void *ctx, const struct multipart_part *part, struct err *e)
{
	(void)ctx;
	(void)part;
	return err_set(e, ERR_CONFLICT, NULL, "stop here");
}

/* A handler's refusal ends the parse with its error; nothing is called afterwards. */
static void test_handler_stops(void **state)
{
	struct buf events = BUF_INIT(4096);
	struct multipart_handler handler = {refuse_part, on_data, on_end, &events};
	struct arena *a = arena_new(0);
	struct err e = ERR_INIT;
	struct multipart *m;

	(void)state;
	assert_ok("new", multipart_new(&m, a, TYPE, 10, &handler, &e), &e);
	assert_refused("part", multipart_feed(m, PART(NAMED, "x"), strlen(PART(NAMED, "x")), &e), &e, ERR_CONFLICT,
		       "stop here");
	assert_refused("more", multipart_feed(m, "--b--", 5, &e), &e, ERR_MALFORMED, "refused before");
	assert_refused("finish", multipart_finish(m, &e), &e, ERR_MALFORMED, "closing boundary");
	assert_int_equal(events.len, 0);
	arena_free(a);
	buf_free(&events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clients),        cmocka_unit_test(test_near_delimiters),
		cmocka_unit_test(test_accepted),       cmocka_unit_test(test_refused_types),
		cmocka_unit_test(test_refused_bodies), cmocka_unit_test(test_refused_nul),
		cmocka_unit_test(test_limits),         cmocka_unit_test(test_handler_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
