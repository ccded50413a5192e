/*
 * Bundles: the input is unpacked as an upload would be, at most 1 MiB, and read as an archive, both as it is and
 * unpacked.
 */
#include "fs/bundle.h"
#include "fs/eszip.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES ((int64_t)1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whoever has the entry point as it is stated has its sources, or is told why not; each path could be an upload's. */
static void read_archive(int fd)
{
	struct arena *a = arena_new(16 * MAX_BYTES);
	struct source_module *modules;
	struct err e = ERR_INIT;
	size_t count;
	size_t entry;

	if (a == NULL)
		abort();
	(void)!eszip_has_module(fd, "file:///src/index.ts", &e);
	if (eszip_sources(fd, "file:///src/index.ts", (size_t)MAX_BYTES, a, &modules, &count, &entry, &e)) {
		if (entry >= count)
			abort();
		for (size_t i = 0; i < count; i++)
			if (!bundle_check_path(modules[i].path, 4000, &e))
				abort();
	}
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int in = -1;
	static int out = -1;
	struct err e = ERR_INIT;
	struct stat st;
	int64_t unpacked = -1;

	if (in < 0) {
		in = memfd_create("in", MFD_CLOEXEC);
		out = memfd_create("out", MFD_CLOEXEC);
	}
	if (ftruncate(in, 0) != 0 || ftruncate(out, 0) != 0 || lseek(out, 0, SEEK_SET) != 0 ||
	    pwrite(in, data, size, 0) != (ssize_t)size)
		abort();
	read_archive(in);
	if (eszip_unpack(in, out, MAX_BYTES, &unpacked, &e))
		read_archive(out);
	if (fstat(out, &st) != 0 || st.st_size > MAX_BYTES || (unpacked >= 0 && st.st_size != unpacked))
		abort();
	return 0;
}
