#include "core/text.h"
#include "fs/bundle.h"
#include "fs/eszip.h"
#include "helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A nameless temporary file with this content. */
static int file_with(const void *data, size_t len)
{
	char name[] = "/tmp/fa-test-eszip-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(write(fd, data, len), len);
	return fd;
}

static bool unpack(const void *data, size_t len, int64_t max, int *out, int64_t *size, struct err *e)
{
	int in = file_with(data, len);
	bool ok;

	*out = file_with("", 0);
	ok = eszip_unpack(in, *out, max, size, e);
	assert_int_equal(close(in), 0);
	return ok;
}

static void assert_unpack_refused(const char *what, const void *data, size_t len, int64_t max, enum err_kind kind,
				  const char *message)
{
	struct err e = ERR_INIT;
	struct stat st;
	int64_t size;
	int out;

	assert_refused(what, unpack(data, len, max, &out, &size, &e), &e, kind, message);
	assert_int_equal(fstat(out, &st), 0);
	assert_true(st.st_size <= max);
	assert_int_equal(close(out), 0);
}

static bool has_module(const void *data, size_t len, const char *entrypoint, struct err *e)
{
	int fd = file_with(data, len);
	bool ok = eszip_has_module(fd, entrypoint, e);

	assert_int_equal(close(fd), 0);
	return ok;
}

static void test_unpack(void **state)
{
	static const char *const names[] = {"eszip/hello.ezbr", "eszip/hello.eszip"};
	size_t plain_len;
	char *plain = fixture("eszip/hello.eszip", &plain_len);
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		size_t len;
		char *data = fixture(names[i], &len);
		char got[4096];
		int64_t size = 0;
		int out;

		assert_ok(names[i], unpack(data, len, (int64_t)plain_len, &out, &size, &e), &e);
		assert_int_equal(size, plain_len);
		assert_int_equal(pread(out, got, sizeof got, 0), plain_len);
		assert_memory_equal(got, plain, plain_len);
		assert_ok("module", eszip_has_module(out, "file:///src/index.ts", &e), &e);
		assert_int_equal(close(out), 0);
		assert_unpack_refused(names[i], data, len, (int64_t)plain_len - 1, ERR_TOO_LARGE,
				      "expands to more than");
		free(data);
	}
	free(plain);
}

static void test_unpack_refused(void **state)
{
	size_t len;
	char *ezbr = fixture("eszip/hello.ezbr", &len);
	char *longer = malloc(len + 1);
	/* The brotli streams of "" and of "ESZIP2" and of "ESZIP9.9", uncompressed (RFC 7932, 9.2). */
	static const char empty[] = "EZBR\x3b";
	static const char six[] = "EZBR\x8b\x02\x80"
				  "ESZIP2\x03";
	static const char other[] = "EZBR\x8b\x03\x80"
				    "ESZIP9.9\x03";

	(void)state;
	assert_non_null(longer);
	assert_unpack_refused("empty file", "", 0, 1000, ERR_INVALID, "neither EZBR");
	assert_unpack_refused("text", "EZB", 3, 1000, ERR_INVALID, "neither EZBR");
	assert_unpack_refused("JavaScript", "Deno.serve()", 12, 1000, ERR_INVALID, "neither EZBR");
	assert_unpack_refused("old eszip", "ESZIP2.9....", 12, 1000, ERR_INVALID, "neither EZBR");
	assert_unpack_refused("mark only", "EZBR", 4, 1000, ERR_INVALID, "ends before it is complete");
	assert_unpack_refused("no brotli", "EZBR\xFF\xFF\xFF\xFF\xFF", 9, 1000, ERR_INVALID, "is broken");
	assert_unpack_refused("empty", empty, sizeof empty - 1, 1000, ERR_INVALID, "not an eszip archive");
	assert_unpack_refused("six bytes", six, sizeof six - 1, 1000, ERR_INVALID, "not an eszip archive");
	assert_unpack_refused("other", other, sizeof other - 1, 1000, ERR_INVALID, "not an eszip archive");
	for (size_t i = 4; i < len; i++)
		assert_unpack_refused("cut", ezbr, i, 100000, ERR_INVALID, "ends before it is complete");
	memcpy(longer, ezbr, len);
	longer[len] = 'x';
	assert_unpack_refused("trailing", longer, len + 1, 100000, ERR_INVALID, "followed by other bytes");
	free(longer);
	free(ezbr);
}

