#include "fs/script.h"

#include <string.h>

/* ---- The lexer ---- */

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_STRING, TOKEN_PUNCT, TOKEN_VALUE };

struct token {
	enum token_kind kind;
	const char *text; /* of a string: without its quotes */
	size_t len;
	int line;
	bool line_before; /* a line ends between this token and the one before */
};

struct lexer {
	const char *at;
	const char *end;
	int line;
	bool jsx;
	bool lost;           /* nothing can be said about this file */
	size_t in_vain;      /* bytes of what began as a string or a regular expression and proved to be none */
	size_t patience;     /* the most of them */
	struct token before; /* the last token that was given out */
};

#define MAX_NESTED 64
#define PATIENCE ((size_t)64 * 1024)

static bool is_word_start(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c == '#' || c == '\\' ||
	       c >= 0x80;
}

static bool is_word(unsigned char c)
{
	return is_word_start(c) || (c >= '0' && c <= '9');
}

static bool word_is(const struct token *t, const char *word)
{
	return t->kind == TOKEN_WORD && t->len == strlen(word) && memcmp(t->text, word, t->len) == 0;
}

static bool punct_is(const struct token *t, char c)
{
	return t->kind == TOKEN_PUNCT && t->text[0] == c;
}

/* Spaces and comments. False where a comment does not end. */
static bool skip_space(struct lexer *l)
{
	while (l->at < l->end) {
		if (*l->at == '\n') {
			l->line++;
			l->at++;
		} else if (*l->at == ' ' || *l->at == '\t' || *l->at == '\r' || *l->at == '\f' || *l->at == '\v') {
			l->at++;
		} else if (l->end - l->at >= 2 && l->at[0] == '/' && l->at[1] == '/') {
			const char *stop = memchr(l->at, '\n', (size_t)(l->end - l->at));

			l->at = stop != NULL ? stop : l->end;
		} else if (l->end - l->at >= 2 && l->at[0] == '/' && l->at[1] == '*') {
			const char *p = l->at + 2;

			for (; l->end - p >= 2 && !(p[0] == '*' && p[1] == '/'); p++)
				l->line += *p == '\n';
			if (l->end - p < 2)
				return false;
			l->at = p + 2;
		} else {
			break;
		}
	}
	return true;
}

/*
 * What was looked at as far as `end` in vain is looked at again, from its second byte on: a line of many beginnings
 * without an end would take the square of its length.
 */
static bool give_up(struct lexer *l, const char *end)
{
	l->in_vain += (size_t)(end - l->at);
	l->lost = l->lost || l->in_vain > l->patience;
	return false;
}

/* A quoted string that ends on its line; false where it does not, as an apostrophe in JSX text. */
static bool take_string(struct lexer *l, struct token *t)
{
	char quote = *l->at;
	const char *p = l->at + 1;

	while (p < l->end && *p != quote) {
		if (*p == '\n')
			return give_up(l, p);
		if (*p == '\\' && p + 1 < l->end) {
			p++;
			/* A line that goes on (LineContinuation), also one that ends in \r\n. */
			if (*p == '\r' && p + 1 < l->end && p[1] == '\n')
				p++;
			l->line += *p == '\n';
		}
		p++;
	}
	if (p >= l->end)
		return give_up(l, l->end);
	t->kind = TOKEN_STRING;
	t->text = l->at + 1;
	t->len = (size_t)(p - t->text);
	l->at = p + 1;
	return true;
}

/* A regular expression from its first slash on; false where it does not end on its line. */
static bool take_regex(struct lexer *l)
{
	bool in_class = false;
	const char *p = l->at + 1;

	for (; p < l->end && *p != '\n' && (in_class || *p != '/'); p++) {
		if (*p == '\\' && p + 1 < l->end && p[1] != '\n')
			p++;
		else if (*p == '[')
			in_class = true;
		else if (*p == ']')
			in_class = false;
	}
	if (p >= l->end || *p != '/')
		return give_up(l, p < l->end ? p : l->end);
	for (p++; p < l->end && is_word((unsigned char)*p); p++)
		;
	l->at = p;
	return true;
}

/* After these words a slash begins a regular expression; after other words it divides. */
static bool precedes_regex(const struct token *t)
{
	static const char *const words[] = {"return", "typeof",     "case",  "in",    "of",
					    "delete", "void",       "throw", "new",   "do",
					    "else",   "instanceof", "yield", "await", NULL};

	if (t->kind == TOKEN_END)
		return true;
	if (t->kind == TOKEN_PUNCT)
		return t->text[0] != ')' && t->text[0] != ']';
	for (const char *const *w = words; *w != NULL; w++)
		if (word_is(t, *w))
			return true;
	return false;
}

