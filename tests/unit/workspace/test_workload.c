/* Pods, Services and Jobs on nodes that are made, as the Go operator was recorded.
 *
 * tests/data/workload-golden.jsonl: {"scenario", "config", "workspace", "nodes", "config_map"
 * (data), "statefulSet", "service", "headless", "job"}, the specs without what the API server adds;
 * scripts are "SCRIPT". */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "unit.h"
#include "workspace/decide_internal.h"
#include "json/build.h"

struct world {
    struct arena *a;
    struct catalog *catalog;
};

/* ---- the two forms ------------------------------------------------------------------------------------------------- */

static bool is_default(const struct json *parent, const char *key, const struct json *v)
{
    if (STREQ(key, "failureThreshold"))
        return json_int(v, 0) == 3;
    if (STREQ(key, "timeoutSeconds"))
        return json_int(v, 0) == 1 && json_get(parent, "httpGet");
    if (STREQ(key, "type"))
        return str_eq(json_string(v), "ClusterIP");
    return STREQ(key, "resources") && json_is_object(v) && json_size(v) == 0;
}

static int by_key(const struct json *x, const struct json *y)
{
    return strcmp(json_find_str(x, "key"), json_find_str(y, "key"));
}

static void normalize(struct arena *a, struct json *v)
{
    JSON_FOREACH(it, v) {
        const char *s = json_string(it.value);
        if (json_is_object(v) && is_default(v, it.key, it.value))
            json_iter_remove(&it);
        else if (s && strchr(s, '\n'))
            json_is_object(v) ? json_set(a, v, it.key, STR("SCRIPT"))
                              : json_replace_at(v, it.index, STR("SCRIPT"));
        else
            normalize(a, it.value);
    }
    if (json_is_object(v) && json_is_array(json_get(v, "matchExpressions")))
        json_sort(json_get(v, "matchExpressions"), by_key);
}

static void remove_if(struct json *list, bool (*test)(const struct json *v))
{
    JSON_FOREACH(it, list)
        if (test(it.value))
            json_iter_remove(&it);
}

static bool is_own_label(const struct json *expression)
{
    return strstr(json_find_str(expression, "key"), "kaito.sh/") != NULL;
}

static bool tolerates_nvidia(const struct json *toleration)
{
    return str_eq(json_find_str(toleration, "key"), "nvidia.com/gpu");
}

/* Jobs differ on purpose: they stay on nodes of their own, and tolerate what keeps other pods away
 * from GPUs. Each is checked before it is taken out of the comparison. */
static void undo_job_differences(struct json *job)
{
    struct json *pod = json_find(job, "template", "spec");
    struct json *required = json_find(pod, "affinity", "nodeAffinity",
                                      "requiredDuringSchedulingIgnoredDuringExecution");
    struct json *expressions =
        json_get(json_at(json_get(required, "nodeSelectorTerms"), 0), "matchExpressions");
    size_t before = json_size(expressions), tolerations = json_size(json_get(pod, "tolerations"));
    remove_if(expressions, is_own_label);
    assert_int_equal(json_size(expressions), before - 2);
    remove_if(json_get(pod, "tolerations"), tolerates_nvidia);
    assert_int_equal(json_size(json_get(pod, "tolerations")), tolerations - 1);
    JSON_FOREACH(it, json_get(pod, "tolerations"))
        if (str_eq(json_find_str(it.value, "key"), "sku"))
            json_del(it.value, "operator"); /* Equal is the default */
}

/* All of them are told before the test fails. */
static unsigned differences;
#define differs(...) (differences++, print_error(__VA_ARGS__), print_error("\n"))

static void expect_equal(struct arena *a, const char *scenario, const char *what,
                         const struct json *want, const struct json *got)
{
    if (!want && !got)
        return;
    if (!want || !got) {
        differs("%s: %s is %s", scenario, what, want ? "not made" : "made");
        return;
    }
    struct json *own = json_clone(a, got);
    normalize(a, own);
    if (STREQ(what, "job"))
        undo_job_differences(own);
    if (json_equal(want, own))
        return;
    AUTO_BUF diff = BUF_INIT(MIB);
    json_describe_diff(want, own, 30, &diff);
    differs("%s: %s:\n%s", scenario, what, buf_str(&diff));
}

/* ---- one scenario --------------------------------------------------------------------------------------------------- */

