/* CustomResourceDefinitions: what can be said about one alone. Names that others have, and its
 * conditions, are the server's (apiserver/crd.c). */
#include <ctype.h>
#include <string.h>

#include "apiserver/kinds/crd_versions.h"
#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "apiserver/status.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
#include "schema/format.h"
#include "json/build.h"

/* ---- defaults -------------------------------------------------------------------------------- */

static void set_defaults(struct strategy_context *x, struct json *obj)
{
    struct arena *a = x->a;
    struct json *spec = json_get(obj, "spec"), *names = json_get(spec, "names");
    const char *kind = json_find_str(names, "kind");
    if (!str_empty(kind) && str_empty(json_find_str(names, "singular")))
        json_set_str(a, names, "singular", str_lower(a, kind));
    if (!str_empty(kind) && str_empty(json_find_str(names, "listKind")))
        json_set(a, names, "listKind", STRF("%sList", kind));
    if (!json_is_object(json_get(spec, "conversion")))
        json_set(a, spec, "conversion", OBJ("strategy", STR("None")));
}

/* Formats of strings that nobody checks, and that `seen` has not; appended to ret unless it is
 * NULL.
 */
static void find_formats(struct arena *a, const struct json *schema, struct map *seen,
                         struct json *ret)
{
    static char present;
    const char *format = json_find_str(schema, "format");
    if (!str_empty(format) && str_eq(json_find_str(schema, "type"), "string") &&
        !format_find(format) && !map_has(seen, format)) {
        map_set(seen, format, &present);
        if (ret)
            json_append(ret, STRF("unrecognized format %s", go_quote(a, format)));
    }
    JSON_FOREACH(it, schema)
        find_formats(a, it.value, seen, ret);
}

static void warn(struct strategy_context *x, const struct json *obj)
{
    struct arena *a = x->a;
    if (!STREQ(x->subresource, ""))
        return;
    AUTO_MAP seen = map_new(NULL);
    JSON_FOREACH(it, json_find(x->old, "spec", "versions"))
        find_formats(a, json_find(it.value, "schema", "openAPIV3Schema"), seen, NULL);
    JSON_FOREACH(it, json_find(obj, "spec", "versions"))
        find_formats(a, json_find(it.value, "schema", "openAPIV3Schema"), seen, x->warnings);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void check_names(const struct json *names, const struct field_path *p,
                        struct field_errors *errors)
{
    static const char *const plain[] = { "plural", "singular" }, *const mixed[] = { "kind",
                                                                                    "listKind" };
    static const char *const lists[] = { "shortNames", "categories" };
    static const char may[] = "may have mixed case, but should otherwise match: ";
    for (size_t i = 0; i < COUNT_OF(plain); i++) {
        const char *name = json_find_str(names, plain[i]);
        if (!str_empty(name))
            check_joined(name, name, "", kube_validate_dns1035_label, FIELD(p, plain[i]), errors);
    }
    for (size_t i = 0; i < COUNT_OF(mixed); i++) {
        const char *name = json_find_str(names, mixed[i]);
        if (!str_empty(name))
            check_joined(str_lower(errors->arena, name), name, may, kube_validate_dns1035_label,
                         FIELD(p, mixed[i]), errors);
    }
    const char *kind = json_find_str(names, "kind"), *list = json_find_str(names, "listKind");
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        JSON_FOREACH(it, json_get(names, lists[i])) {
            const char *name = json_string(it.value) ? json_string(it.value) : "";
            check_joined(name, name, "", kube_validate_dns1035_label,
                         FIELD_AT(FIELD(p, lists[i]), it.index), errors);
        }
        if (i == 0 && !str_empty(kind) && str_eq(kind, list))
            field_invalid_str(errors, FIELD(p, "listKind"), list,
                              "kind and listKind may not be the same");
    }
}

static void check_required_names(const struct json *names, const struct field_path *p,
                                 struct field_errors *errors)
{
    static const char *const members[] = { "plural", "singular", "kind", "listKind" };
    for (size_t i = 0; i < COUNT_OF(members); i++)
        if (str_empty(json_find_str(names, members[i])))
            field_required(errors, FIELD(p, members[i]), NO_DETAIL);
}

static void check_group(const char *group, const struct field_path *p, struct field_errors *errors)
{
    if (str_empty(group)) {
        field_required(errors, p, NO_DETAIL);
        return;
    }
    size_t before = errors->count;
    check_joined(group, group, "", kube_validate_dns1123_subdomain, p, errors);
    if (errors->count == before && !strchr(group, '.'))
        field_invalid_str(errors, p, group, "should be a domain with at least one dot");
}

/* ---- conversion ------------------------------------------------------------------------------ */

static bool preserves(const struct json *spec)
{
    return json_find_bool(spec, false, "preserveUnknownFields");
}

