#include "schema/metadata.h"

#include <string.h>

#include "base/str.h"
#include "kube/selector.h"

#define ANNOTATIONS_MAX (256 * KIB)
#define MANAGER_MAX 128

void field_invalid_each(struct field_errors *errors, const struct field_path *path,
                        const char *value, struct error *err)
{
    if (!err)
        return;
    const char *text = error_message(err), *end;
    for (; (end = strstr(text, "; ")); text = end + 2)
        field_invalid_str(errors, path, value, "%.*s", (int)(end - text), text);
    field_invalid_str(errors, path, value, "%s", text);
    error_free(err);
}

static void check_name(struct field_errors *errors, const struct field_path *path, const char *name,
                       metadata_name_rule *rule)
{
    struct error *err = NULL;
    rule(name, &err);
    field_invalid_each(errors, path, name, err);
}

int metadata_name_path_segment(const char *name, struct error **err)
{
    if (STREQ(name, ".") || STREQ(name, ".."))
        return error_set(err, ERROR_INVALID, "may not be '%s'", name);
    bool slash = strchr(name, '/'), percent = strchr(name, '%');
    if (!slash && !percent)
        return 0;
    return error_set(err, ERROR_INVALID, "%s%s%s", slash ? "may not contain '/'" : "",
                     slash && percent ? "; " : "", percent ? "may not contain '%'" : "");
}

/* ---- labels and annotations ------------------------------------------------------------------ */

void metadata_validate_labels(const struct json *labels, const struct field_path *path,
                              struct field_errors *errors)
{
    JSON_FOREACH(it, labels) {
        const char *value = json_string(it.value);
        check_name(errors, path, it.key, kube_validate_label_key);
        check_name(errors, path, value ? value : "", kube_validate_label_value);
    }
}

void metadata_validate_annotations(const struct json *annotations, const struct field_path *path,
                                   struct field_errors *errors)
{
    size_t total = 0;
    JSON_FOREACH(it, annotations) {
        struct error *err = NULL;
        kube_validate_label_key(str_lower(errors->arena, it.key), &err);
        field_invalid_each(errors, path, it.key, err);
        total += it.key_len + json_string_len(it.value);
    }
    if (total > ANNOTATIONS_MAX)
        field_too_long(errors, path, ANNOTATIONS_MAX);
}

/* ---- owners, finalizers, managers ------------------------------------------------------------ */

static void check_owner(const struct json *ref, const struct field_path *path,
                        struct field_errors *errors)
{
    const char *api_version = json_find_str(ref, "apiVersion"), *kind = json_find_str(ref, "kind");
    const char *slash = api_version ? strchr(api_version, '/') : NULL;
    const char *version = slash ? slash + 1 : api_version;
    if (version && strchr(version, '/'))
        version = NULL;
    if (str_empty(version))
        field_invalid_str(errors, FIELD(path, "apiVersion"), api_version,
                          "version must not be empty");
    if (str_empty(kind))
        field_invalid_str(errors, FIELD(path, "kind"), "", "must not be empty");
    if (str_empty(json_find_str(ref, "name")))
        field_invalid_str(errors, FIELD(path, "name"), "", "must not be empty");
    if (str_empty(json_find_str(ref, "uid")))
        field_invalid_str(errors, FIELD(path, "uid"), "", "must not be empty");
    if (str_eq(api_version, "v1") && str_eq(kind, "Event"))
        field_invalid(errors, path, ref, "/v1, Kind=Event is disallowed from being an owner");
}

static void check_owners(const struct json *refs, const struct field_path *path,
                         struct field_errors *errors)
{
    const struct json *controller = NULL;
    JSON_FOREACH(it, refs) {
        check_owner(it.value, path, errors);
        if (!json_find_bool(it.value, false, "controller"))
            continue;
        if (controller)
            field_invalid(
                errors, path, refs,
                "Only one reference can have Controller set to true. Found \"true\" in references for %s/%s and %s/%s",
                json_find_str(controller, "kind"), json_find_str(controller, "name"),
                json_find_str(it.value, "kind"), json_find_str(it.value, "name"));
        else
            controller = it.value;
    }
}

