/* What makes Workspaces: InferenceSet and MultiRoleInference. Names are as long as the Workspaces'
 * names leave room for, and templates are judged as the Workspaces that will come of them. */
#include <string.h>

#include "admission/internal.h"
#include "api/cron.h"
#include "api/inference_set.h"
#include "base/str.h"
#include "catalog/sku.h"
#include "kube/meta.h"

/* "-prefill" */
#define MULTI_ROLE_NAME_MAX (INFERENCE_SET_NAME_MAX - 8)

/* ---- InferenceSet ------------------------------------------------------------------------------- */

static void subject_of_set(struct review *rv, const struct json *obj, struct subject *ret)
{
    const struct json *spec = json_get(obj, "spec");
    const struct json *template = json_get(spec, "template");
    *ret = (struct subject){
        .ns = meta_namespace(obj),
        .annotations = json_find(template, "metadata", "annotations"),
        .resource = json_get(template, "resource"),
        .selector = json_get(spec, "labelSelector"),
        .inference = json_get(template, "inference"),
        .annotations_path = "spec.template.metadata.annotations",
        .resource_path = "spec.template.resource",
        .selector_path = "spec.labelSelector",
        .inference_path = "spec.template.inference",
        .tuning_path = "",
    };
    subject_complete(rv, ret);
}

static void check_replicas(struct review *rv, const struct json *replicas, const char *field,
                           int64_t least)
{
    if (!json_is_null(replicas) &&
        (json_int(replicas, -1) < least || json_int(replicas, 0) > INT32_MAX))
        fault(rv, field, shown(rv, replicas), "is too few; it must be %lld or more",
              (long long)least);
}

/* Behind a time zone, if there is one. With one it is accepted, as by the Go operator, but said to
 * open no window here. */
static const char *behind_zone(const char *schedule)
{
    if (!str_has_prefix(schedule, "CRON_TZ=") && !str_has_prefix(schedule, "TZ="))
        return schedule;
    const char *space = strchr(schedule, ' ');
    return space && space[-1] != '=' ? space + strspn(space, " ") : "";
}

static void check_schedule(struct review *rv, const char *schedule, const char *field)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct cron cron;
    int64_t ns = 0;
    const char *text = behind_zone(schedule);
    const char *every = str_skip_prefix(text, "@every ");
    if (!*schedule)
        fault(rv, field, NULL, "is required: when the window opens, such as \"0 2 * * 6\"");
    else if (!(every && str_to_duration_ns(every, &ns) == 0) && cron_parse(text, &cron, &err) < 0)
        fault(rv, field, schedule, "cannot be read: %s", error_message(err));
    else if (cron_parse(schedule, &cron, &err) < 0)
        warn(rv, "%s: this window never opens: %s", field, error_message(err));
}

static void check_window(struct review *rv, const struct json *window)
{
    static const char path[] = "spec.autoUpgrade.maintenanceWindow";
    if (json_is_null(window))
        return;
    const char *schedule = str_or_empty(json_find_str(window, "schedule"));
    const char *duration = json_find_str(window, "duration");
    int64_t ns = 0;
    check_schedule(rv, schedule, member_path(rv, path, "schedule"));
    if (duration && str_to_duration_ns(duration, &ns) < 0)
        fault(rv, member_path(rv, path, "duration"), duration,
              "is not a duration; write it as 4h or 90m");
    else if (duration && ns <= 0)
        fault(rv, member_path(rv, path, "duration"), duration, "must be longer than nothing");
}

static void check_set(struct review *rv, const struct json *obj, const struct subject *s)
{
    const struct json *spec = json_get(obj, "spec");
    if (!json_is_object(spec)) {
        fault(rv, "spec", NULL, "is required");
        return;
    }
    check_replicas(rv, json_get(spec, "replicas"), "spec.replicas", 0);
    check_window(rv, json_find(spec, "autoUpgrade", "maintenanceWindow"));
    if (json_is_null(s->inference))
        fault(rv, s->inference_path, NULL, "is required");
    else
        check_subject(rv, s);
}

void inference_set_new(struct review *rv, const struct json *obj)
{
    check_name(rv, obj, INFERENCE_SET_NAME_MAX,
               "its Workspaces are named after it, and their pods after them");
    inference_set_valid(rv, obj);
}

