/*
 * crash - named points at which a test build dies, as kill -9 or a loss of power would have it.
 *
 * Compiled in by configure --enable-crash-points only, for tests/faults/; a released program has none of them. A name
 * stands once in the source, and the test finds it in the program: one that was never tried fails the test.
 */
#ifndef FA_CORE_CRASH_H
#define FA_CORE_CRASH_H

#ifdef FA_CRASH_POINTS
/* Kills the process at the Nth time that it comes by, from when the file that FA_CRASH_FILE names says "NAME:N";
 * the file goes before. Thread-safe. The name comes with a mark before it, by which the test finds it in the program.
 */
void crash_point(const char *marked_name);
#define FA_CRASH_POINT(name) crash_point("crash point: " name)
#else
#define FA_CRASH_POINT(name) ((void)0)
#endif

#endif
