/*
 * script - the imports that stand in a text of TypeScript or JavaScript.
 *
 * By a lexer, not a parser: comments, strings, templates, regular expressions and JSX are told apart, and import and
 * export declarations are found where only declarations can stand. Types alone (`import type`) are no imports.
 */
#ifndef FA_FS_SCRIPT_H
#define FA_FS_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

enum import_kind { IMPORT_STATIC, IMPORT_DYNAMIC };

/* One import of a file. The specifier is not terminated. */
struct import {
	enum import_kind kind;
	const char *specifier;
	size_t len;
	int line; /* from 1 */
};

/*
 * Calls fn for each import with a literal specifier, in order; fn returns false to stop. jsx: the text may hold JSX.
 * False where the lexer lost its way (a brace that is not closed, a comment without end): what was found then proves
 * nothing.
 */
bool script_imports(const char *text, size_t len, bool jsx, bool (*fn)(void *ctx, const struct import *i), void *ctx);

#endif
