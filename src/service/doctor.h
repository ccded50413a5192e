/*
 * doctor - looks at what the service needs, and says how to mend what it finds. Changes nothing.
 *
 * The command looks from outside, with a service of its own; the API asks the service that runs. Each check says one or
 * more findings, and none fails: that something could not be looked at is a finding.
 */
#ifndef FA_SERVICE_DOCTOR_H
#define FA_SERVICE_DOCTOR_H

#include "service/service.h"

#include <jansson.h>

enum verdict { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_WRONG };

struct finding {
	const char *check; /* what was looked at: the name of an option, where there is one */
	enum verdict verdict;
	const char *message;
	const char *hint; /* NULL where the verdict is DOCTOR_OK */
};

struct doctor {
	const struct config *cfg;
	struct service *service;
	struct arena *arena;
	void (*say)(void *ctx, const struct finding *f);
	void *ctx;
};

void doctor_say(const struct doctor *d, const char *check, enum verdict verdict, const char *message, const char *hint);
void doctor_say_err(const struct doctor *d, const char *check, const struct err *e);

/* Server, schema, and the role that the service works under; the latter only where the database is well. */
void doctor_database(const struct doctor *d);
void doctor_folder(const struct doctor *d);
void doctor_drift(const struct doctor *d, size_t drifted);
/* probe: to ask with; NULL where there is no token yet. */
void doctor_runtime(const struct doctor *d, struct probe *probe);

/* All of these, for a service that runs. */
void doctor_service(const struct doctor *d);

/* {check, verdict, message, hint}; NULL where memory is out. */
json_t *doctor_view(const struct finding *f);

#endif
