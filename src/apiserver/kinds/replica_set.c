/* ReplicaSets. */
#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/podspec.h"
#include "apiserver/kinds/workload.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

static void set_defaults(struct strategy_context *x, struct json *obj)
{
    podspec_default(x->a, json_find(obj, "spec", "template", "spec"));
}

/* A new one says that it has no pods. */
static void prepare(struct strategy_context *x, struct json *obj)
{
    struct arena *a = x->a;
    if (!x->old)
        json_set(a, obj, "status", OBJ("replicas", INT(0)));
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    static const char *const counts[] = { "replicas",
                                          "fullyLabeledReplicas",
                                          "readyReplicas",
                                          "availableReplicas",
                                          "observedGeneration",
                                          "terminatingReplicas",
                                          NULL };
    static const char *const parts[] = { "fullyLabeledReplicas", "readyReplicas",
                                         "availableReplicas", NULL };
    const struct json *spec = json_get(obj, "spec");
    const struct field_path *p = FIELD(NULL, "spec");
    if (STREQ(x->subresource, "status")) {
        workload_check_counts(json_get(obj, "status"), counts, parts, errors);
        return;
    }
    check_not_negative(json_get(spec, "replicas"), FIELD(p, "replicas"), errors);
    check_not_negative(json_get(spec, "minReadySeconds"), FIELD(p, "minReadySeconds"), errors);
    workload_check_replicated(spec, p, errors);
    if (x->old)
        check_immutable(json_get(spec, "selector"), json_find(x->old, "spec", "selector"),
                        FIELD(p, "selector"), errors);
}

static void warn(struct strategy_context *x, const struct json *obj)
{
    if (STREQ(x->subresource, ""))
        if (!x->old || meta_generation(obj) != meta_generation(x->old))
            podspec_warn(json_find(obj, "spec", "template"), "spec.template.", x->warnings, x->a);
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, INT(json_find_int(obj, 0, "spec", "replicas")));
    json_append(cells, INT(json_find_int(obj, 0, "status", "replicas")));
    json_append(cells, INT(json_find_int(obj, 0, "status", "readyReplicas")));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
    json_append(cells, workload_containers_cell(a, obj, "name"));
    json_append(cells, workload_containers_cell(a, obj, "image"));
    json_append(cells, workload_selector_cell(a, json_find(obj, "spec", "selector"), "<none>"));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Desired", "integer", "", 0, "How many pods there should be." },
    { "Current", "integer", "", 0, "How many pods there are." },
    { "Ready", "integer", "", 0, "How many of the pods are ready." },
    COLUMN_AGE,
    { "Containers", "string", "", 1, "Names of the containers." },
    { "Images", "string", "", 1, "Images of the containers." },
    { "Selector", "string", "", 1, "Labels of its pods." },
};

const struct api_kind kind_replica_set = {
    .resource = { "apps", "v1", "replicasets", "ReplicaSet", true },
    .singular = "replicaset",
    .list_kind = "ReplicaSetList",
    .short_names = (const char *const[]){ "rs", NULL },
    .categories = (const char *const[]){ "all", NULL },
    .has_status = true,
    .has_generation = true,
    .builtin = true,
    .strategy =
        &(const struct api_strategy){
            .set_defaults = set_defaults, .prepare = prepare, .validate = validate, .warn = warn },
    .field_selectors = (const char *const[]){ NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
    .scale = { "spec.replicas", "status.replicas", "spec.selector" },
};
