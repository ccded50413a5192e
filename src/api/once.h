/* once - POSTs with an Idempotency-Key are carried out once; their repetitions get the same answer. */
#ifndef FA_API_ONCE_H
#define FA_API_ONCE_H

#include "api/api.h"

/* Runs the route's handler, or answers as the first request with this key was answered. Anything but such a POST just
 * runs. */
MUST_CHECK bool once_handle(struct call *c, const struct route *r, struct err *e);

#endif
