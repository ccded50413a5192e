/*
 * JSON-RPC messages and batches, from the bytes to the answer. A request gets exactly one answer, with its own id and
 * either a result or an error; a notification and an answer get none; every answer can be written out as JSON.
 */
#include "api/rpc.h"
#include "core/json.h"
#include "core/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EXPECT(condition)                                                                                              \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			abort();                                                                                       \
	} while (0)

/* Echoes what it got, or refuses it by its name, as a method that quotes its caller does. */
static bool run(void *ctx, const struct rpc_message *message, json_t **result, enum rpc_code *code, struct err *e)
{
	size_t *calls = ctx;
	const char *name = NULL;

	(*calls)++;
	EXPECT(message->id != NULL && message->method != NULL);
	if (text_eq(message->method, "ping")) {
		*result = json_pack("{s:O*, s:O*}", "echo", message->params, "token", rpc_progress_token(message));
		return *result != NULL ? true : err_no_memory(e);
	}
	*code = RPC_INVALID_PARAMS;
	if (!json_get_string(message->params, "name", JSON_REQUIRED, &name, e))
		return false;
	*code = RPC_METHOD_NOT_FOUND;
	(void)err_set(e, ERR_NOT_FOUND, NULL, "There is no method \"%.60s\" for \"%.60s\"", message->method, name);
	return err_hint(e, "Not even \"%.10s\".", name);
}

static void check_answer(const json_t *answer)
{
	const json_t *id = json_object_get(answer, "id");
	const json_t *error = json_object_get(answer, "error");

	EXPECT(json_is_object(answer) && text_eq(json_string_value(json_object_get(answer, "jsonrpc")), "2.0"));
	EXPECT((error != NULL) != (json_object_get(answer, "result") != NULL));
	EXPECT(rpc_is_id(id) || (json_is_null(id) && error != NULL));
	EXPECT(error == NULL || (json_is_integer(json_object_get(error, "code")) &&
				 json_string_length(json_object_get(error, "message")) > 0));
}

static void check_one(const json_t *doc)
{
	struct err e = ERR_INIT;
	struct rpc_message message;
	bool good = rpc_read(doc, &message, &e);
	json_t *answer = NULL;
	size_t calls = 0;

	EXPECT(good || e.kind == ERR_INVALID);
	EXPECT(rpc_answer(doc, run, &calls, &answer, &e));
	EXPECT(calls == (good && message.method != NULL && message.id != NULL ? 1 : 0));
	EXPECT((answer != NULL) == (!good || calls == 1));
	if (answer != NULL) {
		check_answer(answer);
		EXPECT(message.id == NULL || json_equal(message.id, json_object_get(answer, "id")));
	}
	json_decref(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct err e = ERR_INIT;
	json_t *doc = json_parse(a, "The body", (const char *)data, size, 1 << 20, &e);
	json_t *answers = NULL;
	size_t calls = 0;
	char *text;
	size_t i;

	if (json_is_array(doc)) {
		const json_t *each;

		EXPECT(rpc_answer_batch(doc, run, &calls, &answers, &e));
		EXPECT(json_array_size(answers) >= calls && json_array_size(answers) <= json_array_size(doc));
		json_array_foreach (answers, i, each)
			check_answer(each);
		json_array_foreach (doc, i, each)
			check_one(each);
		if (answers != NULL) {
			text = json_dumps(answers, JSON_COMPACT);
			EXPECT(text != NULL && text_utf8_valid(text, strlen(text)));
			free(text);
		}
		json_decref(answers);
	} else if (doc != NULL) {
		check_one(doc);
	}
	arena_free(a);
	return 0;
}
