#include "api/workspace.h"

#include <string.h>

#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "json/build.h"

/* Labels that KAITO puts on nodes and pods: a selector that asks for them would cross Workspaces.
 */
static const char *const reserved_labels[] = {
    "kaito.sh/workspace",
    "kaito.sh/ragengine",
    "kaito.sh/workspacenamespace",
    "kaito.sh/ragenginenamespace",
    "karpenter.kaito.sh/workspace-name",
    "karpenter.kaito.sh/workspace-namespace",
    "karpenter.kaito.sh/inferenceset",
    "karpenter.kaito.sh/inferenceset-namespace",
};

static const char *string_or_empty(const struct json *v)
{
    const char *s = json_string(v);
    return s ? s : "";
}

static const struct json *object_or_null(const struct json *v)
{
    return json_is_object(v) ? v : NULL;
}

bool workspace_label_reserved(const char *key)
{
    for (size_t i = 0; i < COUNT_OF(reserved_labels); i++)
        if (STREQ(key, reserved_labels[i]))
            return true;
    return false;
}

static void add_label(struct arena *a, struct workspace *ws, const char *key,
                      const struct json *value)
{
    if (workspace_label_reserved(key))
        ws->reserved_labels++;
    else
        json_set(a, ws->node_labels, key, STR(string_or_empty(value)));
}

/* "key In [one value]" says the same as a match label. */
static const struct json *only_value(const struct json *expression)
{
    const struct json *values = json_get(expression, "values");
    bool one = str_eq(json_find_str(expression, "operator"), "In") && json_size(values) == 1;
    return one ? json_at(values, 0) : NULL;
}

static void read_selector(struct arena *a, const struct json *selector, struct workspace *ws)
{
    ws->node_labels = json_new_object(a);
    JSON_FOREACH(it, json_get(selector, "matchLabels"))
        add_label(a, ws, it.key, it.value);
    JSON_FOREACH(it, json_get(selector, "matchExpressions")) {
        const char *key = json_find_str(it.value, "key");
        const struct json *value = only_value(it.value);
        if (key && value)
            add_label(a, ws, key, value);
    }
}

void workspace_read(struct arena *a, const struct json *obj, struct workspace *ret)
{
    const struct json *resource = json_get(obj, "resource");
    const struct json *inference = object_or_null(json_get(obj, "inference"));
    const struct json *tuning = object_or_null(json_get(obj, "tuning"));
    const struct json *task = inference ? inference : tuning;
    const struct json *preset = object_or_null(json_get(task, "preset"));
    *ret = (struct workspace){
        .json = obj,
        .name = meta_name(obj),
        .ns = meta_namespace(obj),
        .uid = meta_uid(obj),
        .generation = meta_generation(obj),
        .deleting = meta_deleting(obj),
        .count = json_find_int(resource, 1, "count"),
        .instance_type = string_or_empty(json_get(resource, "instanceType")),
        .partition = object_or_null(json_get(resource, "partition")),
        .inference = inference,
        .tuning = tuning,
        .preset = preset,
        .template = object_or_null(json_get(inference, "template")),
        .adapters =
            json_size(json_get(inference, "adapters")) > 0 ? json_get(inference, "adapters") : NULL,
        .preset_name = string_or_empty(json_get(preset, "name")),
        .config = string_or_empty(json_get(task, "config")),
        .access_secret = string_or_empty(json_find(preset, "presetOptions", "modelAccessSecret")),
        .runtime = string_or_empty(json_find(obj, "metadata", "annotations", WORKSPACE_RUNTIME)),
        .created_by = string_or_empty(json_find(obj, "metadata", "labels", WORKSPACE_CREATED_BY)),
    };
    read_selector(a, json_get(resource, "labelSelector"), ret);
}

static int refuse(struct error **err, enum error_code code, const char *reason, const char *text)
{
    int r = error_set(err, code, "%s", text);
    if (err)
        error_set_reason(*err, reason);
    return r;
}

/* Services and pods are named after it. */
static int check_name(const struct workspace *ws, struct error **err)
{
    int r = kube_validate_dns1035_label(ws->name, err);
    if (r == 0 && strlen(ws->name) > WORKSPACE_NAME_MAX)
        r = error_set(
            err, ERROR_INVALID,
            "must be no more than %d characters, because pods and Services are named after it",
            WORKSPACE_NAME_MAX);
    if (r < 0) {
        error_prefix(err, r, "metadata.name \"%s\" cannot be used, choose another one", ws->name);
        if (err)
            error_set_reason(*err, "InvalidName");
    }
    return r;
}

static int check_selector(const struct workspace *ws, struct error **err)
{
    JSON_FOREACH(it, json_find(ws->json, "resource", "labelSelector", "matchExpressions"))
        if (!only_value(it.value))
            return refuse(
                err, ERROR_INVALID, "InvalidSelector",
                "resource.labelSelector.matchExpressions can ask for one value of a label only (operator In with one "
                "value); use matchLabels");
    return 0;
}

static int check_task(const struct workspace *ws, struct error **err)
{
    if (!ws->inference && !ws->tuning)
        return refuse(err, ERROR_INVALID, "InvalidSpec",
                      "neither inference nor tuning is set; one of them is needed");
    if (ws->inference && ws->tuning)
        return refuse(err, ERROR_INVALID, "InvalidSpec",
                      "inference and tuning are both set; make two Workspaces of it");
    if (!ws->inference)
        return 0;
    if (!ws->preset && !ws->template)
        return refuse(err, ERROR_INVALID, "InvalidSpec",
                      "inference has neither a preset nor a template; one of them is needed");
    if (ws->preset && ws->template)
        return refuse(err, ERROR_INVALID, "InvalidSpec",
                      "inference has both a preset and a template; remove one of them");
    return 0;
}

const char *workspace_served_name(const struct workspace *ws, const char *model)
{
    bool role = json_find_str(ws->json, "metadata", "labels", WORKSPACE_MRI_CREATED_BY) != NULL;
    return !role && ws->created_by[0] ? ws->created_by : model;
}

int workspace_check(const struct workspace *ws, struct error **err)
{
    int r = check_name(ws, err);
    if (r == 0)
        r = check_task(ws, err);
    if (r == 0)
        r = check_selector(ws, err);
    if (r == 0 && (ws->count < 1 || ws->count > INT32_MAX))
        r = refuse(err, ERROR_INVALID, "InvalidSpec", "resource.count must be 1 or more");
    return r;
}

enum load_balancer workspace_load_balancer(const struct workspace *ws)
{
    static const struct {
        const char *word;
        enum load_balancer meaning;
    } words[] = {
        { "true", LOAD_BALANCER_YES }, { "1", LOAD_BALANCER_YES }, { "yes", LOAD_BALANCER_YES },
        { "false", LOAD_BALANCER_NO }, { "0", LOAD_BALANCER_NO },  { "no", LOAD_BALANCER_NO },
        { "", LOAD_BALANCER_NO },
    };
    const char *value = meta_annotation(ws->json, WORKSPACE_LOAD_BALANCER);
    if (!value)
        return LOAD_BALANCER_NO;
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (str_case_eq(value, words[i].word))
            return words[i].meaning;
    return LOAD_BALANCER_UNCLEAR;
}
