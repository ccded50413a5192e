/*
 * audit - the audit log for the layers above: entries that belong to no other change, refusals, reading, checking,
 * pruning.
 *
 * Changes write their own entries in their own transactions (store/audit.h). Refusals are gathered in memory, since a
 * flood of them must neither fill the disk nor keep the database busy: equal ones are counted, and a number of rows is
 * written now and then, with a summary of what did not fit (audit_flush). A killed process loses those of the last
 * seconds; one that is told to stop does not.
 */
#ifndef FA_SERVICE_AUDIT_H
#define FA_SERVICE_AUDIT_H

#include "service/service.h"
#include "store/audit.h"

/* One entry in a transaction of its own, such as an access to secrets: to be written before the secret is handed out.
 */
MUST_CHECK bool audit_record(struct service *s, struct arena *a, const struct actor *who,
			     const struct audit_entry *entry, struct err *e);

/* Counts a refused request. target: "GET /v1/projects"; code: of the error. Never waits, never fails. */
void audit_refused(const struct actor *who, const char *project_ref, const char *target, const char *code);

/* Writes the refusals that were counted since the last time. To be called every few seconds, and at the end. */
void audit_flush(struct service *s);

MUST_CHECK bool audit_page(struct service *s, struct arena *a, const struct audit_filter *f, int64_t before, int limit,
			   struct audit_rows *out, struct err *e);

/* What an earlier check showed, and must still be so. */
struct audit_expectation {
	const char *chain;
	int64_t seq;
	uint8_t hash[CRYPTO_HASH_BYTES];
};

struct audit_report {
	/* A chain's end: how many rows were checked and what its head is. */
	void (*chain)(void *ctx, const char *chain, int64_t rows, const struct audit_mark *head);
	/* Something that is not as it was written; `what` names chain and row. */
	void (*finding)(void *ctx, const char *what);
	void *ctx;
};

/* Walks every chain. *findings: how many. expect may be NULL. False only where it could not be checked. */
MUST_CHECK bool audit_verify(struct service *s, const struct audit_expectation *expect,
			     const struct audit_report *report, int64_t *findings, struct err *e);

/*
 * The newest entries of one chain, AUDIT_VERIFY_MAX at most, for callers who must not keep the database busy for long:
 * *from is the first that was checked. What is older is taken as it stands. ERR_CONFLICT "verification_runs": one at a
 * time.
 */
#define AUDIT_VERIFY_MAX 100000
MUST_CHECK bool audit_verify_newest(struct service *s, const char *chain, const struct audit_report *report,
				    int64_t *from, int64_t *findings, struct err *e);

/* Calls fn for each row of each chain (or of one: chain not NULL), oldest first. */
MUST_CHECK bool audit_export(struct service *s, const char *chain, bool (*fn)(void *ctx, const struct audit_row *row),
			     void *ctx, struct err *e);

/* Removes the rows of all chains before the time (ms), and records that. */
MUST_CHECK bool audit_prune_all(struct service *s, const struct actor *who, int64_t before, int64_t *removed,
				struct err *e);

#endif
