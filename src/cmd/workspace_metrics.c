#include "cmd/workspace_metrics.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "kube/quantity.h"
#include "metrics/metrics.h"
#include "json/build.h"

#define WORKSPACE_NAME_LABEL "kaito.sh/workspace"

static const struct kube_resource CLAIMS = { "", "v1", "persistentvolumeclaims",
                                             "PersistentVolumeClaim", true };
static const char *const phases[] = { "succeeded", "error", "pending", "deleting" };

struct workspace_metrics {
    struct informer *workspaces, *claims;
    struct metric *count, *presets, *claim_count, *claim_bytes;
};

/* By state, which says what the user has: a Workspace that waits for its first node is pending, one
 * that was ready and is no more is an error. */
const char *workspace_phase(const struct json *workspace)
{
    if (json_find_str(workspace, "metadata", "deletionTimestamp"))
        return "deleting";
    const char *state = json_find_str(workspace, "status", "state");
    if (str_eq(state, "Ready") || str_eq(state, "Succeeded"))
        return "succeeded";
    if (str_eq(state, "Failed") || str_eq(state, "NotReady"))
        return "error";
    return "pending";
}

static const char *preset_of(const struct json *workspace)
{
    const char *name = json_find_str(workspace, "inference", "preset", "name");
    return name ? name : json_find_str(workspace, "tuning", "preset", "name");
}

/* Only what is read above. */
static void project_workspace(struct arena *a, struct json *obj)
{
    struct json *metadata = json_get(obj, "metadata");
    json_del(metadata, "annotations");
    json_del(metadata, "labels");
    const char *state = json_find_str(obj, "status", "state");
    json_set(a, obj, "status", OBJ("state", STR(state)));
    const char *preset = preset_of(obj);
    json_del(obj, "resource");
    json_del(obj, "tuning");
    json_set(a, obj, "inference", preset ? OBJ("preset", OBJ("name", STR(preset))) : NULL);
}

static void project_claim(struct arena *a, struct json *obj)
{
    json_del(obj, "spec");
    json_del(json_get(obj, "metadata"), "annotations");
}

static void count_workspaces(struct workspace_metrics *w, struct arena *a)
{
    for (size_t i = 0; i < COUNT_OF(phases); i++)
        metric_set(w->count, 0, phases[i]);
    metric_reset(w->presets);
    struct kube_object_list all = { 0 };
    informer_list(w->workspaces, NULL, NULL, &all);
    for (size_t i = 0; i < all.count; i++) {
        arena_reset(a);
        const struct json *workspace = kube_object_parse(a, all.items[i]);
        metric_add(w->count, 1, workspace_phase(workspace));
        const char *preset = preset_of(workspace);
        if (!str_empty(preset))
            metric_add(w->presets, 1, preset);
    }
    kube_object_list_done(&all);
}

/* Claims of the volumes that hold a Workspace's weights; pods' labels are on them. */
static void count_claims(struct workspace_metrics *w, struct arena *a)
{
    metric_reset(w->claim_count);
    metric_reset(w->claim_bytes);
    struct kube_object_list all = { 0 };
    informer_list(w->claims, NULL, NULL, &all);
    for (size_t i = 0; i < all.count; i++) {
        arena_reset(a);
        const struct kube_object *claim = all.items[i];
        const char *name = kube_object_label(claim, WORKSPACE_NAME_LABEL);
        metric_add(w->claim_count, 1, name, claim->ns);
        const char *size =
            json_find_str(kube_object_parse(a, claim), "status", "capacity", "storage");
        int64_t bytes = 0;
        if (size && quantity_value(size, &bytes, NULL) == 0)
            metric_set(w->claim_bytes, (double)bytes, name, claim->ns, claim->name);
    }
    kube_object_list_done(&all);
}

static void collect(void *ctx)
{
    struct workspace_metrics *w = ctx;
    if (!informer_synced(w->workspaces) || !informer_synced(w->claims))
        return;
    AUTO_ARENA a = arena_new();
    count_workspaces(w, a);
    count_claims(w, a);
}

static void register_families(struct workspace_metrics *w)
{
    static const char *const by_phase[] = { "phase", NULL };
    static const char *const by_preset[] = { "preset_name", NULL };
    static const char *const by_owner[] = { "workspace_name", "workspace_namespace", NULL };
    static const char *const by_claim[] = { "workspace_name", "workspace_namespace", "pvc_name",
                                            NULL };
    w->count = metric_gauge("kaito_workspace_count", "Workspaces per phase", by_phase);
    w->presets = metric_gauge("kaito_workspace_preset_count", "Workspaces per preset", by_preset);
    w->claim_count =
        metric_gauge("kaito_workspace_pvc_count", "Claims of volumes per Workspace", by_owner);
    w->claim_bytes = metric_gauge("kaito_workspace_pvc_allocated_bytes",
                                  "Size of the volume behind a claim", by_claim);
}

struct workspace_metrics *workspace_metrics_add(struct manager *m)
{
    struct workspace_metrics *w = NEW0(struct workspace_metrics);
    register_families(w);
    w->workspaces = manager_shared(m, &KUBE_WORKSPACES);
    if (!w->workspaces)
        w->workspaces =
            manager_informer(m, &KUBE_WORKSPACES,
                             &(struct informer_options){ .project = project_workspace });
    w->claims = manager_informer(m, &CLAIMS,
                                 &(struct informer_options){
                                     .label_selector = WORKSPACE_NAME_LABEL,
                                     .project = project_claim,
                                 });
    metrics_on_collect(collect, w);
    return w;
}

void workspace_metrics_free(struct workspace_metrics *w)
{
    if (!w)
        return;
    metrics_collect_stop(collect, w);
    free(w);
}
