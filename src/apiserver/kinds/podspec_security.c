/* Security contexts of pods and containers. */
#include <inttypes.h>
#include <string.h>

#include "apiserver/kinds/podspec.h"
#include "base/str.h"

static void check_id(const struct json *context, const char *member, const struct field_path *p,
                     struct field_errors *errors)
{
    const struct json *id = json_get(context, member);
    if (id && (json_int(id, 0) < 0 || json_int(id, 0) > INT32_MAX))
        field_invalid(errors, FIELD(p, member), id, "must be between 0 and %d, inclusive",
                      INT32_MAX);
}

static void check_seccomp(const struct json *profile, const struct field_path *p,
                          struct field_errors *errors)
{
    static const char *const types[] = { "Localhost", "RuntimeDefault", "Unconfined", NULL };
    const char *type = json_find_str(profile, "type"),
               *local = json_find_str(profile, "localhostProfile");
    if (!json_is_object(profile))
        return;
    if (str_empty(type))
        field_required(errors, FIELD(p, "type"), "type is required when seccompProfile is set");
    else if (!is_one_of(type, types))
        field_not_supported_str(errors, FIELD(p, "type"), type, types);
    if (!str_eq(type, "Localhost")) {
        if (local)
            field_invalid(errors, FIELD(p, "localhostProfile"), profile,
                          "can only be set when seccomp type is Localhost");
    } else if (!local) {
        field_required(errors, FIELD(p, "localhostProfile"),
                       "must be set when seccomp type is Localhost");
    } else {
        podspec_validate_relative_path(local, FIELD(p, "localhostProfile"), errors);
    }
}

static void check_app_armor(const struct json *profile, const struct field_path *p,
                            struct field_errors *errors)
{
    static const char *const types[] = { "Localhost", "RuntimeDefault", "Unconfined", NULL };
    const char *type = json_find_str(profile, "type"),
               *local = json_find_str(profile, "localhostProfile");
    if (!json_is_object(profile))
        return;
    if (str_empty(type))
        field_required(errors, FIELD(p, "type"), "type is required when appArmorProfile is set");
    else if (!is_one_of(type, types))
        field_not_supported_str(errors, FIELD(p, "type"), type, types);
    else if (STREQ(type, "Localhost") && str_empty(local))
        field_required(errors, FIELD(p, "localhostProfile"),
                       "must be set when AppArmor type is Localhost");
    else if (!STREQ(type, "Localhost") && local)
        field_invalid_str(errors, FIELD(p, "localhostProfile"), local,
                          "can only be set when AppArmor type is Localhost");
}

void podspec_validate_container_security(const struct json *context, bool host_users,
                                         const struct field_path *p, struct field_errors *errors)
{
    static const char *const mounts[] = { "Default", "Unmasked", NULL };
    const char *mount = json_find_str(context, "procMount");
    if (!json_is_object(context))
        return;
    check_id(context, "runAsUser", p, errors);
    check_id(context, "runAsGroup", p, errors);
    if (mount && !is_one_of(mount, mounts))
        field_not_supported_str(errors, FIELD(p, "procMount"), mount, mounts);
    if (host_users && str_eq(mount, "Unmasked"))
        field_invalid_str(errors, FIELD(p, "procMount"), mount,
                          "`hostUsers` must be false to use `Unmasked`");
    check_seccomp(json_get(context, "seccompProfile"), FIELD(p, "seccompProfile"), errors);
    if (!json_find_bool(context, true, "allowPrivilegeEscalation")) {
        if (json_find_bool(context, false, "privileged"))
            field_invalid(
                errors, p, context,
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        JSON_FOREACH(it, json_find(context, "capabilities", "add"))
            if (str_eq(json_string(it.value), "CAP_SYS_ADMIN"))
                field_invalid(
                    errors, p, context,
                    "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
    }
    check_app_armor(json_get(context, "appArmorProfile"), FIELD(p, "appArmorProfile"), errors);
}

/* Names as sysctl(8) has them, with dots or slashes. */
static bool is_sysctl(const char *name)
{
    if (strlen(name) > 253 || !*name)
        return false;
    for (const char *part = name; part;
         part = strpbrk(part, "./") ? strpbrk(part, "./") + 1 : NULL) {
        size_t len = strcspn(part, "./");
        if (!len || strspn(part, "abcdefghijklmnopqrstuvwxyz0123456789-_") != len ||
            strchr("-_", part[0]) || strchr("-_", part[len - 1]))
            return false;
    }
    return true;
}

static void check_sysctls(const struct json *sysctls, const struct field_path *p,
                          struct field_errors *errors)
{
    JSON_FOREACH(it, sysctls) {
        const struct field_path *at = FIELD(FIELD_AT(p, it.index), "name");
        const char *name = json_find_str(it.value, "name");
        if (str_empty(name))
            field_required(errors, at, NO_DETAIL);
        else if (!is_sysctl(name))
            field_invalid_str(
                errors, at, name,
                "must have at most 253 characters and match regex "
                "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
        else if (repeats_earlier(sysctls, it.index, "name"))
            field_duplicate_str(errors, at, name);
    }
}

void podspec_validate_security(const struct json *spec, const struct field_path *p,
                               struct field_errors *errors)
{
    static const char *const changes[] = { "Always", "OnRootMismatch", NULL };
    static const char *const groups[] = { "Merge", "Strict", NULL };
    static const char *const label_changes[] = { "Recursive", NULL };
    const struct json *context = json_get(spec, "securityContext");
    const struct field_path *at = FIELD(p, "securityContext");
    const char *change = json_find_str(context, "fsGroupChangePolicy"),
               *policy = json_find_str(context, "supplementalGroupsPolicy");
    check_id(context, "fsGroup", at, errors);
    check_id(context, "runAsUser", at, errors);
    check_id(context, "runAsGroup", at, errors);
    JSON_FOREACH(it, json_get(context, "supplementalGroups"))
        if (json_int(it.value, 0) < 0 || json_int(it.value, 0) > INT32_MAX)
            field_invalid(errors, FIELD_AT(FIELD(at, "supplementalGroups"), it.index), it.value,
                          "must be between 0 and %d, inclusive", INT32_MAX);
    if (json_find_bool(spec, false, "shareProcessNamespace") &&
        json_find_bool(spec, false, "hostPID"))
        field_invalid_raw(errors, FIELD(at, "shareProcessNamespace"), "true",
                          "ShareProcessNamespace and HostPID cannot both be enabled");
    check_sysctls(json_get(context, "sysctls"), FIELD(at, "sysctls"), errors);
    if (change && !is_one_of(change, changes))
        field_not_supported_str(errors, FIELD(at, "fsGroupChangePolicy"), change, changes);
    check_seccomp(json_get(context, "seccompProfile"), FIELD(at, "seccompProfile"), errors);
    check_app_armor(json_get(context, "appArmorProfile"), FIELD(at, "appArmorProfile"), errors);
    if (policy && !is_one_of(policy, groups))
        field_not_supported_str(errors, FIELD(at, "supplementalGroupsPolicy"), policy, groups);
    const char *labels = json_find_str(context, "seLinuxChangePolicy");
    if (labels && !is_one_of(labels, label_changes))
        field_not_supported_str(errors, FIELD(at, "seLinuxChangePolicy"), labels, label_changes);
}
