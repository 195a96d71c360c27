/* Nodes as the Go operator was recorded to get them, on Azure and AWS, by NodeClaims and by
 * NodePools: the same objects are made for a new Workspace, in the same number, and the same
 * conditions come out of what is there.
 *
 * tests/data/nodes-golden.jsonl: {"scenario", "stage", "config", "workspace", "configMap", "nodes";
 * what was recorded: "status": {targetNodeCount, workerNodes}, "conditions": {TYPE: "STATUS
 * REASON"}; at stage "a", where nothing was there before: "claim", "claimCount", "pool"; later,
 * what is there: "claims", "pool"}. Messages were not recorded; "m" stands for each. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "unit.h"
#include "workspace/decide.h"
#include "json/build.h"

struct fixture {
    struct arena *a;
    struct catalog *catalog;
    struct go_types *types;
    struct operator_settings settings;
    struct decision decision;
    struct json *made; /* status.conditions {TYPE: "STATUS REASON"} of the decision */
};

/* ---- what differs on purpose (docs/differences.md) ------------------------------------------------------------------ */

/* Specifications that cannot work; the Go operator made nodes for some of them, and said of others
 * that all is well. Here nothing is made, and a condition says why. */
static const char *const refused[] = {
    "aws-phi-4-mini-instruct-inf2-xlarge", /* no NVIDIA GPU */
    "aws-phi-4-mini-instruct-nc24ads-a100-v4",
    "bad-no-inference-no-tuning",
    "bad-preset",
    "bad-preset-retired",
    "bad-sku-cpu",
    "bad-sku-empty",
    "ex-phi-3-with-adapters", /* a placeholder for an image */
    "ex-tuning-falcon-7b-mental",
    "ex-tuning-phi-3-with-pvc-volume",
    "gate-vllm-off-llama", /* panics */
    "is-bad-preset",
    "name-1starts-with-digit-18",
    "name-with-dot-dot-8",
    "name-w-yyyyyyyyyyyyyyyyyyyyyyyyyyyy-63",
    "sku-phi-4-ng32ads-v620-v1",
    "tun-bad-preset",
    "tun-no-push-secret",
    "tun-preset-without-tuning",
    "tun-user-config-missing", /* nothing can run until it is there */
};
/* A node that pods cannot run on does not count. */
static const char *const uncovered[] = { "kp-byo-covered", "kp-foreign-namespace-node" };
/* The node was lost, and the Go operator did not notice. */
static const char *const noticed[] = { "node-flap" };

static bool among(const char *const *list, size_t n, const char *scenario)
{
    for (size_t i = 0; i < n; i++)
        if (STREQ(list[i], scenario))
            return true;
    return false;
}
#define AMONG(list, scenario) among(list, COUNT_OF(list), scenario)

/* ---- the world of a row --------------------------------------------------------------------------------------------- */

static void configure(struct fixture *f, const char *config)
{
    struct arena *a = f->a;
    bool karpenter = str_has_prefix(config, "karpenter");
    bool aws = str_eq(config, "aws") || str_eq(config, "karpenter-aws");
    f->settings = (struct operator_settings){
        .provisioner = karpenter ? PROVISIONER_KARPENTER : PROVISIONER_AZURE_GPU,
        .cloud = aws ? "aws" : "azure",
        .image_registry = "mcr.microsoft.com/aks/kaito",
        .release_namespace = "kaito-workspace",
        .image_family = STREQ(config, "azurelinux") ? "azurelinux" : "",
        .node_class_group = aws ? "karpenter.k8s.aws" : "karpenter.azure.com",
        .node_class_kind = aws ? "EC2NodeClass" : "AKSNodeClass",
        .node_class_version = aws ? "v1" : "v1beta1",
        .node_class_resource = aws ? "ec2nodeclasses" : "aksnodeclasses",
        .gates = GATES_DEFAULT,
    };
    if (aws)
        f->settings.node_classes = ARR(OBJ("name", STR("default"), "default", BOOL(true)));
    else
        f->settings.node_classes =
            ARR(OBJ("name", STR("image-family-ubuntu"), "default", BOOL(true)),
                OBJ("name", STR("image-family-azure-linux")));
}

static bool has_labels(const struct json *obj, const struct json *labels)
{
    return json_contains(json_find(obj, "metadata", "labels"), labels);
}

static struct json *matching(struct arena *a, const struct json *nodes, const struct json *labels,
                             const struct json *more)
{
    struct json *list = EMPTY_ARR();
    JSON_FOREACH(it, nodes)
        if (has_labels(it.value, labels) && has_labels(it.value, more))
            json_append(list, json_clone(a, it.value));
    return list;
}

