/*
 * bell - those who wait for something to happen, and are told: followers of logs, deployments and nodes.
 *
 * Who waits holds a worker, so only so many may, and none for longer than BELL_HOLD_MS. What another process does rings
 * no bell here, so a wait also ends by itself after a second, to look again, and to look whether the follower is there.
 */
#ifndef FA_SERVICE_BELL_H
#define FA_SERVICE_BELL_H

#include <stdbool.h>
#include <stdint.h>

#define BELL_HOLD_MS 20000

struct bell_wait {
	bool held; /* there was a place */
	uint64_t heard;
	int64_t until; /* ms */
};

/* Something has happened that followers may want to see. Never waits. */
void bell_ring(void);

/* The process stops: everybody who waits goes, and nobody waits any more. */
void bell_close(void);

/* To be called before the first look; at most `most` wait at once. Without a place bell_wait() does not wait. */
void bell_begin(struct bell_wait *w, int64_t most);

/* True: look again. False: the time is over, or there was no place. */
bool bell_wait(struct bell_wait *w);

void bell_end(struct bell_wait *w);

/* How many wait. */
int64_t bell_waiting(void);

#endif
