/* intake - what callers send, as the services want it: form data, JSON, bundles, query parameters. */
#ifndef FA_API_INTAKE_H
#define FA_API_INTAKE_H

#include "api/api.h"
#include "service/deploy.h"

#include <jansson.h>

/* "true" or "false" in the query; ERR_MALFORMED for anything else. */
MUST_CHECK bool intake_bool(const struct call *c, const char *name, bool fallback, bool *out, struct err *e);

/* The X-Deploy-Message header, where *message is not set yet; at most 1,024 bytes of text. */
MUST_CHECK bool intake_message(const struct call *c, const char **message, struct err *e);

/* The request's body as JSON; ERR_MEDIA_TYPE where it says that it is something else. */
MUST_CHECK bool intake_json(struct call *c, json_t **out, struct err *e);

/* A JSON object; an absent or empty body is {}. ERR_INVALID for another document. */
MUST_CHECK bool intake_object(struct call *c, json_t **doc, struct err *e);

/* The same with a limit of its own in place of max_json_bytes. */
MUST_CHECK bool intake_json_upto(struct call *c, size_t max, json_t **out, struct err *e);

/*
 * multipart/form-data: "file" parts and one "metadata" part, in any order (API.md). Files go to staging as they arrive.
 * Fills the upload and what the metadata says.
 */
MUST_CHECK bool intake_multipart(struct call *c, struct deploy_request *req, struct err *e);

/*
 * JSON {slug, name, body, verify_jwt}, each optional here, or a bundle (application/vnd.denoland.eszip) with the same
 * in the query. req->upload stays NULL where no body is given. *slug: as given, unchecked.
 */
MUST_CHECK bool intake_single(struct call *c, struct deploy_request *req, const char **slug, struct err *e);

#endif
