/*
 * browser - what holds for requests that a web page makes.
 *
 * A page of another origin may ask only if the option cors_origins lists that origin; it gets CORS headers then, never
 * with credentials of the browser's own (Access-Control-Allow-Credentials). All other requests that a browser marks as
 * coming from elsewhere (Sec-Fetch-Site) are refused: a gateway may have filled in a credential because of a login that
 * the browser sends by itself. Programs that are no browsers send neither header and are not concerned.
 */
#ifndef FA_API_BROWSER_H
#define FA_API_BROWSER_H

#include "api/api.h"

/* Does cors_origins list it? */
bool browser_is_listed(const struct config *cfg, const char *origin);

/* ERR_FORBIDDEN "cross_origin" for a page of an origin that is not listed; sets the CORS headers for one that is. */
MUST_CHECK bool browser_check(const struct config *cfg, const struct request *req, struct response *resp,
			      struct err *e);

/* Answers a preflight of a listed origin (Fetch standard, "CORS-preflight request"); false for any other request. */
bool browser_preflight(const struct config *cfg, const struct request *req, struct response *resp);

#endif
