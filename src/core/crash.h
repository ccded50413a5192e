/*
 * crash - named points at which a test build dies, as kill -9 or a loss of power would have it.
 *
 * Compiled in by configure --enable-crash-points only, for tests/faults/; a released program has none of them. A name
 * stands once in the source: the test finds them there, and fails for one that it does not cover.
 */
#ifndef FA_CORE_CRASH_H
#define FA_CORE_CRASH_H

#ifdef FA_CRASH_POINTS
/* Kills the process at the Nth time that it comes by, where FA_CRASH_AT is "NAME:N". Thread-safe. */
void crash_point(const char *name);
#define FA_CRASH_POINT(name) crash_point(name)
#else
#define FA_CRASH_POINT(name) ((void)0)
#endif

#endif
