#include "fs/imports.h"

#include "core/buf.h"
#include "core/text.h"
#include "fs/script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- The lexer: what it finds, as "line:specifier" in one text, "?" before dynamic ones ---- */

struct found {
	char text[512];
};

static bool add(void *ctx, const struct import *i)
{
	struct found *f = ctx;
	size_t used = strlen(f->text);

	(void)snprintf(f->text + used, sizeof f->text - used, "%s%s%d:%.*s", used > 0 ? " " : "",
		       i->kind == IMPORT_DYNAMIC ? "?" : "", i->line, (int)i->len, i->specifier);
	return true;
}

static const struct {
	const char *code;
	const char *found; /* NULL: the lexer is not sure */
} cases[] = {
	{"", ""},
	{"import './a.ts'", "1:./a.ts"},
	{"import a from \"./a.ts\";\nimport * as b from './b.ts'", "1:./a.ts 2:./b.ts"},
	{"import a, { b as c, type D } from './a.ts'", "1:./a.ts"},
	{"import a,* as b from'./a.ts'", "1:./a.ts"},
	{"import {\n  a,\n  b,\n} from './a.ts';", "4:./a.ts"},
	{"import {} from './a.ts'", "1:./a.ts"},
	{"import d from './d.json' with { type: 'json' };\nimport './e.ts'", "1:./d.json 2:./e.ts"},
	{"export * from './a.ts'; export * as n from './b.ts'; export { x, default as y } from './c.ts'",
	 "1:./a.ts 1:./b.ts 1:./c.ts"},
	{"export { x }\nimport './b.ts'", "2:./b.ts"},
	{"export {x}; const from = './a.ts'", ""},
	{"export const a = 1; export default function () { return './a' }", ""},
	{"const a = await import('./a.ts'), b = import(`./b.ts`), c = import(x)", "?1:./a.ts"},
	{"function f() { return import(\n'./a.ts', { with: {} }) }", "?2:./a.ts"},
	{"import.meta.url; import.meta.resolve('./x.ts')", ""},
	/* Types do not count. */
	{"import type { A } from './a.ts'; import type B from './b.ts'; import type * as C from './c.ts'", ""},
	{"import type from './a.ts'; import type, { x } from './b.ts'", "1:./a.ts 1:./b.ts"},
	{"import { type A, type B } from './a.ts'", ""},
	{"import { type A, b } from './a.ts'", "1:./a.ts"},
	{"import a, { type B } from './a.ts'", "1:./a.ts"},
	{"export type { A } from './a.ts'; export type * from './b.ts'; export type X = './c.ts'", ""},
	{"import x = require('./a.ts')", ""},
	{"declare module './a.ts' { export const a: number }", ""},
	/* Nor do comments, strings, templates, regular expressions. */
	{"// import './a.ts'\n/* import './b.ts'\n*/ import './c.ts'", "3:./c.ts"},
	{"const a = \"import './a.ts'\";\nconst b = 'import \"./b.ts\"'", ""},
	{"const a = `\nimport './a.ts'\n${ `import './b.ts'` + { x: '}' } }\n`;\nimport './c.ts'", "5:./c.ts"},
	{"const r = /import '.\\/a.ts'/;\nimport './b.ts'", "2:./b.ts"},
	{"const r = /['\"`]/g, s = /[/'\"]/;\nimport './b.ts'", "2:./b.ts"},
	{"return /'/.test(a) / b / 'x'.length;\nimport './b.ts'", "2:./b.ts"},
	{"const a = b / c; const q = ')' // '\nimport './b.ts'", "2:./b.ts"},
	{"const a = 'it\\'s', b = 'x\\\ny';\nimport './b.ts'", "3:./b.ts"},
	{"a.import('./a.ts'); a.import\n('./b.ts'); ({ import: './c.ts', from: './d.ts' })", ""},
	{"#!/usr/bin/env deno\nimport './a.ts'", "2:./a.ts"},
	{"\xEF\xBB\xBFimport './a.ts'", "1:./a.ts"},
	{"import './a.ts'\r\nimport './b.ts'\r\n", "1:./a.ts 2:./b.ts"},
	{"import './a\\u002ets'", ""},
	{"class A { #x = 1; static #y() { return this.#x } }\nimport './b.ts'", "2:./b.ts"},
	{"const n = 1_000.5e-3 + 0xFFn + .5;\nimport './b.ts'", "2:./b.ts"},
	{"type A = Map<string, Array<number>>\nimport './b.ts'", "2:./b.ts"},
	/* JSX */
	{"const a = <p>Don't {b} <br/> it's</p>;\nimport './b.ts'", "2:./b.ts"},
	{"function A() { return (<pre>\nimport x from './x.ts'\n</pre>) }\nimport './b.ts'", "4:./b.ts"},
	{"const a = <pre>\nimport x from './x.ts'\n</pre>", ""},
	{"const a = <a href=\"x\">http://example.com</a>", ""},
	/* Lost. */
	{"import './a.ts'; function f() {", NULL},
	{"import './a.ts'; }", NULL},
	{"import './a.ts'; /* ", NULL},
	{"import './a.ts'; `", NULL},
	{"`${`${`", NULL},
};

