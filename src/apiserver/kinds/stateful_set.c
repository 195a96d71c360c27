/* StatefulSets. */
#include <inttypes.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/podspec.h"
#include "apiserver/kinds/pvc.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "json/build.h"

/* ---- defaults -------------------------------------------------------------------------------- */

static void set_defaults(struct strategy_context *x, struct json *obj)
{
    struct arena *a = x->a;
    struct json *spec = json_get(obj, "spec"),
                *update = json_ensure_object(a, spec, "updateStrategy");
    if (str_empty(json_find_str(update, "type"))) {
        json_set_str(a, update, "type", "RollingUpdate");
        json_ensure_object(a, update, "rollingUpdate");
    }
    struct json *rolling = json_get(update, "rollingUpdate");
    if (str_eq(json_find_str(update, "type"), "RollingUpdate") && json_is_object(rolling)) {
        if (!json_get(rolling, "partition"))
            json_set_int(a, rolling, "partition", 0);
    }
    podspec_default(a, json_find(spec, "template", "spec"));
    JSON_FOREACH(it, json_get(spec, "volumeClaimTemplates")) {
        json_set_str(a, it.value, "apiVersion", "v1");
        json_set_str(a, it.value, "kind", "PersistentVolumeClaim");
    }
}

/* ---- validation ------------------------------------------------------------------------------ */

static void check_update_strategy(const struct json *spec, const struct field_path *path,
                                  struct field_errors *errors)
{
    const struct json *update = json_get(spec, "updateStrategy"),
                      *rolling = json_get(update, "rollingUpdate");
    const struct field_path *p = FIELD(path, "updateStrategy");
    const char *type = json_find_str(update, "type");
    if (str_empty(type)) {
        field_required(errors, p, NO_DETAIL);
    } else if (STREQ(type, "OnDelete")) {
        if (json_is_object(rolling))
            field_invalid(errors, FIELD(p, "rollingUpdate"), rolling,
                          "only allowed for updateStrategy 'RollingUpdate'");
    } else if (STREQ(type, "RollingUpdate")) {
        check_not_negative(json_get(rolling, "partition"),
                           FIELD(FIELD(p, "rollingUpdate"), "partition"), errors);
    } else {
        /* the API server shows its own struct here */
        field_invalid_raw(errors, p,
                          arena_printf(errors->arena, "{\"Type\":\"%s\",\"RollingUpdate\":null}",
                                       type),
                          "must be 'RollingUpdate' or 'OnDelete'");
    }
}

static void check_policies(const struct json *spec, const struct field_path *p,
                           struct field_errors *errors)
{
    static const char *const known[] = { "Retain", "Delete", NULL };
    static const char *const members[] = { "whenDeleted", "whenScaled" };
    const char *management = json_find_str(spec, "podManagementPolicy");
    const struct json *retention = json_get(spec, "persistentVolumeClaimRetentionPolicy");
    if (str_empty(management))
        field_required(errors, FIELD(p, "podManagementPolicy"), NO_DETAIL);
    else if (!STREQ(management, "OrderedReady") && !STREQ(management, "Parallel"))
        field_invalid_str(errors, FIELD(p, "podManagementPolicy"), management,
                          "must be 'OrderedReady' or 'Parallel'");
    check_update_strategy(spec, p, errors);
    for (size_t i = 0; retention && i < COUNT_OF(members); i++) {
        const char *policy = json_find_str(retention, members[i]);
        if (!is_one_of(policy, known))
            field_not_supported_str(errors,
                                    FIELD(FIELD(p, "persistentVolumeClaimRetentionPolicy"),
                                          members[i]),
                                    policy, known);
    }
}

