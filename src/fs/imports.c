#include "fs/imports.h"

#include "core/json.h"
#include "core/text.h"
#include "fs/script.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- Paths ---- */

/* The directory of "a/b/c.ts" is "a/b"; of "c.ts", "". */
static char *directory_of(struct arena *a, const char *path)
{
	const char *slash = strrchr(path, '/');

	return arena_strndup(a, path, slash != NULL ? (size_t)(slash - path) : 0);
}

/* Joins and takes out "." and ".."; *outside where ".." leads above the upload. NULL when memory is out. */
static char *join(struct arena *a, const char *directory, const char *relative, bool *outside)
{
	char *whole = arena_printf(a, "%s/%s", directory, relative);
	char *out = whole != NULL ? arena_alloc(a, strlen(whole) + 2) : NULL;
	size_t used = 0;

	*outside = false;
	if (out == NULL)
		return NULL;
	for (char *p = whole; *p != '\0';) {
		size_t len = strcspn(p, "/");

		if (len == 2 && memcmp(p, "..", 2) == 0) {
			*outside = *outside || used == 0;
			while (used > 0 && out[--used] != '/')
				;
		} else if (len > 0 && !(len == 1 && *p == '.')) {
			if (used > 0)
				out[used++] = '/';
			memcpy(out + used, p, len);
			used += len;
		}
		p += len + (p[len] == '/');
	}
	out[used] = '\0';
	return out;
}

static int compare(const void *key, const void *item)
{
	return strcmp(key, *(const char *const *)item);
}

/* The place of a file among the tree's; -1 where it is not there. */
static long find_file(const struct imports_tree *tree, const char *path)
{
	const char *const *found =
		tree->count > 0 ? bsearch(path, tree->paths, tree->count, sizeof *tree->paths, compare) : NULL;

	return found != NULL ? (long)(found - tree->paths) : -1;
}

/* The file itself, or one that a lenient resolver takes for it: "./x" for x.ts, "./x.js" for x.ts, a folder's index. */
static long find_lenient(struct arena *a, const struct imports_tree *tree, const char *path)
{
	static const char *const endings[] = {".ts",       ".tsx",       ".js",        ".jsx",      ".mjs",
					      ".mts",      ".json",      ".d.ts",      "/index.ts", "/index.tsx",
					      "/index.js", "/index.jsx", "/index.mjs", "/mod.ts"};
	long found = find_file(tree, path);
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; found < 0 && i < sizeof endings / sizeof endings[0]; i++) {
		const char *longer = arena_printf(a, "%s%s", path, endings[i]);
		const char *other = dot != NULL && strchr(dot, '/') == NULL
					    ? arena_printf(a, "%.*s%s", (int)(dot - path), path, endings[i])
					    : longer;

		if (longer == NULL || other == NULL)
			return -1;
		found = find_file(tree, longer);
		if (found < 0)
			found = find_file(tree, other);
	}
	return found;
}

static bool is_relative(const char *s)
{
	return text_starts(s, "./") || text_starts(s, "../");
}

/* A specifier as a path: without query and fragment, escapes decoded. NULL for what is no plain path. */
static char *as_path(struct arena *a, const char *specifier)
{
	return text_url_decode(a, specifier, strcspn(specifier, "?#"), false);
}

/* ---- The import map ---- */

/* Each scope is looked at for each file: no map of a function has as many. */
#define MAX_SCOPES 256
/* Of a specifier that a prefix of the map is looked for in. */
#define MAX_SPECIFIER ((size_t)4000)

struct scope {
	const char *place; /* the path that it is for, of the upload */
	size_t written;    /* how long it stands in the map: the longer one goes first */
	json_t *table;
};

struct map {
	json_t *imports;
	struct scope *scopes;
	size_t scope_count;
	const char *directory;
	bool paths; /* a key of it stands for a path: then a relative import may be anything */
};

/* JSON with comments and trailing commas to JSON: both become spaces, so that lines stay. */
static void plain_json(char *text, size_t len)
{
	size_t comma = SIZE_MAX;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"') {
			for (i++; i < len && text[i] != '"'; i++)
				i += text[i] == '\\';
			comma = SIZE_MAX;
		} else if (text[i] == '/' && i + 1 < len && text[i + 1] == '/') {
			while (i < len && text[i] != '\n')
				text[i++] = ' ';
		} else if (text[i] == '/' && i + 1 < len && text[i + 1] == '*') {
			while (i < len && !(text[i] == '*' && i + 1 < len && text[i + 1] == '/')) {
				if (text[i] != '\n')
					text[i] = ' ';
				i++;
			}
			if (i + 1 < len)
				text[i] = text[i + 1] = ' ';
		} else if (text[i] == ',') {
			comma = i;
		} else if (text[i] == '}' || text[i] == ']') {
			if (comma != SIZE_MAX)
				text[comma] = ' ';
			comma = SIZE_MAX;
		} else if (strchr(" \t\r\n", text[i]) == NULL) {
			comma = SIZE_MAX;
		}
	}
}

