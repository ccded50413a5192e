/*
 * service - what the domain's rules work with: configuration, database, functions folder, runtime.
 *
 * One for the process, shared by all threads. Calls of this layer take an arena for what they return, an actor for the
 * records, and return false with the error set; the errors are those of API.md, ready to be shown.
 */
#ifndef FA_SERVICE_SERVICE_H
#define FA_SERVICE_SERVICE_H

#include "core/config.h"
#include "core/error.h"
#include "core/model.h"
#include "fs/folder.h"
#include "store/pg.h"

#include <pthread.h>

struct applied;
struct holds;
struct keyring;
struct current;
struct probe;
struct secret_file;

struct service {
	const struct config *cfg;
	struct pg_pool *pool;
	struct current *current; /* the projects' rows, read for all who ask */
	struct folder *folder;   /* NULL: this process deploys nowhere (commands) */
	struct probe *probe;     /* NULL: no runtime is configured */
	struct holds *holds;     /* whose releases are in use by a rollout */
	pthread_mutex_t apply_lock;
	struct applied *applied;         /* what the folder shows; guarded by apply_lock */
	struct secret_file *secret_file; /* what the file of secrets shows; guarded by apply_lock */
	pthread_mutex_t keyring_lock;
	struct keyring *keyring; /* made when it is first needed: most commands need no key; service_keyring() */
};

/* The database only, for commands. connections: the size of the pool. */
MUST_CHECK bool service_open(struct service **out, const struct config *cfg, int connections, struct err *e);

/* The functions folder and the runtime as well. */
MUST_CHECK bool service_open_folder(struct service *s, struct err *e);

/* The keys of secrets. NULL with the error set where they are not configured. */
const struct keyring *service_keyring(struct service *s, struct err *e);

void service_close(struct service *s);

/* Milliseconds since the epoch. */
int64_t service_now(void);

#endif
