#include "fs/eszip.h"

#include "core/text.h"
#include "fs/bundle.h"

#include <brotli/decode.h>
#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)64 * 1024)
/* The table of 100,000 modules with specifiers of 150 bytes; more is no edge function. */
#define MAX_TABLE ((uint32_t)16 * 1024 * 1024)
/* Of a file's path in the answer. */
#define MAX_SOURCE_PATH 4000
/* The longest chain of redirects from the entry point to a module. */
#define MAX_REDIRECTS 32

#define MAGIC_SIZE 8
#define SHA256_SIZE crypto_hash_sha256_BYTES

/* Oldest first; the index is the revision. */
static const char magics[][MAGIC_SIZE + 1] = {"ESZIP_V2", "ESZIP2.1", "ESZIP2.2", "ESZIP2.3"};

/* The revision whose magic stands at `data`, or -1. */
static int revision_of(const void *data)
{
	for (int i = 0; i < (int)(sizeof magics / sizeof magics[0]); i++)
		if (memcmp(data, magics[i], MAGIC_SIZE) == 0)
			return i;
	return -1;
}

static bool not_eszip(struct err *e)
{
	return err_set(e, ERR_INVALID, "invalid_eszip",
		       "The bundle is not an eszip archive of a revision that the runtime reads (2.0 to 2.3)");
}

/* ---- Unpacking ---- */

/* Where the archive goes: its first bytes are looked at, its size is held to the limit. */
struct sink {
	int fd;
	int64_t max;
	int64_t size;
	char magic[MAGIC_SIZE];
};

static bool sink_put(struct sink *s, const uint8_t *data, size_t len, struct err *e)
{
	for (size_t i = 0; i < len && s->size + (int64_t)i < MAGIC_SIZE; i++)
		s->magic[s->size + (int64_t)i] = (char)data[i];
	if ((int64_t)len > s->max - s->size) {
		(void)err_set(e, ERR_TOO_LARGE, "eszip_too_large", "The bundle expands to more than %lld bytes",
			      (long long)s->max);
		return err_hint(e, "The limit is the option max_eszip_bytes.");
	}
	s->size += (int64_t)len;
	/* Looked at as early as possible: a bomb that is no archive is not written out first. */
	if (s->size >= MAGIC_SIZE && revision_of(s->magic) < 0)
		return not_eszip(e);
	while (len > 0) {
		ssize_t n = write(s->fd, data, len);

		if (n < 0 && errno != EINTR)
			return err_errno(e, errno, "Cannot write the unpacked bundle");
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return true;
}

/* Up to PIECE bytes at *pos, which moves on; 0 at the end. */
static bool read_piece(int fd, int64_t *pos, uint8_t *out, size_t *n, struct err *e)
{
	ssize_t got;

	do
		got = pread(fd, out, PIECE, *pos);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_errno(e, errno, "Cannot read the bundle");
	*pos += got;
	*n = (size_t)got;
	return true;
}

static bool copy_plain(int in_fd, uint8_t *piece, struct sink *s, struct err *e)
{
	int64_t pos = 0;
	size_t n = 0;

	do {
		if (!read_piece(in_fd, &pos, piece, &n, e) || !sink_put(s, piece, n, e))
			return false;
	} while (n > 0);
	return true;
}

static bool broken_brotli(struct err *e, const char *how)
{
	return err_set(e, ERR_INVALID, "invalid_eszip", "The bundle's brotli stream %s", how);
}

/* piece: room for two pieces, compressed and expanded. */
static bool decompress(int in_fd, int64_t pos, uint8_t *piece, struct sink *s, BrotliDecoderState *brotli,
		       struct err *e)
{
	const uint8_t *in = piece;
	size_t in_left = 0;
	BrotliDecoderResult result = BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT;

	while (result != BROTLI_DECODER_RESULT_SUCCESS) {
		uint8_t *out = piece + PIECE;
		size_t out_left = PIECE;

		if (result == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT) {
			in = piece;
			if (!read_piece(in_fd, &pos, piece, &in_left, e))
				return false;
			if (in_left == 0)
				return broken_brotli(e, "ends before it is complete");
		}
		result = BrotliDecoderDecompressStream(brotli, &in_left, &in, &out_left, &out, NULL);
		if (result == BROTLI_DECODER_RESULT_ERROR)
			return broken_brotli(e, "is broken");
		if (!sink_put(s, piece + PIECE, PIECE - out_left, e))
			return false;
	}
	if (in_left == 0 && !read_piece(in_fd, &pos, piece, &in_left, e))
		return false;
	return in_left == 0 || broken_brotli(e, "is followed by other bytes");
}

bool eszip_unpack(int in_fd, int out_fd, int64_t max_bytes, int64_t *size, struct err *e)
{
	struct sink s = {.fd = out_fd, .max = max_bytes};
	uint8_t *piece = malloc(2 * PIECE);
	BrotliDecoderState *brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL);
	int64_t pos = 0;
	size_t n = 0;
	bool ok = false;

	if (piece == NULL || brotli == NULL) {
		(void)err_no_memory(e);
		goto out;
	}
	if (!read_piece(in_fd, &pos, piece, &n, e))
		goto out;
	if (n >= 4 && memcmp(piece, "EZBR", 4) == 0)
		ok = decompress(in_fd, 4, piece, &s, brotli, e);
	else if (n >= MAGIC_SIZE && revision_of(piece) >= 0)
		ok = copy_plain(in_fd, piece, &s, e);
	else
		(void)err_set(e, ERR_INVALID, "invalid_eszip",
			      "The bundle is neither EZBR (brotli) nor an eszip archive");
	if (ok && s.size < MAGIC_SIZE)
		ok = not_eszip(e);
	if (ok)
		*size = s.size;
out:
	BrotliDecoderDestroyInstance(brotli);
	free(piece);
	return ok;
}

