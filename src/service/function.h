/* function - reading functions, their files and projects. */
#ifndef FA_SERVICE_FUNCTION_H
#define FA_SERVICE_FUNCTION_H

#include "service/service.h"
#include "store/inventory.h"
#include "store/project.h"

MUST_CHECK bool function_projects(struct service *s, struct arena *a, const char *only, struct project **out,
				  size_t *count, struct err *e);
/* ref may be "default". */
MUST_CHECK bool function_project(struct service *s, struct arena *a, const char *ref, struct project *out,
				 struct err *e);

/* As it is since the request arrived (current.h); for the beginning of a request, before it has changed anything. */
MUST_CHECK bool function_project_since(struct service *s, struct arena *a, const char *ref, int64_t arrived,
				       struct project *out, struct err *e);

MUST_CHECK bool function_all(struct service *s, struct arena *a, const char *project_ref, struct function_list *out,
			     struct err *e);
/* What lately happened to each of them, by slug too. */
MUST_CHECK bool function_activities(struct service *s, struct arena *a, const char *project_ref,
				    struct activity_list *out, struct err *e);
MUST_CHECK bool function_get(struct service *s, struct arena *a, const char *project_ref, const char *slug,
			     struct function *out, struct err *e);
MUST_CHECK bool function_files(struct service *s, struct arena *a, const struct function *f, struct file_list *out,
			       struct err *e);

/* The content of one file, piece by piece. */
MUST_CHECK bool function_read(struct service *s, const struct file *file,
			      bool (*sink)(void *ctx, const void *data, size_t len, struct err *e), void *ctx,
			      struct err *e);

/* The local modules of an eszip version (fs/eszip.h has the errors), in the arena; *entry: the entry point's index. */
MUST_CHECK bool function_bundle_sources(struct service *s, struct arena *a, const struct function *f,
					struct source_module **out, size_t *count, size_t *entry, struct err *e);

/* The content of a file as text in the arena, for small ones. */
MUST_CHECK bool function_text(struct service *s, struct arena *a, const struct file *file, char **out, struct err *e);

MUST_CHECK bool function_set_name(struct service *s, struct arena *a, const struct actor *who, struct function *f,
				  const char *name, const struct expectation *expected, struct err *e);

/* The database server's version (150020), 0 before the first connection. */
int function_server_version(struct service *s);

/* How much there is, for monitoring: of all projects that this process deploys to. Their folders show *shown
 * generations in sum, and *shown is set in any case. */
MUST_CHECK bool function_inventory(struct service *s, struct arena *a, struct inventory *out, int64_t *shown,
				   struct err *e);

/* Is the database there, and at least at the schema that this binary needs? */
MUST_CHECK bool function_ready(struct service *s, struct arena *a, struct err *e);

#endif