static void decide(struct fixture *f, const struct json *row, struct json *workspace)
{
    struct arena *a = f->a;
    struct workspace ws;
    workspace_read(a, workspace, &ws);
    bool fresh = STREQ(json_find_str(row, "stage"), "a");
    struct nodes_request q = workspace_nodes_request(&ws);
    const struct nodes_facts none = { .claims = EMPTY_ARR() };
    struct nodes_input in = { &f->settings, &q, &none };
    const struct json *claims = json_get(row, "claims");
    const char *class_name = nodes_class_name(&f->settings, q.node_class);
    struct json *ready = ARR(OBJ("type", STR("Ready"), "status", STR("True")));
    struct observed o = {
        .workspace = workspace,
        .config_map = json_get(row, "configMap"),
        .revisions = EMPTY_ARR(),
        .pods = EMPTY_ARR(),
        .nodes = {
            .nodes = matching(a, json_get(row, "nodes"), ws.node_labels, nodes_selector(a, &in)),
            .claims = claims ? claims : EMPTY_ARR(),
            .pool = fresh ? NULL : json_get(row, "pool"),
            .node_class = class_name ? OBJ("metadata", OBJ("name", STR(class_name)), "status",
                                           OBJ("conditions", ready))
                                     : NULL,
            .claims_served = true,
            .pools_served = true,
            .classes_served = true,
        },
    };
    struct decide_input input = { &f->settings, f->catalog, f->types, 1767225600 * NS_PER_S, &o };
    f->decision = (struct decision){ 0 };
    workspace_decide(a, &input, &f->decision);
    f->made = EMPTY_OBJ();
    JSON_FOREACH(it, json_get(f->decision.status, "conditions")) {
        const char *type = json_find_str(it.value, "type");
        if (STREQ(type, "NodesReady") || STREQ(type, "NodeClaimReady") ||
            STREQ(type, "ResourceReady"))
            json_set(a, f->made, type,
                     STRF("%s %s", json_find_str(it.value, "status"),
                          json_find_str(it.value, "reason")));
    }
}

static void expect_equal(const struct json *row, const char *what, const struct json *want,
                         const struct json *got)
{
    if (json_equal(want, got))
        return;
    AUTO_BUF diff = BUF_INIT(MIB);
    json_describe_diff(want, got, 30, &diff);
    fail_msg("%s/%s: %s:\n%s", json_find_str(row, "scenario"), json_find_str(row, "stage"), what,
             buf_str(&diff));
}

static struct json *new_workspace(struct fixture *f, const struct json *row)
{
    struct arena *a = f->a;
    struct json *ws = json_clone(a, json_get(row, "workspace"));
    json_set_str(a, ws, "apiVersion", "kaito.sh/v1beta1");
    json_set_str(a, ws, "kind", "Workspace");
    json_set_str(a, json_get(ws, "metadata"), "uid", "3f0a2f0e-uid");
    json_set_int(a, json_get(ws, "metadata"), "generation", 1);
    return ws;
}

/* ---- new Workspaces ------------------------------------------------------------------------------------------------- */

static int creates(const struct decision *d, const struct kube_resource *r,
                   const struct json **ret_body)
{
    int n = 0;
    for (size_t i = 0; i < d->write_count; i++)
        if (d->writes[i].op == WRITE_CREATE && d->writes[i].resource == r) {
            *ret_body = d->writes[i].body;
            n++;
        }
    return n;
}

static bool valid_claim_name(const char *name)
{
    size_t len = strlen(name);
    return len <= 12 && str_has_prefix(name, "ws") &&
           strspn(name + 2, "0123456789abcdef") == len - 2;
}

static void expect_claims(struct fixture *f, const struct json *row)
{
    struct arena *a = f->a;
    const struct json *body = NULL;
    int n = creates(&f->decision, &KUBE_NODECLAIMS, &body);
    int64_t want = json_find_int(row, 0, "claimCount");
    if (n != want)
        fail_msg("%s: %d NodeClaims, recorded %lld: %s", json_find_str(row, "scenario"), n,
                 (long long)want, json_text(a, f->decision.status));
    if (n == 0)
        return;
    struct json *copy = json_clone(a, body);
    assert_true(valid_claim_name(meta_name(copy)));
    json_del(json_get(copy, "metadata"), "name");
    json_del(copy, "apiVersion");
    json_del(copy, "kind");
    expect_equal(row, "NodeClaim", json_get(row, "claim"), copy);
}