static void check_finalizers(const struct json *finalizers, const struct field_path *path,
                             struct field_errors *errors)
{
    bool orphan = false, foreground = false;
    JSON_FOREACH(it, finalizers) {
        const char *name = json_string(it.value);
        check_name(errors, path, name ? name : "", kube_validate_label_key);
        orphan = orphan || str_eq(name, "orphan");
        foreground = foreground || str_eq(name, "foregroundDeletion");
    }
    if (orphan && foreground)
        field_invalid(errors, path, finalizers,
                      "finalizer orphan and foregroundDeletion cannot be both set");
}

static void check_managed_fields(const struct json *entries, const struct field_path *path,
                                 struct field_errors *errors)
{
    JSON_FOREACH(it, entries) {
        const struct field_path *at = FIELD_AT(path, it.index);
        const char *operation = json_find_str(it.value, "operation"),
                   *type = json_find_str(it.value, "fieldsType");
        const char *manager = json_find_str(it.value, "manager");
        if (!str_eq(operation, "Apply") && !str_eq(operation, "Update"))
            field_invalid_str(errors, FIELD(at, "operation"), operation,
                              "must be `Apply` or `Update`");
        if (!str_empty(type) && !STREQ(type, "FieldsV1"))
            field_invalid_str(errors, FIELD(at, "fieldsType"), type, "must be `FieldsV1`");
        if (manager && strlen(manager) > MANAGER_MAX)
            field_too_long(errors, FIELD(at, "manager"), MANAGER_MAX);
    }
}

/* ---- whole metadata -------------------------------------------------------------------------- */

static void check_namespace(const struct json *meta, bool namespaced, const struct field_path *path,
                            struct field_errors *errors)
{
    const char *ns = json_find_str(meta, "namespace");
    if (namespaced && str_empty(ns))
        field_required(errors, FIELD(path, "namespace"), NO_DETAIL);
    else if (namespaced)
        check_name(errors, FIELD(path, "namespace"), ns, kube_validate_dns1123_label);
    else if (!str_empty(ns))
        field_forbidden(errors, FIELD(path, "namespace"), "not allowed on this type");
}

void metadata_validate(const struct json *meta, bool namespaced, metadata_name_rule *rule,
                       const struct field_path *path, struct field_errors *errors)
{
    const char *name = json_find_str(meta, "name"), *prefix = json_find_str(meta, "generateName");
    if (!str_empty(prefix)) {
        /* a dash at the end is fine: something follows it */
        size_t len = strlen(prefix);
        struct error *err = NULL;
        rule(len > 1 && prefix[len - 1] == '-'
                 ? arena_printf(errors->arena, "%.*sa", (int)len - 2, prefix)
                 : prefix,
             &err);
        /* ".", which is no name, may begin one */
        if (rule == metadata_name_path_segment && (STREQ(prefix, ".") || STREQ(prefix, ".."))) {
            error_free(err);
            err = NULL;
        }
        field_invalid_each(errors, FIELD(path, "generateName"), prefix, err);
    }
    if (str_empty(name))
        field_required(errors, FIELD(path, "name"), "name or generateName is required");
    else
        check_name(errors, FIELD(path, "name"), name, rule);
    check_namespace(meta, namespaced, path, errors);
    int64_t generation = json_find_int(meta, 0, "generation");
    if (generation < 0)
        field_invalid_int(errors, FIELD(path, "generation"), generation,
                          "must be greater than or equal to 0");
    metadata_validate_labels(json_get(meta, "labels"), FIELD(path, "labels"), errors);
    metadata_validate_annotations(json_get(meta, "annotations"), FIELD(path, "annotations"),
                                  errors);
    check_owners(json_get(meta, "ownerReferences"), FIELD(path, "ownerReferences"), errors);
    check_finalizers(json_get(meta, "finalizers"), FIELD(path, "finalizers"), errors);
    check_managed_fields(json_get(meta, "managedFields"), FIELD(path, "managedFields"), errors);
}

static bool has_string(const struct json *list, const char *s)
{
    JSON_FOREACH(it, list)
        if (str_eq(json_string(it.value), s))
            return true;
    return false;
}