static bool is_regex_start(const struct lexer *l)
{
	/* "</b>" closes an element, "<br />" too. */
	if (l->before.kind == TOKEN_PUNCT && l->before.text[0] == '<' && l->before.text + 1 == l->at)
		return false;
	if (l->at + 1 < l->end && l->at[1] == '>')
		return false;
	return precedes_regex(&l->before);
}

static void next_token(struct lexer *l, struct token *t, int nested);

/* A template from its first backtick on, with the expressions in it. */
static void skip_template(struct lexer *l, int nested)
{
	if (nested > MAX_NESTED) {
		l->lost = true;
		return;
	}
	for (l->at++; l->at < l->end && *l->at != '`'; l->at++) {
		if (*l->at == '\n') {
			l->line++;
		} else if (*l->at == '\\' && l->at + 1 < l->end) {
			l->at++;
			l->line += *l->at == '\n';
		} else if (l->end - l->at >= 2 && l->at[0] == '$' && l->at[1] == '{') {
			struct token t = {.kind = TOKEN_PUNCT, .text = "{", .len = 1};
			int depth = 1;

			l->at += 2;
			l->before = t;
			while (depth > 0 && !l->lost) {
				next_token(l, &t, nested + 1);
				if (t.kind == TOKEN_END) {
					l->lost = true;
					return;
				}
				depth += punct_is(&t, '{') - punct_is(&t, '}');
			}
			if (l->lost)
				return;
			l->at--;
		}
	}
	if (l->at >= l->end)
		l->lost = true;
	else
		l->at++;
}

static void take_number(struct lexer *l)
{
	/* Letters and dots belong to it: 1e5, 0xFFn, 1_000.5. A sign after an exponent is a token of its own, which
	 * hurts nobody. */
	while (l->at < l->end && (is_word((unsigned char)*l->at) || *l->at == '.'))
		l->at++;
}

static void next_token(struct lexer *l, struct token *t, int nested)
{
	int line = l->line;
	unsigned char c;

	*t = (struct token){.kind = TOKEN_END};
	if (l->lost)
		return;
	if (!skip_space(l)) {
		l->lost = true;
		return;
	}
	t->line = l->line;
	t->line_before = l->line != line || l->before.kind == TOKEN_END;
	if (l->at >= l->end)
		return;
	c = (unsigned char)*l->at;
	t->text = l->at;
	t->kind = TOKEN_VALUE;
	if (is_word_start(c)) {
		t->kind = TOKEN_WORD;
		while (l->at < l->end && is_word((unsigned char)*l->at))
			l->at++;
		t->len = (size_t)(l->at - t->text);
	} else if (c >= '0' && c <= '9') {
		take_number(l);
	} else if (c == '`') {
		skip_template(l, nested);
		t->kind = l->lost ? TOKEN_END : TOKEN_VALUE;
	} else if ((c == '"' || c == '\'') && take_string(l, t)) {
		/* taken */
	} else if (c == '/' && is_regex_start(l) && take_regex(l)) {
		/* taken */
	} else {
		t->kind = l->lost ? TOKEN_END : TOKEN_PUNCT;
		t->len = 1;
		l->at++;
	}
	l->before = *t;
}

/* ---- Declarations ---- */

/* A declaration cannot stand behind these: what looks like one is JSX text, a property, a continued expression. */
static bool may_declare(const struct lexer *l, const struct token *before, const struct token *t)
{
	if (before->kind == TOKEN_END || punct_is(before, ';') || punct_is(before, '}'))
		return true;
	if (!t->line_before || before->kind == TOKEN_STRING || before->kind == TOKEN_VALUE)
		return t->line_before;
	if (before->kind == TOKEN_PUNCT)
		return before->text[0] == ')' || before->text[0] == ']' || (before->text[0] == '>' && !l->jsx);
	return true;
}

/* "{ a, type B }": all of them types? An empty list imports the module, too. */
struct clause {
	bool any;
	bool value;
};

static void read_names(struct lexer *l, struct token *t, struct clause *c)
{
	bool first = true;

	for (next_token(l, t, 0); t->kind != TOKEN_END && !punct_is(t, '}'); next_token(l, t, 0)) {
		c->any = true;
		if (first && !word_is(t, "type"))
			c->value = true;
		first = punct_is(t, ',');
	}
}

