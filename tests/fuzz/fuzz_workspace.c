/* Any cluster is decided about without a crash, the status that comes out is stable, and nothing is
 * asked of a status that was written already. The input is an object in the form of "observed" in
 * tests/unit/workspace/cases. */
#include "base/str.h"
#include "fuzz.h"
#include "workspace/decide.h"
#include "json/build.h"

static const struct json *list(struct arena *a, const struct json *v)
{
    return json_is_array(v) ? v : EMPTY_ARR();
}

static const struct json *object(const struct json *v)
{
    return json_is_object(v) ? v : NULL;
}

static const char *text(const struct json *v)
{
    return json_is_string(v) ? json_string(v) : NULL;
}

static struct nodes_facts facts(struct arena *a, const struct json *v)
{
    return (struct nodes_facts){
        .nodes = list(a, json_get(v, "nodes")),
        .claims = list(a, json_get(v, "nodeClaims")),
        .legacy_nodes = list(a, json_get(v, "legacyNodes")),
        .legacy_claims = list(a, json_get(v, "legacyNodeClaims")),
        .pool = object(json_get(v, "nodePool")),
        .node_class = object(json_get(v, "nodeClass")),
        .pending = list(a, json_get(v, "pending")),
        .claims_served = true,
        .pools_served = true,
        .classes_served = true,
        .only_node = text(json_get(v, "onlyNode")),
    };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct catalog *catalog;
    static struct go_types *types;
    if (!catalog) {
        catalog = catalog_new();
        types = go_types_new();
    }
    AUTO_ARENA a = arena_new();
    struct json *v = NULL;
    if (size == 0 || json_parse(a, (const char *)data + 1, size - 1, &v, NULL) < 0 ||
        !json_is_object(json_get(v, "workspace")))
        return 0;
    struct observed o = {
        .workspace = json_get(v, "workspace"),
        .statefulset = object(json_get(v, "statefulSet")),
        .service = object(json_get(v, "service")),
        .headless = object(json_get(v, "headless")),
        .deployment = object(json_get(v, "deployment")),
        .config_map = object(json_get(v, "configMap")),
        .revisions = list(a, json_get(v, "revisions")),
        .pods = list(a, json_get(v, "pods")),
        .nodes = facts(a, v),
        .job = object(json_get(v, "job")),
        .config_template = object(json_get(v, "configTemplate")),
        .streaming = {
            .mirror = object(json_find(v, "streaming", "mirror")),
            .storage_class = object(json_find(v, "streaming", "storageClass")),
            .service_account = object(json_find(v, "streaming", "serviceAccount")),
            .volume_handle = text(json_find(v, "streaming", "volumeHandle")),
            .script = object(json_find(v, "streaming", "script")),
        },
        .local_disk_class = data[0] & 32,
        .disk_capacities = json_get(v, "diskCapacities"),
        .benchmark_log = text(json_get(v, "benchmarkLog")),
        .weights = {
            .state = (enum weights_state)(data[0] & 3),
            .message = "message",
            .weight_bytes = (uint64_t)json_find_int(v, 0, "weights", "weightBytes"),
            .cache_bytes = (uint64_t)json_find_int(v, 0, "weights", "cacheBytes"),
        },
    };
    struct operator_settings settings = {
        .provisioner = data[0] & 64 ? PROVISIONER_AZURE_GPU : PROVISIONER_BYO,
        .image_family = "ubuntu",
        .mirror_storage_class = "blob",
        .streaming_service_account = "sa",
        .cloud = data[0] & 4 ? "azure" : "",
        .image_registry = "r",
        .release_namespace = "n",
        .models_dir = data[0] & 8 ? "/models" : NULL,
        .gates = { .on = { [GATE_VLLM] = !(data[0] & 16),
                           [GATE_MODEL_MIRROR] = data[0] & 128,
                           [GATE_MODEL_STREAMING] = data[0] & 128 } },
    };
    struct decide_input in = { &settings, catalog, types, 1767225600 * NS_PER_S, &o };
    struct decision first, second;
    workspace_decide(a, &in, &first);
    must(json_text(a, decision_to_json(a, &first)));
    if (!first.status)
        return 0;
    must(workspace_status_after_error(a, &in, &first, "error"));
    struct json *workspace = json_clone(a, o.workspace);
    json_set(a, workspace, "status", json_clone(a, first.status));
    o.workspace = workspace;
    in.now_ns += NS_PER_S;
    workspace_decide(a, &in, &second);
    must(!json_merge_diff(a, first.status, second.status));
    return 0;
}
