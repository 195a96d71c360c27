/* Values from a pod's own fields, and from ConfigMaps and Secrets. */
#include "machine/podenv.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "http/crypto.h"
#include "kube/meta.h"
#include "kube/quantity.h"

/* ---- the downward API ---------------------------------------------------------------------------------------------- */

/* "metadata.labels['key']" → the object "labels" and the key. */
static bool subscript(struct arena *a, const char *path, const char *map_name, const char **ret_key)
{
    const char *rest = str_skip_prefix(path, map_name);
    size_t len = rest ? strlen(rest) : 0;
    if (len < 5 || strncmp(rest, "['", 2) != 0 || strcmp(rest + len - 2, "']") != 0)
        return false;
    *ret_key = arena_strndup(a, rest + 2, len - 4);
    return true;
}

static int compare_values(const void *x, const void *y)
{
    return strcmp(((const struct pod_value *)x)->key, ((const struct pod_value *)y)->key);
}

/* All labels or annotations, as lines key="value" in order of their keys, with Go's escapes. */
static const char *format_map(struct arena *a, const struct json *map)
{
    size_t n = json_size(map);
    struct pod_value *values = arena_zalloc(a, (n + 1) * sizeof(*values));
    size_t count = 0;
    JSON_FOREACH(it, map) {
        values[count++] = (struct pod_value){ .key = it.key, .data = json_text(a, it.value) };
    }
    qsort(values, count, sizeof(*values), compare_values);
    AUTO_BUF b = BUF_INIT(1 * MIB);
    for (size_t i = 0; i < count; i++)
        buf_printf(&b, "%s%s=%s", i ? "\n" : "", values[i].key, values[i].data);
    return arena_strdup(a, buf_str(&b));
}

int pod_field(struct arena *a, const struct pod_context *x, const char *path, const char **ret,
              struct error **err)
{
    const char *key = NULL;
    path = path ? path : "";
    if (subscript(a, path, "metadata.labels", &key))
        *ret = meta_label(x->pod, key);
    else if (subscript(a, path, "metadata.annotations", &key))
        *ret = meta_annotation(x->pod, key);
    else if (str_eq(path, "metadata.labels"))
        *ret = format_map(a, json_find(x->pod, "metadata", "labels"));
    else if (str_eq(path, "metadata.annotations"))
        *ret = format_map(a, json_find(x->pod, "metadata", "annotations"));
    else if (str_eq(path, "metadata.name"))
        *ret = meta_name(x->pod);
    else if (str_eq(path, "metadata.namespace"))
        *ret = meta_namespace(x->pod);
    else if (str_eq(path, "metadata.uid"))
        *ret = meta_uid(x->pod);
    else if (str_eq(path, "spec.nodeName"))
        *ret = x->node_name;
    else if (str_eq(path, "spec.serviceAccountName"))
        *ret = json_find_str(x->pod, "spec", "serviceAccountName");
    else if (str_eq(path, "status.hostIP") || str_eq(path, "status.hostIPs"))
        *ret = x->host_ip;
    else if (str_eq(path, "status.podIP") || str_eq(path, "status.podIPs"))
        *ret = x->ip;
    else
        return error_set(err, ERROR_INVALID, "unsupported fieldPath: %s", path);
    return 0;
}

static const struct json *named_container(const struct pod_context *x, const char *name)
{
    static const char *const lists[] = { "containers", "initContainers" };
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        JSON_FOREACH(it, json_find(x->pod, "spec", lists[i])) {
            if (str_eq(json_find_str(it.value, "name"), name))
                return it.value;
        }
    }
    return NULL;
}

static int64_t divide_up(int64_t value, int64_t divisor)
{
    return divisor <= 0 ? value : value / divisor + (value % divisor > 0);
}

int pod_resource_field(struct arena *a, const struct pod_context *x, const struct json *container,
                       const struct json *ref, const char **ret, struct error **err)
{
    const char *name = json_find_str(ref, "containerName");
    const char *resource = json_find_str(ref, "resource");
    const char *divisor = json_find_str(ref, "divisor");
    if (!str_empty(name))
        container = named_container(x, name);
    if (!container)
        return error_set(err, ERROR_NOT_FOUND, "container %s not found", name ? name : "");
    const char *dot = resource ? strchr(resource, '.') : NULL;
    if (!dot)
        return error_set(err, ERROR_INVALID, "unsupported container resource : %s",
                         resource ? resource : "");
    const char *kind = arena_strndup(a, resource, (size_t)(dot - resource));
    const char *what = dot + 1;
    const char *text = json_find_str(container, "resources", kind, what);
    bool cpu = str_eq(what, "cpu");
    if (str_empty(divisor) || str_eq(divisor, "0"))
        divisor = "1";
    int64_t value = 0;
    int64_t by = 1;
    /* Thousandths for processors, so that a divisor of 1m works. */
    int r = cpu ? quantity_milli(divisor, &by, err) : quantity_value(divisor, &by, err);
    if (r == 0 && text)
        r = cpu ? quantity_milli(text, &value, err) : quantity_value(text, &value, err);
    else if (r == 0 && str_eq(kind, "limits"))
        value = cpu ? x->cpu_milli : str_eq(what, "memory") ? x->memory_bytes : 0;
    *ret = arena_printf(a, "%lld", (long long)divide_up(value, by));
    return r;
}

