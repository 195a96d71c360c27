/* Running a credential plugin. For credentials.c. */
#pragma once

#include "base/buf.h"
#include "kube/cancel.h"
#include "kube/config.h"

/* Runs it, at most 30 s, and gives what it printed. The error ends with what it printed to stderr.
 */
int kube_exec_run(const struct kube_config *config, struct kube_cancel *cancel, struct buf *ret,
                  struct error **err);
