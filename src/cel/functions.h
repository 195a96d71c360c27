/* The library, between functions.c and strings.c. */
#pragma once

#include "base/buf.h"
#include "cel/cel_internal.h"

/* Methods of strings, and of lists of strings. */
const struct cel_function_row *cel_string_function_find(const char *name);