static struct operator_settings settings_of(const char *config)
{
    bool aws = STREQ(config, "aws") || STREQ(config, "karpenter-aws");
    struct operator_settings s = {
        .provisioner =
            str_has_prefix(config, "karpenter") ? PROVISIONER_KARPENTER : PROVISIONER_AZURE_GPU,
        .cloud = aws ? "aws" : "azure",
        .image_registry =
            STREQ(config, "registry") ? "example.azurecr.io/kaito" : "mcr.microsoft.com/aks/kaito",
        .release_namespace = "kaito-workspace",
        .image_family = "",
        .gates = GATES_DEFAULT,
    };
    if (STREQ(config, "vllm-off"))
        s.gates.on[GATE_VLLM] = false;
    return s;
}

static const struct json *created(const struct decision *d, const struct kube_resource *r,
                                  const char *name)
{
    for (size_t i = 0; i < d->write_count; i++)
        if (d->writes[i].op == WRITE_CREATE && d->writes[i].resource == r &&
            STREQ(d->writes[i].name, name))
            return json_get(d->writes[i].body, "spec");
    return NULL;
}

static void makes_the_same(struct world *w, const struct json *row)
{
    struct arena *a = w->a;
    const char *scenario = json_find_str(row, "scenario");
    const struct operator_settings settings = settings_of(json_find_str(row, "config"));
    struct json *ws = json_clone(a, json_get(row, "workspace"));
    json_set_str(a, json_get(ws, "metadata"), "uid", "uid-w");
    const struct json *map = json_get(row, "config_map");
    struct observed o = {
        .workspace = ws,
        .config_map = map ? OBJ("metadata", EMPTY_OBJ(), "data", json_clone(a, map)) : NULL,
        .revisions = EMPTY_ARR(),
        .pods = EMPTY_ARR(),
        .nodes = { .nodes = EMPTY_ARR() },
        .local_disk_class = true,
    };
    struct decide_input in = { &settings, w->catalog, NULL, 0, &o };
    struct decision out = { 0 };
    struct decider d = { .a = a, .in = &in, .o = &o, .out = &out };
    workspace_read(a, ws, &d.ws);
    decide_engine(&d);
    if (d.problem.reason) {
        differs("%s: %s", scenario, d.problem.message);
        return;
    }
    d.sku = sku_find(w->catalog, settings.cloud, d.ws.instance_type);
    gpu_from_sku(d.sku, &d.gpu);
    d.target_nodes = json_find_int(row, 0, "nodes");
    d.revision = 1;
    d.resource_ready = true;
    struct nodes_request request = workspace_nodes_request(&d.ws);
    d.own_labels = nodes_selector(a, &(struct nodes_input){ &settings, &request, &o.nodes });
    decide_weights_place(&d);
    decide_workload(&d);
    const char *name = d.ws.name, *headless = arena_printf(a, "%s-headless", name);
    expect_equal(a, scenario, "statefulSet", json_get(row, "statefulSet"),
                 created(&out, &KUBE_STATEFULSETS, name));
    expect_equal(a, scenario, "service", json_get(row, "service"),
                 created(&out, &KUBE_SERVICES, name));
    expect_equal(a, scenario, "headless", json_get(row, "headless"),
                 created(&out, &KUBE_SERVICES, headless));
    expect_equal(a, scenario, "job", json_get(row, "job"), created(&out, &KUBE_JOBS, name));
}

/* Where we differ on purpose: not compared. */
static bool is_accepted(const char *scenario)
{
    static const char *const accepted[] = {
        "ann-enablelb-lower",    /* "true" counts as well as "True" */
        "ex-phi-3-with-adapters" /* no registry could have that image: said before pods are made */
    };
    for (size_t i = 0; i < COUNT_OF(accepted); i++)
        if (STREQ(accepted[i], scenario))
            return true;
    return false;
}

static void what_was_recorded_is_made(void **state)
{
    struct world w = { .a = arena_new(), .catalog = catalog_new() };
    AUTO_FREE char *text = NULL;
    size_t len = 0, count = 0;
    assert_int_equal(file_read(WORKLOADS, 4 * MIB, &text, &len, NULL), 0);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        struct json *row = NULL;
        assert_int_equal(json_parse(w.a, line, (size_t)(end - line), &row, NULL), 0);
        if (!is_accepted(json_find_str(row, "scenario"))) {
            makes_the_same(&w, row);
            count++;
        }
        arena_reset(w.a);
    }
    assert_int_equal(differences, 0);
    assert_true(count > 80);
    catalog_free(w.catalog);
    arena_free(w.a);
}

UNIT_TESTS(TEST(what_was_recorded_is_made))
