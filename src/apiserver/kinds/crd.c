/* CustomResourceDefinitions: what can be said about one alone. Names that others have, and its
 * conditions, are the server's (apiserver/crd.c). */
#include <ctype.h>
#include <string.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "apiserver/table.h"
#include "base/str.h"
#include "kube/meta.h"
#include "kube/selector.h"
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

static bool has_rules(const struct json *v)
{
    JSON_FOREACH(it, v)
        if (str_eq(it.key, "x-kubernetes-validations") || has_rules(it.value))
            return true;
    return false;
}

static void warn(struct strategy_context *x, const struct json *obj)
{
    struct arena *a = x->a;
    JSON_FOREACH(it, json_find(obj, "spec", "versions"))
        if (has_rules(json_find(it.value, "schema", "openAPIV3Schema")))
            json_append(
                x->warnings,
                STRF(
                    "spec.versions[%zu].schema.openAPIV3Schema: x-kubernetes-validations are kept but not evaluated by this "
                    "server",
                    it.index));
}

static void prepare(struct strategy_context *x, struct json *obj)
{
    if (STREQ(x->subresource, ""))
        warn(x, obj);
}

/* ---- names ----------------------------------------------------------------------------------- */

/* All texts of a rule in one, with a comma between them. */
static void check_joined(const char *checked, const char *shown, const char *prefix,
                         rule_text *rule, const struct field_path *p, struct field_errors *errors)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (rule(checked, &err) < 0)
        field_invalid_str(errors, p, shown, "%s%s", prefix,
                          str_replace(errors->arena, error_message(err), "; ", ","));
}

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

/* ---- versions -------------------------------------------------------------------------------- */

static void check_path(const char *path, bool label, const char *root, const char *said,
                       const struct field_path *p, struct field_errors *errors)
{
    if (str_empty(path)) {
        if (!label)
            field_required(errors, p, NO_DETAIL);
    } else if (*path != '.') {
        field_invalid_str(errors, p, path, "must be a simple json path starting with .");
    } else if (!str_has_prefix(path, root) && !(label && str_has_prefix(path, ".spec."))) {
        field_invalid_str(errors, p, path, "should be a json path under %s", said);
    }
}

static void check_scale(const struct json *scale, const struct field_path *p,
                        struct field_errors *errors)
{
    if (!json_is_object(scale))
        return;
    check_path(json_find_str(scale, "specReplicasPath"), false, ".spec.", ".spec",
               FIELD(p, "scale.specReplicasPath"), errors);
    check_path(json_find_str(scale, "statusReplicasPath"), false, ".status.", ".status",
               FIELD(p, "scale.statusReplicasPath"), errors);
    check_path(json_find_str(scale, "labelSelectorPath"), true, ".status.",
               "either .spec or .status", FIELD(p, "scale.labelSelectorPath"), errors);
}

/* With a status subresource, what stands beside properties at the root would be lost for the
 * status. */
static void check_root(const struct json *schema, bool has_status, const struct field_path *p,
                       struct field_errors *errors)
{
    static const char *const allowed[] = { "description",
                                           "type",
                                           "format",
                                           "title",
                                           "maximum",
                                           "exclusiveMaximum",
                                           "minimum",
                                           "exclusiveMinimum",
                                           "maxLength",
                                           "minLength",
                                           "pattern",
                                           "maxItems",
                                           "minItems",
                                           "uniqueItems",
                                           "multipleOf",
                                           "required",
                                           "items",
                                           "properties",
                                           "externalDocs",
                                           "example",
                                           "x-kubernetes-preserve-unknown-fields",
                                           "x-kubernetes-validations",
                                           NULL };
    if (!has_status)
        return;
    JSON_FOREACH(it, schema) {
        if (STREQ(it.key, "type") && !str_eq(json_string(it.value), "object")) {
            field_invalid_str(
                errors, FIELD(p, "type"), json_string(it.value),
                "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled");
            return;
        }
        if (!is_one_of(it.key, allowed) && !json_is_null(it.value)) {
            field_invalid(
                errors, p, schema,
                "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength "
                "Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example "
                "XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status "
                "subresource is enabled");
            return;
        }
    }
}

static void check_deprecation(const struct json *version, const struct field_path *p,
                              struct field_errors *errors)
{
    const char *warning = json_find_str(version, "deprecationWarning");
    if (!warning)
        return;
    if (!json_find_bool(version, false, "deprecated")) {
        field_invalid_str(errors, p, warning, "can only be set for deprecated versions");
        return;
    }
    if (strlen(warning) > 256)
        field_invalid_str(errors, p, warning, "must be <= 256 characters long");
    if (!*warning)
        field_invalid_str(errors, p, warning, "must not be an empty string");
}

/* Fields by which lists can be filtered: scalars of the schema, outside of metadata. */
static void check_selectable(const struct json *version, const struct field_path *path,
                             struct field_errors *errors)
{
    const struct json *fields = json_get(version, "selectableFields");
    JSON_FOREACH(it, fields) {
        const struct field_path *p = FIELD(FIELD_AT(path, it.index), "jsonPath");
        const char *text = json_find_str(it.value, "jsonPath");
        if (str_empty(text)) {
            field_required(errors, p, NO_DETAIL);
            continue;
        }
        const struct json *schema = json_find(version, "schema", "openAPIV3Schema");
        size_t parts = 0;
        char **names = str_split(errors->arena, *text == '.' ? text + 1 : text, '.', &parts);
        for (size_t i = 0; schema && i < parts; i++)
            schema = json_find(schema, "properties", names[i]);
        const char *type = json_find_str(schema, "type");
        if (!schema || *text != '.')
            field_invalid_str(errors, p, text,
                              "is an invalid path: does not refer to a valid field");
        else if (parts && STREQ(names[0], "metadata"))
            field_invalid_str(errors, p, text, "must not point to fields in metadata");
        else if (!str_eq(type, "string") && !str_eq(type, "boolean") && !str_eq(type, "integer"))
            field_invalid_str(
                errors, p, text,
                "must point to a field of type string, boolean or integer. Enum string fields and strings with "
                "formats are allowed.");
    }
    if (json_size(fields) > 8)
        field_too_many(errors, path, (int64_t)json_size(fields), 8);
}

