/* Workspaces. Both versions are the same object; it is judged by the same rules. */
#include <string.h>

#include "admission/internal.h"
#include "api/workspace.h"
#include "base/str.h"
#include "kube/meta.h"

#define STREAMING "kaito.sh/model-streaming"

static const struct json *present(const struct json *v)
{
    return json_is_null(v) ? NULL : v;
}

void subject_of_workspace(struct review *rv, const struct json *obj, struct subject *ret)
{
    *ret = (struct subject){
        .ns = meta_namespace(obj),
        .annotations = json_find(obj, "metadata", "annotations"),
        .resource = present(json_get(obj, "resource")),
        .selector = present(json_find(obj, "resource", "labelSelector")),
        .inference = present(json_get(obj, "inference")),
        .tuning = present(json_get(obj, "tuning")),
        .annotations_path = "metadata.annotations",
        .resource_path = "resource",
        .selector_path = "resource.labelSelector",
        .inference_path = "inference",
        .tuning_path = "tuning",
        .v1alpha1 = str_has_suffix(str_or_empty(json_find_str(obj, "apiVersion")), "/v1alpha1"),
    };
    subject_complete(rv, ret);
}

/* Private weights come as an image: the version's own rule. */
static void check_access_mode(struct review *rv, const struct subject *s)
{
    const struct json *preset = json_get(s->inference, "preset");
    if (s->v1alpha1 && str_eq(json_find_str(preset, "accessMode"), "private") &&
        str_empty(json_find_str(preset, "presetOptions", "image")))
        fault(rv, member_path(rv, s->inference_path, "preset.presetOptions.image"), NULL,
              "is required with accessMode private: the image with the model's weights");
}

void check_subject(struct review *rv, const struct subject *s)
{
    if (!s->inference && !s->tuning)
        fault(rv, "inference", NULL, "is not set, and tuning is not either; give one of them");
    if (s->inference && s->tuning)
        fault(rv, "tuning", NULL, "is set, and inference is set too; make two Workspaces of it");
    check_instance_type_given(rv, s);
    check_count(rv, s);
    check_annotations(rv, s);
    if (s->inference) {
        check_resource_of_inference(rv, s);
        check_inference(rv, s);
        check_access_mode(rv, s);
    }
    if (s->tuning)
        check_tuning(rv, s);
}

void workspace_new(struct review *rv, const struct json *obj)
{
    struct subject s;
    check_name(rv, obj, WORKSPACE_NAME_MAX, "its pods and Services are named after it");
    subject_of_workspace(rv, obj, &s);
    check_subject(rv, &s);
}

/* Nothing is asked of nodes and ConfigMaps: they have a life of their own, and the controller tells
 * when they do not fit. */
void workspace_valid(struct review *rv, const struct json *obj)
{
    struct subject s;
    subject_of_workspace(rv, obj, &s);
    check_count(rv, &s);
    check_annotations(rv, &s);
    if (s.inference) {
        check_runtime(rv, &s);
        check_adapters(rv, &s);
    }
    if (s.tuning) {
        check_tuning_input(rv, &s);
        check_tuning_output(rv, &s);
    }
}

/* ---- what may not be changed -------------------------------------------------------------------- */

static void frozen(struct review *rv, const char *field, const struct json *now,
                   const struct json *before)
{
    fault(rv, field, shown(rv, now), "cannot be changed (it was %s); make a new Workspace",
          json_text(rv->a, before));
}

static void task_change(struct review *rv, const struct json *obj, const struct json *old,
                        const char *task)
{
    bool now = !json_is_null(json_get(obj, task));
    if (now != !json_is_null(json_get(old, task)))
        fault(rv, task, NULL, "cannot be %s; make a new Workspace", now ? "added" : "removed");
}