/* ---- The module table ---- */

/* Revisions 2.2 and later state these in an options section; the ones before always use SHA-256. */
enum checksum { CHECKSUM_NONE = 0, CHECKSUM_SHA256 = 1, CHECKSUM_XXH3 = 2 };

struct archive {
	int fd;
	int64_t pos;
	int64_t size;
	int checksum;
	uint8_t checksum_size;
	uint8_t *table;
	uint32_t table_len;
	int64_t sources_at; /* where the sources and the source maps begin */
	int64_t maps_at;
	uint64_t sources_end; /* the furthest byte of the sources section that the table speaks of */
	uint64_t maps_end;
};

/* One row of the table. The strings are not NUL-terminated. */
struct entry {
	const uint8_t *name;
	uint32_t name_len;
	uint8_t kind;
	uint8_t module_kind;
	uint32_t source_at, source_len, map_at, map_len;
	const uint8_t *target;
	uint32_t target_len;
};

enum { ENTRY_MODULE = 0, ENTRY_REDIRECT = 1, ENTRY_NPM = 2 };
enum { MODULE_JAVASCRIPT = 0, MODULE_WASM = 4 };

static bool broken(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, "invalid_eszip", "The eszip archive is broken: %s", what);
}

static bool read_exactly(struct archive *z, void *out, size_t len, struct err *e)
{
	uint8_t *at = out;

	while (len > 0) {
		ssize_t n = pread(z->fd, at, len, z->pos);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, errno, "Cannot read the bundle");
		if (n == 0)
			return broken(e, "it ends too early");
		at += n;
		len -= (size_t)n;
		z->pos += n;
	}
	return true;
}