static int compare_text(const struct json *x, const struct json *y)
{
    return strcmp(json_string(x), json_string(y));
}

static void check_no_new_finalizers(const struct json *now, const struct json *old,
                                    const struct field_path *path, struct field_errors *errors)
{
    struct arena *a = errors->arena;
    struct json *added = json_new_array(a);
    JSON_FOREACH(it, now)
        if (json_is_string(it.value) && !has_string(old, json_string(it.value)))
            json_append(added, json_clone(a, it.value));
    if (json_size(added) == 0)
        return;
    json_sort(added, compare_text);
    AUTO_BUF list = BUF_INIT(64 * KIB);
    JSON_FOREACH(it, added)
        buf_printf(&list, "%s%s", it.index ? ", " : "", field_value_text(a, it.value));
    field_forbidden(
        errors, path,
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{%s}",
        buf_str(&list));
}

void metadata_validate_update(const struct json *meta, const struct json *old,
                              const struct field_path *path, struct field_errors *errors)
{
    static const char *const fixed[] = { "name",
                                         "namespace",
                                         "uid",
                                         "creationTimestamp",
                                         "deletionTimestamp",
                                         "deletionGracePeriodSeconds" };
    if (json_get(old, "deletionTimestamp"))
        check_no_new_finalizers(json_get(meta, "finalizers"), json_get(old, "finalizers"),
                                FIELD(path, "finalizers"), errors);
    if (str_empty(json_find_str(meta, "resourceVersion")))
        field_invalid_str(errors, FIELD(path, "resourceVersion"), "",
                          "must be specified for an update");
    int64_t generation = json_find_int(meta, 0, "generation");
    if (generation < json_find_int(old, 0, "generation"))
        field_invalid_int(errors, FIELD(path, "generation"), generation, "must not be decremented");
    for (size_t i = 0; i < COUNT_OF(fixed); i++) {
        const struct json *now = json_get(meta, fixed[i]), *was = json_get(old, fixed[i]);
        if (json_is_null(now) != json_is_null(was) || (!json_is_null(now) && !json_equal(now, was)))
            field_invalid(errors, FIELD(path, fixed[i]), now, "field is immutable");
    }
    metadata_validate_labels(json_get(meta, "labels"), FIELD(path, "labels"), errors);
    metadata_validate_annotations(json_get(meta, "annotations"), FIELD(path, "annotations"),
                                  errors);
    check_owners(json_get(meta, "ownerReferences"), FIELD(path, "ownerReferences"), errors);
    check_managed_fields(json_get(meta, "managedFields"), FIELD(path, "managedFields"), errors);
}

void metadata_validate_selector(const struct json *selector, const struct field_path *path,
                                struct field_errors *errors)
{
    metadata_validate_labels(json_get(selector, "matchLabels"), FIELD(path, "matchLabels"), errors);
    JSON_FOREACH(it, json_get(selector, "matchExpressions")) {
        const struct field_path *at = FIELD_AT(FIELD(path, "matchExpressions"), it.index);
        const char *operator= json_find_str(it.value, "operator"),
                   *key = json_find_str(it.value, "key");
        const struct json *values = json_get(it.value, "values");
        if (str_eq(operator, "In") || str_eq(operator, "NotIn")) {
            if (json_size(values) == 0)
                field_required(errors, FIELD(at, "values"),
                               "must be specified when `operator` is 'In' or 'NotIn'");
        } else if (str_eq(operator, "Exists") || str_eq(operator, "DoesNotExist")) {
            if (json_size(values) > 0)
                field_forbidden(
                    errors, FIELD(at, "values"),
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        } else {
            field_invalid_str(errors, FIELD(at, "operator"), operator,
                              "not a valid selector operator");
        }
        check_name(errors, FIELD(at, "key"), key ? key : "", kube_validate_label_key);
        JSON_FOREACH(v, values) {
            const char *value = json_string(v.value);
            check_name(errors, FIELD_AT(FIELD(at, "values"), v.index), value ? value : "",
                       kube_validate_label_value);
        }
    }
}
