/* Requests and limits of containers. */
#include <string.h>

#include "apiserver/kinds/podspec.h"
#include "base/str.h"
#include "kube/quantity.h"
#include "kube/selector.h"

static bool is_native(const char *name)
{
    return !strchr(name, '/') || strstr(name, "kubernetes.io/");
}

static bool may_overcommit(const char *name)
{
    return is_native(name) && !str_has_prefix(name, "hugepages-");
}

static void check_resource_name(const char *name, const struct field_path *p,
                                struct field_errors *errors)
{
    size_t before = errors->count;
    check_text(name, kube_validate_label_key, p, errors);
    bool plain = !strchr(name, '/'), named = errors->count == before;
    if (named && plain && !is_standard_resource(name))
        field_invalid_str(errors, p, name, "must be a standard resource type or fully qualified");
    if (plain) {
        static const char *const of_containers[] = { "cpu", "memory", "ephemeral-storage", NULL };
        if (!is_one_of(name, of_containers) && !str_has_prefix(name, "hugepages-"))
            field_invalid_str(errors, p, name, "must be a standard resource for containers");
    } else if (!is_native(name)) {
        CLEANUP(error_cleanup) struct error *err = NULL;
        const char *quota = arena_printf(errors->arena, "requests.%s", name);
        if (str_has_prefix(name, "requests.") || kube_validate_label_key(quota, &err) < 0)
            field_invalid_str(errors, p, name, "doesn't follow extended resource name standard");
    }
}

static void check_against_limit(const char *name, const char *request, const char *limit,
                                const struct field_path *limits, const struct field_path *requests,
                                struct field_errors *errors)
{
    int order = limit ? quantity_compare(request, limit) : 0;
    if (!limit && !may_overcommit(name))
        field_required(errors, limits, "Limit must be set for non overcommitable resources");
    else if (order != 0 && !may_overcommit(name))
        field_invalid_str(errors, requests, request, "must be equal to %s limit of %s", name,
                          limit);
    else if (order > 0)
        field_invalid_str(errors, requests, request, "must be less than or equal to %s limit of %s",
                          name, limit);
}

static void check_claims(const struct json *own, const struct json *claims,
                         const struct field_path *p, struct field_errors *errors)
{
    JSON_FOREACH(it, own) {
        const char *name = json_find_str(it.value, "name");
        bool found = false;
        AUTO_BUF names = BUF_INIT(64 * KIB);
        JSON_FOREACH(claim, claims) {
            const char *other = json_find_str(claim.value, "name");
            found = found || str_eq(other, name);
            buf_printf(&names, "%s%s", names.len ? ", " : "", other ? other : "");
        }
        if (str_empty(name))
            field_required(errors, FIELD_AT(p, it.index), NO_DETAIL);
        else if (!found)
            field_errors_add(
                errors, "FieldValueNotFound", field_path_text(errors->arena, FIELD_AT(p, it.index)),
                "Not found: %s: must be one of the names in pod.spec.resourceClaims%s%s",
                field_quote(errors->arena, name, strlen(name)),
                names.len ? ": " : " which is empty", buf_str(&names));
    }
}

void podspec_validate_resources(const struct json *resources, const struct json *claims,
                                const struct field_path *p, struct field_errors *errors)
{
    const struct json *limits = json_get(resources, "limits"),
                      *requests = json_get(resources, "requests");
    const struct field_path *limit_path = FIELD(p, "limits"), *request_path = FIELD(p, "requests");
    bool compute = false, huge = false;
    JSON_FOREACH(it, limits) {
        check_resource_name(it.key, FIELD_KEY(limit_path, it.key), errors);
        check_resource_quantity(it.key, json_string(it.value), FIELD_KEY(limit_path, it.key),
                                errors);
    }
    JSON_FOREACH(it, requests) {
        check_resource_name(it.key, FIELD_KEY(request_path, it.key), errors);
        check_resource_quantity(it.key, json_string(it.value), FIELD_KEY(request_path, it.key),
                                errors);
        check_against_limit(it.key, json_string(it.value), json_find_str(limits, it.key),
                            limit_path, request_path, errors);
    }
    const struct json *const both[] = { limits, requests };
    for (size_t i = 0; i < COUNT_OF(both); i++) {
        JSON_FOREACH(it, both[i]) {
            compute = compute || STREQ(it.key, "cpu") || STREQ(it.key, "memory");
            huge = huge || str_has_prefix(it.key, "hugepages-");
        }
    }
    if (huge && !compute)
        field_forbidden(errors, p, "HugePages require cpu or memory");
    check_claims(json_get(resources, "claims"), claims, FIELD(p, "claims"), errors);
}