/*
 * A bomb: the archive's magic, then 4 MiB that say "copy the last byte", in a few hundred bytes. The limit holds while
 * it expands; nothing close to its size is written.
 */
static void test_bomb(void **state)
{
	size_t len;
	char *bomb = fixture("eszip/bomb.ezbr", &len);

	(void)state;
	assert_true(len < 400);
	assert_unpack_refused("bomb", bomb, len, 1024 * 1024, ERR_TOO_LARGE, "more than 1048576 bytes");
	free(bomb);
}

static void test_modules(void **state)
{
	static const char *const names[] = {"hello",     "v2.0-sha256", "v2.1-sha256",
					    "v2.2-none", "v2.3-xxh3",   "redirect"};
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		char path[64];
		size_t len;
		char *data;

		(void)snprintf(path, sizeof path, "eszip/%s.eszip", names[i]);
		data = fixture(path, &len);
		assert_ok(names[i], has_module(data, len, "file:///src/index.ts", &e), &e);
		assert_ok(names[i], has_module(data, len, "file:///src/greet.ts", &e), &e);
		assert_refused(names[i], has_module(data, len, "file:///src/other.ts", &e), &e, ERR_INVALID,
			       "no module file:///src/other.ts");
		assert_string_equal(e.code, "entrypoint_not_found");
		assert_refused(names[i], has_module(data, len, "", &e), &e, ERR_INVALID, "no module");
		assert_refused(names[i], has_module(data, len, "file:///src/index.t", &e), &e, ERR_INVALID,
			       "no module");
		free(data);
	}
}

static void test_redirects_and_relative(void **state)
{
	size_t len;
	char *data = fixture("eszip/redirect.eszip", &len);
	struct err e = ERR_INIT;

	(void)state;
	assert_ok("redirect", has_module(data, len, "file:///main.ts", &e), &e);
	assert_refused("circle", has_module(data, len, "file:///a.ts", &e), &e, ERR_INVALID, "no module");
	assert_refused("nowhere", has_module(data, len, "file:///gone.ts", &e), &e, ERR_INVALID, "no module");
	free(data);

	data = fixture("eszip/relative.eszip", &len);
	assert_ok("relative", has_module(data, len, "file:///home/me/supabase/functions/hello/index.ts", &e), &e);
	assert_ok("relative", has_module(data, len, "file:///functions/hello/index.ts", &e), &e);
	assert_ok("exact", has_module(data, len, "functions/hello/index.ts", &e), &e);
	assert_refused("no slash", has_module(data, len, "file:///myfunctions/hello/index.ts", &e), &e, ERR_INVALID,
		       "no module");
	assert_refused("shorter", has_module(data, len, "file:///hello/index.ts", &e), &e, ERR_INVALID, "no module");
	assert_refused("https", has_module(data, len, "https://h/functions/hello/index.ts", &e), &e, ERR_INVALID,
		       "no module");
	free(data);
}

/* Cut anywhere, an archive is refused; so is one with any byte of its checked head changed. */
static void test_damage(void **state)
{
	size_t len;
	char *data = fixture("eszip/redirect.eszip", &len);
	struct err e = ERR_INIT;
	size_t head = 8 + 4 + 4 + 32; /* magic, options */

	(void)state;
	for (size_t i = 0; i < len; i++)
		assert_refused("cut", has_module(data, i, "file:///src/index.ts", &e), &e, ERR_INVALID, "eszip");
	head += 4 + ((uint32_t)(uint8_t)data[head + 2] << 8 | (uint8_t)data[head + 3]) + 32;
	for (size_t i = 0; i < head; i++) {
		data[i] ^= 0x10;
		assert_refused("changed", has_module(data, len, "file:///src/index.ts", &e), &e, ERR_INVALID, "eszip");
		data[i] ^= 0x10;
	}
	free(data);
}

