/*
 * rpc - the messages of JSON-RPC 2.0 (jsonrpc.org/specification) as MCP narrows them: an id is a string or a whole
 * number, params are an object. Knows nothing of the methods, and does no I/O.
 *
 * Ownership: what is read points into the document, which outlives it; what is made is the caller's.
 */
#ifndef FA_API_RPC_H
#define FA_API_RPC_H

#include "core/error.h"

#include <jansson.h>

/* The error codes of JSON-RPC 2.0, section 5.1, and of MCP. */
enum rpc_code {
	RPC_PARSE_ERROR = -32700,
	RPC_INVALID_REQUEST = -32600,
	RPC_METHOD_NOT_FOUND = -32601,
	RPC_INVALID_PARAMS = -32602,
	RPC_INTERNAL_ERROR = -32603,
	RPC_RESOURCE_NOT_FOUND = -32002
};

/* A request has method and id; a notification no id; an answer to a request, which nobody here makes, no method. */
struct rpc_message {
	const json_t *id;     /* NULL: there is none, so there is nothing to answer */
	const char *method;   /* NULL: it is an answer */
	const json_t *params; /* an object; NULL: there are none */
};

/* What a method does: *result is the caller's; on false *code and e say why. */
typedef bool rpc_method(void *ctx, const struct rpc_message *message, json_t **result, enum rpc_code *code,
			struct err *e);

bool rpc_is_id(const json_t *value);

/* ERR_INVALID where it is no message; out->id is then the one to answer to, if it has one. Never a batch. */
MUST_CHECK bool rpc_read(const json_t *doc, struct rpc_message *out, struct err *e);

/* {"jsonrpc", "id", "error": {code, message, data: {hint, code}}}; id NULL: null. NULL without memory. */
json_t *rpc_error(const json_t *id, enum rpc_code code, const struct err *e);

/* Reads one message and runs it. *answer: NULL where it gets none. ERR_NO_MEMORY where the answer cannot be made. */
MUST_CHECK bool rpc_answer(const json_t *doc, rpc_method *run, void *ctx, json_t **answer, struct err *e);

/* The same for each of a batch; *answers is an array, NULL where none of them gets an answer. */
MUST_CHECK bool rpc_answer_batch(const json_t *batch, rpc_method *run, void *ctx, json_t **answers, struct err *e);

/* Under which token its sender wants to hear of the progress (MCP, "Progress"); NULL: it does not. */
const json_t *rpc_progress_token(const struct rpc_message *message);

#endif