static void drop_json(void *doc)
{
	json_decref(doc);
}

static bool read_text(struct arena *a, const struct imports_tree *tree, size_t index, char **out, size_t *len,
		      struct err *e)
{
	*len = tree->sizes[index] < IMPORTS_MAX_FILE ? tree->sizes[index] : IMPORTS_MAX_FILE;
	*out = arena_alloc(a, *len + 1);
	if (*out == NULL)
		return err_no_memory(e);
	return tree->read(tree->ctx, index, *out, *len, e);
}

static bool maps_paths(const json_t *table)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)table, name, value)
		if (is_relative(name) || name[0] == '/' || text_starts(name, "file:"))
			return true;
	return false;
}

static bool read_scopes(struct arena *a, const json_t *scopes, const char *path, struct map *out, struct err *e)
{
	size_t count = json_object_size(scopes);
	const char *prefix;
	json_t *table;

	if (count > MAX_SCOPES) {
		(void)err_set(e, ERR_INVALID, "import_map_invalid", "The import map %s has more than %d scopes", path,
			      MAX_SCOPES);
		return err_hint(e, "Put what several scopes have in common into \"imports\".");
	}
	out->scopes = arena_array(a, count + 1, sizeof *out->scopes);
	if (out->scopes == NULL)
		return err_no_memory(e);
	json_object_foreach ((json_t *)(uintptr_t)scopes, prefix, table) {
		bool outside = false;
		char *place = is_relative(prefix) ? join(a, out->directory, prefix, &outside) : NULL;

		if (is_relative(prefix) && place == NULL)
			return err_no_memory(e);
		out->paths = out->paths || maps_paths(table);
		if (place != NULL && !outside)
			out->scopes[out->scope_count++] = (struct scope){place, strlen(prefix), table};
	}
	return true;
}

static bool load_map(struct arena *a, const struct imports_tree *tree, const char *path, bool follow, struct map *out,
		     struct err *e)
{
	long index = find_file(tree, path);
	const json_t *scopes;
	json_error_t why;
	const char *other;
	size_t len;
	size_t skip;
	char *text;
	json_t *doc;

	*out = (struct map){.directory = directory_of(a, path)};
	if (out->directory == NULL)
		return err_no_memory(e);
	if (index < 0)
		return true;
	if (!read_text(a, tree, (size_t)index, &text, &len, e))
		return false;
	skip = len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
	plain_json(text + skip, len - skip);
	doc = json_load(text + skip, len - skip, 0, &why);
	if (doc == NULL && json_error_code(&why) == json_error_out_of_memory)
		return err_no_memory(e);
	if (doc == NULL) {
		/* jansson refuses some escapes that other readers take. */
		if (strstr(text, "\\u") != NULL)
			return true;
		(void)err_set(e, ERR_INVALID, "import_map_invalid", "The import map %s is no JSON (line %d: %s)", path,
			      why.line, why.text);
		return err_hint(e, "Comments and trailing commas are fine; anything else must be JSON.");
	}
	if (!arena_defer(a, drop_json, doc))
		return err_no_memory(e);
	out->imports = json_object_get(doc, "imports");
	scopes = json_object_get(doc, "scopes");
	/* A deno.json may name another file as its map. */
	other = json_string_value(json_object_get(doc, "importMap"));
	if (follow && other != NULL && out->imports == NULL && scopes == NULL) {
		bool outside;
		char *target = join(a, out->directory, other, &outside);

		if (target == NULL)
			return err_no_memory(e);
		return outside || find_file(tree, target) < 0 || load_map(a, tree, target, false, out, e);
	}
	out->paths = maps_paths(out->imports);
	return read_scopes(a, scopes, path, out, e);
}

/* The address for a specifier in one table: the exact name, or the longest one that ends in '/'. NULL for none. */
static const char *look_up(struct arena *a, const json_t *table, const char *specifier)
{
	const char *address = json_string_value(json_object_get(table, specifier));
	size_t len = strlen(specifier);
	char prefix[MAX_SPECIFIER + 1];

	if (address != NULL || len > MAX_SPECIFIER || json_object_size(table) == 0)
		return address;
	memcpy(prefix, specifier, len);
	for (; len > 0; len--) {
		if (prefix[len - 1] != '/')
			continue;
		prefix[len] = '\0';
		address = json_string_value(json_object_get(table, prefix));
		if (address != NULL)
			return arena_printf(a, "%s%s", address, specifier + len);
	}
	return NULL;
}

