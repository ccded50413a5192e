#include "auth/token.h"

#include "api/view.h"
#include "auth/auth.h"
#include "auth/scope.h"
#include "cmd/cmd.h"
#include "core/names.h"
#include "core/text.h"
#include "service/access.h"
#include "service/function.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
	"Usage: functions-admin token create --name NAME --scope SCOPE... [--project REF] [--slug "
	"PATTERN...] [--network NETWORK...] [--expires-in DAYS]\n"
	"       functions-admin token list\n"
	"       functions-admin token rotate ID\n"
	"       functions-admin token revoke ID\n"
	"\n"
	"Access tokens for the Supabase CLI, the MCP server and CI. `create` and `rotate` show the token once; "
	"only its hash is stored.\n"
	"\n"
	"  --scope    functions:read, functions:write, secrets:read, secrets:write, audit:read, "
	"tokens:admin, projects:admin\n"
	"  --slug     the only functions that it may touch; '*' stands for any characters (ci-*)\n"
	"  --network  the only addresses or networks that it may come from (10.0.0.0/8)\n"
	"  --project  the only project that it may touch\n"
	"  --json     prints the result as JSON\n"
	"  --config   and all options of functions-admin.conf(5)\n";

#define MAX_ITEMS 64

struct tokens {
	struct config *cfg;
	struct service *service;
	struct auth *auth;
	struct arena *arena;
	bool json;
};

static bool read_scopes(int *argc, char **argv, struct access_token *t, struct err *e)
{
	const char *word;

	while ((word = cmd_value(argc, argv, "--scope")) != NULL) {
		enum scope scope = scope_parse(word);

		if (scope == SCOPE_NONE) {
			(void)err_set(e, ERR_USAGE, NULL, "There is no scope \"%.60s\"", word);
			return err_hint(e, "functions-admin token --help lists them.");
		}
		t->scopes |= scope;
	}
	if (t->scopes == 0) {
		(void)err_set(e, ERR_USAGE, NULL, "--scope is missing");
		return err_hint(e, "For the CLI: --scope functions:read --scope functions:write");
	}
	return true;
}

/* Every value of a flag that may be repeated, as a NULL-terminated list; NULL for none. */
static bool read_list(int *argc, char **argv, const char *flag, bool (*check)(const char *word, struct err *e),
		      struct arena *a, const char ***out, struct err *e)
{
	const char *word;
	size_t count = 0;

	while ((word = cmd_value(argc, argv, flag)) != NULL) {
		if (*out == NULL)
			*out = arena_array(a, MAX_ITEMS + 1, sizeof **out);
		if (*out == NULL)
			return err_no_memory(e);
		if (count == MAX_ITEMS)
			return err_set(e, ERR_USAGE, NULL, "More than %d %s", MAX_ITEMS, flag);
		if (!check(word, e))
			return false;
		(*out)[count++] = word;
	}
	return true;
}

static bool show(const struct tokens *t, const struct access_token *token, const char *text, const char *verb,
		 struct err *e)
{
	json_t *doc;

	if (!t->json) {
		(void)printf("%s\n", text);
		(void)fprintf(stderr, "Access token \"%s\" was %s (id %s). It is shown this once only.\n", token->name,
			      verb, token->id);
		return true;
	}
	doc = view_token(t->arena, token);
	if (doc != NULL)
		(void)json_object_set_new(doc, "token", json_string(text));
	return cmd_print_json(doc, e);
}

static bool create(struct tokens *t, int argc, char **argv, struct err *e)
{
	struct access_token token = {.name = cmd_value(&argc, argv, "--name")};
	const char *ref = cmd_value(&argc, argv, "--project");
	const char *days = cmd_value(&argc, argv, "--expires-in");
	uint8_t hash[TOKEN_HASH_BYTES];
	char text[TOKEN_SIZE];
	struct project project;
	int64_t number;
	bool ok;

	if (token.name == NULL)
		return err_set(e, ERR_USAGE, NULL, "--name is missing");
	if (!names_check_name(token.name, e) || !read_scopes(&argc, argv, &token, e) ||
	    !read_list(&argc, argv, "--slug", names_check_slug_pattern, t->arena, &token.slugs, e) ||
	    !read_list(&argc, argv, "--network", names_check_network, t->arena, &token.networks, e) ||
	    !cmd_no_more(argc, argv, e))
		return false;
	if (days != NULL) {
		if (!text_int64(days, 1, 3660, &number))
			return err_set(e, ERR_USAGE, NULL, "--expires-in takes a number of days, 1 to 3660");
		token.expires_at = service_now() + number * 86400 * 1000;
	}
	if (ref != NULL) {
		if (!function_project(t->service, t->arena, ref, &project, e))
			return false;
		token.project_ref = project.ref;
	}
	token_generate(text);
	token_hash(auth_token_key(t->auth), text, hash);
	if (!access_create(t->service, t->arena, cmd_actor(), &token, hash, e))
		return false;
	ok = show(t, &token, text, "created", e);
	sodium_memzero(text, sizeof text);
	return ok;
}