static void imports_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct found f = {""};
		bool jsx = strchr(cases[i].code, '<') != NULL && strstr(cases[i].code, "Map<") == NULL;
		bool sure = script_imports(cases[i].code, strlen(cases[i].code), jsx, add, &f);

		if (sure != (cases[i].found != NULL))
			fail_msg("the lexer is %s of: %s", sure ? "sure" : "not sure", cases[i].code);
		if (sure && !text_eq(f.text, cases[i].found))
			fail_msg("%s\n  has: %s\n  and not: %s", cases[i].code, cases[i].found, f.text);
	}
}

/* ---- The check: files as {path, content, ...}, sorted ---- */

static bool read_file(void *ctx, size_t index, void *out, size_t len, struct err *e)
{
	const char *const *files = ctx;

	(void)e;
	memcpy(out, files[2 * index + 1], len);
	return true;
}

static bool check(const char *const *files, const char *entrypoint, const char *map, const char *hosts, struct err *e)
{
	struct arena *a = arena_new(0);
	const char *paths[16];
	size_t sizes[16];
	struct imports_tree tree = {.paths = paths, .sizes = sizes, .read = read_file, .ctx = (void *)(uintptr_t)files};
	bool ok;

	*e = (struct err)ERR_INIT;
	for (; files[2 * tree.count] != NULL; tree.count++) {
		paths[tree.count] = files[2 * tree.count];
		sizes[tree.count] = strlen(files[2 * tree.count + 1]);
	}
	ok = imports_check(a, &tree, entrypoint, map, hosts, e);
	arena_free(a);
	return ok;
}

#define FILES(...)                                                                                                     \
	(const char *const[])                                                                                          \
	{                                                                                                              \
		__VA_ARGS__, NULL                                                                                      \
	}

static void assert_accepted(const char *const *files, const char *map)
{
	struct err e;

	if (!check(files, files[0], map, NULL, &e))
		fail_msg("%s", e.message);
}

static void assert_found(const char *const *files, const char *map, const char *code, const char *message)
{
	struct err e;

	if (check(files, files[0], map, NULL, &e))
		fail_msg("nothing was found; expected: %s", message);
	assert_int_equal(e.kind, ERR_INVALID);
	assert_string_equal(e.code, code);
	assert_string_equal(e.message, message);
}

static void missing_files_are_named(void **state)
{
	(void)state;
	assert_found(FILES("index.ts", "\nimport './gone.ts'"), NULL, "import_missing",
		     "index.ts, line 2: the import \"./gone.ts\" is not among the uploaded files");
	assert_found(FILES("f/index.ts", "import '../a/b.ts'", "f/x.ts", ""), NULL, "import_missing",
		     "f/index.ts, line 1: the import \"../a/b.ts\" is not among the uploaded files");
	assert_found(FILES("a.ts", "export * from './b.ts'", "b.ts", "import x from './c/d.ts'", "c/d.ts",
			   "\n\nimport '../gone.js'"),
		     NULL, "import_missing",
		     "c/d.ts, line 3: the import \"../gone.js\" is not among the uploaded files");
	assert_found(FILES("index.ts", "import '../_shared/cors.ts'"), NULL, "import_outside",
		     "index.ts, line 1: the import \"../_shared/cors.ts\" leads out of the uploaded files");
}

