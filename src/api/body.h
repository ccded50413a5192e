/* body - GET .../body: a version's files as multipart/form-data, or its bundle as it was uploaded; streamed from the
 * database. */
#ifndef FA_API_BODY_H
#define FA_API_BODY_H

#include "api/api.h"

MUST_CHECK bool body_send(struct call *c, const struct function *f, struct err *e);

#endif