static void expect_pool(struct fixture *f, const struct json *row)
{
    struct arena *a = f->a;
    const struct json *body = NULL;
    int n = creates(&f->decision, &KUBE_NODEPOOLS, &body);
    const struct json *want = json_get(row, "pool");
    assert_int_equal(n, want ? 1 : 0);
    if (n == 0)
        return;
    struct json *copy = json_clone(a, body);
    json_del(copy, "apiVersion");
    json_del(copy, "kind");
    expect_equal(row, "NodePool", want, copy);
}

/* Nothing is made, nothing is well, and a condition says why. */
static void expect_refusal(struct fixture *f, const struct json *row)
{
    const struct json *body = NULL;
    const char *scenario = json_find_str(row, "scenario");
    if (creates(&f->decision, &KUBE_NODECLAIMS, &body) > 0)
        fail_msg("%s: a NodeClaim is made", scenario);
    assert_false(str_has_prefix(json_find_str(f->made, "ResourceReady"), "True"));
    /* what is missing may come; what is wrong may not */
    bool missing = str_has_suffix(scenario, "-missing");
    if (!str_eq(json_find_str(f->decision.status, "state"), missing ? "Pending" : "Failed"))
        fail_msg("%s: %s", scenario, json_text(f->a, f->decision.status));
}

static void expect_fresh(struct fixture *f, const struct json *row)
{
    const char *scenario = json_find_str(row, "scenario");
    decide(f, row, new_workspace(f, row));
    if (AMONG(refused, scenario)) {
        expect_refusal(f, row);
        return;
    }
    if (AMONG(uncovered, scenario)) {
        const struct json *body = NULL;
        assert_int_equal(creates(&f->decision, &KUBE_NODEPOOLS, &body), 1);
        assert_string_equal(json_find_str(f->made, "NodesReady"), "False NodeNotReady");
        return;
    }
    expect_claims(f, row);
    expect_pool(f, row);
    expect_equal(row, "conditions", json_get(row, "conditions"), f->made);
    expect_equal(row, "targetNodeCount", json_find(row, "status", "targetNodeCount"),
                 json_get(f->decision.status, "targetNodeCount"));
}

/* ---- what is there -------------------------------------------------------------------------------------------------- */

static void expect_later(struct fixture *f, const struct json *row)
{
    struct arena *a = f->a;
    const char *scenario = json_find_str(row, "scenario");
    struct json *ws = new_workspace(f, row);
    json_set(a, ws, "status", json_clone(a, json_get(row, "status")));
    decide(f, row, ws);
    if (AMONG(refused, scenario)) {
        assert_false(str_has_prefix(json_find_str(f->made, "ResourceReady"), "True"));
        return;
    }
    if (AMONG(uncovered, scenario) && json_size(json_get(row, "claims")) == 0)
        return;
    if (AMONG(noticed, scenario) && STREQ(json_find_str(row, "stage"), "d")) {
        assert_string_equal(json_find_str(f->made, "ResourceReady"), "False NodeNotReady");
        return;
    }
    const struct json *body = NULL;
    if (creates(&f->decision, &KUBE_NODECLAIMS, &body) > 0 ||
        creates(&f->decision, &KUBE_NODEPOOLS, &body) > 0)
        fail_msg("%s/%s: more nodes are asked for", scenario, json_find_str(row, "stage"));
    expect_equal(row, "conditions", json_get(row, "conditions"), f->made);
    expect_equal(row, "workerNodes", json_find(row, "status", "workerNodes"),
                 json_get(f->decision.status, "workerNodes"));
}

static void each_row(bool fresh, void (*expect)(struct fixture *f, const struct json *row))
{
    AUTO_FREE char *text = NULL;
    size_t len = 0, rows = 0;
    assert_int_equal(file_read(NODES_GOLDEN, 4 * MIB, &text, &len, NULL), 0);
    struct fixture f = { .catalog = catalog_new(), .types = go_types_new() };
    for (char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        AUTO_ARENA a = arena_new();
        struct json *row = NULL;
        assert_int_equal(json_parse(a, line, n, &row, NULL), 0);
        line += n + (line[n] == '\n');
        if (STREQ(json_find_str(row, "stage"), "a") != fresh)
            continue;
        f.a = a;
        configure(&f, json_find_str(row, "config"));
        expect(&f, row);
        rows++;
    }
    assert_true(rows > 20);
    catalog_free(f.catalog);
    go_types_free(f.types);
}

static void the_same_is_made_for_new_workspaces(void **state)
{
    each_row(true, expect_fresh);
}

static void the_same_is_said_of_what_is_there(void **state)
{
    each_row(false, expect_later);
}

UNIT_TESTS(TEST(the_same_is_made_for_new_workspaces), TEST(the_same_is_said_of_what_is_there))
