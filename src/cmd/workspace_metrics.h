/* kaito_workspace_count, kaito_workspace_preset_count, kaito_workspace_pvc_count and
 * kaito_workspace_pvc_allocated_bytes: what there is, counted at each scrape. */
#pragma once

#include "kube/controller.h"

struct workspace_metrics;

/* Before manager_start(), after the controllers were added, whose cache of Workspaces is read too.
 */
struct workspace_metrics *workspace_metrics_add(struct manager *m);
/* After manager_stop(), before manager_free(), whose informers it reads. NULL is fine. */
void workspace_metrics_free(struct workspace_metrics *w);

/* For tests: "succeeded", "error", "pending" or "deleting". */
const char *workspace_phase(const struct json *workspace);