static void what_would_boot_passes(void **state)
{
	(void)state;
	assert_accepted(FILES("a.ts", "import './b.ts'; import './dir/../b.ts?x#y'; import './c%20d.ts'", "b.ts",
			      "import './a.ts'", "c d.ts", ""),
			NULL);
	assert_accepted(
		FILES("a.ts",
		      "import x from 'npm:x'; import y from 'https://esm.sh/y'; import z from 'bare'; import n from "
		      "'node:fs'; import '/root.ts'; import 'file:///x.ts'"),
		NULL);
	assert_accepted(FILES("a.ts", "if (x) await import('./gone.ts'); import type { A } from './types.ts'"), NULL);
	assert_accepted(
		FILES("a.ts", "import './b'; import './c.js'; import './d'", "b.ts", "", "c.ts", "", "d/index.ts", ""),
		NULL);
	assert_accepted(FILES("a.ts", "export {}", "unused.ts", "import './gone.ts'"), NULL);
	assert_accepted(
		FILES("a.ts", "import './b.d.ts'; import './c.json'", "b.d.ts", "import './gone.ts'", "c.json", "{"),
		NULL);
	assert_accepted(FILES("a.ts", "import './gone.ts'; {"), NULL);
	assert_accepted(FILES("a.wasm", "import './gone.ts'"), NULL);
}

static void the_import_map_applies(void **state)
{
	static const char map[] =
		"{ // comment\n \"imports\": {\"lib/\": \"./lib/\", \"x\": \"./lib/x.ts\", \"r\": \"npm:r\",},\n"
		" /* more */ \"scopes\": {\"./lib/\": {\"x\": \"./other.ts\"}}, }";

	(void)state;
	assert_accepted(FILES("a.ts", "import 'lib/x.ts'; import 'x'; import 'r'; import 'unknown'", "deno.json", map,
			      "lib/x.ts", "import 'x'", "other.ts", ""),
			"deno.json");
	assert_found(FILES("a.ts", "import 'lib/y.ts'", "deno.json", map, "lib/x.ts", ""), "deno.json",
		     "import_missing", "a.ts, line 1: the import \"lib/y.ts\" is not among the uploaded files");
	assert_found(FILES("a.ts", "import 'x'", "deno.json", map, "lib/x.ts", "import 'x'"), "deno.json",
		     "import_missing", "lib/x.ts, line 1: the import \"x\" is not among the uploaded files");
	assert_accepted(
		FILES("a.ts", "import './anything.ts'", "deno.json", "{\"imports\": {\"./anything.ts\": \"npm:x\"}}"),
		"deno.json");
	assert_accepted(FILES("a.ts", "import 'x'", "deno.json", "{\"importMap\": \"./map.json\"}", "map.json",
			      "{\"imports\": {\"x\": \"./a.ts\"}}"),
			"deno.json");
	assert_found(FILES("a.ts", "", "deno.json", "{\n  \"imports\": nonsense\n}"), "deno.json", "import_map_invalid",
		     "The import map deno.json is no JSON (line 2: invalid token near 'nonsense')");
}

static void hosts_are_a_policy(void **state)
{
	struct err e;

	(void)state;
	assert_true(check(FILES("a.ts", "import 'https://esm.sh/x'; import 'https://deno.land/x'; import 'npm:x'"),
			  "a.ts", NULL, "deno.land, esm.sh", &e));
	assert_true(check(FILES("a.ts", "import 'https://cdn.esm.sh:443/x'"), "a.ts", NULL, "*.esm.sh", &e));
	assert_false(check(FILES("a.ts", "import 'https://evil.example/x'"), "a.ts", NULL, "deno.land, *.esm.sh", &e));
	assert_string_equal(e.code, "import_host");
	assert_string_equal(e.message,
			    "a.ts, line 1: the import \"https://evil.example/x\" is from a host that is not allowed");
	assert_false(check(FILES("a.ts", "await import('https://evilesm.sh/x')"), "a.ts", NULL, "*.esm.sh", &e));
}