#define MAX_CLAUSE 64

/*
 * What follows `import` or `export`, up to the specifier; t is the first token of it. True with the specifier in t.
 * Declarations that import nothing, or types alone, are false.
 */
static bool read_clause(struct lexer *l, struct token *t, bool exports)
{
	struct clause c = {0};
	bool braces = false;
	bool other = false; /* a default or a namespace beside the braces */

	if (t->kind == TOKEN_STRING)
		return !exports;
	if (exports && !punct_is(t, '{') && !punct_is(t, '*') && !word_is(t, "type"))
		return false;
	if (word_is(t, "type")) {
		struct lexer ahead = *l;
		struct token second;

		next_token(&ahead, &second, 0);
		/* "import type from", "import type, {": a default import that is called type. */
		if (exports || !(word_is(&second, "from") || punct_is(&second, ',')))
			return false;
	}
	for (int n = 0; n < MAX_CLAUSE; n++) {
		if (word_is(t, "from")) {
			struct lexer ahead = *l;
			struct token second;

			next_token(&ahead, &second, 0);
			if (second.kind == TOKEN_STRING) {
				*l = ahead;
				*t = second;
				return other || !braces || !c.any || c.value;
			}
		}
		if (punct_is(t, '{')) {
			braces = true;
			read_names(l, t, &c);
		} else if (t->kind == TOKEN_WORD || punct_is(t, '*')) {
			other = true;
		} else if (!punct_is(t, ',')) {
			return false;
		}
		next_token(l, t, 0);
		/* `export { a }` ends at its brace, unless `from` follows. */
		if (t->kind == TOKEN_END || (exports && braces && !word_is(t, "from")))
			return false;
	}
	return false;
}

/* import("./x"), with or without more arguments. */
static bool read_dynamic(const struct lexer *l, struct token *specifier)
{
	struct lexer ahead = *l;
	struct token t;

	next_token(&ahead, &t, 0);
	if (!punct_is(&t, '('))
		return false;
	next_token(&ahead, specifier, 0);
	next_token(&ahead, &t, 0);
	return specifier->kind == TOKEN_STRING && (punct_is(&t, ')') || punct_is(&t, ','));
}

static bool report(const struct token *t, enum import_kind kind, bool (*fn)(void *ctx, const struct import *i),
		   void *ctx)
{
	const struct import found = {kind, t->text, t->len, t->line};

	/* An escape in a specifier is for a real parser. */
	return t->len == 0 || memchr(t->text, '\\', t->len) != NULL || fn(ctx, &found);
}

/* A declaration at the top level, if the word begins one. False where fn wants no more. */
static bool try_declaration(struct lexer *l, bool exports, bool (*fn)(void *ctx, const struct import *i), void *ctx)
{
	struct lexer ahead = *l;
	struct token t;

	next_token(&ahead, &t, 0);
	if (punct_is(&t, '(') || punct_is(&t, '.') || !read_clause(&ahead, &t, exports))
		return true;
	*l = ahead;
	return report(&t, IMPORT_STATIC, fn, ctx);
}

bool script_imports(const char *text, size_t len, bool jsx, bool (*fn)(void *ctx, const struct import *i), void *ctx)
{
	struct lexer l = {.at = text, .end = text + len, .line = 1, .jsx = jsx, .patience = PATIENCE + 16 * len};
	struct token before = {0};
	struct token t;
	long depth = 0;

	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		l.at += 3;
	/* A first line for the shell. */
	if (l.end - l.at >= 2 && l.at[0] == '#' && l.at[1] == '!')
		while (l.at < l.end && *l.at != '\n')
			l.at++;
	for (next_token(&l, &t, 0); t.kind != TOKEN_END; before = l.before, next_token(&l, &t, 0)) {
		bool imports = word_is(&t, "import") && !punct_is(&before, '.');
		struct token specifier;

		if (punct_is(&t, '{') || punct_is(&t, '(') || punct_is(&t, '['))
			depth++;
		else if (punct_is(&t, '}') || punct_is(&t, ')') || punct_is(&t, ']'))
			depth--;
		if (depth < 0)
			return false;
		if (imports && read_dynamic(&l, &specifier)) {
			if (!report(&specifier, IMPORT_DYNAMIC, fn, ctx))
				return true;
		} else if (depth == 0 && (imports || word_is(&t, "export")) && may_declare(&l, &before, &t)) {
			if (!try_declaration(&l, !imports, fn, ctx))
				return true;
		}
	}
	return !l.lost && depth == 0;
}
