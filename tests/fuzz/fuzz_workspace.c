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
        .nodes = list(a, json_get(v, "nodes")),
        .node_count = json_size(json_get(v, "nodes")),
        .only_node = text(json_get(v, "onlyNode")),
        .benchmark_log = text(json_get(v, "benchmarkLog")),
        .weights = {
            .state = (enum weights_state)(data[0] & 3),
            .message = "message",
            .weight_bytes = (uint64_t)json_find_int(v, 0, "weights", "weightBytes"),
            .cache_bytes = (uint64_t)json_find_int(v, 0, "weights", "cacheBytes"),
        },
    };
    struct operator_settings settings = {
        .provisioner = PROVISIONER_BYO,
        .cloud = data[0] & 4 ? "azure" : "",
        .image_registry = "r",
        .release_namespace = "n",
        .models_dir = data[0] & 8 ? "/models" : NULL,
        .gates = { .on = { [GATE_VLLM] = !(data[0] & 16) } },
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
