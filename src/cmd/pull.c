#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "core/buf.h"
#include "core/crypto.h"
#include "core/json.h"
#include "core/names.h"
#include "core/text.h"
#include "http/multipart.h"

#include <curl/curl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BODY ((size_t)256 * 1024 * 1024)
#define MAX_PARTS 10001
#define TOKEN_LINE 4200
#define TIMEOUT_MS 300000L
/* The Management API's bodies name every file below this directory. */
#define SOURCE "source/"

static const char help[] =
	"Usage: functions-admin pull --from URL --ref REF [--token-file FILE] [--dry-run] [--project REF]\n"
	"                            [--config FILE] [--OPTION VALUE]...\n"
	"\n"
	"Copies all functions from another Management API, such as https://api.supabase.com, and deploys each here "
	"with its\n"
	"name and verify_jwt. Values of secrets are not there to be copied; their names are listed. The service must "
	"be\n"
	"running. Exit status 1 where a function could not be copied.\n"
	"\n"
	"  --from        the API's address, without /v1\n"
	"  --ref         the project there\n"
	"  --token-file  a file with the access token; else it is read from the environment, SUPABASE_ACCESS_TOKEN\n"
	"  --dry-run     only lists what would be copied\n";

struct pull {
	struct config *cfg;
	struct service *service;
	struct arena *arena;
	const char *from;
	const char *ref;
	const char *to;
	CURL *curl;
	char token[TOKEN_LINE];
	int failed;
};

/* Asking the other API */

static bool read_token(struct pull *p, const char *file, struct err *e)
{
	const char *set = getenv("SUPABASE_ACCESS_TOKEN");
	static const char head[] = "Authorization: Bearer ";
	FILE *f = file != NULL ? fopen(file, "re") : NULL;
	char *text = p->token + sizeof head - 1;

	memcpy(p->token, head, sizeof head);
	if (file != NULL && f == NULL)
		return err_set(e, ERR_USAGE, NULL, "The token file %s cannot be read", file);
	if (f != NULL) {
		if (fgets(text, (int)(sizeof p->token - sizeof head), f) == NULL)
			*text = '\0';
		(void)fclose(f);
	} else if (set != NULL) {
		(void)snprintf(text, sizeof p->token - sizeof head, "%s", set);
	}
	text[strcspn(text, "\r\n")] = '\0';
	if (text[0] != '\0' && !names_has_control(text))
		return true;
	(void)err_set(e, ERR_USAGE, NULL, "There is no access token for the other API");
	return err_hint(e, "Put it into a file that only you read and name that with --token-file, or set "
			   "SUPABASE_ACCESS_TOKEN.");
}

static size_t take(char *data, size_t size, size_t count, void *ctx)
{
	struct buf *b = ctx;

	buf_put(b, data, size * count);
	return b->failed ? 0 : size * count;
}