/* The map's own address for a bare name, as seen from a file; NULL for none. */
static const char *map_name(struct arena *a, const struct map *m, const char *from, const char *specifier)
{
	const char *address = NULL;
	size_t longest = 0;

	for (size_t i = 0; i < m->scope_count; i++) {
		const struct scope *s = &m->scopes[i];
		const char *here =
			s->written >= longest && text_starts(from, s->place) ? look_up(a, s->table, specifier) : NULL;

		if (here != NULL) {
			longest = s->written;
			address = here;
		}
	}
	return address != NULL ? address : look_up(a, m->imports, specifier);
}

/* ---- The check ---- */

struct check {
	struct arena *arena;
	const struct imports_tree *tree;
	const char *hosts;
	struct map map;
	bool lenient; /* only what is reached is of interest */
	bool *seen;
	size_t *queue;
	size_t queued;
	/* The file at hand. */
	const char *from;
	const char *directory;
	struct err *e;
	bool failed;        /* memory is out */
	struct err finding; /* the first import that leads nowhere; counts if the lexer reaches the end of the file */
	bool has_finding;
	size_t *found;
	size_t found_count;
	size_t found_max;
};

static const char missing_hint[] =
	"Upload that file as well. The Supabase CLI leaves out, with a warning only, what lies "
	"outside of its project folder: move it below supabase/functions/_shared.";

static bool refuse(struct check *c, const struct import *i, const char *code, const char *what, const char *hint)
{
	if (c->has_finding)
		return true;
	c->has_finding = true;
	(void)err_set(&c->finding, ERR_INVALID, code, "%s, line %d: the import \"%.*s\" %s", c->from, i->line,
		      i->len > 200 ? 200 : (int)i->len, i->specifier, what);
	(void)err_hint(&c->finding, "%s", hint);
	return true;
}

/*
 * The host that a runtime would ask for this specifier, as the URL Standard reads it (url.spec.whatwg.org): blanks
 * before it do not count, nor does the case of the scheme or how many slashes, of whatever kind, follow it; what
 * stands before an '@' is no host. False for what is no URL of HTTP.
 */
static bool host_of(const char *url, const char **host, size_t *len)
{
	const char *at;

	while (*url > 0 && *url <= ' ')
		url++;
	if (strncasecmp(url, "http", 4) != 0)
		return false;
	url += 4 + (url[4] == 's' || url[4] == 'S');
	if (*url != ':')
		return false;
	url += 1 + strspn(url + 1, "/\\");
	*len = strcspn(url, "/\\?#");
	at = memrchr(url, '@', *len);
	if (at != NULL) {
		*len -= (size_t)(at + 1 - url);
		url = at + 1;
	}
	*host = url;
	if (*url != '[') {
		const char *port = memchr(url, ':', *len);

		*len = port != NULL ? (size_t)(port - url) : *len;
	}
	return true;
}

static bool is_host_allowed(const char *hosts, const char *host, size_t len)
{
	while (*hosts != '\0') {
		size_t n = strcspn(hosts, ", ");

		if (n == len && n > 0 && strncasecmp(hosts, host, n) == 0)
			return true;
		if (n > 2 && n - 1 < len && memcmp(hosts, "*.", 2) == 0 &&
		    strncasecmp(hosts + 1, host + len - (n - 1), n - 1) == 0)
			return true;
		hosts += n + strspn(hosts + n, ", ");
	}
	return false;
}

static bool check_host(struct check *c, const struct import *i, const char *url)
{
	const char *host;
	size_t len;

	if (c->hosts == NULL || !host_of(url, &host, &len) || is_host_allowed(c->hosts, host, len))
		return true;
	return refuse(c, i, "import_host", "is from a host that is not allowed",
		      "The option import_hosts lists the hosts that functions may import from.");
}

static bool no_memory(struct check *c)
{
	c->failed = true;
	return err_no_memory(c->e);
}

