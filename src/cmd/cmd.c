#include "cmd/cmd.h"

#include "core/crypto.h"
#include "core/text.h"
#include "service/ownership.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool cmd_open(struct service **out, const struct config *cfg, struct err *e)
{
	return service_open(out, cfg, 1, e) && ownership_check(*out, e);
}

int cmd_fail(const struct err *e)
{
	(void)fprintf(stderr, "functions-admin: %s\n", e->message);
	if (e->hint[0] != '\0')
		(void)fprintf(stderr, "HINT: %s\n", e->hint);
	return err_exit_status(e->kind);
}

static void take_out(int *argc, char **argv, int from, int count)
{
	for (int i = from; i + count <= *argc; i++)
		argv[i] = argv[i + count];
	*argc -= count;
}

bool cmd_flag(int *argc, char **argv, const char *name)
{
	for (int i = 1; i < *argc; i++)
		if (text_eq(argv[i], name)) {
			take_out(argc, argv, i, 1);
			return true;
		}
	return false;
}

const char *cmd_value(int *argc, char **argv, const char *name)
{
	size_t len = strlen(name);

	for (int i = 1; i < *argc; i++) {
		const char *value = NULL;

		if (text_eq(argv[i], name) && i + 1 < *argc) {
			value = argv[i + 1];
			take_out(argc, argv, i, 2);
			return value;
		}
		if (text_starts(argv[i], name) && argv[i][len] == '=') {
			value = argv[i] + len + 1;
			take_out(argc, argv, i, 1);
			return value;
		}
	}
	return NULL;
}

bool cmd_no_more(int argc, char **argv, struct err *e)
{
	if (argc <= 1)
		return true;
	(void)err_set(e, ERR_USAGE, NULL, "\"%.80s\" is not understood here", argv[1]);
	return err_hint(e, "functions-admin %s --help", argv[0]);
}

bool cmd_print_json(json_t *doc, struct err *e)
{
	bool ok = doc != NULL && json_dumpf(doc, stdout, JSON_INDENT(2)) == 0 && fputc('\n', stdout) != EOF;

	json_decref(doc);
	return ok ? true : err_no_memory(e);
}

const char *cmd_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

const struct actor *cmd_actor(void)
{
	static char name[80];
	static char request_id[CRYPTO_UUID_SIZE];
	static const struct actor actor = {.name = name, .token_id = "", .address = "local", .request_id = request_id};

	if (name[0] == '\0') {
		const struct passwd *user = getpwuid(geteuid());

		(void)snprintf(name, sizeof name, "command line (%.32s)",
			       user != NULL ? user->pw_name : "unknown user");
		crypto_uuid(request_id);
	}
	return &actor;
}