static uint32_t big_endian(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A section's length, which must fit in what is left of the archive. */
static bool read_length(struct archive *z, uint32_t *len, struct err *e)
{
	uint8_t bytes[4];

	if (!read_exactly(z, bytes, sizeof bytes, e))
		return false;
	*len = big_endian(bytes);
	return (int64_t)*len <= z->size - z->pos || broken(e, "it ends too early");
}

/*
 * Reads the checksum that follows `len` bytes of content and compares it. SHA-256 is compared; for the others, which
 * guard against accidents only, it is enough that the bytes are there.
 */
static bool check_content(struct archive *z, const uint8_t *content, size_t len, struct err *e)
{
	uint8_t stated[UINT8_MAX];
	uint8_t real[SHA256_SIZE];

	if (!read_exactly(z, stated, z->checksum_size, e))
		return false;
	if (z->checksum != CHECKSUM_SHA256)
		return true;
	(void)crypto_hash_sha256(real, content, len);
	return memcmp(real, stated, SHA256_SIZE) == 0 || broken(e, "a checksum does not match");
}

/* A section that is held in memory: length, content, checksum. The content is the caller's to free. */
static bool read_section(struct archive *z, uint8_t **content, uint32_t *len, struct err *e)
{
	if (!read_length(z, len, e))
		return false;
	if (*len > MAX_TABLE)
		return broken(e, "its table of modules is too large");
	*content = malloc(*len > 0 ? *len : 1);
	if (*content == NULL)
		return err_no_memory(e);
	return read_exactly(z, *content, *len, e);
}

/* The options section of 2.2 and later: pairs of bytes. Its own checksum is the one that it introduces. */
static bool read_options(struct archive *z, struct err *e)
{
	static const uint8_t sizes[] = {[CHECKSUM_NONE] = 0, [CHECKSUM_SHA256] = SHA256_SIZE, [CHECKSUM_XXH3] = 8};
	uint8_t *options = NULL;
	uint32_t len = 0;
	int stated_size = -1;
	bool ok = read_section(z, &options, &len, e);

	z->checksum = CHECKSUM_NONE;
	if (ok && len % 2 != 0)
		ok = broken(e, "its options are no pairs of bytes");
	for (uint32_t i = 0; ok && i < len; i += 2) {
		if (options[i] == 0)
			z->checksum = options[i + 1];
		else if (options[i] == 1)
			stated_size = options[i + 1];
	}
	if (ok && z->checksum >= (int)sizeof sizes)
		ok = broken(e, "its kind of checksum is not known");
	if (ok) {
		z->checksum_size = sizes[z->checksum];
		if (stated_size >= 0 && stated_size != z->checksum_size)
			ok = broken(e, "it states a wrong length for its checksums");
	}
	ok = ok && check_content(z, options, len, e);
	free(options);
	return ok;
}

/* Takes len bytes of the table at *at; NULL where it is shorter. */
static const uint8_t *take(const struct archive *z, uint32_t *at, uint32_t len)
{
	const uint8_t *p = z->table + *at;

	if (len > z->table_len - *at)
		return NULL;
	*at += len;
	return p;
}

static const uint8_t *take_text(const struct archive *z, uint32_t *at, uint32_t *len)
{
	const uint8_t *p = take(z, at, 4);

	if (p == NULL)
		return NULL;
	*len = big_endian(p);
	p = take(z, at, *len);
	return p != NULL && text_utf8_valid((const char *)p, *len) ? p : NULL;
}

/* The row at *at, which moves on to the next one; false where there is none that can be read. */
static bool next_entry(const struct archive *z, uint32_t *at, struct entry *row)
{
	const uint8_t *p;

	row->name = take_text(z, at, &row->name_len);
	if (row->name == NULL || (p = take(z, at, 1)) == NULL)
		return false;
	row->kind = p[0];
	if (row->kind == ENTRY_REDIRECT) {
		row->target = take_text(z, at, &row->target_len);
		return row->target != NULL;
	}
	if (row->kind == ENTRY_NPM)
		return take(z, at, 4) != NULL;
	p = take(z, at, 17);
	if (row->kind != ENTRY_MODULE || p == NULL)
		return false;
	row->source_at = big_endian(p);
	row->source_len = big_endian(p + 4);
	row->map_at = big_endian(p + 8);
	row->map_len = big_endian(p + 12);
	row->module_kind = p[16];
	return row->module_kind <= MODULE_WASM;
}

static void extend(uint64_t *end, uint32_t at, uint32_t len, uint8_t checksum_size)
{
	uint64_t this_end = (uint64_t)at + len + (len > 0 ? checksum_size : 0);

	if (this_end > *end)
		*end = this_end;
}

static bool read_table(struct archive *z, int revision, struct err *e)
{
	uint32_t at = 0;
	struct entry row;

	if (!read_section(z, &z->table, &z->table_len, e) || !check_content(z, z->table, z->table_len, e))
		return false;
	while (at < z->table_len) {
		if (!next_entry(z, &at, &row) || (row.kind == ENTRY_NPM && revision == 0))
			return broken(e, "its table of modules cannot be read");
		if (row.kind == ENTRY_MODULE) {
			extend(&z->sources_end, row.source_at, row.source_len, z->checksum_size);
			extend(&z->maps_end, row.map_at, row.map_len, z->checksum_size);
		}
	}
	return true;
}

/* Steps over a section of data, which must be there and be as long as the table needs it. */
static bool skip_data(struct archive *z, uint64_t needed, int64_t *at, struct err *e)
{
	uint32_t len;

	if (!read_length(z, &len, e))
		return false;
	*at = z->pos;
	z->pos += len;
	return needed <= len || broken(e, "a module lies outside the archive");
}

/* The archive up to its end: options, table, npm packages, sources, source maps. */
static bool read_archive(struct archive *z, struct err *e)
{
	char magic[MAGIC_SIZE];
	int revision;

	if (z->size < MAGIC_SIZE)
		return not_eszip(e);
	if (!read_exactly(z, magic, sizeof magic, e))
		return false;
	revision = revision_of(magic);
	if (revision < 0)
		return not_eszip(e);
	if (revision >= 2 && !read_options(z, e))
		return false;
	if (!read_table(z, revision, e))
		return false;
	if (revision >= 1) {
		uint8_t *npm = NULL;
		uint32_t npm_len;
		bool ok = read_section(z, &npm, &npm_len, e) && check_content(z, npm, npm_len, e);

		free(npm);
		if (!ok)
			return false;
	}
	return skip_data(z, z->sources_end, &z->sources_at, e) && skip_data(z, z->maps_end, &z->maps_at, e);
}

static bool find(const struct archive *z, const uint8_t *name, size_t len, struct entry *row)
{
	uint32_t at = 0;

	while (at < z->table_len && next_entry(z, &at, row))
		if (row->name_len == len && memcmp(row->name, name, len) == 0)
			return true;
	return false;
}

/*
 * The runtime's own bundler names local modules by their path below the directory that they have in common:
 * "functions/hello/index.ts" where the entry point is file:///home/me/supabase/functions/hello/index.ts. Such a name
 * matches the end of the specifier, from a slash on; the longest one is meant.
 */
static bool find_relative(const struct archive *z, const char *entrypoint, struct entry *best)
{
	size_t len = strlen(entrypoint);
	uint32_t at = 0;
	bool found = false;
	struct entry row;

	if (!text_starts(entrypoint, "file:///"))
		return false;
	while (at < z->table_len && next_entry(z, &at, &row)) {
		size_t n = row.name_len;

		if (n == 0 || n > len - strlen("file:///") || entrypoint[len - n - 1] != '/' ||
		    memcmp(entrypoint + len - n, row.name, n) != 0 || (found && n < best->name_len))
			continue;
		*best = row;
		found = true;
	}
	return found;
}

/* The module that runs; *base_len: how much of the entry point stands before its name in the table. */
static bool find_program(const struct archive *z, const char *entrypoint, struct entry *row, size_t *base_len)
{
	*base_len = 0;
	if (!find(z, (const uint8_t *)entrypoint, strlen(entrypoint), row)) {
		if (!find_relative(z, entrypoint, row))
			return false;
		*base_len = strlen(entrypoint) - row->name_len;
	}
	for (int hops = 0; row->kind == ENTRY_REDIRECT; hops++)
		if (hops == MAX_REDIRECTS || !find(z, row->target, row->target_len, row))
			return false;
	return row->kind == ENTRY_MODULE && (row->module_kind == MODULE_JAVASCRIPT || row->module_kind == MODULE_WASM);
}

/* Opens the archive and finds its program; z->table is to be freed in any case. */
static bool open_archive(struct archive *z, int fd, const char *entrypoint, struct entry *program, size_t *base_len,
			 struct err *e)
{
	struct stat st;

	*z = (struct archive){.fd = fd, .checksum = CHECKSUM_SHA256, .checksum_size = SHA256_SIZE};
	if (fstat(fd, &st) != 0)
		return err_errno(e, errno, "Cannot read the bundle");
	z->size = st.st_size;
	if (!read_archive(z, e))
		return false;
	if (find_program(z, entrypoint, program, base_len))
		return true;
	(void)err_set(e, ERR_INVALID, "entrypoint_not_found", "The bundle has no module %s", entrypoint);
	return err_hint(e, "Give the specifier that the bundle was made with, such as file:///src/index.ts.");
}

bool eszip_has_module(int fd, const char *entrypoint, struct err *e)
{
	struct entry program;
	struct archive z;
	size_t base_len;
	bool ok = open_archive(&z, fd, entrypoint, &program, &base_len, e);

	free(z.table);
	return ok;
}

/* ---- Sources ---- */

/* What is collected: the modules' full names first, their paths once all names are known. */
struct sources {
	struct archive z;
	struct arena *arena;
	const char *base; /* what stands before relative names */
	size_t max;
	size_t bytes;
	struct source_module *items;
	const char **names;
	size_t count;
	size_t entry;
};

/* "https:", "npm:" and the like are fetched, not uploaded; "---" begins what the runtime's bundler notes for itself. */
static bool is_local(const struct entry *row)
{
	const char *name = (const char *)row->name;
	size_t scheme = 0;

	if (row->kind != ENTRY_MODULE || row->name_len == 0 || memchr(name, '\0', row->name_len) != NULL)
		return false;
	if (row->name_len > 8 && memcmp(name, "file:///", 8) == 0)
		return true;
	while (scheme < row->name_len && name[scheme] != ':' && name[scheme] != '/')
		scheme++;
	return !(row->name_len >= 3 && memcmp(name, "---", 3) == 0) && (scheme == row->name_len || name[scheme] == '/');
}

/* A content of the archive, in the arena, with its checksum held against it. */
static uint8_t *read_content(struct sources *s, int64_t section, uint32_t at, uint32_t len, struct err *e)
{
	uint8_t *content;

	s->bytes += len;
	if (s->bytes > s->max) {
		(void)err_set(e, ERR_TOO_LARGE, "sources_too_large", "The bundle's sources are larger than %zu bytes",
			      s->max);
		(void)err_hint(e, "Download the bundle itself: Accept: application/vnd.denoland.eszip.");
		return NULL;
	}
	content = arena_alloc(s->arena, (size_t)len + 1);
	if (content == NULL) {
		(void)err_no_memory(e);
		return NULL;
	}
	s->z.pos = section + at;
	return read_exactly(&s->z, content, len, e) && (len == 0 || check_content(&s->z, content, len, e)) ? content
													   : NULL;
}

/* What the module was made of, where its source map has that. */
static bool from_map(struct sources *s, const struct entry *row, struct source_module *out, struct err *e)
{
	const uint8_t *text;
	const json_t *content;
	json_t *map;
	bool ok = true;

	if (row->module_kind != MODULE_JAVASCRIPT || row->map_len == 0)
		return true;
	text = read_content(s, s->z.maps_at, row->map_at, row->map_len, e);
	if (text == NULL)
		return false;
	map = json_loadb((const char *)text, row->map_len, JSON_ALLOW_NUL, NULL);
	content = json_object_get(map, "sourcesContent");
	/* More than one source: a file that another program put together, which is better shown as it is. */
	content = json_array_size(content) == 1 ? json_array_get(content, 0) : NULL;
	if (json_is_string(content)) {
		char *copy = arena_alloc(s->arena, json_string_length(content) + 1);

		ok = copy != NULL || err_no_memory(e);
		if (ok)
			memcpy(copy, json_string_value(content), json_string_length(content));
		out->data = copy;
		out->len = json_string_length(content);
	}
	json_decref(map);
	return ok;
}

static bool add_source(struct sources *s, const struct entry *row, struct err *e)
{
	struct source_module *out = &s->items[s->count];
	bool absolute = row->name_len > 8 && memcmp(row->name, "file:///", 8) == 0;
	const char *name =
		arena_printf(s->arena, "%s%.*s", absolute ? "" : s->base, (int)row->name_len, (const char *)row->name);

	if (name == NULL)
		return err_no_memory(e);
	if (!from_map(s, row, out, e))
		return false;
	if (out->data == NULL) {
		out->data = read_content(s, s->z.sources_at, row->source_at, row->source_len, e);
		out->len = row->source_len;
		if (out->data == NULL)
			return false;
	}
	s->names[s->count++] = name;
	return true;
}

static bool collect(struct sources *s, const struct entry *program, struct err *e)
{
	struct entry row;
	size_t rows = 0;

	for (uint32_t at = 0; at < s->z.table_len && next_entry(&s->z, &at, &row);)
		rows++;
	s->items = arena_array(s->arena, rows, sizeof *s->items);
	s->names = arena_array(s->arena, rows, sizeof *s->names);
	if (s->items == NULL || s->names == NULL)
		return err_no_memory(e);
	s->entry = rows;
	for (uint32_t at = 0; at < s->z.table_len && next_entry(&s->z, &at, &row);) {
		if (!is_local(&row))
			continue;
		if (row.name == program->name)
			s->entry = s->count;
		if (!add_source(s, &row, e))
			return false;
	}
	if (s->entry < rows)
		return true;
	(void)err_set(e, ERR_ACCEPT, "sources_unavailable", "The bundle's entry point is no local file");
	return err_hint(e, "Download the bundle itself: Accept: application/vnd.denoland.eszip.");
}

/* How many bytes of every name are left out. */
static size_t common_prefix(const struct sources *s)
{
	static const char functions[] = "/supabase/functions/";
	const char *first = s->names[s->entry];
	const char *hit = strstr(first, functions);
	size_t len = (size_t)(strrchr(first, '/') - first) + 1;
	size_t root = hit != NULL ? (size_t)(hit - first) + 1 : 0;
	bool below = hit != NULL;

	if (strchr(first, '/') == NULL)
		return 0;
	for (size_t i = 0; i < s->count; i++) {
		below = below && strncmp(s->names[i], first, root) == 0;
		while (len > 0 && strncmp(s->names[i], first, len) != 0)
			do
				len--;
			while (len > 0 && first[len - 1] != '/');
	}
	return below ? root : len;
}

static bool name_paths(struct sources *s, struct err *e)
{
	size_t prefix = common_prefix(s);
	const char **paths = arena_array(s->arena, s->count, sizeof *paths);

	if (paths == NULL)
		return err_no_memory(e);
	for (size_t i = 0; i < s->count; i++) {
		const char *rest = s->names[i] + prefix;

		paths[i] = text_url_decode(s->arena, rest, strlen(rest), false);
		if (paths[i] == NULL || !bundle_check_path(paths[i], MAX_SOURCE_PATH, e))
			return broken(e, "a module's name is no path");
		s->items[i].path = paths[i];
	}
	return bundle_check_tree(s->arena, paths, s->count, e);
}

bool eszip_sources(int fd, const char *entrypoint, size_t max_bytes, struct arena *a, struct source_module **out,
		   size_t *count, size_t *entry, struct err *e)
{
	struct sources s = {.arena = a, .max = max_bytes};
	struct entry program;
	size_t base_len;
	bool ok = open_archive(&s.z, fd, entrypoint, &program, &base_len, e);

	if (ok) {
		s.base = arena_strndup(a, entrypoint, base_len);
		ok = (s.base != NULL || err_no_memory(e)) && collect(&s, &program, e) && name_paths(&s, e);
	}
	free(s.z.table);
	*out = s.items;
	*count = s.count;
	*entry = s.entry;
	return ok;
}
