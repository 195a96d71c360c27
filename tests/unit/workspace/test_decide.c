/* The decision as a function: each file in cases/ is one behaviour.
 *
 *     {
 *       "what":     one sentence,
 *       "base":     a file in bases/ that `settings` and `observed` are laid over as merge patches;
 * may be absent, "settings": {"modelsDir", "cloud", "vllm", "streaming": {"storageClass",
 * "serviceAccount"}, "provisioner", "imageFamily", "nodeClasses"}, "observed": {"workspace",
 * "statefulSet", "service", "headless", "deployment", "configMap", "configTemplate", "job",
 * "streaming", "localDiskClass", "diskCapacities", "revisions", "pods", "nodes", "nodeClaims",
 * "legacyNodes", "legacyNodeClaims", "nodePool", "nodeClass", "pending", "karpenterServed",
 * "onlyNode", "hub":
 * {"like"; "reason", "message", "againMs"}, "benchmarkLog", "benchmarkError", "weights": {"state",
 * "message", "weightBytes", "cacheBytes"}}, "expected": {"writes": ["create StatefulSet w", …],
 * "conditions": {TYPE: "STATUS REASON: message"}, "state", "targetNodeCount", "workerNodes",
 * "events": ["Warning REASON: message"], "requeueMs", "bodies": {"create StatefulSet w": {…}}}
 *     }
 *
 * Of bodies and times only those that are listed are compared. Each status is decided a second time
 * over itself: that must not write anything. KAITO_UPDATE_CASES=1 writes what came out into the
 * files, to be read before it is committed. */
#include <dirent.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "unit.h"
#include "workspace/decide.h"
#include "json/build.h"

#define NOW "2026-01-02T03:04:05Z"

static struct json *read_json(struct arena *a, const char *path)
{
    AUTO_FREE char *text = NULL;
    size_t len = 0;
    struct json *v = NULL;
    struct error *err = NULL;
    if (file_read(path, 4 * MIB, &text, &len, &err) < 0 || json_parse(a, text, len, &v, &err) < 0)
        fail_msg("%s: %s", path, error_message(err));
    return v;
}

static enum node_provisioner provisioner(const char *word)
{
    return str_eq(word, "azure-gpu-provisioner") ? PROVISIONER_AZURE_GPU
           : str_eq(word, "karpenter")           ? PROVISIONER_KARPENTER
                                                 : PROVISIONER_BYO;
}

static enum weights_state weights_state(const char *word)
{
    return str_eq(word, "present")   ? WEIGHTS_PRESENT
           : str_eq(word, "missing") ? WEIGHTS_MISSING
           : str_eq(word, "invalid") ? WEIGHTS_INVALID
                                     : WEIGHTS_NOT_NEEDED;
}

static struct nodes_facts read_facts(const struct json *v, const struct json *nodes,
                                     const struct json *none)
{
    const struct json *claims = json_get(v, "nodeClaims"),
                      *legacy_nodes = json_get(v, "legacyNodes"),
                      *legacy_claims = json_get(v, "legacyNodeClaims"),
                      *pending = json_get(v, "pending");
    return (struct nodes_facts){
        .nodes = nodes,
        .claims = claims ? claims : none,
        .legacy_nodes = legacy_nodes ? legacy_nodes : none,
        .legacy_claims = legacy_claims ? legacy_claims : none,
        .pool = json_get(v, "nodePool"),
        .node_class = json_get(v, "nodeClass"),
        .pending = pending ? pending : none,
        .claims_served = json_find_bool(v, true, "karpenterServed"),
        .pools_served = json_find_bool(v, true, "karpenterServed"),
        .classes_served = json_find_bool(v, true, "karpenterServed"),
        .only_node = json_find_str(v, "onlyNode"),
    };
}