static void check_review_versions(const struct json *versions, const struct field_path *p,
                                  struct field_errors *errors)
{
    bool known = false;
    if (json_size(versions) == 0) {
        field_required(errors, p, NO_DETAIL);
        return;
    }
    JSON_FOREACH(it, versions) {
        const char *v = json_string(it.value) ? json_string(it.value) : "";
        bool seen = false;
        JSON_FOREACH(other, versions)
            seen = seen || (other.index < it.index && str_eq(json_string(other.value), v));
        if (seen) {
            field_invalid_str(errors, FIELD_AT(p, it.index), v, "duplicate version");
            continue;
        }
        check_joined(v, v, "", kube_validate_dns1035_label, FIELD_AT(p, it.index), errors);
        known = known || STREQ(v, "v1") || STREQ(v, "v1beta1");
    }
    if (!known)
        field_invalid(errors, p, versions, "must include at least one of v1, v1beta1");
}

static void check_conversion(const struct json *spec, const struct field_path *p,
                             struct field_errors *errors)
{
    static const char *const known[] = { "None", "Webhook", NULL };
    const char *strategy = json_find_str(spec, "conversion", "strategy");
    const struct json *webhook = json_find(spec, "conversion", "webhook"),
                      *config = json_get(webhook, "clientConfig"),
                      *reviews = json_get(webhook, "conversionReviewVersions");
    if (preserves(spec) && !str_eq(strategy, "None"))
        field_invalid_str(errors, FIELD(p, "strategy"), strategy,
                          "must be None if spec.preserveUnknownFields is true");
    check_enum(strategy, known, FIELD(p, "strategy"), errors);
    if (str_eq(strategy, "Webhook")) {
        if (!json_is_object(config))
            field_required(errors, FIELD(p, "webhookClientConfig"),
                           "required when strategy is set to Webhook");
        else if (!json_get(config, "url") == !json_get(config, "service"))
            field_required(errors, FIELD(p, "webhookClientConfig"),
                           "exactly one of url or service is required");
        check_review_versions(reviews, FIELD(p, "conversionReviewVersions"), errors);
        return;
    }
    if (json_is_object(config))
        field_forbidden(errors, FIELD(p, "webhookClientConfig"),
                        "should not be set when strategy is not set to Webhook");
    if (json_size(reviews) > 0)
        field_forbidden(errors, FIELD(p, "conversionReviewVersions"),
                        "should not be set when strategy is not set to Webhook");
}

/* A CRD that is right but for this: objects would be served unconverted without a word. */
static void refuse_webhook(const struct json *spec, const struct field_path *p,
                           struct field_errors *errors)
{
    if (str_eq(json_find_str(spec, "conversion", "strategy"), "Webhook"))
        field_forbidden(errors, FIELD(p, "strategy"),
                        "conversion webhooks are not called by this server; use strategy None");
}

/* ---- whole ----------------------------------------------------------------------------------- */

static void check_object_name(const struct json *obj, struct field_errors *errors)
{
    const char *plural = json_find_str(obj, "spec", "names", "plural"),
               *group = json_find_str(obj, "spec", "group");
    const char *want =
        arena_printf(errors->arena, "%s.%s", plural ? plural : "", group ? group : "");
    if (*meta_name(obj) && !STREQ(meta_name(obj), want))
        field_invalid_str(errors, FIELD(FIELD(NULL, "metadata"), "name"), meta_name(obj),
                          "must be spec.names.plural+\".\"+spec.group");
}

static void check_update(const struct json *obj, const struct json *old,
                         struct field_errors *errors)
{
    const struct json *spec = json_get(obj, "spec"), *was = json_get(old, "spec");
    const struct field_path *p = FIELD(NULL, "spec"), *names = FIELD(p, "names");
    if (condition_is(json_find(old, "status", "conditions"), "Established", "True")) {
        check_immutable(json_get(spec, "scope"), json_get(was, "scope"), FIELD(p, "scope"), errors);
        check_immutable(json_find(spec, "names", "kind"), json_find(was, "names", "kind"),
                        FIELD(names, "kind"), errors);
    }
    check_immutable(json_get(spec, "group"), json_get(was, "group"), FIELD(p, "group"), errors);
    check_immutable(json_find(spec, "names", "plural"), json_find(was, "names", "plural"),
                    FIELD(names, "plural"), errors);
}

static bool has_string(const struct json *list, const char *s)
{
    JSON_FOREACH(it, list)
        if (str_eq(json_string(it.value), s))
            return true;
    return false;
}

/* A version in which objects may still be stored cannot go. The storage version of spec is added to
 * `was` before it is checked: the first one, where there are several. */
