/* Workspaces that were made or deleted and that the cache does not show so yet. While some are open
 * (and younger than five minutes) a set must not be counted again, or it would make one too many,
 * or delete another one. After a restart there are none: the caches are listed anew, and names that
 * are fixed by the set make a repeated creation a no-op. Thread-safe. */
#pragma once

#include "base/clock.h"
#include "kube/informer.h"

struct pending;

struct pending *pending_new(struct clock *clock);
void pending_free(struct pending *p);
/* key: of the set. uid NULL: a creation, else the deletion of this very object. */
void pending_add(struct pending *p, const char *key, const char *name, const char *uid);
/* It did not come to it; or the cache has seen it go. */
void pending_drop(struct pending *p, const char *key, const char *name);
/* Whether the cache shows all that was done for the set. */
bool pending_settled(struct pending *p, const char *key, const char *ns, struct informer *cache);
