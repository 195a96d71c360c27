/* The tokens of a JSON Pointer, for pointer.c and patch.c. */
#pragma once

#include "base/macros.h"

/* Unescapes the token that begins at *at (behind its slash) into `token`, which must have room for
 * the rest of the pointer, and moves *at to the next slash or the end. False for a bad escape. */
bool pointer_take_token(const char **at, char *token, size_t *ret_len);
/* An array index as RFC 6901 writes it: no sign, no leading zero. */
bool pointer_index(const char *token, size_t len, size_t *ret);