/* *type: the answer's media type, in the arena. */
static bool get(struct pull *p, const char *path, const char *accept, struct buf *out, const char **type, struct err *e)
{
	const char *url = arena_printf(p->arena, "%s/v1/projects/%s%s", p->from, p->ref, path);
	const char *line = arena_printf(p->arena, "Accept: %s", accept);
	struct curl_slist *headers = line != NULL ? curl_slist_append(NULL, line) : NULL;
	struct curl_slist *more = headers != NULL ? curl_slist_append(headers, p->token) : NULL;
	const char *said = NULL;
	long status = 0;
	CURLcode code;

	if (url == NULL || more == NULL) {
		curl_slist_free_all(headers);
		return err_no_memory(e);
	}
	curl_easy_reset(p->curl);
	(void)curl_easy_setopt(p->curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(p->curl, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(p->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(p->curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	(void)curl_easy_setopt(p->curl, CURLOPT_ACCEPT_ENCODING, "");
	(void)curl_easy_setopt(p->curl, CURLOPT_WRITEFUNCTION, take);
	(void)curl_easy_setopt(p->curl, CURLOPT_WRITEDATA, out);
	code = curl_easy_perform(p->curl);
	(void)curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(p->curl, CURLINFO_CONTENT_TYPE, &said);
	*type = arena_strdup(p->arena, said != NULL ? said : "");
	curl_slist_free_all(headers);
	if (code != CURLE_OK)
		return err_set(e, ERR_UNAVAILABLE, NULL, "%s cannot be asked: %s", p->from, curl_easy_strerror(code));
	if (status == 200 && *type != NULL)
		return true;
	(void)err_set(e, status == 401 || status == 403 ? ERR_FORBIDDEN : ERR_INVALID, NULL, "%s answers %ld to GET %s",
		      p->from, status, path);
	return status == 401 || status == 403
		       ? err_hint(e, "Has the access token the right to read this project's functions?")
		       : false;
}

static json_t *get_json(struct pull *p, const char *path, struct err *e)
{
	struct buf body = BUF_INIT(MAX_BODY);
	const char *type;
	json_t *doc = NULL;

	if (get(p, path, "application/json", &body, &type, e)) {
		doc = body.data != NULL ? json_loadb(body.data, body.len, 0, NULL) : NULL;
		if (!json_is_array(doc)) {
			json_decref(doc);
			doc = NULL;
			(void)err_set(e, ERR_INVALID, NULL, "%s answers GET %s with something else than a list",
				      p->from, path);
		}
	}
	buf_free(&body);
	return doc;
}

/* From its form to ours */

struct form {
	struct buf out;
	struct buf metadata;
	char boundary[33];
	bool in_metadata;
	size_t files;
};

static bool begin_part(void *ctx, const struct multipart_part *part, struct err *e)
{
	struct form *f = ctx;
	const char *name = part->filename;

	f->in_metadata = text_eq(part->name, "metadata");
	if (f->in_metadata)
		return true;
	if (name == NULL)
		return err_set(e, ERR_INVALID, NULL, "A file of it has no name");
	if (text_starts(name, SOURCE))
		name += strlen(SOURCE);
	if (strpbrk(name, "\"\\") != NULL)
		return err_set(e, ERR_INVALID, NULL, "The file name \"%.100s\" cannot stand here", name);
	buf_printf(&f->out, "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"%s\"\r\n\r\n",
		   f->boundary, name);
	f->files++;
	return true;
}

static bool take_part(void *ctx, const void *data, size_t len, struct err *e)
{
	struct form *f = ctx;

	buf_put(f->in_metadata ? &f->metadata : &f->out, data, len);
	return f->out.failed || f->metadata.failed ? err_no_memory(e) : true;
}

static bool end_part(void *ctx, struct err *e)
{
	struct form *f = ctx;

	(void)e;
	if (!f->in_metadata)
		buf_puts(&f->out, "\r\n");
	return true;
}

/* "file:///tmp/user_fn_x/source/a/index.ts", or "source/a/index.ts": what follows the directory. */
static const char *below_source(const char *path)
{
	const char *at = path != NULL ? strstr(path, SOURCE) : NULL;

	return at != NULL ? at + strlen(SOURCE) : path;
}

static bool finish_form(struct form *f, const json_t *function, struct err *e)
{
	json_t *theirs = f->metadata.len > 0 ? json_loadb(f->metadata.data, f->metadata.len, 0, NULL) : NULL;
	const char *entry = json_string_value(json_object_get(theirs, "deno2_entrypoint_path"));
	const json_t *verify = json_object_get(function, "verify_jwt");
	json_t *ours;
	char *text;

	if (entry == NULL)
		entry = json_string_value(json_object_get(function, "entrypoint_path"));
	ours = json_pack("{s:s, s:s*, s:s*, s:O*}", "entrypoint_path", below_source(entry != NULL ? entry : "index.ts"),
			 "import_map_path",
			 below_source(json_string_value(json_object_get(function, "import_map_path"))), "name",
			 json_string_value(json_object_get(function, "name")), "verify_jwt", verify);
	text = ours != NULL ? json_text(ours, JSON_COMPACT) : NULL;
	if (text != NULL)
		buf_printf(&f->out, "--%s\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n%s\r\n--%s--\r\n",
			   f->boundary, text, f->boundary);
	free(text);
	json_decref(ours);
	json_decref(theirs);
	return text != NULL && !f->out.failed ? true : err_no_memory(e);
}

static bool deploy(struct pull *p, const char *slug, const struct form *f, json_int_t *version, struct err *e)
{
	const struct ask_body body = {
		.type = arena_printf(p->arena, "multipart/form-data; boundary=%s", f->boundary),
		.data = f->out.data,
		.len = f->out.len,
	};
	const char *path = arena_printf(p->arena, "/functions/deploy?slug=%s", slug);
	json_t *answer;

	if (body.type == NULL || path == NULL)
		return err_no_memory(e);
	if (!ask_with_body(p->service, p->cfg, "functions-admin pull", "POST", p->to, path, &body, &answer, e))
		return false;
	*version = json_integer_value(json_object_get(answer, "version"));
	json_decref(answer);
	return true;
}

static bool copy(struct pull *p, const json_t *function, bool dry, struct err *e)
{
	const char *slug = json_string_value(json_object_get(function, "slug"));
	struct form f = {.out = BUF_INIT(MAX_BODY), .metadata = BUF_INIT((size_t)256 * 1024)};
	const struct multipart_handler handler = {
		.part_begin = begin_part, .part_data = take_part, .part_end = end_part, .ctx = &f};
	struct buf body = BUF_INIT(MAX_BODY);
	json_int_t version = 0;
	struct multipart *m;
	const char *type;
	bool ok;

	if (slug == NULL || !names_check_slug(slug, e))
		return err_set(e, ERR_INVALID, NULL, "It has no slug that can be one here");
	crypto_random_hex(f.boundary, 16);
	ok = get(p, arena_printf(p->arena, "/functions/%s/body", slug), "multipart/form-data", &body, &type, e) &&
	     multipart_new(&m, p->arena, type, MAX_PARTS, &handler, e) && multipart_feed(m, body.data, body.len, e) &&
	     multipart_finish(m, e) && finish_form(&f, function, e);
	if (ok && dry)
		(void)printf("would copy %s: %zu file%s\n", slug, f.files, f.files == 1 ? "" : "s");
	else if (ok && (ok = deploy(p, slug, &f, &version, e)))
		(void)printf("copied %s: %zu file%s, version %lld here\n", slug, f.files, f.files == 1 ? "" : "s",
			     (long long)version);
	buf_free(&f.out);
	buf_free(&f.metadata);
	buf_free(&body);
	return ok;
}

/* Best effort: a token for functions need not be one for secrets. */
static void name_secrets(struct pull *p)
{
	struct err ignored = ERR_INIT;
	json_t *list = get_json(p, "/secrets", &ignored);
	const char *name;
	json_t *each;
	size_t shown = 0;
	size_t i;

	json_array_foreach (list, i, each) {
		name = json_string_value(json_object_get(each, "name"));
		/* The platform's own are set here as well. */
		if (name == NULL || names_has_control(name) || text_starts(name, "SUPABASE_"))
			continue;
		(void)printf("%s%s", shown++ == 0 ? "secrets to set here (supabase secrets set): " : ", ", name);
	}
	if (shown > 0)
		(void)printf("\n");
	json_decref(list);
}

/* What the other side calls a slug goes to a terminal only if it can be one. */
static const char *shown_slug(const json_t *function)
{
	const char *slug = json_string_value(json_object_get(function, "slug"));
	struct err bad = ERR_INIT;

	return slug != NULL && names_check_slug(slug, &bad) ? slug : "a function";
}

static bool run(struct pull *p, bool dry, struct err *e)
{
	json_t *list = get_json(p, "/functions", e);
	json_t *each;
	size_t i;

	if (list == NULL)
		return false;
	json_array_foreach (list, i, each) {
		struct err why = ERR_INIT;

		if (copy(p, each, dry, &why))
			continue;
		p->failed++;
		(void)fprintf(stderr, "functions-admin: %s was not copied: %s\n", shown_slug(each), why.message);
		if (why.hint[0] != '\0')
			(void)fprintf(stderr, "HINT: %s\n", why.hint);
	}
	name_secrets(p);
	json_decref(list);
	return true;
}

/* "http://" only on this machine: the access token would travel for everybody to read. */
static bool is_private_way(const char *from)
{
	static const char *const here[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};

	if (text_starts(from, "https://"))
		return true;
	for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
		size_t len = strlen(here[i]);

		if (text_starts(from, here[i]) && (from[len] == '\0' || from[len] == ':' || from[len] == '/'))
			return true;
	}
	return false;
}

static bool check_arguments(struct pull *p, const char *from, struct err *e)
{
	size_t len = from != NULL ? strlen(from) : 0;

	if (len == 0 || !is_private_way(from)) {
		(void)err_set(e, ERR_USAGE, NULL, "--from takes the https:// address of a Management API");
		return err_hint(
			e, "Such as https://api.supabase.com; http:// is for this machine only, since the access token "
			   "would be sent in the clear.");
	}
	if (p->ref == NULL || p->ref[0] == '\0' ||
	    strspn(p->ref, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(p->ref))
		return err_set(e, ERR_USAGE, NULL, "--ref takes the ref of the project there");
	p->from = arena_strndup(p->arena, from, from[len - 1] == '/' ? len - 1 : len);
	return p->from != NULL ? true : err_no_memory(e);
}

int cmd_pull(int argc, char **argv)
{
	static const char *const own[] = {
		"--help", "--dry-run", "--from=", "--ref=", "--token-file=", "--project=", NULL};
	struct pull p = {.arena = arena_new(0)};
	struct err e = ERR_INIT;
	const char *file;
	const char *from;
	int status = 0;
	bool dry;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		arena_free(p.arena);
		return 0;
	}
	dry = cmd_flag(&argc, argv, "--dry-run");
	from = cmd_value(&argc, argv, "--from");
	p.ref = cmd_value(&argc, argv, "--ref");
	file = cmd_value(&argc, argv, "--token-file");
	p.to = cmd_value(&argc, argv, "--project");
	if (p.to == NULL)
		p.to = "default";
	if (p.arena == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (p.curl = curl_easy_init()) == NULL)
		(void)err_no_memory(&e);
	if (e.kind != ERR_NONE || !check_arguments(&p, from, &e) || !read_token(&p, file, &e) ||
	    !config_load(&p.cfg, &argc, argv, own, &e) || !cmd_no_more(argc, argv, &e) ||
	    !cmd_open(&p.service, p.cfg, &e) || !run(&p, dry, &e))
		status = cmd_fail(&e);
	else if (p.failed > 0)
		status = 1;
	sodium_memzero(p.token, sizeof p.token);
	service_close(p.service);
	config_free(p.cfg);
	curl_easy_cleanup(p.curl);
	arena_free(p.arena);
	return status;
}
