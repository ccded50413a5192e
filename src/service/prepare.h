/*
 * prepare - from versions that are stored to "each is on this host's disk, and boots in its runtime": what comes before
 * anything is activated.
 *
 * Several are prepared side by side. The caller holds the functions (service/hold.h), so that nothing tidies away what
 * is being prepared.
 */
#ifndef FA_SERVICE_PREPARE_H
#define FA_SERVICE_PREPARE_H

#include "service/rollout.h"

/*
 * items[i] gets the times and how the boot went, done[i] whether it is prepared, else errors[i] why not. One whose
 * version is 0 is a removal, with nothing to prepare.
 */
void prepare_each(struct service *s, const struct actor *who, const struct rollout_item *from, size_t count,
		  struct activation *items, struct err *errors, bool *done);

/* All or an error: the first one's kind, code and hint, with a message that names every function that failed. */
MUST_CHECK bool prepare_all(struct service *s, struct arena *a, const struct actor *who,
			    const struct rollout_item *from, size_t count, struct activation *items, struct err *e);

#endif
