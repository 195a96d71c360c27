#include "apiserver/kinds/workload.h"

#include "apiserver/kinds/podspec.h"
#include "base/str.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "json/build.h"

static void check_template(const struct json *spec, const struct selector *selector,
                           const struct field_path *p, struct field_errors *errors)
{
    static const char *const always[] = { "Always", NULL };
    const struct json *template = json_get(spec, "template"),
                      *labels = json_find(template, "metadata", "labels");
    const struct field_path *pod = FIELD(p, "spec");
    const char *restart = json_find_str(template, "spec", "restartPolicy");
    if (!selector_empty(selector) && !selector_matches_labels(selector, labels))
        field_invalid(errors, FIELD(FIELD(p, "metadata"), "labels"), labels,
                      "`selector` does not match template `labels`");
    podspec_validate_template(template, p, errors);
    if (!str_eq(restart, "Always"))
        field_not_supported_str(errors, FIELD(pod, "restartPolicy"), restart, always);
    if (json_find(template, "spec", "activeDeadlineSeconds"))
        field_forbidden(errors, FIELD(pod, "activeDeadlineSeconds"),
                        "activeDeadlineSeconds in ReplicaSet is not Supported");
}

void workload_check_replicated(const struct json *spec, const struct field_path *path,
                               struct field_errors *errors)
{
    const struct json *json = json_get(spec, "selector");
    const struct field_path *p = FIELD(path, "selector");
    CLEANUP(selector_cleanup) struct selector *selector = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (!json_is_object(json)) {
        field_required(errors, p, NO_DETAIL);
    } else {
        metadata_validate_selector(json, p, errors);
        if (json_size(json_get(json, "matchLabels")) +
                json_size(json_get(json, "matchExpressions")) ==
            0)
            field_invalid(errors, p, json, "empty selector is invalid for deployment");
    }
    if (selector_from_object(json, &selector, &err) < 0)
        field_invalid(errors, p, json, "invalid label selector");
    else
        check_template(spec, selector, FIELD(path, "template"), errors);
}

void workload_check_counts(const struct json *status, const char *const *counts,
                           const char *const *parts, struct field_errors *errors)
{
    const struct field_path *p = FIELD(NULL, "status");
    int64_t available = json_find_int(status, 0, "availableReplicas");
    for (size_t i = 0; counts[i]; i++)
        check_not_negative(json_get(status, counts[i]), FIELD(p, counts[i]), errors);
    for (size_t i = 0; parts[i]; i++) {
        int64_t n = json_int(json_get(status, parts[i]), 0);
        if (n > json_find_int(status, 0, "replicas"))
            field_invalid_int(errors, FIELD(p, parts[i]), n,
                              "cannot be greater than status.replicas");
    }
    if (available > json_find_int(status, 0, "readyReplicas"))
        field_invalid_int(errors, FIELD(p, "availableReplicas"), available,
                          "cannot be greater than readyReplicas");
}

struct json *workload_containers_cell(struct arena *a, const struct json *obj, const char *member)
{
    AUTO_BUF out = BUF_INIT(MIB);
    JSON_FOREACH(it, json_find(obj, "spec", "template", "spec", "containers"))
        buf_printf(&out, "%s%s", it.index ? "," : "",
                   json_find_str(it.value, member) ? json_find_str(it.value, member) : "");
    return STR(buf_str(&out));
}

struct json *workload_selector_cell(struct arena *a, const struct json *json, const char *none)
{
    CLEANUP(selector_cleanup) struct selector *selector = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (selector_from_object(json, &selector, &err) < 0)
        return STR("<invalid>");
    const char *text = selector_text(a, selector);
    return STR(*text ? text : none);
}