static struct observed read_observed(struct arena *a, const struct json *v)
{
    const struct json *weights = json_get(v, "weights");
    const struct json *none = EMPTY_ARR();
    const struct json *revisions = json_get(v, "revisions"), *pods = json_get(v, "pods"),
                      *nodes = json_get(v, "nodes");
    return (struct observed){
        .workspace = json_get(v, "workspace"),
        .statefulset = json_get(v, "statefulSet"),
        .service = json_get(v, "service"),
        .headless = json_get(v, "headless"),
        .deployment = json_get(v, "deployment"),
        .config_map = json_get(v, "configMap"),
        .config_template = json_get(v, "configTemplate"),
        .job = json_get(v, "job"),
        .streaming = {
            .mirror = json_find(v, "streaming", "mirror"),
            .storage_class = json_find(v, "streaming", "storageClass"),
            .service_account = json_find(v, "streaming", "serviceAccount"),
            .volume_handle = json_find_str(v, "streaming", "volumeHandle"),
            .script = json_find(v, "streaming", "script"),
        },
        .local_disk_class = json_find_bool(v, false, "localDiskClass"),
        .disk_capacities = json_get(v, "diskCapacities"),
        .revisions = revisions ? revisions : none,
        .pods = pods ? pods : none,
        .nodes = read_facts(v, nodes ? nodes : none, none),
        .benchmark_log = json_find_str(v, "benchmarkLog"),
        .benchmark_error = json_find_str(v, "benchmarkError"),
        .weights = {
            .state = weights_state(json_find_str(weights, "state")),
            .message = json_find_str(weights, "message"),
            .weight_bytes = (uint64_t)json_find_int(weights, 0, "weightBytes"),
            .cache_bytes = (uint64_t)json_find_int(weights, 0, "cacheBytes"),
        },
    };
}

static const char *write_title(struct arena *a, const struct write *w)
{
    static const char *const ops[] = { "create", "patch", "jsonPatch", "delete" };
    return arena_printf(a, "%s %s %s", ops[w->op], w->resource->kind, w->name);
}

/* The decision in the form of "expected". */
static struct json *outcome(struct arena *a, const struct decision *d,
                            const struct json *wanted_bodies, const struct json *wanted_times)
{
    struct json *writes = EMPTY_ARR(), *bodies = EMPTY_OBJ(), *events = EMPTY_ARR(),
                *conditions = EMPTY_OBJ(), *times = EMPTY_OBJ();
    for (size_t i = 0; i < d->write_count; i++) {
        const char *title = write_title(a, &d->writes[i]);
        json_append(writes, STR(title));
        if (json_get(wanted_bodies, title))
            json_set(a, bodies, title, json_clone(a, d->writes[i].body));
    }
    for (size_t i = 0; i < d->write_count; i++)
        if (d->writes[i].done.type)
            json_append(events, STRF("%s %s: %s", d->writes[i].done.type, d->writes[i].done.reason,
                                     d->writes[i].done.message));
    for (size_t i = 0; i < d->event_count; i++)
        json_append(events, STRF("%s %s: %s", d->events[i].type, d->events[i].reason,
                                 d->events[i].message));
    JSON_FOREACH(it, json_get(d->status, "conditions")) {
        const char *type = json_find_str(it.value, "type");
        json_set(a, conditions, type,
                 STRF("%s %s: %s", json_find_str(it.value, "status"),
                      json_find_str(it.value, "reason"), json_find_str(it.value, "message")));
        if (json_get(wanted_times, type))
            json_set(a, times, type, json_clone(a, json_get(it.value, "lastTransitionTime")));
    }
    /* clang-format off */
    return OBJ("writes", writes,
               "conditions", d->status ? conditions : NULL,
               "state", STR(json_find_str(d->status, "state")),
               "targetNodeCount", json_clone(a, json_get(d->status, "targetNodeCount")),
               "workerNodes", json_clone(a, json_get(d->status, "workerNodes")),
               "events", json_size(events) > 0 ? events : NULL,
               "requeueMs", d->requeue_ms ? INT(d->requeue_ms) : NULL,
               "bodies", json_size(bodies) > 0 ? bodies : NULL,
               "times", json_size(times) > 0 ? times : NULL);
    /* clang-format on */
}

struct fixture {
    struct catalog *catalog;
    struct go_types *types;
};

static void expect_generation(const struct json *workspace, const struct decision *d,
                              const char *path)
{
    JSON_FOREACH(it, json_get(d->status, "conditions"))
        if (!str_eq(json_find_str(it.value, "type"), "Other") &&
            json_find_int(it.value, 0, "observedGeneration") != meta_generation(workspace))
            fail_msg("%s: observedGeneration of %s", path, json_find_str(it.value, "type"));
}

/* The status once written, at a later time: no reason to write it again. */
static void expect_settled(struct arena *a, struct decide_input *in, const struct decision *first,
                           const char *path)
{
    if (!first->status)
        return;
    struct json *workspace = json_clone(a, in->observed->workspace);
    json_set(a, workspace, "status", json_clone(a, first->status));
    struct observed again = *in->observed;
    again.workspace = workspace;
    struct decide_input later = *in;
    later.observed = &again;
    later.now_ns += 3600 * NS_PER_S;
    struct decision second;
    workspace_decide(a, &later, &second);
    struct json *diff = json_merge_diff(a, first->status, second.status);
    if (diff)
        fail_msg("%s: the status is not stable: %s", path, json_text(a, diff));
}

