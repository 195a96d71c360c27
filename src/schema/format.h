/* String formats of CRD schemas: the ones that the API server checks. */
#pragma once

#include "base/macros.h"

typedef bool format_check(const char *s, size_t len);

/* NULL when the format is not checked ("int32", or one that nobody knows): then it is ignored.
 * Dashes do not count. */
format_check *format_find(const char *name);

bool format_is_uri(const char *s, size_t len);
