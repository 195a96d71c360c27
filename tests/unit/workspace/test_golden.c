/* Workspaces on nodes that the user brings, as the Go operator was recorded: the same objects are
 * made, the same number of nodes and the same conditions come out, and what it left behind is taken
 * over without touching the pods.
 *
 * tests/data/byo-golden.jsonl: {"scenario", "workspace", "nodes", "statefulSet", "service",
 * "headless"}, the specs without what the API server adds. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "unit.h"
#include "workspace/decide.h"
#include "json/build.h"

struct world {
    struct arena *a;
    struct catalog *catalog;
    struct go_types *types;
    struct operator_settings settings;
};

/* ---- comparing ------------------------------------------------------------------------------------------------------ */

/* Members that say what is the default anyway. */
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

static void drop_defaults(struct json *v)
{
    JSON_FOREACH(it, v) {
        if (json_is_object(v) && is_default(v, it.key, it.value))
            json_iter_remove(&it);
        else
            drop_defaults(it.value);
    }
}

static void expect_equal(struct arena *a, const char *scenario, const char *what,
                         const struct json *want, const struct json *got)
{
    struct json *own = json_clone(a, got);
    drop_defaults(own);
    if (json_equal(want, own))
        return;
    AUTO_BUF diff = BUF_INIT(MIB);
    json_describe_diff(want, own, 30, &diff);
    fail_msg("%s: %s:\n%s", scenario, what, buf_str(&diff));
}

static const struct json *created(const struct decision *d, const struct kube_resource *r,
                                  const char *name)
{
    for (size_t i = 0; i < d->write_count; i++)
        if (d->writes[i].op == WRITE_CREATE && d->writes[i].resource == r &&
            STREQ(d->writes[i].name, name))
            return d->writes[i].body;
    return NULL;
}

static void decide(struct world *w, const struct observed *o, struct decision *ret)
{
    struct decide_input in = { &w->settings, w->catalog, w->types, 1767225600 * NS_PER_S, o };
    workspace_decide(w->a, &in, ret);
}

/* ---- a new Workspace ------------------------------------------------------------------------------------------------ */

static struct json *fresh(struct arena *a, const struct json *recorded)
{
    struct json *ws = json_clone(a, recorded);
    json_del(ws, "status");
    struct json *metadata = json_get(ws, "metadata");
    json_del(metadata, "annotations");
    json_del(metadata, "finalizers");
    json_set_str(a, metadata, "uid", "uid-w");
    json_set_int(a, metadata, "generation", 1);
    return ws;
}

static void makes_the_same_objects(struct world *w, const struct json *row)
{
    struct arena *a = w->a;
    const char *scenario = json_find_str(row, "scenario");
    struct json *ws = fresh(a, json_get(row, "workspace"));
    struct observed o = { .workspace = ws,
                          .revisions = EMPTY_ARR(),
                          .pods = EMPTY_ARR(),
                          .nodes = { .nodes = json_get(row, "nodes") } };
    /* nodes of another scenario's Workspace are not this one's */
    struct json *nodes = EMPTY_ARR();
    struct workspace decoded;
    workspace_read(a, ws, &decoded);
    JSON_FOREACH(it, json_get(row, "nodes"))
        if (json_contains(json_find(it.value, "metadata", "labels"), decoded.node_labels))
            json_append(nodes, json_clone(a, it.value));
    o.nodes.nodes = nodes;
    struct decision d;
    decide(w, &o, &d);
    const char *name = meta_name(ws);
    const struct json *set = created(&d, &KUBE_STATEFULSETS, name);
    const struct json *want = json_get(row, "statefulSet");
    if (json_is_null(want)) {
        if (set)
            fail_msg("%s: a StatefulSet is made", scenario);
        return;
    }
    if (!set)
        fail_msg("%s: %s", scenario, json_text(a, decision_to_json(a, &d)));
    expect_equal(a, scenario, "StatefulSet", want, json_get(set, "spec"));
    expect_equal(a, scenario, "Service", json_get(row, "service"),
                 json_get(created(&d, &KUBE_SERVICES, name), "spec"));
    const char *headless = arena_printf(a, "%s-headless", name);
    expect_equal(a, scenario, "headless Service", json_get(row, "headless"),
                 json_get(created(&d, &KUBE_SERVICES, headless), "spec"));
    assert_int_equal(json_find_int(d.status, 0, "targetNodeCount"),
                     json_find_int(row, -1, "workspace", "status", "targetNodeCount"));
}

/* ---- taking over ---------------------------------------------------------------------------------------------------- */

static struct json *owned(struct world *w, const struct json *ws, const char *name,
                          const struct json *spec)
{
    struct arena *a = w->a;
    struct json *obj =
        OBJ("metadata",
            OBJ("name", STR(name), "namespace", STR(meta_namespace(ws)), "uid", STR("uid-o"),
                "ownerReferences", ARR(meta_controller_ref(a, ws, &KUBE_WORKSPACES))),
            "spec", json_clone(a, spec));
    if (!json_find(obj, "spec", "type") && json_find(obj, "spec", "ports"))
        json_set_str(a, json_get(obj, "spec"), "type", "ClusterIP");
    return obj;
}

/* The Workspace as the Go operator left it. */
static struct json *left_behind(struct world *w, const struct json *row)
{
    struct arena *a = w->a;
    struct json *ws = json_clone(a, json_get(row, "workspace"));
    json_set_str(a, json_get(ws, "metadata"), "uid", "uid-w");
    json_set_int(a, json_get(ws, "metadata"), "generation", 1);
    JSON_FOREACH(it, json_find(ws, "status", "conditions")) {
        json_set_int(a, it.value, "observedGeneration", 1);
        json_set_str(a, it.value, "lastTransitionTime", "2025-12-01T00:00:00Z");
        json_set_str(a, it.value, "message", "by another operator");
    }
    return ws;
}

