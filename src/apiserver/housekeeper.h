/* What a cluster's controllers do to objects of any kind: owner-reference garbage collection
 * (background, foreground, orphan), emptying of namespaces and of deleted CRDs, the end of old
 * Events.
 *
 * One thread, level-triggered: the store's events only say which objects to look at again, and a
 * start looks at all of them, so that a crash at any moment loses nothing. */
#pragma once

#include "base/error.h"

struct apiserver;
struct housekeeper;

int housekeeper_new(struct apiserver *s, struct housekeeper **ret, struct error **err);
void housekeeper_free(struct housekeeper *h);
