/* InferenceSets as the Go operator was recorded: the same Workspaces, revisions and objects of the
 * gateway are made, and over the same Workspaces the same status comes out.
 *
 * tests/data/inferenceset-golden.jsonl: {"scenario", "stage", "config", "set", "children",
 * "revision", "status", "pool": {KIND: spec}}. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "inferenceset/decide.h"
#include "kube/meta.h"
#include "unit.h"

struct world {
    struct arena *a;
    struct catalog *catalog;
    struct go_types *types;
    struct operator_settings settings;
    const struct json *record;
    const char *where;
};

/* What differs on purpose, with its row in docs/differences.md. */
static const struct {
    const char *scenario, *stage;
    bool children, status;
} accepted[] = {
    { "is-node-count-limit", NULL, true, true }, /* the limit counts */
    { "is-multi-node", NULL, true, true },       /* 5, for 2 replicas of 3 nodes */
    { "is-update-template", "d", true, false },  /* adapters reach the Workspaces */
    { "gate-gwapi-is-2", NULL, false, true },    /* the status does not stand still meanwhile */
    { "gate-gwapi-is-role", NULL, false, true },
};

static bool is_accepted(const struct world *w, bool status)
{
    for (size_t i = 0; i < COUNT_OF(accepted); i++)
        if (str_eq(json_find_str(w->record, "scenario"), accepted[i].scenario) &&
            (!accepted[i].stage || str_eq(json_find_str(w->record, "stage"), accepted[i].stage)))
            return status ? accepted[i].status : accepted[i].children;
    return false;
}

static struct operator_settings settings_of(const char *config)
{
    struct operator_settings s = {
        .provisioner = str_eq(config, "byo") || str_has_prefix(config, "byo-") ? PROVISIONER_BYO
                       : str_eq(config, "karpenter") ? PROVISIONER_KARPENTER
                                                     : PROVISIONER_AZURE_GPU,
        .cloud = "azure",
        .image_registry = "mcr.microsoft.com/aks/kaito",
        .release_namespace = "kaito-workspace",
        .gates = GATES_DEFAULT,
    };
    s.gates.on[GATE_GATEWAY_API] = str_eq(config, "gwapi");
    s.gates.on[GATE_BASE_IMAGE_UPGRADE] = str_eq(config, "autoupgrade");
    return s;
}

/* ---- comparing ------------------------------------------------------------------------------------------------------ */

static void expect_equal(struct world *w, const char *what, const struct json *want,
                         const struct json *got)
{
    if (json_equal(want, got))
        return;
    AUTO_BUF diff = BUF_INIT(MIB);
    json_describe_diff(want, got, 30, &diff);
    fail_msg("%s: %s:\n%s", w->where, what, buf_str(&diff));
}

/* Without what the API server adds and what Go writes of empty structs. */
static struct json *plain(struct arena *a, const struct json *v)
{
    struct json *copy = json_clone(a, v);
    json_del(json_get(copy, "resource"), "count");
    struct json *preset = json_find(copy, "inference", "preset");
    if (json_size(json_get(preset, "presetOptions")) == 0)
        json_del(preset, "presetOptions");
    if (json_size(json_get(copy, "annotations")) == 0)
        json_del(copy, "annotations");
    json_del(copy, "status");
    return copy;
}

static const struct json *created(const struct decision *d, const struct kube_resource *r, size_t n)
{
    for (size_t i = 0; i < d->write_count; i++)
        if (d->writes[i].op == WRITE_CREATE && d->writes[i].resource == r && n-- == 0)
            return d->writes[i].body;
    return NULL;
}

static struct json *brief_status(struct arena *a, const struct json *status)
{
    struct json *copy = json_clone(a, status), *conditions = EMPTY_OBJ();
    JSON_FOREACH(it, json_get(status, "conditions"))
        json_set(a, conditions, json_find_str(it.value, "type"),
                 STRF("%s %s", json_find_str(it.value, "status"),
                      json_find_str(it.value, "reason")));
    json_set(a, copy, "conditions", conditions);
    return copy;
}

/* ---- the two ways ---------------------------------------------------------------------------------------------------- */

static void decide(struct world *w, const struct json *set, const struct json *children,
                   struct decision *ret)
{
    struct arena *a = w->a;
    const struct set_observed observed = {
        .set = set,
        .children = children,
        .statefulsets = EMPTY_OBJ(),
        .revisions = EMPTY_ARR(),
        .pool = { .served = true },
    };
    set_decide(a,
               &(struct set_input){ .settings = &w->settings,
                                    .catalog = w->catalog,
                                    .types = w->types,
                                    .observed = &observed },
               ret);
}

