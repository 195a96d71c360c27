#include "apiserver/kinds/podspec.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "regex/pattern.h"
#include "json/build.h"

/* ---- defaults -------------------------------------------------------------------------------- */

static bool any_member(const struct json *v, const char *except)
{
    JSON_FOREACH(it, v)
        if (!STREQ(it.key, except))
            return true;
    return false;
}

/* Whether a reference has this form: parts of a path in lower case, behind the host of a registry,
 * a tag and a digest. */
static bool is_reference(struct arena *a, const char *image)
{
    static const char form[] =
        "^(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(\\.([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*"
        "(:[0-9]+)?/|\\[[a-fA-F0-9:]+\\](:[0-9]+)?/)?"
        "[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*"
        "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@[A-Za-z][A-Za-z0-9]*([+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$";
    const struct pattern *p = NULL;
    if (strlen(image) == 64 && strspn(image, "0123456789abcdef") == 64)
        return false; /* the digest of an image */
    return pattern_compile(a, form, &p, NULL) == 0 && pattern_matches(p, image, strlen(image));
}

/* The tag behind the last colon of the last path part; a digest may follow. Of what is no reference
 * nothing is known. */
static bool is_latest(struct arena *a, const char *image)
{
    const char *at = strchr(image, '@'), *slash = strrchr(image, '/');
    size_t len = at ? (size_t)(at - image) : strlen(image);
    const char *start = slash && (!at || slash < at) ? slash : image,
               *colon = memchr(start, ':', len - (size_t)(start - image));
    bool latest =
        colon ? len - (size_t)(colon - image) == 7 && memcmp(colon, ":latest", 7) == 0 : !at;
    return latest && is_reference(a, image);
}

static void default_pull_policy(struct arena *a, struct json *holder, const char *image,
                                const char *member)
{
    if (str_empty(json_find_str(holder, member)))
        json_set_str(a, holder, member,
                     is_latest(a, image ? image : "") ? "Always" : "IfNotPresent");
}

static void default_volumes(struct arena *a, struct json *volumes)
{
    JSON_FOREACH(it, volumes) {
        if (!any_member(it.value, "name"))
            json_set(a, it.value, "emptyDir", json_new_object(a));
        struct json *image = json_get(it.value, "image");
        if (json_is_object(image))
            default_pull_policy(a, image, json_find_str(image, "reference"), "pullPolicy");
    }
}

/* The service account has an older name that clients still read. */
static void sync_service_account(struct arena *a, struct json *spec)
{
    const char *name = json_find_str(spec, "serviceAccountName"),
               *old = json_find_str(spec, "serviceAccount");
    if (str_empty(name) && !str_empty(old))
        json_set_str(a, spec, "serviceAccountName", old);
    else if (!str_empty(name))
        json_set_str(a, spec, "serviceAccount", name);
}

static const char *const container_lists[] = { "initContainers", "containers",
                                               "ephemeralContainers" };

void podspec_default(struct arena *a, struct json *spec)
{
    default_volumes(a, json_get(spec, "volumes"));
    for (size_t i = 0; i < COUNT_OF(container_lists); i++)
        JSON_FOREACH(it, json_get(spec, container_lists[i]))
            default_pull_policy(a, it.value, json_find_str(it.value, "image"), "imagePullPolicy");
    sync_service_account(a, spec);
    json_del(spec, "workloadRef"); /* of a feature that is off */
}

static void default_requests(struct arena *a, struct json *container)
{
    const struct json *limits = json_find(container, "resources", "limits");
    if (!json_is_object(limits))
        return;
    struct json *resources = json_get(container, "resources");
    struct json *requests = json_ensure_object(a, resources, "requests");
    JSON_FOREACH(it, limits)
        if (!json_get(requests, it.key))
            json_set(a, requests, it.key, json_clone(a, it.value));
    if (json_size(requests) == 0)
        json_del(resources, "requests");
}

static void default_host_ports(struct arena *a, struct json *container)
{
    JSON_FOREACH(it, json_get(container, "ports"))
        if (json_find_int(it.value, 0, "hostPort") == 0)
            json_set(a, it.value, "hostPort", json_clone(a, json_get(it.value, "containerPort")));
}