static void expect_same_conditions(const char *scenario, const struct json *before,
                                   const struct json *after)
{
    assert_int_equal(json_size(json_get(before, "conditions")),
                     json_size(json_get(after, "conditions")));
    JSON_FOREACH(it, json_get(before, "conditions")) {
        const struct json *c =
            condition_find(json_get(after, "conditions"), json_find_str(it.value, "type"));
        static const char *const same[] = { "status", "reason", "lastTransitionTime" };
        for (size_t i = 0; i < COUNT_OF(same); i++)
            if (!str_eq(json_find_str(it.value, same[i]), json_find_str(c, same[i])))
                fail_msg("%s: %s of %s: %s", scenario, same[i], json_find_str(it.value, "type"),
                         json_find_str(c, same[i]));
    }
}

static void takes_over(struct world *w, const struct json *row)
{
    struct arena *a = w->a;
    const char *scenario = json_find_str(row, "scenario");
    if (json_is_null(json_get(row, "statefulSet")))
        return;
    struct json *ws = left_behind(w, row);
    struct workspace decoded;
    workspace_read(a, ws, &decoded);
    struct json *nodes = EMPTY_ARR();
    JSON_FOREACH(it, json_get(row, "nodes"))
        if (json_contains(json_find(it.value, "metadata", "labels"), decoded.node_labels))
            json_append(nodes, json_clone(a, it.value));
    const char *name = meta_name(ws), *hash = meta_annotation(ws, WORKSPACE_HASH);
    struct json *set = owned(w, ws, name, json_get(row, "statefulSet"));
    json_set(a, set, "status",
             OBJ("readyReplicas", INT(json_find_int(set, 1, "spec", "replicas"))));
    if (!decoded.template)
        json_set(a, json_get(set, "metadata"), "annotations", OBJ(WORKSPACE_REVISION, STR("1")));
    struct json *revision =
        OBJ("metadata",
            OBJ("name", STRF("%s-%.5s", name, hash), "annotations", OBJ(WORKSPACE_HASH, STR(hash))),
            "revision", INT(1));
    struct observed o = {
        .workspace = ws,
        .statefulset = set,
        .service = owned(w, ws, name, json_get(row, "service")),
        .headless = owned(w, ws, arena_printf(a, "%s-headless", name), json_get(row, "headless")),
        .revisions = ARR(revision),
        .pods = EMPTY_ARR(),
        .nodes = { .nodes = nodes },
    };
    struct decision d;
    decide(w, &o, &d);
    for (size_t i = 0; i < d.write_count; i++) {
        /* the mark of the template's revision, no change of the pods */
        bool mark = decoded.template && d.writes[i].op == WRITE_JSON_PATCH &&
                    json_size(d.writes[i].body) == 1;
        if (!mark)
            fail_msg("%s: %s", scenario, json_text(a, decision_to_json(a, &d)));
    }
    const struct json *before = json_get(ws, "status");
    expect_same_conditions(scenario, before, d.status);
    static const char *const same[] = { "state", "targetNodeCount", "workerNodes", "performance" };
    for (size_t i = 0; i < COUNT_OF(same); i++)
        if (!json_equal(json_get(before, same[i]), json_get(d.status, same[i])))
            fail_msg("%s: %s: %s", scenario, same[i], json_text(a, json_get(d.status, same[i])));
}

/* ---- all ------------------------------------------------------------------------------------------------------------ */

/* Where we differ on purpose. */
static char *with_accepted(struct arena *a, char *row)
{
    static const struct {
        const char *scenario, *recorded, *here;
    } accepted[] = {
        /* a GPU without bfloat16 */
        { "byo-t4", "--dtype=bfloat16", "--dtype=float16" },
    };
    for (size_t i = 0; i < COUNT_OF(accepted); i++)
        if (strstr(row, arena_printf(a, "\"scenario\":\"%s\"", accepted[i].scenario)))
            row = str_replace(a, row, accepted[i].recorded, accepted[i].here);
    return row;
}

static void each_scenario(void (*fn)(struct world *w, const struct json *row))
{
    struct world w = {
        .a = arena_new(),
        .catalog = catalog_new(),
        .types = go_types_new(),
        .settings = { .provisioner = PROVISIONER_BYO,
                      .cloud = "azure",
                      .image_registry = "mcr.microsoft.com/aks/kaito",
                      .release_namespace = "kaito-workspace",
                      .gates = GATES_DEFAULT },
    };
    AUTO_FREE char *text = NULL;
    size_t len = 0, count = 0;
    assert_int_equal(file_read(GOLDEN, 4 * MIB, &text, &len, NULL), 0);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, count++) {
        struct json *row = NULL;
        *end = '\0';
        char *wanted = with_accepted(w.a, line);
        assert_int_equal(json_parse(w.a, wanted, strlen(wanted), &row, NULL), 0);
        fn(&w, row);
        arena_reset(w.a);
    }
    assert_true(count >= 18);
    catalog_free(w.catalog);
    go_types_free(w.types);
    arena_free(w.a);
}

static void the_same_objects_are_made(void **state)
{
    each_scenario(makes_the_same_objects);
}

static void what_is_there_is_taken_over(void **state)
{
    each_scenario(takes_over);
}

UNIT_TESTS(TEST(the_same_objects_are_made), TEST(what_is_there_is_taken_over))
