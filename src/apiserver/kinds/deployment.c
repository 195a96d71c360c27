/* Deployments. */
#include <inttypes.h>
#include <stdlib.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/podspec.h"
#include "apiserver/kinds/workload.h"
#include "base/str.h"
#include "kube/meta.h"
#include "json/build.h"

static void set_defaults(struct strategy_context *x, struct json *obj)
{
    static const char *const members[] = { "maxUnavailable", "maxSurge" };
    struct arena *a = x->a;
    struct json *spec = json_get(obj, "spec"), *strategy = json_ensure_object(a, spec, "strategy");
    if (str_empty(json_find_str(strategy, "type")))
        json_set_str(a, strategy, "type", "RollingUpdate");
    if (str_eq(json_find_str(strategy, "type"), "RollingUpdate")) {
        struct json *rolling = json_ensure_object(a, strategy, "rollingUpdate");
        for (size_t i = 0; i < COUNT_OF(members); i++) {
            if (!json_get(rolling, members[i]))
                json_set_str(a, rolling, members[i], "25%");
        }
    }
    podspec_default(a, json_find(spec, "template", "spec"));
}

/* ---- validation ------------------------------------------------------------------------------ */

/* A number, or a percentage as a number; of other text 0. */
static int64_t amount(const struct json *v, bool *ret_percent)
{
    const char *text = json_string(v);
    *ret_percent = text && rule_percent(text, NULL) == 0;
    return *ret_percent ? strtoll(text, NULL, 10) : json_int(v, 0);
}

static void check_amount(const struct json *v, const struct field_path *p,
                         struct field_errors *errors)
{
    if (json_is_string(v))
        check_text(json_string(v), rule_percent, p, errors);
    else
        check_not_negative(v, p, errors);
}

static void check_rolling(const struct json *rolling, const struct field_path *p,
                          struct field_errors *errors)
{
    const struct json *unavailable = json_get(rolling, "maxUnavailable"),
                      *surge = json_get(rolling, "maxSurge");
    bool percent, other;
    int64_t n = amount(unavailable, &percent);
    check_amount(unavailable, FIELD(p, "maxUnavailable"), errors);
    check_amount(surge, FIELD(p, "maxSurge"), errors);
    if (n == 0 && amount(surge, &other) == 0)
        field_invalid(errors, FIELD(p, "maxUnavailable"), unavailable,
                      "may not be 0 when `maxSurge` is 0");
    if (percent && n > 100)
        field_invalid(errors, FIELD(p, "maxUnavailable"), unavailable,
                      "must not be greater than 100%%");
}

static void check_strategy(const struct json *strategy, const struct field_path *p,
                           struct field_errors *errors)
{
    static const char *const known[] = { "Recreate", "RollingUpdate", NULL };
    const char *type = json_find_str(strategy, "type");
    const struct json *rolling = json_get(strategy, "rollingUpdate");
    if (!is_one_of(type, known))
        field_not_supported(errors, p, strategy, known);
    else if (STREQ(type, "RollingUpdate"))
        check_rolling(rolling, FIELD(p, "rollingUpdate"), errors);
    else if (json_is_object(rolling))
        field_forbidden(errors, FIELD(p, "rollingUpdate"),
                        "may not be specified when strategy `type` is 'Recreate'");
}

static void check_spec(const struct json *spec, const struct field_path *p,
                       struct field_errors *errors)
{
    static const char *const limits[] = { "minReadySeconds", "revisionHistoryLimit",
                                          "progressDeadlineSeconds" };
    check_not_negative(json_get(spec, "replicas"), FIELD(p, "replicas"), errors);
    workload_check_replicated(spec, p, errors);
    check_strategy(json_get(spec, "strategy"), FIELD(p, "strategy"), errors);
    for (size_t i = 0; i < COUNT_OF(limits); i++)
        check_not_negative(json_get(spec, limits[i]), FIELD(p, limits[i]), errors);
    int64_t deadline = json_find_int(spec, 0, "progressDeadlineSeconds");
    if (deadline <= json_find_int(spec, 0, "minReadySeconds"))
        field_invalid_int(errors, FIELD(p, "progressDeadlineSeconds"), deadline,
                          "must be greater than minReadySeconds");
}

static void check_status(const struct json *obj, const struct json *old,
                         struct field_errors *errors)
{
    static const char *const counts[] = {
        "observedGeneration",  "replicas",          "updatedReplicas",
        "readyReplicas",       "availableReplicas", "unavailableReplicas",
        "terminatingReplicas", "collisionCount",    NULL
    };
    static const char *const parts[] = { "updatedReplicas", "readyReplicas", "availableReplicas",
                                         NULL };
    const struct json *status = json_get(obj, "status");
    int64_t collisions = json_find_int(status, 0, "collisionCount");
    workload_check_counts(status, counts, parts, errors);
    if (collisions < json_find_int(old, 0, "status", "collisionCount"))
        field_invalid_int(errors, FIELD(FIELD(NULL, "status"), "collisionCount"), collisions,
                          "cannot be decremented");
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    const struct json *spec = json_get(obj, "spec");
    const struct field_path *p = FIELD(NULL, "spec");
    if (STREQ(x->subresource, "status")) {
        check_status(obj, x->old, errors);
        return;
    }
    check_spec(spec, p, errors);
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

/* ---- table ----------------------------------------------------------------------------------- */

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    const struct json *status = json_get(obj, "status");
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, STRF("%" PRId64 "/%" PRId64, json_find_int(status, 0, "readyReplicas"),
                            json_find_int(obj, 0, "spec", "replicas")));
    json_append(cells, INT(json_find_int(status, 0, "updatedReplicas")));
    json_append(cells, INT(json_find_int(status, 0, "availableReplicas")));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
    json_append(cells, workload_containers_cell(a, obj, "name"));
    json_append(cells, workload_containers_cell(a, obj, "image"));
    json_append(cells, workload_selector_cell(a, json_find(obj, "spec", "selector"), ""));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Ready", "string", "", 0, "How many of the pods are ready." },
    { "Up-to-date", "string", "", 0, "How many pods are made from the template as it is now." },
    { "Available", "string", "", 0, "How many pods have been ready for long enough." },
    COLUMN_AGE,
    { "Containers", "string", "", 1, "Names of the containers." },
    { "Images", "string", "", 1, "Images of the containers." },
    { "Selector", "string", "", 1, "Labels of its pods." },
};

const struct api_kind kind_deployment = {
    .resource = { "apps", "v1", "deployments", "Deployment", true },
    .singular = "deployment",
    .list_kind = "DeploymentList",
    .short_names = (const char *const[]){ "deploy", NULL },
    .categories = (const char *const[]){ "all", NULL },
    .has_status = true,
    .has_generation = true,
    .builtin = true,
    .strategy = &(const struct api_strategy){ .set_defaults = set_defaults,
                                              .validate = validate,
                                              .warn = warn },
    .field_selectors = (const char *const[]){ NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
    .scale = { "spec.replicas", "status.replicas", "spec.selector" },
};
