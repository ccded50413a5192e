/*
 * background - work that goes on after its request was answered: a few threads at most, and none is left behind at the
 * end.
 */
#ifndef FA_SERVICE_BACKGROUND_H
#define FA_SERVICE_BACKGROUND_H

#include <stdbool.h>

/* More wait in their request instead. */
#define BACKGROUND_MAX 8

/* Starts job(ctx) on a thread of its own; false where there are BACKGROUND_MAX already, or no thread is to be had: job
 * was not called. */
bool background_start(void (*job)(void *ctx), void *ctx);

/* Waits until all of them are done. */
void background_wait(void);

#endif