static void a_host_is_what_a_url_parser_takes_for_it(void **state)
{
	static const char *const elsewhere[] = {
		"import 'https://esm.sh@evil.example/x'",
		"import 'https://esm.sh:x@evil.example/x'",
		"import 'HTTPS://evil.example/x'",
		"import 'https:evil.example/x'",
		"import 'https:////evil.example/esm.sh'",
		"import ' https://evil.example/x'",
		"import 'https://evil.example?@esm.sh/x'",
		"import 'https://evil.example#@esm.sh/x'",
		"import 'https://[::1]:443/esm.sh'",
		"import 'https://x@esm.sh@evil.example'",
		"import 'https://'",
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
		if (check(FILES("a.ts", elsewhere[i]), "a.ts", NULL, "esm.sh, *.esm.sh", &e) ||
		    !text_eq(e.code, "import_host"))
			fail_msg("%s passes", elsewhere[i]);
	/* By the import map, too, where a backslash is what it is for a URL: a slash. */
	assert_false(check(
		FILES("a.ts", "import 'x'", "m.json", "{\"imports\": {\"x\": \"https://evil.example\\\\@esm.sh/\"}}"),
		"a.ts", "m.json", "esm.sh", &e));
	assert_string_equal(e.code, "import_host");
	assert_true(check(FILES("a.ts", "import 'https://Me:secret@ESM.sh:443/x'; import 'httpsx'; import 'http-x:y'"),
			  "a.ts", NULL, "esm.sh", &e));
}

/* What a hostile upload would keep the checks busy with: each of these took minutes, or hours. */
static void the_work_is_bounded(void **state)
{
	static const char *const patterns[] = {"\\'", "/[", "\\\""};
	struct buf text = BUF_INIT(8 * 1024 * 1024);
	struct buf map = BUF_INIT(8 * 1024 * 1024);
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
		buf_clear(&text);
		buf_puts(&text, "import './gone.ts'\n'");
		while (text.len < 3 * 1024 * 1024)
			buf_puts(&text, patterns[i]);
		/* The lexer is not sure of such a file, and says so. */
		assert_true(check(FILES("a.ts", text.data), "a.ts", NULL, NULL, &e));
	}
	buf_clear(&text);
	while (text.len < 2 * 1024 * 1024)
		buf_puts(&text, "import'x/y'\n");
	buf_puts(&map, "{\"imports\":{");
	for (int i = 0; map.len < 3 * 1024 * 1024; i++)
		buf_printf(&map, "\"x/%d/\":\"./y/\",", i);
	buf_puts(&map, "\"z\":\"./z.ts\"}}");
	assert_true(check(FILES("a.ts", text.data, "m.json", map.data), "a.ts", "m.json", NULL, &e));
	buf_clear(&map);
	buf_puts(&map, "{\"scopes\":{");
	for (int i = 0; i < 257; i++)
		buf_printf(&map, "%s\"./%d/\":{}", i > 0 ? "," : "", i);
	buf_puts(&map, "}}");
	assert_found(FILES("a.ts", text.data, "m.json", map.data), "m.json", "import_map_invalid",
		     "The import map m.json has more than 256 scopes");
	buf_free(&map);
	buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(imports_are_found),      cmocka_unit_test(missing_files_are_named),
		cmocka_unit_test(what_would_boot_passes), cmocka_unit_test(the_import_map_applies),
		cmocka_unit_test(hosts_are_a_policy),     cmocka_unit_test(a_host_is_what_a_url_parser_takes_for_it),
		cmocka_unit_test(the_work_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