/* ---- ConfigMaps and Secrets ---------------------------------------------------------------------------------------- */

static int decode(struct arena *a, const char *key, const struct json *value, struct pod_value *ret,
                  struct error **err)
{
    char *data = NULL;
    size_t len = 0;
    const char *text = json_string(value);
    if (!text || base64_decode(a, text, strlen(text), &data, &len) < 0)
        return error_set(err, ERROR_INVALID, "the value of key %s is not base64", key);
    *ret = (struct pod_value){ .key = key, .data = data, .len = len };
    return 0;
}

int pod_source_values(struct arena *a, const char *resource, const struct json *obj,
                      struct pod_value **ret, size_t *ret_n, struct error **err)
{
    const struct json *data = json_get(obj, "data");
    const struct json *binary = json_get(obj, "binaryData");
    bool secret = str_eq(resource, "secrets");
    struct pod_value *values =
        arena_zalloc(a, (json_size(data) + json_size(binary) + 1) * sizeof(*values));
    size_t n = 0;
    JSON_FOREACH(it, data) {
        const char *key = arena_strdup(a, it.key);
        if (!secret) {
            const char *text = json_string(it.value);
            values[n++] = (struct pod_value){ .key = key,
                                              .data = text ? text : "",
                                              .len = json_string_len(it.value) };
            continue;
        }
        int r = decode(a, key, it.value, &values[n++], err);
        if (r < 0)
            return r;
    }
    JSON_FOREACH(it, secret ? NULL : binary) {
        int r = decode(a, arena_strdup(a, it.key), it.value, &values[n++], err);
        if (r < 0)
            return r;
    }
    qsort(values, n, sizeof(*values), compare_values);
    *ret = values;
    *ret_n = n;
    return 0;
}

int pod_source_key(struct arena *a, const struct pod_context *x, const char *resource,
                   const struct json *selector, const char **ret, struct error **err)
{
    const char *name = json_find_str(selector, "name");
    const char *key = json_find_str(selector, "key");
    bool optional = json_find_bool(selector, false, "optional");
    const char *ns = meta_namespace(x->pod);
    struct json *obj = NULL;
    CLEANUP(error_cleanup) struct error *e = NULL;
    *ret = NULL;
    int r = x->sources->get(x->sources->ctx, resource, ns, name ? name : "", a, &obj, &e);
    if (r == -ERROR_NOT_FOUND && optional)
        return 0;
    if (r < 0) {
        if (err)
            *err = TAKE_PTR(e);
        return r;
    }
    struct pod_value *values = NULL;
    size_t n = 0;
    r = pod_source_values(a, resource, obj, &values, &n, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        if (str_eq(values[i].key, key)) {
            *ret = values[i].data;
            return 0;
        }
    }
    if (optional)
        return 0;
    return error_set(err, ERROR_INVALID, "couldn't find key %s in %s %s/%s", key ? key : "",
                     str_eq(resource, "secrets") ? "Secret" : "ConfigMap", ns, name ? name : "");
}

static bool volume_uses(const struct json *source, const char *resource, const char *name)
{
    bool secret = str_eq(resource, "secrets");
    const struct json *ref = json_get(source, secret ? "secret" : "configMap");
    const char *used = json_find_str(ref, "name");
    if (!used)
        used = json_find_str(ref, "secretName");
    return str_eq(used, name);
}

static bool container_uses(const struct json *container, const char *resource, const char *name)
{
    bool secret = str_eq(resource, "secrets");
    JSON_FOREACH(it, json_get(container, "envFrom")) {
        if (str_eq(json_find_str(it.value, secret ? "secretRef" : "configMapRef", "name"), name))
            return true;
    }
    JSON_FOREACH(it, json_get(container, "env")) {
        if (str_eq(json_find_str(it.value, "valueFrom", secret ? "secretKeyRef" : "configMapKeyRef",
                                 "name"),
                   name))
            return true;
    }
    return false;
}

bool pod_uses_source(const struct json *pod, const char *resource, const char *name)
{
    JSON_FOREACH(it, json_find(pod, "spec", "volumes")) {
        if (volume_uses(it.value, resource, name))
            return true;
        JSON_FOREACH(p, json_find(it.value, "projected", "sources")) {
            if (volume_uses(p.value, resource, name))
                return true;
        }
    }
    JSON_FOREACH(it, json_find(pod, "spec", "containers")) {
        if (container_uses(it.value, resource, name))
            return true;
    }
    JSON_FOREACH(it, json_find(pod, "spec", "initContainers")) {
        if (container_uses(it.value, resource, name))
            return true;
    }
    return false;
}