/* An archive of revision 2.2 without checksums around this table, options and data. */
static size_t archive(uint8_t *out, const char *options, size_t options_len, const char *table, size_t table_len,
		      size_t data_len)
{
	size_t n = 0;
	const struct {
		const char *data;
		size_t len;
	} sections[] = {{options, options_len}, {table, table_len}, {"", 0}, {NULL, data_len}, {"", 0}};

	memcpy(out, "ESZIP2.2", 8);
	n = 8;
	for (size_t i = 0; i < COUNT(sections); i++) {
		out[n++] = 0;
		out[n++] = 0;
		out[n++] = (uint8_t)(sections[i].len >> 8);
		out[n++] = (uint8_t)sections[i].len;
		if (sections[i].data != NULL)
			memcpy(out + n, sections[i].data, sections[i].len);
		else
			memset(out + n, ' ', sections[i].len);
		n += sections[i].len;
	}
	return n;
}

#define ROW(kind, rest) "\0\0\0\1a" kind rest
#define BYTES(s) s, sizeof(s) - 1

static void test_tables(void **state)
{
	static const struct {
		const char *what;
		const char *options;
		size_t options_len;
		const char *table;
		size_t table_len;
		size_t data_len;
		const char *message; /* NULL: accepted */
	} rows[] = {
		{"module", BYTES(""), BYTES(ROW("\0", "\0\0\0\1\0\0\0\4\0\0\0\0\0\0\0\0\0")), 5, NULL},
		{"no bytes", BYTES(""), BYTES(ROW("\0", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")), 0, NULL},
		{"wasm", BYTES("\0\0\1\0\x09\x09"), BYTES(ROW("\0", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\4")), 0, NULL},
		{"json", BYTES(""), BYTES(ROW("\0", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1")), 0, "no module a"},
		{"npm", BYTES(""), BYTES(ROW("\2", "\0\0\0\0")), 0, "no module a"},
		{"empty", BYTES(""), BYTES(""), 0, "no module a"},
		{"source outside", BYTES(""), BYTES(ROW("\0", "\0\0\0\1\0\0\0\5\0\0\0\0\0\0\0\0\0")), 5, "outside"},
		{"map outside", BYTES(""), BYTES(ROW("\0", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0")), 5, "outside"},
		{"far away", BYTES(""), BYTES(ROW("\0", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0\0\0\0\0\0")), 5,
		 "outside"},
		{"module kind", BYTES(""), BYTES(ROW("\0", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\5")), 0, "cannot be read"},
		{"entry kind", BYTES(""), BYTES(ROW("\3", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")), 0, "cannot be read"},
		{"short row", BYTES(""), BYTES(ROW("\0", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")), 0, "cannot be read"},
		{"short npm", BYTES(""), BYTES(ROW("\2", "\0\0\0")), 0, "cannot be read"},
		{"no kind", BYTES(""), BYTES("\0\0\0\1a"), 0, "cannot be read"},
		{"long name", BYTES(""), BYTES("\0\0\0\2a"), 0, "cannot be read"},
		{"huge name", BYTES(""),
		 BYTES("\xFF\xFF\xFF\xFF"
		       "a"),
		 0, "cannot be read"},
		{"short length", BYTES(""), BYTES("\0\0\0"), 0, "cannot be read"},
		{"not UTF-8", BYTES(""), BYTES("\0\0\0\1\xFF\2\0\0\0\0"), 0, "cannot be read"},
		{"short target", BYTES(""), BYTES(ROW("\1", "\0\0\0\2b")), 0, "cannot be read"},
		{"odd options", BYTES("\0"), BYTES(""), 0, "no pairs of bytes"},
		{"unknown checksum", BYTES("\0\7"), BYTES(""), 0, "checksum is not known"},
		{"unknown, with length", BYTES("\0\7\1\0"), BYTES(""), 0, "checksum is not known"},
		{"wrong length", BYTES("\0\1\1\4"), BYTES(""), 0, "wrong length for its checksums"},
		{"wrong length of none", BYTES("\1\4"), BYTES(""), 0, "wrong length for its checksums"},
	};
	struct err e = ERR_INIT;
	uint8_t data[512];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t len = archive(data, rows[i].options, rows[i].options_len, rows[i].table, rows[i].table_len,
				     rows[i].data_len);
		bool ok = has_module(data, len, "a", &e);

		if (rows[i].message == NULL)
			assert_ok(rows[i].what, ok, &e);
		else
			assert_refused(rows[i].what, ok, &e, ERR_INVALID, rows[i].message);
	}
	assert_refused("no archive", has_module("ESZIP2.9", 8, "a", &e), &e, ERR_INVALID, "not an eszip archive");
	assert_refused("npm in 2.0", has_module("ESZIP_V2", 8, "a", &e), &e, ERR_INVALID, "ends too early");
}

static bool sources(struct arena *a, const void *data, size_t len, const char *entrypoint, size_t max,
		    struct source_module **out, size_t *count, size_t *entry, struct err *e)
{
	int fd = file_with(data, len);
	bool ok = eszip_sources(fd, entrypoint, max, a, out, count, entry, e);

	assert_int_equal(close(fd), 0);
	return ok;
}

static void test_sources(void **state)
{
	static const char greet[] = "export const greet = (name: string): string => `Hello, ${name}`;\n";
	static const struct {
		const char *file;
		const char *entrypoint;
		const char *index;
		const char *greet;
	} rows[] = {
		{"eszip/hello.eszip", "file:///src/index.ts", "index.ts", "greet.ts"},
		{"eszip/v2.0-sha256.eszip", "file:///src/index.ts", "index.ts", "greet.ts"},
		{"eszip/v2.1-sha256.eszip", "file:///src/index.ts", "index.ts", "greet.ts"},
		{"eszip/v2.2-none.eszip", "file:///src/index.ts", "index.ts", "greet.ts"},
		{"eszip/v2.3-xxh3.eszip", "file:///src/index.ts", "index.ts", "greet.ts"},
		{"eszip/redirect.eszip", "file:///main.ts", "index.ts", "greet.ts"},
		{"eszip/relative.eszip", "functions/hello/index.ts", "index.ts", "greet.ts"},
		{"eszip/relative.eszip", "file:///home/me/supabase/functions/hello/index.ts",
		 "supabase/functions/hello/index.ts", "supabase/functions/hello/greet.ts"},
	};
	struct source_module *got;
	struct err e = ERR_INIT;
	size_t count;
	size_t entry;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct arena *a = arena_new(0);
		size_t len;
		char *data = fixture(rows[i].file, &len);

		assert_ok(rows[i].file, sources(a, data, len, rows[i].entrypoint, 10000, &got, &count, &entry, &e), &e);
		assert_int_equal(count, 2);
		assert_string_equal(got[entry].path, rows[i].index);
		assert_string_equal(got[1 - entry].path, rows[i].greet);
		assert_int_equal(got[1 - entry].len, sizeof greet - 1);
		assert_memory_equal(got[1 - entry].data, greet, sizeof greet - 1);
		assert_refused("too large", sources(a, data, len, rows[i].entrypoint, 60, &got, &count, &entry, &e), &e,
			       ERR_TOO_LARGE, "larger than 60 bytes");
		assert_refused("no such entry", sources(a, data, len, "file:///x.ts", 10000, &got, &count, &entry, &e),
			       &e, ERR_INVALID, "no module");
		free(data);
		arena_free(a);
	}
}

/* Whatever byte is wrong: refused, or a list with paths that an upload could have. */
static void test_damaged_sources(void **state)
{
	static const char *const names[] = {"eszip/hello.eszip", "eszip/v2.2-none.eszip", "eszip/relative.eszip"};

	(void)state;
	for (size_t n = 0; n < COUNT(names); n++) {
		size_t len;
		char *data = fixture(names[n], &len);

		for (size_t i = 0; i < len; i++) {
			struct arena *a = arena_new(0);
			struct source_module *got;
			struct err e = ERR_INIT;
			size_t count;
			size_t entry;
			char kept = data[i];

			data[i] = (char)(kept ^ 0x2F);
			if (sources(a, data, len, "file:///src/functions/hello/index.ts", 10000, &got, &count, &entry,
				    &e) ||
			    sources(a, data, len, "file:///src/index.ts", 10000, &got, &count, &entry, &e)) {
				assert_true(entry < count);
				for (size_t m = 0; m < count; m++)
					assert_true(bundle_check_path(got[m].path, 4000, &e));
			}
			data[i] = kept;
			arena_free(a);
		}
		free(data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unpack),
		cmocka_unit_test(test_unpack_refused),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_modules),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_redirects_and_relative),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_damaged_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
