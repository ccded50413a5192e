#include "core/embedded.h"

#include "core/text.h"

const struct embedded *embedded_find(const char *name)
{
	for (const struct embedded *f = embedded_files; f->name != NULL; f++)
		if (text_eq(f->name, name))
			return f;
	return NULL;
}