void podspec_default_pod(struct arena *a, struct json *spec)
{
    bool host_network = json_find_bool(spec, false, "hostNetwork");
    for (size_t i = 0; i < 2; i++) {
        JSON_FOREACH(it, json_get(spec, container_lists[i])) {
            default_requests(a, it.value);
            if (host_network)
                default_host_ports(a, it.value);
        }
    }
    if (!json_get(spec, "enableServiceLinks"))
        json_set_bool(a, spec, "enableServiceLinks", true);
}

/* ---- validation ------------------------------------------------------------------------------ */

bool repeats_earlier(const struct json *list, size_t index, const char *member)
{
    const struct json *value = NULL;
    JSON_FOREACH(it, list)
        if (it.index == index)
            value = json_get(it.value, member);
    JSON_FOREACH(it, list) {
        if (it.index >= index)
            return false;
        if (value && json_equal(json_get(it.value, member), value))
            return true;
    }
    return false;
}

static void check_name(const struct json *spec, const char *member, rule_text *rule,
                       const struct field_path *p, struct field_errors *errors)
{
    const char *value = json_find_str(spec, member);
    if (!str_empty(value))
        check_text(value, rule, FIELD(p, member), errors);
}

static void check_hostname_override(const struct json *spec, const struct field_path *path,
                                    struct field_errors *errors)
{
    const char *name = json_find_str(spec, "hostnameOverride");
    const struct field_path *p = FIELD(path, "hostnameOverride");
    if (!name)
        return;
    if (json_find_bool(spec, false, "setHostnameAsFQDN"))
        field_forbidden(errors, p, "may not be specified when setHostnameAsFQDN is true");
    if (json_find_bool(spec, false, "hostNetwork"))
        field_forbidden(errors, p, "may not be specified when hostNetwork is true");
    if (strlen(name) > 64)
        field_too_long(errors, p, 64);
    check_text(name, kube_validate_dns1123_subdomain, p, errors);
}

static void check_names(const struct json *spec, const struct field_path *p,
                        struct field_errors *errors)
{
    const struct json *deadline = json_get(spec, "activeDeadlineSeconds");
    check_hostname_override(spec, p, errors);
    check_name(spec, "serviceAccountName", kube_validate_dns1123_subdomain, p, errors);
    check_name(spec, "nodeName", kube_validate_dns1123_subdomain, p, errors);
    if (deadline && (json_int(deadline, 0) < 1 || json_int(deadline, 0) > INT32_MAX))
        field_invalid(errors, FIELD(p, "activeDeadlineSeconds"), deadline,
                      "must be between 1 and %d, inclusive", INT32_MAX);
    check_name(spec, "hostname", kube_validate_dns1123_label, p, errors);
    check_name(spec, "subdomain", kube_validate_dns1123_label, p, errors);
}

static void check_host_aliases(const struct json *aliases, const struct field_path *p,
                               struct field_errors *errors)
{
    JSON_FOREACH(it, aliases) {
        const struct field_path *at = FIELD_AT(p, it.index);
        check_ip(json_find_str(it.value, "ip"), FIELD(at, "ip"), errors);
        JSON_FOREACH(name, json_get(it.value, "hostnames"))
            check_text(json_string(name.value), kube_validate_dns1123_subdomain,
                       FIELD_AT(FIELD(at, "hostnames"), name.index), errors);
    }
}