/* A file of the upload was named: look for it. */
static bool check_path(struct check *c, const struct import *i, const char *directory, const char *address)
{
	char *relative = as_path(c->arena, address);
	bool outside = false;
	char *path;
	long index;

	if (relative == NULL)
		return true;
	path = join(c->arena, directory, relative, &outside);
	if (path == NULL)
		return no_memory(c);
	if (i->kind == IMPORT_DYNAMIC || c->map.paths)
		return true;
	if (outside)
		return refuse(c, i, "import_outside", "leads out of the uploaded files", missing_hint);
	index = find_lenient(c->arena, c->tree, path);
	if (index < 0)
		return refuse(c, i, "import_missing", "is not among the uploaded files", missing_hint);
	if (!c->seen[index] && c->found_count < c->found_max)
		c->found[c->found_count++] = (size_t)index;
	return true;
}

static bool check_import(void *ctx, const struct import *i)
{
	struct check *c = ctx;
	const char *address;
	char *specifier;

	/* One finding is told of; the rest of the file only says whether the lexer was sure. */
	if (c->has_finding && !c->lenient)
		return true;
	specifier = arena_strndup(c->arena, i->specifier, i->len);
	if (specifier == NULL)
		return no_memory(c);
	if (is_relative(specifier))
		return check_path(c, i, c->directory, specifier);
	address = map_name(c->arena, &c->map, c->from, specifier);
	if (address == NULL)
		return check_host(c, i, specifier);
	return is_relative(address) ? check_path(c, i, c->map.directory, address) : check_host(c, i, address);
}

static bool is_code(const char *path, bool *jsx)
{
	static const char *const endings[] = {".ts", ".mts", ".js", ".mjs", ".jsx", ".tsx"};

	/* JSX may stand in .js too. */
	*jsx = text_ends(path, ".jsx") || text_ends(path, ".tsx") || text_ends(path, ".js");
	for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
		if (text_ends(path, endings[i]))
			return !text_ends(path, ".d.ts") && !text_ends(path, ".d.mts");
	return false;
}

/* One file: what it imports is queued, unless the lexer was not sure of it. */
static bool check_file(struct check *c, size_t index, struct err *e)
{
	size_t len = c->tree->sizes[index];
	bool jsx;
	char *text;
	bool sure;

	c->from = c->tree->paths[index];
	c->directory = directory_of(c->arena, c->from);
	c->has_finding = false;
	c->found_count = 0;
	if (!is_code(c->from, &jsx) || len > IMPORTS_MAX_FILE)
		return true;
	if (c->directory == NULL)
		return err_no_memory(e);
	if (!read_text(c->arena, c->tree, index, &text, &len, e))
		return false;
	sure = script_imports(text, len, jsx, check_import, c);
	if (c->failed)
		return false;
	if (sure && c->has_finding && !c->lenient) {
		*e = c->finding;
		return false;
	}
	for (size_t i = 0; sure && i < c->found_count; i++)
		if (!c->seen[c->found[i]]) {
			c->seen[c->found[i]] = true;
			c->queue[c->queued++] = c->found[i];
		}
	return true;
}

static bool follow(struct check *c, const char *entrypoint, const char *import_map, struct err *e)
{
	const struct imports_tree *tree = c->tree;
	long first = find_file(tree, entrypoint);
	size_t total = 0;

	c->e = e;
	c->found_max = tree->count;
	c->queue = arena_array(c->arena, tree->count, sizeof *c->queue);
	c->found = arena_array(c->arena, tree->count, sizeof *c->found);
	if (c->seen == NULL || c->queue == NULL || c->found == NULL)
		return err_no_memory(e);
	if (import_map != NULL && !load_map(c->arena, tree, import_map, true, &c->map, e))
		return false;
	if (first < 0)
		return true;
	c->seen[first] = true;
	c->queue[c->queued++] = (size_t)first;
	for (size_t i = 0; i < c->queued; i++) {
		total += tree->sizes[c->queue[i]];
		if (total > IMPORTS_MAX_TOTAL)
			return true;
		if (!check_file(c, c->queue[i], e))
			return false;
	}
	return true;
}

bool imports_check(struct arena *a, const struct imports_tree *tree, const char *entrypoint, const char *import_map,
		   const char *hosts, struct err *e)
{
	struct check c = {.arena = a, .tree = tree, .hosts = hosts};

	c.seen = arena_array(a, tree->count, sizeof *c.seen);
	return follow(&c, entrypoint, import_map, e);
}

bool imports_reach(struct arena *a, const struct imports_tree *tree, const char *entrypoint, const char *import_map,
		   bool *reached, struct err *e)
{
	struct check c = {.arena = a, .tree = tree, .seen = reached, .lenient = true};

	memset(reached, 0, tree->count * sizeof *reached);
	return follow(&c, entrypoint, import_map, e);
}
