/* body - GET .../body: a version's files as multipart/form-data, or its bundle as it was uploaded; streamed from the
 * database. */
#ifndef FA_API_BODY_H
#define FA_API_BODY_H

#include "api/api.h"

/* The type of a bundle as it was uploaded. Who does not accept it gets no bundle. */
#define BODY_BUNDLE_TYPE "application/vnd.denoland.eszip"

MUST_CHECK bool body_send(struct call *c, const struct function *f, struct err *e);

#endif
