/*
 * api - HTTP to services and back: the routes, and what each handler works with.
 *
 * A handler reads the request, calls a service, and renders what it returned; it returns false with the error set,
 * which the router turns into the answer. Every row of the route table names the scope that its caller needs.
 */
#ifndef FA_API_API_H
#define FA_API_API_H

#include "auth/auth.h"
#include "http/request.h"
#include "http/response.h"
#include "service/service.h"

struct answers;
struct ratelimit;
/* A further project's way in: its keys open that project only. */
struct door {
	struct door *_Atomic next; /* the list only ever grows */
	const struct service *service;
	struct auth *auth;
};

/* One for the process. */
struct api {
	struct service *service;
	const struct auth *auth;
	const struct config *cfg;
	struct answers *answers;
	struct door *_Atomic doors;
	struct ratelimit *limits; /* NULL: nothing is counted */
};

/* One request on its way through. */
struct call {
	struct api *api;
	struct service *service; /* that of the project, where the path names one */
	struct arena *arena;
	struct request *req;
	struct response *resp;
	struct principal who;
	struct actor actor;
	struct project project; /* of routes with {ref} */
	const char *slug;       /* of routes with {slug}, decoded and checked */
	const char *id;         /* of routes with {id} */
	int64_t number;         /* of routes with {n} */
	/* Told how far a deploy is (service/deploy.h); NULL: nobody asks. */
	void (*progress)(void *ctx, const char *stage);
	void *progress_ctx;
};

/* Adds doors for further projects that the service has opened meanwhile. One thread at a time. */
MUST_CHECK bool api_refresh(struct api *api, struct err *e);
void api_close(struct api *api);

/* Answers one request; never fails, since every failure is an answer. */
void api_handle(struct api *api, struct request *req, struct response *resp);

/* What one handler asks of another route, as the same caller. */
struct api_question {
	const char *method;
	const char *target;       /* "/v1/projects/default/functions?limit=5", encoded */
	const char *content_type; /* NULL: no body */
	const char *body;
	size_t len;
};

/*
 * Answers the question as if the caller had asked it: scope, bounds, limits and audit log are those of that route. The
 * answer is in resp, which the caller has initialized and frees. False with the route's own error.
 */
MUST_CHECK bool api_ask(struct call *outer, const struct api_question *question, struct response *resp, struct err *e);

/* Checks a slug that did not come with the path, and that the caller may touch it; then it is c->slug. */
MUST_CHECK bool api_bind_slug(struct call *c, const char *slug, struct err *e);

/* The answer to a request that could not even be read. */
void api_refuse(const struct err *e, const char *request_id, struct response *resp);

enum route_flags {
	ROUTE_PUBLIC = 1 << 0, /* no credential is asked for; every other row needs one, and names a scope */
	ROUTE_FLAT = 1 << 1,   /* the flat API: errors carry "error" as well */
	ROUTE_USERS = 1 << 2   /* users of Supabase Auth may come, as far as the options name them (auth/oauth.h) */
};

struct route {
	const char *method;
	const char *path; /* {ref}, {slug}, {id} and {n} stand for one segment each */
	unsigned scope;   /* enum scope; SCOPE_NONE: any good credential will do */
	unsigned flags;
	bool (*handler)(struct call *c, struct err *e);
};

/* Every route of the program, for the router and for the tests that walk them. Ends with a row without method. */
extern const struct route api_routes[];

#endif