static void check_dns(const struct json *spec, const struct field_path *p,
                      struct field_errors *errors)
{
    const struct json *config = json_get(spec, "dnsConfig"),
                      *servers = json_get(config, "nameservers");
    const struct field_path *at = FIELD(p, "dnsConfig");
    if (str_eq(json_find_str(spec, "dnsPolicy"), "None")) {
        if (!config) {
            field_required(errors, at, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if (json_size(servers) == 0) {
            field_required(errors, FIELD(at, "nameservers"),
                           "must provide at least one DNS nameserver when `dnsPolicy` is None");
            return;
        }
    }
    if (json_size(servers) > 3)
        field_invalid(errors, FIELD(at, "nameservers"), servers,
                      "must not have more than 3 nameservers");
    JSON_FOREACH(it, servers)
        check_ip(json_string(it.value), FIELD_AT(FIELD(at, "nameservers"), it.index), errors);
    if (json_size(json_get(config, "searches")) > 32)
        field_invalid(errors, FIELD(at, "searches"), json_get(config, "searches"),
                      "must not have more than 32 search paths");
    JSON_FOREACH(it, json_get(config, "options"))
        if (str_empty(json_find_str(it.value, "name")))
            field_required(errors, FIELD_AT(FIELD(at, "options"), it.index), "must not be empty");
}

static void check_host_network(const struct json *spec, bool is_pod, const struct field_path *p,
                               struct field_errors *errors)
{
    if (!json_find_bool(spec, false, "hostNetwork"))
        return;
    JSON_FOREACH(it, json_get(spec, "containers")) {
        JSON_FOREACH(port, json_get(it.value, "ports")) {
            int64_t host = json_find_int(port.value, 0, "hostPort"),
                    own = json_find_int(port.value, 0, "containerPort");
            if ((is_pod || host) && host != own)
                field_invalid_int(errors,
                                  FIELD(FIELD_AT(FIELD(FIELD_AT(FIELD(p, "containers"), it.index),
                                                       "ports"),
                                                 port.index),
                                        "hostPort"),
                                  host, "must match `containerPort` when `hostNetwork` is true");
        }
    }
}

static void check_gates(const struct json *spec, const struct field_path *p,
                        struct field_errors *errors)
{
    JSON_FOREACH(it, json_get(spec, "readinessGates"))
        check_text(json_find_str(it.value, "conditionType"), kube_validate_label_key,
                   FIELD(FIELD_AT(FIELD(p, "readinessGates"), it.index), "conditionType"), errors);
    const struct json *gates = json_get(spec, "schedulingGates");
    JSON_FOREACH(it, gates) {
        const struct field_path *at = FIELD_AT(FIELD(p, "schedulingGates"), it.index);
        check_text(json_find_str(it.value, "name"), kube_validate_label_key, at, errors);
        if (repeats_earlier(gates, it.index, "name"))
            field_duplicate_str(errors, at, json_find_str(it.value, "name"));
    }
}

static void check_os(const struct json *spec, const struct field_path *p,
                     struct field_errors *errors)
{
    static const char *const known[] = { "linux", "windows", NULL };
    const struct json *os = json_get(spec, "os");
    const char *name = json_find_str(os, "name");
    if (json_is_object(os) && str_empty(name))
        field_required(errors, FIELD(FIELD(p, "os"), "name"), NO_DETAIL);
    else if (name && !is_one_of(name, known))
        field_not_supported_str(errors, FIELD(p, "os"), name, known);
}

static void check_overhead(const struct json *overhead, const struct field_path *p,
                           struct field_errors *errors)
{
    struct arena *a = errors->arena;
    if (json_is_object(overhead))
        podspec_validate_resources(OBJ("limits", json_clone(a, overhead)), NULL, p, errors);
}

static void check_claims(const struct json *claims, const struct field_path *path,
                         struct field_errors *errors)
{
    static const char *const sources[] = { "resourceClaimName", "resourceClaimTemplateName" };
    JSON_FOREACH(it, claims) {
        const struct field_path *p = FIELD_AT(path, it.index);
        const char *name = json_find_str(it.value, "name");
        if (str_empty(name))
            field_required(errors, FIELD(p, "name"), NO_DETAIL);
        else if (repeats_earlier(claims, it.index, "name"))
            field_duplicate_str(errors, FIELD(p, "name"), name);
        else
            check_text(name, kube_validate_dns1123_label, FIELD(p, "name"), errors);
        bool direct = json_get(it.value, sources[0]), made = json_get(it.value, sources[1]);
        if (direct && made)
            field_invalid(
                errors, p, it.value,
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
        if (!direct && !made)
            field_invalid(errors, p, it.value,
                          "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
        for (size_t i = 0; i < COUNT_OF(sources); i++)
            if (json_get(it.value, sources[i]))
                check_text(json_find_str(it.value, sources[i]), kube_validate_dns1123_subdomain,
                           FIELD(p, sources[i]), errors);
    }
}

static const struct json *find_named(const struct json *list, const char *name)
{
    JSON_FOREACH(it, list)
        if (str_eq(json_find_str(it.value, "name"), name))
            return it.value;
    return NULL;
}

/* Files that variables are read from stand in volumes that are empty at first. */
static void check_file_volumes(const struct json *spec, const struct field_path *path,
                               struct field_errors *errors)
{
    for (size_t i = 0; i < COUNT_OF(container_lists); i++)
        JSON_FOREACH(it, json_get(spec, container_lists[i]))
            JSON_FOREACH(env, json_get(it.value, "env")) {
                const struct json *file = json_find(env.value, "valueFrom", "fileKeyRef");
                const char *name = json_find_str(file, "volumeName");
                const struct json *volume = find_named(json_get(spec, "volumes"), name);
                const struct field_path *at =
                    FIELD_AT(FIELD(FIELD_AT(FIELD(path, container_lists[i]), it.index), "env"),
                             env.index);
                const struct field_path *p =
                    FIELD(FIELD(FIELD(at, "valueFrom"), "fileKeyRef"), "volumeName");
                if (file && !volume)
                    field_not_found_str(errors, p, name ? name : "");
                else if (file && !json_is_object(json_get(volume, "emptyDir")))
                    field_invalid_str(errors, p, name,
                                      "referenced volume must be of type emptyDir");
            }
}

void podspec_validate(const struct json *spec, bool is_pod, const struct field_path *p,
                      struct field_errors *errors)
{
    static const char *const restarts[] = { "Always", "OnFailure", "Never", NULL };
    static const char *const dns[] = { "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None",
                                       NULL };
    static const char *const preemption[] = { "PreemptLowerPriority", "Never", NULL };
    podspec_validate_volumes(json_get(spec, "volumes"), FIELD(p, "volumes"), errors);
    check_claims(json_get(spec, "resourceClaims"), FIELD(p, "resourceClaims"), errors);
    podspec_validate_containers(spec, p, errors);
    check_host_network(spec, is_pod, p, errors);
    check_enum(json_find_str(spec, "restartPolicy"), restarts, FIELD(p, "restartPolicy"), errors);
    check_enum(json_find_str(spec, "dnsPolicy"), dns, FIELD(p, "dnsPolicy"), errors);
    metadata_validate_labels(json_get(spec, "nodeSelector"), FIELD(p, "nodeSelector"), errors);
    podspec_validate_security(spec, p, errors);
    podspec_validate_scheduling(spec, p, errors);
    check_dns(spec, p, errors);
    check_gates(spec, p, errors);
    check_names(spec, p, errors);
    podspec_validate_tolerations(json_get(spec, "tolerations"), FIELD(p, "tolerations"), errors);
    check_host_aliases(json_get(spec, "hostAliases"), FIELD(p, "hostAliases"), errors);
    check_name(spec, "priorityClassName", kube_validate_dns1123_subdomain, p, errors);
    check_name(spec, "runtimeClassName", kube_validate_dns1123_subdomain, p, errors);
    if (json_get(spec, "preemptionPolicy"))
        check_enum(json_find_str(spec, "preemptionPolicy"), preemption,
                   FIELD(p, "preemptionPolicy"), errors);
    check_overhead(json_get(spec, "overhead"), FIELD(p, "overhead"), errors);
    check_os(spec, p, errors);
    check_file_volumes(spec, p, errors);
}

void podspec_validate_template(const struct json *template, const struct field_path *p,
                               struct field_errors *errors)
{
    const struct json *meta = json_get(template, "metadata"), *spec = json_get(template, "spec");
    metadata_validate_labels(json_get(meta, "labels"), FIELD(p, "labels"), errors);
    metadata_validate_annotations(json_get(meta, "annotations"), FIELD(p, "annotations"), errors);
    podspec_validate(spec, false, FIELD(p, "spec"), errors);
    if (json_size(json_get(spec, "ephemeralContainers")) > 0)
        field_forbidden(errors, FIELD(FIELD(p, "spec"), "ephemeralContainers"),
                        "ephemeral containers not allowed in pod template");
}
