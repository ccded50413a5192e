#include "api/rpc.h"

#include "core/text.h"

bool rpc_is_id(const json_t *value)
{
	return json_is_string(value) || json_is_integer(value);
}

bool rpc_read(const json_t *doc, struct rpc_message *out, struct err *e)
{
	const json_t *id = json_object_get(doc, "id");
	const json_t *method = json_object_get(doc, "method");
	const char *version = json_string_value(json_object_get(doc, "jsonrpc"));
	bool answers = json_object_get(doc, "result") != NULL || json_object_get(doc, "error") != NULL;

	*out = (struct rpc_message){
		.id = rpc_is_id(id) ? id : NULL,
		.method = json_string_value(method),
		.params = json_object_get(doc, "params"),
	};
	if (version == NULL || !text_eq(version, "2.0") || (id != NULL && out->id == NULL) ||
	    (out->method == NULL && (out->id == NULL || method != NULL || !answers)) ||
	    (out->params != NULL && !json_is_object(out->params)))
		return err_set(e, ERR_INVALID, NULL, "This is no JSON-RPC 2.0 request");
	return true;
}

json_t *rpc_error(const json_t *id, enum rpc_code code, const struct err *e)
{
	json_t *shown = id != NULL ? json_incref((json_t *)(uintptr_t)id) : json_null();

	return json_pack("{s:s, s:o, s:{s:i, s:s, s:o*}}", "jsonrpc", "2.0", "id", shown, "error", "code", (int)code,
			 "message", e->message, "data",
			 e->hint[0] != '\0' ? json_pack("{s:s, s:s}", "hint", e->hint, "code", e->code) : NULL);
}

bool rpc_answer(const json_t *doc, rpc_method *run, void *ctx, json_t **answer, struct err *e)
{
	enum rpc_code code = RPC_INTERNAL_ERROR;
	struct err why = ERR_INIT;
	struct rpc_message message;
	json_t *result = NULL;

	*answer = NULL;
	if (!rpc_read(doc, &message, &why))
		*answer = rpc_error(message.id, RPC_INVALID_REQUEST, &why);
	/* Notifications, and answers to what was never asked. Calls are short: one that is cancelled has ended. */
	else if (message.method == NULL || message.id == NULL)
		return true;
	else if (!run(ctx, &message, &result, &code, &why))
		*answer = rpc_error(message.id, code, &why);
	else
		*answer = json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", message.id, "result", result);
	return *answer != NULL ? true : err_no_memory(e);
}

bool rpc_answer_batch(const json_t *batch, rpc_method *run, void *ctx, json_t **answers, struct err *e)
{
	const json_t *each;
	size_t i;

	*answers = json_array();
	json_array_foreach (batch, i, each) {
		json_t *answer;

		if (!rpc_answer(each, run, ctx, &answer, e) ||
		    (answer != NULL && json_array_append_new(*answers, answer) != 0)) {
			json_decref(*answers);
			*answers = NULL;
			return err_no_memory(e);
		}
	}
	if (json_array_size(*answers) == 0) {
		json_decref(*answers);
		*answers = NULL;
	}
	return true;
}

const json_t *rpc_progress_token(const struct rpc_message *message)
{
	const json_t *token = json_object_get(json_object_get(message->params, "_meta"), "progressToken");

	return rpc_is_id(token) ? token : NULL;
}
