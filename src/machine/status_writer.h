/* Writes pod statuses, and deletes pods whose containers have ended. The newest status of a pod
 * wins; what was not yet written of an older one is never written. */
#pragma once

#include "kube/controller.h"

struct status_writer;

/* The controller is the caller's to add to a manager (which frees it). */
struct status_writer *status_writer_new(struct kube_client *client, struct clock *clock,
                                        struct controller **ret_controller);
void status_writer_free(struct status_writer *w); /* after the controller has stopped */

/* status is copied. With `delete_it` the pod is deleted for good once its status is written. */
void status_writer_set(struct status_writer *w, const char *ns, const char *name, const char *uid,
                       const struct json *status, bool delete_it);