static struct json *set_of(struct world *w)
{
    struct json *set = json_clone(w->a, json_get(w->record, "set"));
    json_set_str(w->a, json_get(set, "metadata"), "uid", "11111111-2222-3333-4444-555555555555");
    return set;
}

static void made_anew(struct world *w)
{
    struct arena *a = w->a;
    struct json *set = set_of(w), *annotations = json_find(set, "metadata", "annotations");
    const char *hash = arena_strdup(a, json_find_str(annotations, "inferenceset.kaito.io/hash"));
    json_del(annotations, "inferenceset.kaito.io/hash");
    json_del(annotations, "inferenceset.kaito.io/revision");
    struct decision d;
    decide(w, set, EMPTY_ARR(), &d);
    const struct json *revision = created(&d, &KUBE_CONTROLLER_REVISIONS, 0);
    assert_string_equal(meta_annotation(revision, "inferenceset.kaito.io/hash"), hash);
    assert_string_equal(meta_name(revision), json_find_str(w->record, "revision", "name"));
    expect_equal(w, "data of the revision", json_find(w->record, "revision", "data"),
                 json_get(revision, "data"));
    JSON_FOREACH(it, json_get(w->record, "pool"))
        expect_equal(w, it.key, it.value,
                     json_get(created(&d,
                                      STREQ(it.key, "HelmRelease") ? &KUBE_HELM_RELEASES
                                                                   : &KUBE_OCI_REPOSITORIES,
                                      0),
                              "spec"));
    if (is_accepted(w, false))
        return;
    const struct json *children = json_get(w->record, "children");
    for (size_t n = 0; n < json_size(children); n++) {
        const struct json *ws = created(&d, &KUBE_WORKSPACES, n);
        if (!ws)
            fail_msg("%s: Workspace %zu is not made: %s", w->where, n,
                     json_text(a, decision_to_json(a, &d)));
        struct json *got =
            OBJ("labels", json_clone(a, json_find(ws, "metadata", "labels")), "annotations",
                json_clone(a, json_find(ws, "metadata", "annotations")), "resource",
                json_clone(a, json_get(ws, "resource")), "inference",
                json_clone(a, json_get(ws, "inference")));
        expect_equal(w, "Workspace", plain(a, json_at(children, n)), plain(a, got));
    }
    assert_null(created(&d, &KUBE_WORKSPACES, json_size(children)));
}

static void taken_over(struct world *w)
{
    struct arena *a = w->a;
    struct json *set = set_of(w), *children = EMPTY_ARR();
    JSON_FOREACH(it, json_get(w->record, "children"))
        json_append(children,
                    OBJ("metadata",
                        OBJ("name", STRF("is-%zu", it.index), "uid", STRF("u%zu", it.index),
                            "labels", json_clone(a, json_get(it.value, "labels")), "annotations",
                            json_clone(a, json_get(it.value, "annotations")), "ownerReferences",
                            ARR(meta_controller_ref(a, set, &KUBE_INFERENCE_SETS))),
                        "resource", json_clone(a, json_get(it.value, "resource")), "inference",
                        json_clone(a, json_get(it.value, "inference")), "status",
                        json_clone(a, json_get(it.value, "status"))));
    struct decision d;
    decide(w, set, children, &d);
    for (size_t i = 0; i < d.write_count; i++)
        if (d.writes[i].resource == &KUBE_WORKSPACES)
            fail_msg("%s: Workspace %s is not left alone", w->where, d.writes[i].name);
    if (is_accepted(w, true))
        return;
    expect_equal(w, "status", brief_status(a, json_get(w->record, "status")),
                 brief_status(a, d.status));
}

static void as_recorded(void **state)
{
    struct world w = { .a = arena_new(), .catalog = catalog_new(), .types = go_types_new() };
    AUTO_FREE char *text = NULL;
    size_t len = 0, count = 0;
    assert_int_equal(file_read(GOLDEN, 16 * MIB, &text, &len, NULL), 0);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        arena_reset(w.a);
        struct json *record = NULL;
        assert_int_equal(json_parse(w.a, line, (size_t)(end - line), &record, NULL), 0);
        if (!json_get(record, "set"))
            continue;
        w.record = record;
        w.where = arena_printf(w.a, "%s/%s", json_find_str(record, "scenario"),
                               json_find_str(record, "stage"));
        w.settings = settings_of(json_find_str(record, "config"));
        made_anew(&w);
        taken_over(&w);
        count++;
    }
    assert_true(count > 50);
    catalog_free(w.catalog);
    go_types_free(w.types);
    arena_free(w.a);
}

UNIT_TESTS(TEST(as_recorded))
