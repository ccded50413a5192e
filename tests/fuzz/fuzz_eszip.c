/*
 * Bundles: the input is unpacked as an upload would be, at most 1 MiB, and read as an archive, both as it is and
 * unpacked.
 */
#include "fs/eszip.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES ((int64_t)1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	(void)!eszip_has_module(in, "file:///src/index.ts", &e);
	if (eszip_unpack(in, out, MAX_BYTES, &unpacked, &e))
		(void)!eszip_has_module(out, "file:///src/index.ts", &e);
	if (fstat(out, &st) != 0 || st.st_size > MAX_BYTES || (unpacked >= 0 && st.st_size != unpacked))
		abort();
	return 0;
}
