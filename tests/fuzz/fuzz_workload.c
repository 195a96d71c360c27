/* What a Workspace's controllers read of others' texts, the first byte tells which:
 *
 *   0  an image reference: what comes out is one, and comes out of itself unchanged
 *   1  the log of a pod: a benchmark's result in it gets into the status once and stays
 *   2  a list of CSIStorageCapacities: the place of the weights is settled
 *   3  what the sampler beside a download serves */
#include "base/str.h"
#include "fuzz.h"
#include "kube/meta.h"
#include "modelmirror/decide.h"
#include "workspace/decide.h"
#include "workspace/pull.h"
#include "json/build.h"

static void image(struct arena *a, const char *text)
{
    const char *once = NULL, *twice = NULL;
    struct error *err = NULL;
    if (image_reference(a, text, &once, &err) < 0) {
        must(error_reason(err) && error_message(err));
        error_free(err);
        return;
    }
    must(strchr(once, '/') && (strchr(once, '@') || strrchr(once, ':')));
    must(image_reference(a, once, &twice, NULL) == 0);
    must(STREQ(once, twice));
}

static struct json *parse(struct arena *a, const char *text)
{
    struct json *v = NULL;
    must(json_parse(a, text, strlen(text), &v, NULL) == 0);
    return v;
}

static const char workspace[] =
    "{\"metadata\":{\"name\":\"w\",\"namespace\":\"n\",\"uid\":\"u\",\"generation\":1,\"finalizers\":"
    "[\"workspace.finalizer.kaito.sh\"]},\"resource\":{\"instanceType\":\"Standard_NC24ads_A100_v4\","
    "\"labelSelector\":{\"matchLabels\":{\"apps\":\"x\"}}},"
    "\"inference\":{\"preset\":{\"name\":\"phi-4-mini-instruct\"}}}";
static const char statefulset[] =
    "{\"metadata\":{\"name\":\"w\",\"uid\":\"s\",\"generation\":1,\"ownerReferences\":[{\"uid\":\"u\","
    "\"controller\":true}]},\"spec\":{\"replicas\":1,\"template\":{\"spec\":{\"containers\":[{\"name\":"
    "\"w\",\"startupProbe\":{\"exec\":{\"command\":[\"python3\",\"/workspace/vllm/"
    "benchmark_entrypoint.py\"]}}}]}}},\"status\":{\"replicas\":1,\"readyReplicas\":1}}";
static const char nodes[] =
    "[{\"metadata\":{\"name\":\"a\",\"labels\":{\"apps\":\"x\",\"kubernetes.io/hostname\":\"a\","
    "\"node.kubernetes.io/instance-type\":\"Standard_NC24ads_A100_v4\"}},\"status\":{\"capacity\":{"
    "\"nvidia.com/gpu\":\"1\"},\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}]";

/* Decided once, and again over the status that came of it: that changes nothing. */
static void decide(struct arena *a, struct observed *o)
{
    static struct catalog *catalog;
    static struct go_types *types;
    if (!catalog) {
        catalog = catalog_new();
        types = go_types_new();
    }
    struct operator_settings settings = {
        .provisioner = PROVISIONER_AZURE_GPU,
        .cloud = "azure",
        .image_registry = "r",
        .release_namespace = "n",
        .gates = { .on = { [GATE_VLLM] = true } },
    };
    const struct json *none = EMPTY_ARR();
    struct json *ws = parse(a, workspace);
    o->workspace = ws;
    o->revisions = o->pods = none;
    o->nodes = (struct nodes_facts){ .nodes = parse(a, nodes),
                                     .claims = none,
                                     .legacy_nodes = none,
                                     .legacy_claims = none,
                                     .pending = none,
                                     .claims_served = true };
    struct decide_input in = { &settings, catalog, types, 1767225600 * NS_PER_S, o };
    struct decision first, second;
    workspace_decide(a, &in, &first);
    if (!first.status)
        return;
    json_set(a, ws, "status", json_clone(a, first.status));
    in.now_ns += NS_PER_S;
    workspace_decide(a, &in, &second);
    must(!json_merge_diff(a, first.status, second.status));
}

static void benchmark(struct arena *a, const char *text)
{
    struct observed o = { .statefulset = parse(a, statefulset), .benchmark_log = text };
    decide(a, &o);
}

static void disks(struct arena *a, const char *text)
{
    struct json *list = NULL;
    if (json_parse(a, text, strlen(text), &list, NULL) < 0)
        return;
    struct observed o = { .local_disk_class = true, .disk_capacities = json_get(list, "items") };
    decide(a, &o);
}

static void sampler(struct arena *a, const char *text)
{
    struct mirror_download got;
    mirror_read_download(text, &got);
    must(got.bytes_per_second >= -1 && got.remaining_seconds >= -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct arena * a, const char *text) = { image, benchmark, disks,
                                                                           sampler };
    if (size == 0)
        return 0;
    AUTO_ARENA a = arena_new();
    targets[data[0] % COUNT_OF(targets)](a, arena_strndup(a, (const char *)data + 1, size - 1));
    return 0;
}
