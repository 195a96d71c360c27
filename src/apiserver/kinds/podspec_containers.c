/* Containers of a pod spec: names, images, ports, mounts. */
#include <inttypes.h>
#include <string.h>

#include "apiserver/kinds/podspec.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/selector.h"

/* What the containers of a spec share. */
struct scope {
    const struct json *spec;
    const struct map *volumes; /* by name: those without faults */
    const char *restart_policy;
    int64_t grace;
    bool host_users;
};

static char present;

/* ---- ports ----------------------------------------------------------------------------------- */

static void check_ports(const struct json *ports, const struct field_path *p,
                        struct field_errors *errors)
{
    AUTO_MAP names = map_new(NULL);
    JSON_FOREACH(it, ports) {
        const struct field_path *at = FIELD_AT(p, it.index);
        const char *name = json_find_str(it.value, "name");
        const struct json *port = json_get(it.value, "containerPort"),
                          *host = json_get(it.value, "hostPort");
        if (!str_empty(name)) {
            size_t before = errors->count;
            check_text(name, rule_port_name, FIELD(at, "name"), errors);
            if (errors->count == before && map_has(names, name))
                field_duplicate_str(errors, FIELD(at, "name"), name);
            map_set(names, name, &present);
        }
        if (json_int(port, 0) == 0)
            field_required(errors, FIELD(at, "containerPort"), NO_DETAIL);
        else
            check_port_number(port, FIELD(at, "containerPort"), errors);
        if (json_int(host, 0) != 0)
            check_port_number(host, FIELD(at, "hostPort"), errors);
        check_protocol(json_find_str(it.value, "protocol"), FIELD(at, "protocol"), errors);
    }
}

/* Two containers cannot have the same port of the host. */
static void check_host_ports(const struct json *container, size_t index, struct map *taken,
                             const struct field_path *p, struct field_errors *errors)
{
    JSON_FOREACH(it, json_get(container, "ports")) {
        int64_t port = json_find_int(it.value, 0, "hostPort");
        const char *protocol = json_find_str(it.value, "protocol"),
                   *ip = json_find_str(it.value, "hostIP");
        if (port == 0)
            continue;
        const char *text = arena_printf(errors->arena, "%s/%s/%" PRId64, protocol ? protocol : "",
                                        ip ? ip : "", port);
        if (map_has(taken, text))
            field_duplicate_str(errors,
                                FIELD(FIELD_AT(FIELD(FIELD_AT(p, index), "ports"), it.index),
                                      "hostPort"),
                                text);
        map_set(taken, text, &present);
    }
}

/* ---- mounts ---------------------------------------------------------------------------------- */

static void check_propagation(const struct json *mount, const struct json *container,
                              const struct field_path *p, struct field_errors *errors)
{
    static const char *const known[] = { "Bidirectional", "HostToContainer", "None", NULL };
    static const char *const read_only[] = { "Disabled", "Enabled", "IfPossible", NULL };
    const char *propagation = json_find_str(mount, "mountPropagation"),
               *recursive = json_find_str(mount, "recursiveReadOnly");
    if (propagation) {
        if (!is_one_of(propagation, known))
            field_not_supported_str(errors, FIELD(p, "mountPropagation"), propagation, known);
        if (STREQ(propagation, "Bidirectional") &&
            !json_find_bool(container, false, "securityContext", "privileged"))
            field_forbidden(
                errors, FIELD(p, "mountPropagation"),
                "Bidirectional mount propagation is available only to privileged containers");
    }
    if (!recursive || STREQ(recursive, "Disabled"))
        return;
    const struct field_path *at = FIELD(p, "recursiveReadOnly");
    if (!is_one_of(recursive, read_only)) {
        field_not_supported_str(errors, at, recursive, read_only);
        return;
    }
    if (!json_find_bool(mount, false, "readOnly"))
        field_forbidden(errors, at, "may only be specified when readOnly is true");
    if (propagation && !STREQ(propagation, "None"))
        field_forbidden(errors, at,
                        "may only be specified when mountPropagation is None or not specified");
}

static const struct json *find_by(const struct json *list, const char *member, const char *value)
{
    JSON_FOREACH(it, list)
        if (str_eq(json_find_str(it.value, member), value))
            return it.value;
    return NULL;
}

