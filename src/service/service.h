/*
 * service - what the domain's rules work with: configuration, database, functions folder, runtime.
 *
 * One for the process, shared by all threads. Calls of this layer take an arena for what they return, an actor for the
 * records, and return false with the error set; the errors are those of API.md, ready to be shown.
 */
#ifndef FA_SERVICE_SERVICE_H
#define FA_SERVICE_SERVICE_H

#include "core/config.h"
#include "core/crypto.h"
#include "core/error.h"
#include "core/model.h"
#include "fs/folder.h"
#include "store/pg.h"

#include <pthread.h>

struct applied;
struct heartbeat;
struct holds;
struct watch;
struct contents;
struct fleet;
struct node_self;
struct keyring;
struct current;
struct drift;
struct probe;
struct secret_file;

struct service {
	const struct config *cfg; /* of a further project: a copy with that project's folder, runtime and keys */
	struct pg_pool *pool;
	struct current *current;            /* the projects' rows, read for all who ask */
	struct folder *folder;              /* NULL: this process deploys nowhere (commands) */
	struct probe *probe;                /* NULL: no runtime is configured */
	struct heartbeat *heartbeat;        /* the base's own: tells other processes that this one lives */
	bool agent;                         /* follows what others deploy, and carries out no deployment itself */
	struct fleet *fleet;                /* the base's own: news of the other nodes */
	_Atomic int peers;                  /* whether there are other nodes, as far as service/fleet.c knows */
	struct contents *contents;          /* where files come from; NULL: the database */
	struct node_self *node;             /* what this host is among the project's nodes; NULL: it shows nothing */
	char predecessor[CRYPTO_UUID_SIZE]; /* the process that had this folder before; "" for none */
	struct holds *holds;                /* whose releases are in use by a rollout */
	struct drift *drift;                /* what was seen of the releases on disk */
	pthread_mutex_t apply_lock;
	struct applied *applied;         /* what the folder shows; guarded by apply_lock */
	struct secret_file *secret_file; /* what the file of secrets shows; guarded by apply_lock */
	uint64_t manifest_stamp;         /* of the manifest as it was written; guarded by apply_lock */
	int64_t kept_generation;         /* of the manifest that was synced last; as above */
	unsigned renewals;               /* of the folder, when it was last filled (folder_check()); as above */
	char *runtime_token;             /* NULL: no folder is open */
	_Atomic int64_t shown;           /* the generation of `applied`, for who only wants to know */
	pthread_mutex_t keyring_lock;
	struct watch *watch;  /* how new versions do; the sweep's own */
	struct service *base; /* NULL: this is the one of the configured project, which owns the pool */
	struct service
		*_Atomic further; /* the next of the other projects that this process deploys to; only ever grows */
	struct service *nowhere;  /* for projects that are deployed to elsewhere: reads only */
	struct config *own_cfg;   /* of a further project */
	struct keyring *keyring;  /* made when it is first needed: most commands need no key; service_keyring() */
};

/* The database only, for commands. connections: the size of the pool. */
MUST_CHECK bool service_open(struct service **out, const struct config *cfg, int connections, struct err *e);

/* The functions folder and the runtime as well. */
MUST_CHECK bool service_open_folder(struct service *s, struct err *e);

/*
 * The service that deploys to a project: s itself, one of the further ones, or one without a folder, with which
 * everything can be read but nothing be deployed (service_not_here).
 */
struct service *service_of(struct service *s, const char *project_ref);

/*
 * Opens folder and runtime of projects that came to the database since the last call (functions-admin project create).
 * One that cannot be opened is logged and tried again with the next call. One thread at a time.
 */
MUST_CHECK bool service_refresh(struct service *s, struct err *e);

/* ERR_CONFLICT: this process does not deploy to that project. Returns false. */
bool service_not_here(const struct service *s, const char *project_ref, struct err *e);

/* The files by which runtime and event service know us, where one of them is missing in the folder. */
MUST_CHECK bool service_leave_files(struct service *s, struct err *e);

/* Does this process show the project's functions in a folder of its own? Else the folder is for uploads only. */
bool service_shows(const struct service *s);

/* The id by which the process owns its deployments (service/heartbeat.h). NULL: it has opened no folder. */
const char *service_instance(const struct service *s);

/* The keys of secrets. NULL with the error set where they are not configured. */
const struct keyring *service_keyring(struct service *s, struct err *e);

void service_close(struct service *s);

/* Milliseconds since the epoch. */
int64_t service_now(void);

#endif