static void instance_type_change(struct review *rv, const struct subject *s,
                                 const struct subject *was)
{
    const char *now = str_or_empty(json_find_str(s->resource, "instanceType"));
    const char *before = str_or_empty(json_find_str(was->resource, "instanceType"));
    const char *field = member_path(rv, s->resource_path, "instanceType");
    if (STREQ(now, before) || one_box(rv))
        return;
    if (!*before && automatic_nodes(rv))
        check_instance_type_fits(rv, s);
    else if (!*before)
        check_instance_type_given(rv, s);
    else if (*now || automatic_nodes(rv))
        fault(rv, field, *now ? now : NULL,
              "cannot be changed (it was \"%s\"); make a new "
              "Workspace",
              before);
}

static void resource_change(struct review *rv, const struct subject *s, const struct subject *was)
{
    const struct json *count = json_get(s->resource, "count");
    const struct json *old_count = json_get(was->resource, "count");
    const struct json *partition = json_get(s->resource, "partition");
    const struct json *old_partition = json_get(was->resource, "partition");
    if (!json_is_null(count) && !json_is_null(old_count) && !json_equal(count, old_count))
        frozen(rv, "resource.count", count, old_count);
    if (!same_as(rv, "Partition", partition, old_partition))
        frozen(rv, "resource.partition", partition, old_partition);
    if (!same_selector(rv, s->selector, was->selector))
        frozen(rv, s->selector_path, s->selector, was->selector);
    instance_type_change(rv, s, was);
}

static void inference_change(struct review *rv, const struct subject *s, const struct subject *was)
{
    const struct json *preset = json_get(s->inference, "preset");
    const struct json *old_preset = json_get(was->inference, "preset");
    bool template = !json_is_null(json_get(s->inference, "template"));
    if (!same_as(rv, "Preset", preset, old_preset))
        frozen(rv, "inference.preset", preset, old_preset);
    if (template != !json_is_null(json_get(was->inference, "template")))
        fault(rv, "inference.template", NULL, "cannot be %s; make a new Workspace",
              template ? "added" : "removed");
}

static void tuning_change(struct review *rv, const struct subject *s, const struct subject *was)
{
    const struct json *preset = json_get(s->tuning, "preset");
    const struct json *old_preset = json_get(was->tuning, "preset");
    const char *method = str_or_empty(json_find_str(s->tuning, "method"));
    const char *old_method = str_or_empty(json_find_str(was->tuning, "method"));
    const char *name = str_or_empty(json_find_str(s->tuning, "input", "name"));
    const char *old_name = str_or_empty(json_find_str(was->tuning, "input", "name"));
    if (!same_as(rv, "Preset", preset, old_preset))
        frozen(rv, "tuning.preset", preset, old_preset);
    if (!str_case_eq(method, old_method))
        frozen(rv, "tuning.method", json_get(s->tuning, "method"), json_get(was->tuning, "method"));
    if (!STREQ(name, old_name))
        frozen(rv, "tuning.input.name", json_find(s->tuning, "input", "name"),
               json_find(was->tuning, "input", "name"));
}

/* Pods that are there got their weights one way. */
static void streaming_change(struct review *rv, const struct subject *s, const struct subject *was)
{
    const char *now = annotation_of(s->annotations, STREAMING);
    const char *before = annotation_of(was->annotations, STREAMING);
    if (rv->ad->settings->gates.on[GATE_MODEL_STREAMING] && !str_eq(now, before))
        fault(rv, key_path(rv, s->annotations_path, STREAMING), now,
              "cannot be changed (it was %s); make a new Workspace",
              before ? arena_printf(rv->a, "\"%s\"", before) : "absent");
}

void workspace_change(struct review *rv, const struct json *obj, const struct json *old)
{
    struct subject s;
    struct subject was;
    subject_of_workspace(rv, obj, &s);
    subject_of_workspace(rv, old, &was);
    task_change(rv, obj, old, "inference");
    task_change(rv, obj, old, "tuning");
    resource_change(rv, &s, &was);
    if (s.inference && was.inference)
        inference_change(rv, &s, &was);
    if (s.tuning && was.tuning)
        tuning_change(rv, &s, &was);
    streaming_change(rv, &s, &was);
}
