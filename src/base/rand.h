/* Random bytes, and the random suffixes that Kubernetes puts on generated names. */
#pragma once

#include "base/macros.h"

void rand_bytes(void *out, size_t len); /* from the kernel; aborts if that fails */
uint64_t rand_u64(void);
double rand_unit(void); /* [0, 1) */
/* len characters of "bcdfghjklmnpqrstvwxz2456789", NUL-terminated. */
void rand_suffix(char *out, size_t len);
/* A version 4 UUID in text form. */
void rand_uuid(char out[37]);