static void check_mounts(const struct json *container, const struct scope *s,
                         const struct field_path *p, struct field_errors *errors)
{
    AUTO_MAP paths = map_new(NULL);
    const struct json *devices = json_get(container, "volumeDevices");
    JSON_FOREACH(it, json_get(container, "volumeMounts")) {
        const struct field_path *at = FIELD_AT(p, it.index);
        const char *name = json_find_str(it.value, "name"),
                   *path = json_find_str(it.value, "mountPath");
        const char *sub = json_find_str(it.value, "subPath"),
                   *expression = json_find_str(it.value, "subPathExpr");
        if (str_empty(name))
            field_required(errors, FIELD(at, "name"), NO_DETAIL);
        if (!map_has(s->volumes, name ? name : ""))
            field_not_found_str(errors, FIELD(at, "name"), name);
        if (str_empty(path))
            field_required(errors, FIELD(at, "mountPath"), NO_DETAIL);
        if (map_has(paths, path ? path : ""))
            field_invalid_str(errors, FIELD(at, "mountPath"), path, "must be unique");
        map_set(paths, path ? path : "", &present);
        if (name && find_by(devices, "name", name))
            field_invalid_str(errors, FIELD(at, "name"), name,
                              "must not already exist in volumeDevices");
        if (path && find_by(devices, "devicePath", path))
            field_invalid_str(errors, FIELD(at, "mountPath"), path,
                              "must not already exist as a path in volumeDevices");
        /* the API server leaves the index out of the paths below */
        if (!str_empty(sub))
            podspec_validate_relative_path(sub, FIELD(p, "subPath"), errors);
        if (!str_empty(expression)) {
            if (!str_empty(sub))
                field_invalid_str(errors, FIELD(at, "subPathExpr"), expression,
                                  "subPathExpr and subPath are mutually exclusive");
            podspec_validate_relative_path(expression, FIELD(p, "subPathExpr"), errors);
        }
        check_propagation(it.value, container, p, errors);
    }
}

