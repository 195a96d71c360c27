/* Environment variables and references to fields. */
#include <string.h>

#include "apiserver/kinds/podspec.h"
#include "base/str.h"
#include "kube/quantity.h"
#include "kube/selector.h"

static const char *const env_fields[] = { "metadata.name",
                                          "metadata.namespace",
                                          "metadata.uid",
                                          "spec.nodeName",
                                          "spec.serviceAccountName",
                                          "status.hostIP",
                                          "status.hostIPs",
                                          "status.podIP",
                                          "status.podIPs",
                                          NULL };

/* ---- fields of the pod ----------------------------------------------------------------------- */

/* "metadata.labels['key']" → its parts. */
static bool split_subscript(struct arena *a, const char *text, const char **ret_path,
                            const char **ret_key)
{
    const char *open = strstr(text, "['"), *close = open ? strstr(open, "']") : NULL;
    if (!close || close[2] || open == text)
        return false;
    *ret_path = arena_strndup(a, text, (size_t)(open - text));
    *ret_key = arena_strndup(a, open + 2, (size_t)(close - open - 2));
    return true;
}

/* Fields that the conversion of the field path knows. */
static bool is_known_label(const char *path)
{
    static const char *const known[] = {
        "metadata.annotations", "metadata.labels", "metadata.name",      "metadata.namespace",
        "metadata.uid",         "spec.nodeName",   "spec.restartPolicy", "spec.serviceAccountName",
        "spec.schedulerName",   "status.phase",    "status.hostIP",      "status.hostIPs",
        "status.podIP",         "status.podIPs",   "spec.host",          NULL
    };
    return is_one_of(path, known);
}

void podspec_validate_field_ref(const struct json *ref, const char *const *known,
                                const struct field_path *p, struct field_errors *errors)
{
    const char *text = json_find_str(ref, "fieldPath"), *version = json_find_str(ref, "apiVersion"),
               *path, *key;
    if (str_empty(version)) {
        field_required(errors, FIELD(p, "apiVersion"), NO_DETAIL);
        return;
    }
    if (str_empty(text)) {
        field_required(errors, FIELD(p, "fieldPath"), NO_DETAIL);
        return;
    }
    if (!STREQ(version, "v1")) {
        field_invalid_str(errors, FIELD(p, "fieldPath"), text,
                          "error converting fieldPath: unsupported pod version: %s", version);
        return;
    }
    if (split_subscript(errors->arena, text, &path, &key)) {
        if (!STREQ(path, "metadata.annotations") && !STREQ(path, "metadata.labels"))
            field_invalid_str(errors, FIELD(p, "fieldPath"), text,
                              "error converting fieldPath: field label does not support subscript");
        else
            check_text(STREQ(path, "metadata.labels") ? key : str_lower(errors->arena, key),
                       kube_validate_label_key, p, errors);
        return;
    }
    if (!is_known_label(text))
        field_invalid_str(errors, FIELD(p, "fieldPath"), text,
                          "error converting fieldPath: field label not supported: %s", text);
    else if (!is_one_of(text, known))
        field_not_supported_str(errors, FIELD(p, "fieldPath"), text, known);
}

/* ---- resources of a container ---------------------------------------------------------------- */

static void check_divisor(const char *resource, const char *divisor, const struct field_path *p,
                          struct field_errors *errors)
{
    static const char *const cpu[] = { "1m", "1", NULL };
    static const char *const bytes[] = { "1",   "1k",  "1M",  "1G",  "1T",  "1P",  "1E",
                                         "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei", NULL };
    static const char many[] = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";
    if (!divisor || quantity_compare(divisor, "0") == 0)
        return;
    if (str_has_suffix(resource, ".cpu") && !is_one_of(divisor, cpu))
        field_invalid_str(errors, p, resource,
                          "only divisor's values 1m and 1 are supported with the cpu resource");
    else if (str_has_suffix(resource, ".memory") && !is_one_of(divisor, bytes))
        field_invalid_str(errors, p, resource,
                          "only divisor's values %s are supported with the memory resource", many);
    else if (str_has_suffix(resource, ".ephemeral-storage") && !is_one_of(divisor, bytes))
        field_invalid_str(
            errors, p, resource,
            "only divisor's values %s are supported with the local ephemeral storage resource",
            many);
}

void podspec_validate_resource_ref(const struct json *ref, bool in_volume,
                                   const struct field_path *p, struct field_errors *errors)
{
    static const char *const known[] = { "limits.cpu",
                                         "limits.ephemeral-storage",
                                         "limits.memory",
                                         "requests.cpu",
                                         "requests.ephemeral-storage",
                                         "requests.memory",
                                         NULL };
    const char *resource = json_find_str(ref, "resource");
    if (in_volume && str_empty(json_find_str(ref, "containerName")))
        field_required(errors, FIELD(p, "containerName"), NO_DETAIL);
    else if (str_empty(resource))
        field_required(errors, FIELD(p, "resource"), NO_DETAIL);
    else if (!is_one_of(resource, known) && !str_has_prefix(resource, "limits.hugepages-") &&
             !str_has_prefix(resource, "requests.hugepages-"))
        field_not_supported_str(errors, FIELD(p, "resource"), resource, known);
    if (resource)
        check_divisor(resource, json_find_str(ref, "divisor"), FIELD(p, "divisor"), errors);
}

