#!/bin/sh
# embed.sh FILE... - writes C source on standard output: each file as bytes, in `const struct embedded embedded_files[]`,
# by its base name and in the order given, so that the program carries its migrations and the runtime's shim within itself.
set -eu
echo '#include "core/embedded.h"'
n=0
for file in "$@"; do
	printf 'static const unsigned char file_%d[] = {\n' "$n"
	od -An -v -tu1 "$file" | sed 's/  *\([0-9][0-9]*\)/\1,/g'
	echo '0};'
	n=$((n + 1))
done
echo 'const struct embedded embedded_files[] = {'
n=0
for file in "$@"; do
	printf '{"%s", (const char *)file_%d, sizeof file_%d - 1},\n' "$(basename "$file")" "$n" "$n"
	n=$((n + 1))
done
echo '{0, 0, 0}};'
