/* Weights that are streamed from a store that a ModelMirror keeps, instead of fetched by each pod.
 * Nobody outside the workspace folder includes it. */
#pragma once

#include "workspace/observe.h"

#define STREAMING_LABEL "azure.workload.identity/use"
#define BLOB_DRIVER "blob.csi.azure.com"
#define STREAMING_FETCHER "fetch-sas" /* container */

/* The gates are on, the cloud is Azure, and the Workspace, which runs a preset by vLLM, does not
 * say otherwise. */
bool streaming_wanted(const struct operator_settings *settings, const struct workspace *ws);
/* Of a repository of Hugging Face: six hex digits. */
const char *streaming_mirror_name(struct arena *a, const char *model_id);
/* As it is asked of the store: lower case when the catalogue has it. */
const char *streaming_model_id(struct arena *a, const struct catalog *catalog,
                               const struct workspace *ws);
/* The annotations, else what the operator was started with; "" when neither says. */
const char *streaming_storage_class(const struct operator_settings *settings,
                                    const struct workspace *ws);
const char *streaming_service_account(const struct operator_settings *settings,
                                      const struct workspace *ws);

/* ---- from stores of others (streaming_static.c) */

bool streaming_static_asked(const struct workspace *ws); /* by annotation */
bool streaming_static_runs(const struct json *statefulset);
/* What is wrong with its annotations; NULL: nothing. */
const char *streaming_static_fault(struct arena *a, const struct workspace *ws);
/* Of the ConfigMap; and whose it is, NULL when its name is another. */
const char *streaming_script_name(struct arena *a, const char *workspace);
const char *streaming_script_owner(struct arena *a, const char *name);

void streaming_observe(struct arena *a, const struct workspace_caches *caches,
                       struct kube_client *c, const struct operator_settings *settings,
                       const struct catalog *catalog, const struct workspace *ws,
                       const struct json *statefulset, struct observed_streaming *ret);
