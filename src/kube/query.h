/* Query strings. For the files of this folder. */
#pragma once

#include "base/buf.h"

/* Adds "key=value", percent-encoded, with the "?" or "&" in front that is due. A NULL value adds
 * nothing. */
void query_add(struct buf *path, const char *key, const char *value);
void query_add_int(struct buf *path, const char *key, int64_t value);