void inference_set_valid(struct review *rv, const struct json *obj)
{
    struct subject s;
    subject_of_set(rv, obj, &s);
    check_set(rv, obj, &s);
}

void inference_set_change(struct review *rv, const struct json *obj, const struct json *old)
{
    const struct json *now = json_find(obj, "spec", "template", "resource", "partition");
    const struct json *before = json_find(old, "spec", "template", "resource", "partition");
    if (!same_as(rv, "Partition", now, before))
        fault(rv, "spec.template.resource.partition", shown(rv, now),
              "cannot be changed (it was %s); make a new InferenceSet", json_text(rv->a, before));
}

/* ---- MultiRoleInference ------------------------------------------------------------------------- */

static void check_role_type(struct review *rv, const struct json *role, const char *path)
{
    const struct operator_settings *settings = rv->ad->settings;
    const char *type = str_or_empty(json_find_str(role, "instanceType"));
    const char *field = member_path(rv, path, "instanceType");
    if (one_box(rv))
        return;
    if (automatic_nodes(rv) && !*type)
        fault(rv, field, NULL,
              "is required, because this operator brings up nodes; choose an instance type with "
              "GPUs");
    else if (!automatic_nodes(rv) && *type)
        fault(rv, field, type,
              "must not be set, because this operator does not bring up nodes "
              "(--node-provisioner=byo); remove it and select nodes by labels");
    else if (*type && !sku_find(rv->ad->catalog, settings->cloud, type))
        warn(rv,
             "%s: \"%s\" is not known to have GPUs; the InferenceSet of this role will be "
             "refused",
             field, type);
}

static void check_roles(struct review *rv, const struct json *roles)
{
    static const char *const types[] = { "prefill", "decode" };
    size_t count[COUNT_OF(types)] = { 0 };
    JSON_FOREACH(it, roles) {
        const char *path = element_path(rv, "spec.roles", it.index);
        const char *type = str_or_empty(json_find_str(it.value, "type"));
        bool known = false;
        for (size_t i = 0; i < COUNT_OF(types); i++)
            if (STREQ(type, types[i])) {
                known = true;
                count[i]++;
            }
        if (!known)
            fault(rv, member_path(rv, path, "type"), type, "is not one of prefill, decode");
        check_replicas(rv, json_get(it.value, "replicas"), member_path(rv, path, "replicas"), 1);
        check_role_type(rv, it.value, path);
    }
    if (count[0] != 1 || count[1] != 1)
        fault(rv, "spec.roles", NULL,
              "must have one role of type prefill and one of type decode; it has %zu and %zu",
              count[0], count[1]);
}

void multi_role_valid(struct review *rv, const struct json *obj)
{
    const struct json *spec = json_get(obj, "spec");
    const char *model = str_or_empty(json_find_str(spec, "model", "name"));
    if (!*model)
        fault(rv, "spec.model.name", NULL, "is required; `kaito models catalog` lists the presets");
    else if (!preset_name_valid(rv, model))
        warn(rv,
             "spec.model.name: \"%s\" is not a preset; the InferenceSets of the roles will be "
             "refused",
             model);
    check_selector(rv, json_get(spec, "labelSelector"), "spec.labelSelector");
    check_roles(rv, json_get(spec, "roles"));
}

void multi_role_new(struct review *rv, const struct json *obj)
{
    const struct json *selector = json_find(obj, "spec", "labelSelector");
    check_name(rv, obj, MULTI_ROLE_NAME_MAX,
               "its InferenceSets are named after it, and their Workspaces after them");
    if (json_size(json_get(selector, "matchLabels")) == 0 &&
        json_size(json_get(selector, "matchExpressions")) == 0)
        fault(rv, "spec.labelSelector", NULL, "must have a label to select nodes by");
    multi_role_valid(rv, obj);
}

void multi_role_change(struct review *rv, const struct json *obj, const struct json *old)
{
    const char *now = str_or_empty(json_find_str(obj, "spec", "model", "name"));
    const char *before = str_or_empty(json_find_str(old, "spec", "model", "name"));
    if (!STREQ(now, before))
        fault(rv, "spec.model.name", now,
              "cannot be changed (it was \"%s\"); make a new MultiRoleInference", before);
}