/* Claims become volumes of the pods, in the place of volumes of the same name. */
static struct json *template_with_claims(struct arena *a, const struct json *spec)
{
    struct json *template = json_clone(a, json_get(spec, "template")),
                *pod = json_get(template, "spec");
    const struct json *claims = json_get(spec, "volumeClaimTemplates");
    json_del(pod, "subdomain");
    json_del(pod, "hostname");
    if (json_size(claims) == 0)
        return template;
    struct json *volumes = EMPTY_ARR();
    AUTO_MAP seen = map_new(NULL);
    JSON_FOREACH(it, claims) {
        static char present;
        const char *name = json_find_str(it.value, "metadata", "name");
        if (map_has(seen, name ? name : ""))
            continue;
        map_set(seen, name ? name : "", &present);
        json_append(volumes, OBJ("name", STR(name ? name : ""), "persistentVolumeClaim",
                                 OBJ("claimName", STR(name ? name : ""))));
    }
    JSON_FOREACH(it, json_get(pod, "volumes")) {
        bool replaced = false;
        JSON_FOREACH(claim, claims)
            replaced = replaced || str_eq(json_find_str(claim.value, "metadata", "name"),
                                          json_find_str(it.value, "name"));
        if (!replaced)
            json_append(volumes, json_clone(a, it.value));
    }
    json_set(a, pod, "volumes", volumes);
    return template;
}

static void check_template(const struct json *spec, const struct field_path *path,
                           struct field_errors *errors)
{
    const struct json *selector_json = json_get(spec, "selector"),
                      *labels = json_find(spec, "template", "metadata", "labels");
    const struct field_path *p = FIELD(path, "template");
    CLEANUP(selector_cleanup) struct selector *selector = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (selector_from_object(selector_json, &selector, &err) < 0) {
        field_invalid(errors, FIELD(path, "selector"), selector_json, NO_DETAIL);
    } else {
        if (!json_is_object(selector_json) ||
            (!selector_empty(selector) && !selector_matches_labels(selector, labels)))
            field_invalid(errors, FIELD(FIELD(p, "metadata"), "labels"), labels,
                          "`selector` does not match template `labels`");
        podspec_validate_template(template_with_claims(errors->arena, spec), p, errors);
    }
    /* said twice by the API server, once by the template and once by what has it */
    metadata_validate_labels(labels, FIELD(p, "labels"), errors);
    metadata_validate_annotations(json_find(spec, "template", "metadata", "annotations"),
                                  FIELD(p, "annotations"), errors);
}

static void check_selector(const struct json *spec, const struct field_path *path,
                           struct field_errors *errors)
{
    const struct json *selector = json_get(spec, "selector");
    const struct field_path *p = FIELD(path, "selector");
    if (!json_is_object(selector)) {
        field_required(errors, p, NO_DETAIL);
        return;
    }
    metadata_validate_selector(selector, p, errors);
    if (json_size(json_get(selector, "matchLabels")) +
            json_size(json_get(selector, "matchExpressions")) ==
        0)
        field_invalid(errors, p, selector, "empty selector is invalid for statefulset");
}

static void check_spec(struct strategy_context *x, const struct json *spec,
                       const struct field_path *p, struct field_errors *errors)
{
    static const char *const always[] = { "Always", NULL };
    const struct field_path *pod = FIELD(FIELD(p, "template"), "spec");
    const char *restart = json_find_str(spec, "template", "spec", "restartPolicy"),
               *service = json_find_str(spec, "serviceName");
    check_policies(spec, p, errors);
    JSON_FOREACH(it, x->old ? NULL : json_get(spec, "volumeClaimTemplates"))
        pvc_validate_spec(json_get(it.value, "spec"),
                          FIELD(FIELD_AT(FIELD(p, "volumeClaimTemplates"), it.index), "spec"),
                          errors);
    check_not_negative(json_get(spec, "replicas"), FIELD(p, "replicas"), errors);
    check_not_negative(json_get(spec, "minReadySeconds"), FIELD(p, "minReadySeconds"), errors);
    check_not_negative(json_find(spec, "ordinals", "start"), FIELD(p, "ordinals.start"), errors);
    if (!x->old && !str_empty(service))
        check_text(service, kube_validate_dns1123_label, FIELD(p, "serviceName"), errors);
    check_selector(spec, p, errors);
    check_template(spec, p, errors);
    if (!str_eq(restart, "Always"))
        field_not_supported_str(errors, FIELD(pod, "restartPolicy"), restart, always);
    if (json_find(spec, "template", "spec", "activeDeadlineSeconds"))
        field_forbidden(errors, FIELD(pod, "activeDeadlineSeconds"),
                        "activeDeadlineSeconds in StatefulSet is not Supported");
}

