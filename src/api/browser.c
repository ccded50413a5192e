#include "api/browser.h"

#include "core/text.h"

#include <string.h>

/* Origins are compared as they are: scheme, host and port, as browsers send them. */
static bool is_listed(const char *list, const char *origin)
{
	size_t wanted = strlen(origin);

	while (list != NULL && *list != '\0') {
		size_t len = strcspn(list, ", ");

		if (len == wanted && memcmp(list, origin, len) == 0)
			return true;
		list += len + strspn(list + len, ", ");
	}
	return false;
}

static const char *listed_origin(const struct config *cfg, const struct request *req)
{
	const char *origin = request_header(req, "Origin");

	return origin != NULL && origin[0] != '\0' && is_listed(cfg->cors_origins, origin) ? origin : NULL;
}

bool browser_is_listed(const struct config *cfg, const char *origin)
{
	return is_listed(cfg->cors_origins, origin);
}

bool browser_check(const struct config *cfg, const struct request *req, struct response *resp, struct err *e)
{
	const char *site = request_header(req, "Sec-Fetch-Site");
	const char *origin = listed_origin(cfg, req);

	if (cfg->cors_origins != NULL)
		response_header(resp, "Vary", "Origin");
	if (origin != NULL) {
		response_header(resp, "Access-Control-Allow-Origin", origin);
		response_header(resp, "Access-Control-Expose-Headers",
				"ETag, Link, Mcp-Session-Id, Retry-After, WWW-Authenticate, X-Deploy-Result, "
				"X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id");
		return true;
	}
	if (site == NULL || site[0] == '\0' || text_eq(site, "same-origin") || text_eq(site, "none"))
		return true;
	(void)err_set(e, ERR_FORBIDDEN, "cross_origin", "A page of another origin may not ask this");
	return err_hint(e, "The option cors_origins lists the origins that may.");
}

bool browser_preflight(const struct config *cfg, const struct request *req, struct response *resp)
{
	const char *method = request_header(req, "Access-Control-Request-Method");
	const char *origin = listed_origin(cfg, req);

	if (!text_eq(req->method, "OPTIONS") || origin == NULL || method == NULL || method[0] == '\0')
		return false;
	resp->status = 204;
	response_header(resp, "Vary", "Origin");
	response_header(resp, "Access-Control-Allow-Origin", origin);
	response_header(resp, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE");
	response_header(resp, "Access-Control-Allow-Headers",
			"apikey, authorization, content-type, idempotency-key, if-match, if-none-match, "
			"mcp-protocol-version, mcp-session-id, x-deploy-message, x-request-id");
	response_header(resp, "Access-Control-Max-Age", "600");
	return true;
}
