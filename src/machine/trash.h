/* Removes directories of pods that have gone, in the background: an emptyDir may hold gigabytes,
 * and the kubelet's thread cannot wait for them. What is not done when the machine stops is done
 * after the next start. */
#pragma once

#include "kube/controller.h"

struct trash;

/* dir: where pods' directories are. The controller is the caller's to add to a manager (which frees
 * it). */
struct trash *trash_new(const char *dir, struct clock *clock, struct controller **ret_controller);
void trash_free(struct trash *t);
/* Takes dir/NAME out of sight at once. Any thread. */
void trash_put(struct trash *t, const char *name);
/* Takes up what an earlier run has left. */
void trash_recover(struct trash *t);