static void check_update(const struct json *spec, const struct json *old,
                         struct field_errors *errors)
{
    static const char *const may_change[] = { "replicas",
                                              "template",
                                              "updateStrategy",
                                              "minReadySeconds",
                                              "ordinals",
                                              "revisionHistoryLimit",
                                              "persistentVolumeClaimRetentionPolicy" };
    struct arena *a = errors->arena;
    struct json *munged = json_clone(a, spec);
    for (size_t i = 0; i < COUNT_OF(may_change); i++)
        json_set(a, munged, may_change[i], json_clone(a, json_get(old, may_change[i])));
    if (!json_equal(munged, old))
        field_forbidden(
            errors, FIELD(NULL, "spec"),
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
}

static void check_status(const struct json *obj, const struct json *old,
                         struct field_errors *errors)
{
    static const char *const counts[] = { "replicas",          "readyReplicas",
                                          "currentReplicas",   "updatedReplicas",
                                          "availableReplicas", "observedGeneration",
                                          "collisionCount" };
    const struct json *status = json_get(obj, "status");
    const struct field_path *p = FIELD(NULL, "status");
    int64_t replicas = json_find_int(status, 0, "replicas"),
            ready = json_find_int(status, 0, "readyReplicas");
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        check_not_negative(json_get(status, counts[i]), FIELD(p, counts[i]), errors);
    for (size_t i = 1; i <= 4; i++) {
        int64_t n = json_find_int(status, 0, counts[i]);
        if (n > replicas)
            field_invalid_int(errors, FIELD(p, counts[i]), n,
                              "cannot be greater than status.replicas");
    }
    int64_t available = json_find_int(status, 0, "availableReplicas");
    if (available > ready)
        field_invalid_int(errors, FIELD(p, "availableReplicas"), available,
                          "cannot be greater than status.readyReplicas");
    int64_t collisions = json_find_int(status, 0, "collisionCount");
    if (collisions < json_find_int(old, 0, "status", "collisionCount"))
        field_invalid_int(errors, FIELD(p, "collisionCount"), collisions, "cannot be decremented");
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    if (STREQ(x->subresource, "status")) {
        check_status(obj, x->old, errors);
        return;
    }
    const struct json *spec = json_get(obj, "spec");
    check_spec(x, spec, FIELD(NULL, "spec"), errors);
    if (x->old)
        check_update(spec, json_get(x->old, "spec"), errors);
}

static void warn(struct strategy_context *x, const struct json *obj)
{
    const struct json *spec = json_get(obj, "spec");
    if (STREQ(x->subresource, "status"))
        return;
    if (!x->old || meta_generation(obj) != meta_generation(x->old))
        podspec_warn(json_get(spec, "template"), "spec.template.", x->warnings, x->a);
    JSON_FOREACH(it, json_get(spec, "volumeClaimTemplates")) {
        const char *path = arena_printf(x->a, "spec.volumeClaimTemplates[%zu]%s.resources",
                                        it.index, x->old ? ".Spec" : "");
        pvc_warn_spec(json_get(it.value, "spec"), path, x->warnings, x->a);
    }
}

/* ---- table ----------------------------------------------------------------------------------- */

static struct json *containers_cell(struct arena *a, const struct json *obj, const char *member)
{
    AUTO_BUF out = BUF_INIT(MIB);
    JSON_FOREACH(it, json_find(obj, "spec", "template", "spec", "containers"))
        buf_printf(&out, "%s%s", it.index ? "," : "",
                   json_find_str(it.value, member) ? json_find_str(it.value, member) : "");
    return STR(buf_str(&out));
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    json_append(cells, STR(meta_name(obj)));
    json_append(cells,
                STRF("%" PRId64 "/%" PRId64, json_find_int(obj, 0, "status", "readyReplicas"),
                     json_find_int(obj, 0, "spec", "replicas")));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
    json_append(cells, containers_cell(a, obj, "name"));
    json_append(cells, containers_cell(a, obj, "image"));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Ready", "string", "", 0, "How many of the pods are ready." },
    COLUMN_AGE,
    { "Containers", "string", "", 1, "Names of the containers." },
    { "Images", "string", "", 1, "Images of the containers." },
};

const struct api_kind kind_stateful_set = {
    .resource = { "apps", "v1", "statefulsets", "StatefulSet", true },
    .singular = "statefulset",
    .list_kind = "StatefulSetList",
    .short_names = (const char *const[]){ "sts", NULL },
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