/* ---- variables ------------------------------------------------------------------------------- */

static void check_key_ref(const struct json *ref, const struct field_path *p,
                          struct field_errors *errors)
{
    const char *key = json_find_str(ref, "key");
    check_text(json_find_str(ref, "name"), kube_validate_dns1123_subdomain, FIELD(p, "name"),
               errors);
    if (str_empty(key))
        field_required(errors, FIELD(p, "key"), NO_DETAIL);
    else
        check_text(key, rule_config_key, FIELD(p, "key"), errors);
}

static void check_file_ref(const struct json *ref, const struct field_path *p,
                           struct field_errors *errors)
{
    const char *key = json_find_str(ref, "key"), *volume = json_find_str(ref, "volumeName"),
               *path = json_find_str(ref, "path");
    if (str_empty(key))
        field_required(errors, FIELD(p, "key"), NO_DETAIL);
    else
        check_text(key, rule_env_name, FIELD(p, "key"), errors);
    if (str_empty(volume))
        field_required(errors, FIELD(p, "volumeName"), NO_DETAIL);
    else
        check_text(volume, kube_validate_dns1123_label, FIELD(p, "volumeName"), errors);
    if (str_empty(path))
        field_required(errors, FIELD(p, "path"), NO_DETAIL);
    else
        podspec_validate_no_backsteps(path, FIELD(p, "path"), errors);
}

static void check_value_from(const struct json *variable, const struct field_path *p,
                             struct field_errors *errors)
{
    const struct json *from = json_get(variable, "valueFrom");
    if (!json_is_object(from))
        return;
    const struct json *field = json_get(from, "fieldRef"),
                      *resource = json_get(from, "resourceFieldRef");
    const struct json *config_map = json_get(from, "configMapKeyRef"),
                      *secret = json_get(from, "secretKeyRef");
    const struct json *file = json_get(from, "fileKeyRef");
    if (field)
        podspec_validate_field_ref(field, env_fields, FIELD(p, "fieldRef"), errors);
    if (resource)
        podspec_validate_resource_ref(resource, false, FIELD(p, "resourceFieldRef"), errors);
    if (config_map)
        check_key_ref(config_map, FIELD(p, "configMapKeyRef"), errors);
    if (secret)
        check_key_ref(secret, FIELD(p, "secretKeyRef"), errors);
    if (file)
        check_file_ref(file, FIELD(p, "fileKeyRef"), errors);
    int sources = (field != NULL) + (resource != NULL) + (config_map != NULL) + (secret != NULL) +
                  (file != NULL);
    if (sources == 0)
        field_invalid_str(
            errors, p, "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`");
    else if (!str_empty(json_find_str(variable, "value")))
        field_invalid_str(errors, p, "", "may not be specified when `value` is not empty");
    else if (sources > 1)
        field_invalid_str(errors, p, "", "may not have more than one field specified at a time");
}

static void check_env_from(const struct json *container, const struct field_path *p,
                           struct field_errors *errors)
{
    static const char *const sources[] = { "configMapRef", "secretRef" };
    JSON_FOREACH(it, json_get(container, "envFrom")) {
        const struct field_path *at = FIELD_AT(p, it.index);
        const char *prefix = json_find_str(it.value, "prefix");
        int count = 0;
        if (!str_empty(prefix))
            check_text(prefix, rule_env_name, FIELD(at, "prefix"), errors);
        for (size_t i = 0; i < COUNT_OF(sources); i++) {
            const struct json *source = json_get(it.value, sources[i]);
            if (!source)
                continue;
            count++;
            const char *name = json_find_str(source, "name");
            if (str_empty(name))
                field_required(errors, FIELD(FIELD(at, sources[i]), "name"), NO_DETAIL);
            else
                check_text(name, kube_validate_dns1123_subdomain,
                           FIELD(FIELD(at, sources[i]), "name"), errors);
        }
        if (count == 0)
            field_invalid_str(errors, p, "", "must specify one of: `configMapRef` or `secretRef`");
        else if (count > 1)
            field_invalid_str(errors, p, "",
                              "may not have more than one field specified at a time");
    }
}

void podspec_validate_env(const struct json *container, const struct field_path *p,
                          struct field_errors *errors)
{
    JSON_FOREACH(it, json_get(container, "env")) {
        const struct field_path *at = FIELD_AT(FIELD(p, "env"), it.index);
        const char *name = json_find_str(it.value, "name");
        if (str_empty(name))
            field_required(errors, FIELD(at, "name"), NO_DETAIL);
        else
            check_text(name, rule_env_name, FIELD(at, "name"), errors);
        check_value_from(it.value, FIELD(at, "valueFrom"), errors);
    }
    check_env_from(container, FIELD(p, "envFrom"), errors);
}
