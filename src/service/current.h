/*
 * current - a project as the database has it now, asked for once by all requests that ask at the same time.
 *
 * Every answer that is held in memory is proved fresh by the project's revision, so this is what every request costs.
 * While one thread reads a project's row, others that want it wait, and then share the NEXT read, which begins after
 * all of them came: nobody gets what was read before it asked, so no request sees less than what was committed before
 * it arrived, whichever instance committed it.
 */
#ifndef FA_SERVICE_CURRENT_H
#define FA_SERVICE_CURRENT_H

#include "core/arena.h"
#include "core/error.h"
#include "core/model.h"
#include "store/pg.h"

struct current;

MUST_CHECK bool current_new(struct current **out, struct pg_pool *pool, struct err *e);
void current_free(struct current *c);

/*
 * ref: or "default". arrived: when the request was there, in nanoseconds of CLOCK_MONOTONIC; a read that began later is
 * as good as a new one. ERR_NOT_FOUND where there is no such project.
 */
MUST_CHECK bool current_project(struct current *c, struct arena *a, const char *ref, int64_t arrived,
				struct project *out, struct err *e);

#endif
