/*
 * memory - lets one allocation fail.
 *
 * Preloaded (LD_PRELOAD) in tests/faults/memory.test.mjs. The file that FA_MEMORY_FILE names holds two numbers of 8
 * bytes, which the test writes and reads while the program runs: how many allocations from now on the one that fails is
 * (0: none), and how many have failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's own, under the names that are not taken here. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static struct {
	_Atomic long left;
	_Atomic long failed;
} * state;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FA_MEMORY_FILE");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map = fd >= 0 ? mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

	if (map != MAP_FAILED)
		state = map;
	if (fd >= 0)
		(void)close(fd);
}

static bool fails(void)
{
	if (state == NULL || atomic_load(&state->left) <= 0 || atomic_fetch_sub(&state->left, 1) != 1)
		return false;
	atomic_fetch_add(&state->failed, 1);
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}
