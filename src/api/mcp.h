/*
 * mcp - the Model Context Protocol (modelcontextprotocol.io, revisions 2025-11-25, 2025-06-18 and 2025-03-26) over
 * streamable HTTP, for agents that connect to the gateway directly.
 *
 * Stateless: every request is answered by itself, by any process. What a tool does it asks of the API's own routes
 * (api_ask()), so scopes, bounds, limits and audit log are those of every other caller. A session id is given at
 * initialize; it holds the client's name, which the audit log then shows, and nothing else.
 *
 * Limits: max_json_bytes a message; MCP_MAX_BATCH messages in a batch (2025-03-26 only); MCP_MAX_TEXT of an answer;
 * MCP_PAGE functions in a list, unless a tool is asked for another number, MCP_MAX_PAGE at most.
 */
#ifndef FA_API_MCP_H
#define FA_API_MCP_H

#include "api/api.h"
#include "api/rpc.h"

#include <jansson.h>

#define MCP_MAX_BATCH ((size_t)50)
#define MCP_MAX_TEXT ((size_t)1024 * 1024)
#define MCP_PAGE 100
#define MCP_MAX_PAGE 500

/* One message on its way through. */
struct mcp {
	struct call *call;
	const json_t *definitions; /* mcp.json; NULL until mcp_definitions() is asked */
	const char *ref;           /* the project that this connection is for */
};

/* What a method returns; on false code and e say why. */
typedef bool mcp_method(struct mcp *m, const json_t *params, json_t **result, enum rpc_code *code, struct err *e);

/* mcp_tools.c */
mcp_method mcp_tools_list;
mcp_method mcp_tools_call;

/* mcp_resources.c */
mcp_method mcp_resources_list;
mcp_method mcp_resource_templates_list;
mcp_method mcp_resources_read;
mcp_method mcp_prompts_list;
mcp_method mcp_prompts_get;

/* mcp.json. NULL with the error set. */
const json_t *mcp_definitions(struct mcp *m, struct err *e);

/* GET of a path below the project, as a document to be released by the caller; NULL with the error set. */
json_t *mcp_get(struct mcp *m, const char *ref, const char *path, struct err *e);
/* The same with a JSON body, which is taken over. */
json_t *mcp_send(struct mcp *m, const char *method, const char *ref, const char *path, json_t *body, struct err *e);
/* With any body. */
json_t *mcp_ask(struct mcp *m, const struct api_question *q, struct err *e);

/*
 * The functions after `cursor`, the slug of the last one that was seen (NULL: from the first on), `limit` at most.
 * *next is the cursor of the page after, NULL where there is none; it lives in the arena.
 */
json_t *mcp_functions(struct mcp *m, const char *ref, const char *cursor, int64_t limit, const char **next,
		      struct err *e);

/* For lists of one page: false for any cursor, since none was given out. */
MUST_CHECK bool mcp_no_cursor(const json_t *params, enum rpc_code *code, struct err *e);

#endif