/* A model of the catalogue stands for one that the hub knows. */
static void read_hub(const struct catalog *catalog, const struct json *v, struct observed_hub *ret)
{
    const char *like = json_find_str(v, "like");
    *ret = (struct observed_hub){
        .preset = like ? catalog_find(catalog, like) : NULL,
        .reason = json_find_str(v, "reason"),
        .message = json_find_str(v, "message"),
        .again_ms = json_find_int(v, 0, "againMs"),
    };
}

static void run_case(const struct fixture *f, const char *path)
{
    AUTO_ARENA a = arena_new();
    struct json *c = read_json(a, path);
    struct json *settings_json = EMPTY_OBJ(), *observed_json = EMPTY_OBJ();
    const char *base = json_find_str(c, "base");
    if (base) {
        struct json *b = read_json(a, arena_printf(a, HERE "/bases/%s", base));
        settings_json = json_clone(a, json_get(b, "settings"));
        observed_json = json_clone(a, json_get(b, "observed"));
    }
    settings_json =
        json_merge_patch(a, settings_json, json_clone(a, json_get(c, "settings")) ?: EMPTY_OBJ());
    observed_json =
        json_merge_patch(a, observed_json, json_clone(a, json_get(c, "observed")) ?: EMPTY_OBJ());
    const char *cloud = json_find_str(settings_json, "cloud");
    struct operator_settings settings = {
        .provisioner = provisioner(json_find_str(settings_json, "provisioner")),
        .image_family = json_find_str(settings_json, "imageFamily"),
        .node_class_group = "karpenter.azure.com",
        .node_class_kind = "AKSNodeClass",
        .node_class_version = "v1beta1",
        .node_class_resource = "aksnodeclasses",
        .node_classes = json_get(settings_json, "nodeClasses"),
        .cloud = cloud ? cloud : "",
        .image_registry = "mcr.microsoft.com/aks/kaito",
        .release_namespace = "kaito-workspace",
        .models_dir = json_find_str(settings_json, "modelsDir"),
        .gates = { .on = { [GATE_VLLM] = json_find_bool(settings_json, true, "vllm"),
                           [GATE_MODEL_MIRROR] = json_get(settings_json, "streaming") != NULL,
                           [GATE_MODEL_STREAMING] =
                               json_get(settings_json, "streaming") != NULL } },
        .mirror_storage_class = json_find_str(settings_json, "streaming", "storageClass"),
        .streaming_service_account = json_find_str(settings_json, "streaming", "serviceAccount"),
    };
    struct observed observed = read_observed(a, observed_json);
    read_hub(f->catalog, json_get(observed_json, "hub"), &observed.hub);
    struct decide_input in = { &settings, f->catalog, f->types, 0, &observed };
    time_parse_rfc3339(NOW, &in.now_ns);
    struct decision d;
    workspace_decide(a, &in, &d);

    struct json *expected = json_get(c, "expected");
    struct json *got = outcome(a, &d, json_get(expected, "bodies"), json_get(expected, "times"));
    if (getenv("KAITO_UPDATE_CASES") && !json_equal(got, expected)) {
        json_set(a, c, "expected", got);
        AUTO_BUF text = BUF_INIT(4 * MIB);
        json_write_pretty(c, 2, &text);
        buf_putc(&text, '\n');
        assert_int_equal(file_write_atomic(path, text.data, text.len, 0644, NULL), 0);
        return;
    }
    if (!json_equal(got, expected)) {
        AUTO_BUF text = BUF_INIT(MIB);
        json_describe_diff(expected, got, 40, &text);
        fail_msg("%s (%s):\n%s", path, json_find_str(c, "what"), buf_str(&text));
    }
    expect_generation(observed.workspace, &d, path);
    expect_settled(a, &in, &d, path);
}

static int by_text(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

static void each_case_comes_out_as_written(void **state)
{
    AUTO_ARENA a = arena_new();
    char *paths[512];
    size_t n = 0;
    DIR *dir = opendir(HERE "/cases");
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) && n < COUNT_OF(paths);)
        if (str_has_suffix(e->d_name, ".json"))
            paths[n++] = arena_printf(a, HERE "/cases/%s", e->d_name);
    closedir(dir);
    qsort(paths, n, sizeof(paths[0]), by_text);
    assert_true(n > 0);
    struct fixture f = { catalog_new(), go_types_new() };
    for (size_t i = 0; i < n; i++)
        run_case(&f, paths[i]);
    catalog_free(f.catalog);
    go_types_free(f.types);
}

UNIT_TESTS(TEST(each_case_comes_out_as_written))