static void check_version(const struct json *version, const struct field_path *p,
                          struct field_errors *errors)
{
    const struct json *schema = json_find(version, "schema", "openAPIV3Schema");
    const char *name = json_find_str(version, "name");
    check_joined(name ? name : "", name, "", kube_validate_dns1035_label, FIELD(p, "name"), errors);
    check_deprecation(version, FIELD(p, "deprecationWarning"), errors);
    if (json_is_object(schema)) {
        const struct field_path *at = FIELD(FIELD(p, "schema"), "openAPIV3Schema");
        struct schema *compiled = NULL;
        check_root(schema, json_is_object(json_find(version, "subresources", "status")), at,
                   errors);
        schema_compile(schema, field_path_text(errors->arena, at), &compiled, errors);
        schema_free(compiled);
    }
    check_scale(json_find(version, "subresources", "scale"), FIELD(p, "subresources"), errors);
    struct crd_columns *columns = NULL;
    crd_columns_compile(json_get(version, "additionalPrinterColumns"),
                        field_path_text(errors->arena, FIELD(p, "additionalPrinterColumns")),
                        &columns, errors);
    crd_columns_free(columns);
    check_selectable(version, FIELD(p, "selectableFields"), errors);
}

static void check_versions(const struct json *obj, const struct field_path *spec,
                           struct field_errors *errors)
{
    const struct json *versions = json_find(obj, "spec", "versions");
    const struct field_path *p = FIELD(spec, "versions");
    size_t storage = 0;
    bool unique = true;
    JSON_FOREACH(it, versions)
        if (!json_is_object(json_find(it.value, "schema", "openAPIV3Schema")))
            field_required(errors, FIELD(FIELD(FIELD_AT(p, it.index), "schema"), "openAPIV3Schema"),
                           NO_DETAIL);
    JSON_FOREACH(it, versions) {
        storage += json_find_bool(it.value, false, "storage");
        JSON_FOREACH(other, versions)
            if (other.index < it.index &&
                same_value(json_get(other.value, "name"), json_get(it.value, "name")))
                unique = false;
        check_version(it.value, FIELD_AT(p, it.index), errors);
    }
    if (!unique)
        field_invalid(errors, p, versions, "must contain unique version names");
    if (storage != 1)
        field_invalid(errors, p, versions,
                      "must have exactly one version marked as storage version");
}

/* ---- conversion ------------------------------------------------------------------------------ */

static void check_conversion(const struct json *conversion, const struct field_path *p,
                             struct field_errors *errors)
{
    static const char *const known[] = { "None", "Webhook", NULL };
    const char *strategy = json_find_str(conversion, "strategy");
    const struct json *webhook = json_get(conversion, "webhook"),
                      *config = json_get(webhook, "clientConfig");
    check_enum(strategy, known, FIELD(p, "strategy"), errors);
    if (str_eq(strategy, "Webhook")) {
        if (!json_is_object(config))
            field_required(errors, FIELD(p, "webhookClientConfig"),
                           "required when strategy is set to Webhook");
        else if (!json_get(config, "url") == !json_get(config, "service"))
            field_required(errors, FIELD(p, "webhookClientConfig"),
                           "exactly one of url or service is required");
        if (json_size(json_get(webhook, "conversionReviewVersions")) == 0)
            field_required(errors, FIELD(p, "conversionReviewVersions"), NO_DETAIL);
        field_forbidden(errors, FIELD(p, "strategy"),
                        "conversion webhooks are not called by this server; use strategy None");
    } else {
        if (json_is_object(config))
            field_forbidden(errors, FIELD(p, "webhookClientConfig"),
                            "should not be set when strategy is not set to Webhook");
        if (json_size(json_get(webhook, "conversionReviewVersions")) > 0)
            field_forbidden(errors, FIELD(p, "conversionReviewVersions"),
                            "should not be set when strategy is not set to Webhook");
    }
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

/* A version in which objects may still be stored cannot go. */
static void check_stored_versions(const struct json *obj, struct field_errors *errors)
{
    const struct field_path *p = FIELD(FIELD(NULL, "status"), "storedVersions");
    JSON_FOREACH(it, json_find(obj, "status", "storedVersions")) {
        const char *v = json_string(it.value);
        bool found = false;
        JSON_FOREACH(version, json_find(obj, "spec", "versions"))
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
    if (STREQ(x->subresource, "status"))
        return;
    if (!x->old)
        check_object_name(obj, errors);
    check_group(json_find_str(spec, "group"), FIELD(p, "group"), errors);
    check_enum(json_find_str(spec, "scope"), scopes, FIELD(p, "scope"), errors);
    check_versions(obj, p, errors);
    check_required_names(names, FIELD(p, "names"), errors);
    check_names(names, FIELD(p, "names"), errors);
    check_conversion(json_get(spec, "conversion"), FIELD(p, "conversion"), errors);
    if (x->old) {
        check_update(obj, x->old, errors);
        check_stored_versions(obj, errors);
    }
    check_approval(obj, errors);
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
                                              .prepare = prepare,
                                              .validate = validate },
    .field_selectors = (const char *const[]){ NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