static void check_devices(const struct json *container, const struct scope *s,
                          const struct field_path *p, struct field_errors *errors)
{
    const struct json *devices = json_get(container, "volumeDevices");
    JSON_FOREACH(it, devices) {
        const struct field_path *at = FIELD_AT(p, it.index);
        const char *name = json_find_str(it.value, "name"),
                   *path = json_find_str(it.value, "devicePath");
        const struct json *volume = map_get(s->volumes, name ? name : "");
        if (str_empty(name))
            field_required(errors, FIELD(at, "name"), NO_DETAIL);
        if (!str_empty(name) && repeats_earlier(devices, it.index, "name"))
            field_invalid_str(errors, FIELD(at, "name"), name, "must be unique");
        if (!volume)
            field_not_found_str(errors, FIELD(at, "name"), name);
        else if (!json_get(volume, "persistentVolumeClaim") && !json_get(volume, "ephemeral"))
            field_invalid_str(
                errors, FIELD(at, "name"), name,
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
        if (str_empty(path))
            field_required(errors, FIELD(at, "devicePath"), NO_DETAIL);
        else if (repeats_earlier(devices, it.index, "devicePath"))
            field_invalid_str(errors, FIELD(at, "devicePath"), path, "must be unique");
    }
}

/* ---- one container --------------------------------------------------------------------------- */

static void check_resize(const struct json *container, const struct scope *s,
                         const struct field_path *p, struct field_errors *errors)
{
    static const char *const resources[] = { "cpu", "memory", NULL };
    static const char *const policies[] = { "NotRequired", "RestartContainer", NULL };
    const struct json *list = json_get(container, "resizePolicy");
    JSON_FOREACH(it, list) {
        const char *policy = json_find_str(it.value, "restartPolicy");
        if (repeats_earlier(list, it.index, "resourceName"))
            field_duplicate_str(errors, FIELD_AT(p, it.index),
                                json_find_str(it.value, "resourceName"));
        check_enum(json_find_str(it.value, "resourceName"), resources, p, errors);
        check_enum(policy, policies, p, errors);
        if (str_eq(s->restart_policy, "Never") && !str_eq(policy, "NotRequired"))
            field_invalid_str(errors, p, policy,
                              "must be 'NotRequired' when `restartPolicy` is 'Never'");
    }
}

static void check_common(const struct json *container, const struct scope *s,
                         const struct field_path *p, struct field_errors *errors)
{
    static const char *const messages[] = { "File", "FallbackToLogsOnError", NULL };
    static const char *const pulls[] = { "Always", "IfNotPresent", "Never", NULL };
    const char *name = json_find_str(container, "name");
    if (str_empty(name))
        field_required(errors, FIELD(p, "name"), NO_DETAIL);
    else
        check_text(name, kube_validate_dns1123_label, FIELD(p, "name"), errors);
    if (str_empty(json_find_str(container, "image")))
        field_required(errors, FIELD(p, "image"), NO_DETAIL);
    check_enum(json_find_str(container, "terminationMessagePolicy"), messages,
               FIELD(p, "terminationMessagePolicy"), errors);
    check_ports(json_get(container, "ports"), FIELD(p, "ports"), errors);
    podspec_validate_env(container, p, errors);
    check_mounts(container, s, FIELD(p, "volumeMounts"), errors);
    check_devices(container, s, FIELD(p, "volumeDevices"), errors);
    check_enum(json_find_str(container, "imagePullPolicy"), pulls, FIELD(p, "imagePullPolicy"),
               errors);
    podspec_validate_resources(json_get(container, "resources"),
                               json_get(s->spec, "resourceClaims"), FIELD(p, "resources"), errors);
    check_resize(container, s, FIELD(p, "resizePolicy"), errors);
    podspec_validate_container_security(json_get(container, "securityContext"), s->host_users,
                                        FIELD(p, "securityContext"), errors);
}

static void check_success_is_one(const struct json *probe, const struct field_path *p,
                                 struct field_errors *errors)
{
    int64_t threshold = json_find_int(probe, 1, "successThreshold");
    if (probe && threshold != 1)
        field_invalid_int(errors, FIELD(p, "successThreshold"), threshold, "must be 1");
}

static void check_probes(const struct json *container, const struct scope *s,
                         const struct field_path *p, struct field_errors *errors)
{
    const struct json *live = json_get(container, "livenessProbe"),
                      *ready = json_get(container, "readinessProbe");
    const struct json *start = json_get(container, "startupProbe");
    podspec_validate_lifecycle(json_get(container, "lifecycle"), s->grace, FIELD(p, "lifecycle"),
                               errors);
    podspec_validate_probe(live, s->grace, FIELD(p, "livenessProbe"), errors);
    check_success_is_one(live, FIELD(p, "livenessProbe"), errors);
    podspec_validate_probe(ready, s->grace, FIELD(p, "readinessProbe"), errors);
    if (json_get(ready, "terminationGracePeriodSeconds"))
        field_invalid(errors, FIELD(FIELD(p, "readinessProbe"), "terminationGracePeriodSeconds"),
                      json_get(ready, "terminationGracePeriodSeconds"),
                      "must not be set for readinessProbes");
    podspec_validate_probe(start, s->grace, FIELD(p, "startupProbe"), errors);
    check_success_is_one(start, FIELD(p, "startupProbe"), errors);
}

/* What a container's end leads to, by its exit code. */
static void check_restart_rules(const struct json *rules, const struct field_path *path,
                                struct field_errors *errors)
{
    static const char *const actions[] = { "Restart", NULL };
    static const char *const operators[] = { "In", "NotIn", NULL };
    if (json_size(rules) > 20)
        field_too_long(errors, path, 20);
    JSON_FOREACH(it, rules) {
        const struct field_path *p = FIELD_AT(path, it.index), *codes_path = FIELD(p, "exitCodes");
        const struct json *codes = json_get(it.value, "exitCodes");
        const char *action = json_find_str(it.value, "action"),
                   *operator= json_find_str(codes, "operator");
        if (!is_one_of(action, actions))
            field_not_supported_str(errors, FIELD(p, "action"), action, actions);
        if (!json_is_object(codes)) {
            field_required(errors, codes_path, "must be specified");
            continue;
        }
        if (!is_one_of(operator, operators))
            field_not_supported_str(errors, FIELD(codes_path, "operator"), operator, operators);
        if (json_size(json_get(codes, "values")) > 255)
            field_too_long(errors, FIELD(codes_path, "values"), 255);
    }
}

static void check_restart_policy(const struct json *container, const struct field_path *p,
                                 struct field_errors *errors)
{
    static const char *const known[] = { "Always", "Never", "OnFailure", NULL };
    const char *policy = json_find_str(container, "restartPolicy");
    if (!policy && json_size(json_get(container, "restartPolicyRules")) > 0)
        field_required(errors, FIELD(p, "restartPolicy"),
                       "must specify restartPolicy when restart rules are used");
    else if (policy && !is_one_of(policy, known))
        field_not_supported_str(errors, FIELD(p, "restartPolicy"), policy, known);
    check_restart_rules(json_get(container, "restartPolicyRules"), FIELD(p, "restartPolicyRules"),
                        errors);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void check_regular(const struct scope *s, struct map *names, const struct field_path *p,
                          struct field_errors *errors)
{
    const struct json *containers = json_get(s->spec, "containers");
    if (json_size(containers) == 0) {
        field_required(errors, p, NO_DETAIL);
        return;
    }
    AUTO_MAP taken = map_new(NULL);
    JSON_FOREACH(it, containers) {
        const struct field_path *at = FIELD_AT(p, it.index);
        const char *name = json_find_str(it.value, "name");
        check_common(it.value, s, at, errors);
        if (map_has(names, name ? name : ""))
            field_duplicate_str(errors, FIELD(at, "name"), name);
        map_set(names, name ? name : "", &present);
        check_probes(it.value, s, at, errors);
        check_restart_policy(it.value, at, errors);
    }
    JSON_FOREACH(it, containers)
        check_host_ports(it.value, it.index, taken, p, errors);
}

static void check_init(const struct scope *s, struct map *names, const struct field_path *p,
                       struct field_errors *errors)
{
    static const char *const not_for_init[] = { "lifecycle", "livenessProbe", "readinessProbe",
                                                "startupProbe" };
    JSON_FOREACH(it, json_get(s->spec, "initContainers")) {
        const struct field_path *at = FIELD_AT(p, it.index);
        const char *name = json_find_str(it.value, "name");
        check_common(it.value, s, at, errors);
        if (str_eq(json_find_str(it.value, "restartPolicy"), "Always")) {
            if (json_size(json_get(it.value, "restartPolicyRules")) > 0)
                field_forbidden(
                    errors, FIELD(at, "restartPolicyRules"),
                    "restartPolicyRules are not allowed for init containers with restart policy Always");
        } else if (json_find_str(it.value, "restartPolicy")) {
            check_restart_policy(it.value, at, errors);
        } else if (json_size(json_get(it.value, "restartPolicyRules")) > 0) {
            field_required(errors, FIELD(at, "restartPolicy"),
                           "must specify restartPolicy when restart rules are used");
        }
        if (map_has(names, name ? name : ""))
            field_duplicate_str(errors, FIELD(at, "name"), name);
        else if (!str_empty(name))
            map_set(names, name, &present);
        AUTO_MAP taken = map_new(NULL);
        check_host_ports(it.value, 0, taken, p, errors);
        if (str_eq(json_find_str(it.value, "restartPolicy"), "Always")) {
            check_probes(it.value, s, at, errors);
            continue;
        }
        for (size_t i = 0; i < COUNT_OF(not_for_init); i++)
            if (json_get(it.value, not_for_init[i]))
                field_forbidden(errors, FIELD(at, not_for_init[i]),
                                "may not be set for init containers without restartPolicy=Always");
    }
}

void podspec_validate_containers(const struct json *spec, const struct field_path *p,
                                 struct field_errors *errors)
{
    /* a volume with a fault counts as absent: its mounts are reported as well */
    AUTO_MAP volumes = map_new(NULL);
    struct field_errors own = { .arena = errors->arena };
    JSON_FOREACH(it, json_get(spec, "volumes")) {
        const char *name = json_find_str(it.value, "name");
        struct json *alone = json_new_array(errors->arena);
        json_append(alone, json_clone(errors->arena, it.value));
        own.count = 0;
        podspec_validate_volumes(alone, NULL, &own);
        if (own.count == 0 && !map_has(volumes, name))
            map_set(volumes, name, it.value);
    }
    struct scope s = {
        .spec = spec,
        .volumes = volumes,
        .restart_policy = json_find_str(spec, "restartPolicy"),
        .grace = json_find_int(spec, -1, "terminationGracePeriodSeconds"),
        .host_users = json_find_bool(spec, true, "hostUsers"),
    };
    AUTO_MAP names = map_new(NULL);
    check_regular(&s, names, FIELD(p, "containers"), errors);
    check_init(&s, names, FIELD(p, "initContainers"), errors);
    JSON_FOREACH(it, json_get(spec, "ephemeralContainers"))
        check_common(it.value, &s, FIELD_AT(FIELD(p, "ephemeralContainers"), it.index), errors);
}
