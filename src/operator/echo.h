/* Remembers a controller's last write to each of its objects until the cache has it. A decision
 * over a copy that lacks it would repeat the write, with another time. Thread-safe. */
#pragma once

#include <stdbool.h>

/* How long a reconcile waits at most for its own last write to come back by the watch. */
#define ECHO_WAIT_MS 1000

struct echo;

struct echo *echo_new(void);
void echo_free(struct echo *e);
/* version: the object's resourceVersion after the write; NULL: it is gone, forget it. */
void echo_remember(struct echo *e, const char *key, const char *version);
/* Whether the cached copy, of this version, is older than the last write. */
bool echo_awaited(struct echo *e, const char *key, const char *version);