static void check_stored_versions(const struct json *spec, const struct json *was,
                                  struct field_errors *errors)
{
    struct arena *a = errors->arena;
    const struct field_path *p = FIELD(FIELD(NULL, "status"), "storedVersions");
    const struct json *versions = json_get(spec, "versions");
    struct json *stored = json_is_array(was) ? json_clone(a, was) : json_new_array(a);
    const char *first = NULL;
    JSON_FOREACH(it, versions) {
        const char *name = json_find_str(it.value, "name");
        if (!json_find_bool(it.value, false, "storage") || !name)
            continue;
        if (!first && !has_string(stored, name))
            json_append(stored, STR(name));
        first = first ? first : name;
        if (!has_string(stored, name))
            field_invalid(errors, p, stored, "must have the storage version %s", name);
    }
    if (json_size(stored) == 0)
        field_invalid_raw(errors, p, "null", "must have at least one stored version");
    JSON_FOREACH(it, stored) {
        const char *v = json_string(it.value);
        bool found = false;
        JSON_FOREACH(version, versions)
            found = found || str_eq(json_find_str(version.value, "name"), v);
        if (!found)
            field_invalid_str(
                errors, FIELD_AT(p, it.index), v,
                "missing from spec.versions; %s was previously a storage version, and must remain in spec.versions "
                "until a storage migration ensures no data remains persisted in %s and removes %s from "
                "status.storedVersions",
                v, v, v);
    }
}

/* Where unknown fields are kept, a default would make one look as if the user had written it. */
static bool has_defaults(const struct json *schema)
{
    if (json_get(schema, "default"))
        return true;
    JSON_FOREACH(it, json_get(schema, "properties"))
        if (has_defaults(it.value))
            return true;
    const struct json *items = json_get(schema, "items");
    return json_is_object(items) && has_defaults(items);
}

static void check_defaults_are_pruned(const struct json *spec, const struct field_path *p,
                                      struct field_errors *errors)
{
    JSON_FOREACH(it, json_get(spec, "versions")) {
        if (!preserves(spec) || !has_defaults(json_find(it.value, "schema", "openAPIV3Schema")))
            continue;
        field_invalid(errors, FIELD(p, "preserveUnknownFields"),
                      json_get(spec, "preserveUnknownFields"),
                      "must be false in order to use defaults in the schema");
        return;
    }
}

static bool needs_approval(const char *group)
{
    return group && (STREQ(group, "k8s.io") || STREQ(group, "kubernetes.io") ||
                     str_has_suffix(group, ".k8s.io") || str_has_suffix(group, ".kubernetes.io"));
}

static void check_approval(const struct json *obj, struct field_errors *errors)
{
    static const char key[] = "api-approved.kubernetes.io";
    const char *approval = meta_annotation(obj, key);
    const struct field_path *p = FIELD_KEY(FIELD(FIELD(NULL, "metadata"), "annotations"), key);
    if (!needs_approval(json_find_str(obj, "spec", "group")))
        return;
    if (str_empty(approval))
        field_required(
            errors, p,
            "protected groups must have approval annotation \"%s\", see https://github.com/kubernetes/enhancements/pull/1111",
            key);
    else if (!str_has_prefix(approval, "https://") && !str_has_prefix(approval, "http://") &&
             !str_has_prefix(approval, "unapproved"))
        field_invalid_str(
            errors, p, approval,
            "protected groups must have approval annotation \"%s\" with either a URL or a reason starting with "
            "\"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111",
            key);
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    static const char *const scopes[] = { "Cluster", "Namespaced", NULL };
    const struct json *spec = json_get(obj, "spec"), *names = json_get(spec, "names");
    const struct field_path *p = FIELD(NULL, "spec");
    const size_t before = errors->count;
    if (STREQ(x->subresource, "status"))
        return;
    if (!x->old)
        check_object_name(obj, errors);
    check_group(json_find_str(spec, "group"), FIELD(p, "group"), errors);
    check_enum(json_find_str(spec, "scope"), scopes, FIELD(p, "scope"), errors);
    check_defaults_are_pruned(spec, p, errors);
    crd_check_versions(spec, p, errors);
    check_required_names(names, FIELD(p, "names"), errors);
    check_names(names, FIELD(p, "names"), errors);
    crd_check_common(spec, p, errors);
    check_conversion(spec, FIELD(p, "conversion"), errors);
    if (x->old)
        check_update(obj, x->old, errors);
    check_stored_versions(spec, json_find(x->old, "status", "storedVersions"), errors);
    check_approval(obj, errors);
    if (preserves(spec) && !preserves(json_get(x->old, "spec")))
        field_invalid(
            errors, FIELD(p, "preserveUnknownFields"), json_get(spec, "preserveUnknownFields"),
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead");
    if (errors->count == before)
        refuse_webhook(spec, FIELD(p, "conversion"), errors);
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, cell_text(a, json_find_str(obj, "metadata", "creationTimestamp"), ""));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Created At", "date", "", 0, "When the object was created." },
};

const struct api_kind kind_crd = {
    .resource = { "apiextensions.k8s.io", "v1", "customresourcedefinitions",
                  "CustomResourceDefinition", false },
    .singular = "customresourcedefinition",
    .list_kind = "CustomResourceDefinitionList",
    .short_names = (const char *const[]){ "crd", "crds", NULL },
    .categories = (const char *const[]){ "api-extensions", NULL },
    .has_status = true,
    .has_generation = true,
    .builtin = true,
    .strategy = &(const struct api_strategy){ .set_defaults = set_defaults,
                                              .validate = validate,
                                              .warn = warn },
    .field_selectors = (const char *const[]){ NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