static bool rotate(struct tokens *t, int argc, char **argv, struct err *e)
{
	uint8_t hash[TOKEN_HASH_BYTES];
	struct access_token token = {0};
	char text[TOKEN_SIZE];
	bool ok;

	if (argc != 2)
		return err_set(e, ERR_USAGE, NULL, "rotate takes one token's id");
	token_generate(text);
	token_hash(auth_token_key(t->auth), text, hash);
	ok = access_rotate(t->service, t->arena, cmd_actor(), argv[1], NULL, NULL, hash, &token, e) &&
	     show(t, &token, text, "rotated", e);
	sodium_memzero(text, sizeof text);
	return ok;
}

static bool list(struct tokens *t, int argc, char **argv, struct err *e)
{
	struct access_token *tokens;
	json_t *array;
	size_t count;

	if (!cmd_no_more(argc, argv, e) || !access_list(t->service, t->arena, &tokens, &count, e))
		return false;
	if (!t->json) {
		(void)printf("%-36s  %-24s  %-8s  %-24s  %s\n", "ID", "NAME", "STATE", "CREATED", "LAST USED");
		for (size_t i = 0; i < count; i++)
			(void)printf("%-36s  %-24s  %-8s  %-24s  %s\n", tokens[i].id, tokens[i].name,
				     tokens[i].revoked_at != 0                                            ? "revoked"
				     : tokens[i].expires_at != 0 && tokens[i].expires_at <= service_now() ? "expired"
													  : "active",
				     view_time(t->arena, tokens[i].created_at),
				     tokens[i].last_used_at != 0 ? view_time(t->arena, tokens[i].last_used_at)
								 : "never");
		return true;
	}
	array = json_array();
	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(array, view_token(t->arena, &tokens[i])) != 0) {
			json_decref(array);
			return err_no_memory(e);
		}
	return cmd_print_json(array, e);
}

static bool revoke(struct tokens *t, int argc, char **argv, struct err *e)
{
	if (argc != 2)
		return err_set(e, ERR_USAGE, NULL, "revoke takes one token's id");
	if (!access_revoke(t->service, t->arena, cmd_actor(), argv[1], NULL, NULL, e))
		return false;
	return t->json ? cmd_print_json(json_pack("{s:s, s:b}", "id", argv[1], "revoked", 1), e)
		       : printf("revoked %s\n", argv[1]) > 0;
}

static const struct {
	const char *name;
	bool (*run)(struct tokens *t, int argc, char **argv, struct err *e);
} actions[] = {{"create", create}, {"list", list}, {"rotate", rotate}, {"revoke", revoke}};

static bool run(struct tokens *t, int argc, char **argv, struct err *e)
{
	static const char *const own[] = {"--help",  "--json",     "--name=",       "--scope=", "--project=",
					  "--slug=", "--network=", "--expires-in=", NULL};

	if (!config_load(&t->cfg, &argc, argv, own, e))
		return false;
	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
		if (argc < 2 || !text_eq(argv[1], actions[i].name))
			continue;
		return cmd_open(&t->service, t->cfg, e) && auth_new(&t->auth, t->cfg, t->service->pool, e) &&
		       actions[i].run(t, argc - 1, argv + 1, e);
	}
	(void)err_set(e, ERR_USAGE, NULL, "token needs create, list, rotate or revoke");
	return err_hint(e, "functions-admin token --help");
}

int cmd_token(int argc, char **argv)
{
	struct tokens t = {.arena = arena_new(0)};
	struct err e = ERR_INIT;
	int status = 0;

	if (cmd_flag(&argc, argv, "--help")) {
		(void)fputs(help, stdout);
		arena_free(t.arena);
		return 0;
	}
	t.json = cmd_flag(&argc, argv, "--json");
	if (t.arena == NULL)
		(void)err_no_memory(&e);
	if (t.arena == NULL || !run(&t, argc, argv, &e))
		status = cmd_fail(&e);
	auth_free(t.auth);
	service_close(t.service);
	config_free(t.cfg);
	arena_free(t.arena);
	return status;
}
