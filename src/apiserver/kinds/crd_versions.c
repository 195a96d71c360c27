/* Versions of a CustomResourceDefinition. What all versions have in common is checked after the
 * names and named where a CRD had it before there were versions (spec.validation): users of the
 * real server see these paths. */
#include <string.h>

#include "apiserver/kinds/crd_versions.h"
#include "apiserver/kinds/rules.h"
#include "apiserver/table.h"
#include "base/str.h"
#include "kube/selector.h"

#define SELECTABLE_FIELDS_MAX 8

/* NULL: versions differ in it, or have none. */
struct crd_common {
    const struct json *schema, *subresources, *columns, *selectable;
};

/* ---- parts ----------------------------------------------------------------------------------- */

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
        if (json_is_null(it.value) || str_eq(json_string(it.value), ""))
            continue;
        if (STREQ(it.key, "type") && !str_eq(json_string(it.value), "object")) {
            field_invalid_str(
                errors, FIELD(p, "type"), json_string(it.value),
                "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled");
            return;
        }
        if (!is_one_of(it.key, allowed)) {
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
    size_t printable = 0;
    while ((unsigned char)warning[printable] >= ' ' && warning[printable] != 0x7f)
        printable++;
    if (warning[printable])
        field_invalid_str(
            errors, p, warning,
            "must only contain printable UTF-8 characters; non-printable character found at index %zu",
            printable);
}

/* Fields by which lists can be filtered: scalars of the schema, outside of metadata. */
static void check_selectable(const struct json *fields, const struct json *whole,
                             const struct field_path *path, struct field_errors *errors)
{
    size_t distinct = 0;
    JSON_FOREACH(it, fields) {
        const struct field_path *p = FIELD(FIELD_AT(path, it.index), "jsonPath");
        const char *text = json_find_str(it.value, "jsonPath");
        if (str_empty(text)) {
            field_required(errors, p, NO_DETAIL);
            continue;
        }
        size_t parts = 0;
        char **names = str_split(errors->arena, *text == '.' ? text + 1 : text, '.', &parts);
        const struct json *schema = whole;
        for (size_t i = 0; schema && i < parts; i++)
            schema = json_find(schema, "properties", names[i]);
        const char *type = json_find_str(schema, "type");
        if (!schema || *text != '.') {
            field_invalid_str(errors, p, text,
                              "is an invalid path: does not refer to a valid field");
            continue;
        }
        if (parts && STREQ(names[0], "metadata"))
            field_invalid_str(errors, p, text, "must not point to fields in metadata");
        if (!str_eq(type, "string") && !str_eq(type, "boolean") && !str_eq(type, "integer"))
            field_invalid_str(
                errors, p, text,
                "must point to a field of type string, boolean or integer. Enum string fields and strings with "
                "formats are allowed.");
        bool seen = false;
        JSON_FOREACH(other, fields)
            seen = seen ||
                   (other.index < it.index && str_eq(json_find_str(other.value, "jsonPath"), text));
        if (seen)
            field_duplicate_str(errors, p, text);
        distinct += !seen;
    }
    if (distinct > SELECTABLE_FIELDS_MAX)
        field_too_many(errors, path, (int64_t)distinct, SELECTABLE_FIELDS_MAX);
}

static void check_schema(const struct json *validation, bool has_status, const struct field_path *p,
                         struct field_errors *errors)
{
    const struct json *schema = json_get(validation, "openAPIV3Schema");
    const struct field_path *at = FIELD(p, "openAPIV3Schema");
    if (!json_is_object(schema))
        return;
    struct schema *compiled = NULL;
    check_root(schema, has_status, at, errors);
    schema_compile(schema, field_path_text(errors->arena, at), &compiled, errors);
    schema_free(compiled);
}

static void check_columns(const struct json *columns, const struct field_path *p,
                          struct field_errors *errors)
{
    struct crd_columns *compiled = NULL;
    crd_columns_compile(columns, field_path_text(errors->arena, p), &compiled, errors);
    crd_columns_free(compiled);
}

/* ---- what versions have in common ------------------------------------------------------------ */

/* The value of all versions, or NULL. */
static const struct json *common_value(const struct json *versions, const char *key)
{
    const struct json *first = json_get(json_at(versions, 0), key);
    JSON_FOREACH(it, versions)
        if (!same_value(json_get(it.value, key), first))
            return NULL;
    return json_is_null(first) ? NULL : first;
}

static struct crd_common find_common(const struct json *spec)
{
    const struct json *versions = json_get(spec, "versions");
    return (struct crd_common){ .schema = common_value(versions, "schema"),
                                .subresources = common_value(versions, "subresources"),
                                .columns = common_value(versions, "additionalPrinterColumns"),
                                .selectable = common_value(versions, "selectableFields") };
}

static bool has_status(const struct json *subresources)
{
    return json_is_object(json_get(subresources, "status"));
}

static void check_version(const struct json *version, const struct crd_common *common,
                          const struct field_path *p, struct field_errors *errors)
{
    const char *name = json_find_str(version, "name");
    const struct json *subresources = json_get(version, "subresources");
    check_joined(name ? name : "", name, "", kube_validate_dns1035_label, FIELD(p, "name"), errors);
    check_deprecation(version, FIELD(p, "deprecationWarning"), errors);
    if (!common->schema)
        check_schema(json_get(version, "schema"), has_status(subresources), FIELD(p, "schema"),
                     errors);
    if (!common->subresources)
        check_scale(json_get(subresources, "scale"), FIELD(p, "subresources"), errors);
    if (!common->columns)
        check_columns(json_get(version, "additionalPrinterColumns"),
                      FIELD(p, "additionalPrinterColumns"), errors);
    if (!common->selectable)
        check_selectable(json_get(version, "selectableFields"),
                         json_find(version, "schema", "openAPIV3Schema"),
                         FIELD(p, "selectableFields"), errors);
}

void crd_check_versions(const struct json *spec, const struct field_path *spec_path,
                        struct field_errors *errors)
{
    const struct json *versions = json_get(spec, "versions");
    const struct field_path *p = FIELD(spec_path, "versions");
    const struct crd_common common = find_common(spec);
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
        check_version(it.value, &common, FIELD_AT(p, it.index), errors);
    }
    if (!unique)
        field_invalid(errors, p, versions, "must contain unique version names");
    if (storage != 1)
        field_invalid(errors, p, versions,
                      "must have exactly one version marked as storage version");
    const char *first = json_find_str(json_at(versions, 0), "name");
    if (!str_empty(first))
        check_joined(first, first, "", kube_validate_dns1035_label, FIELD(spec_path, "version"),
                     errors);
}

void crd_check_common(const struct json *spec, const struct field_path *p,
                      struct field_errors *errors)
{
    const struct crd_common common = find_common(spec);
    bool any_status = false;
    JSON_FOREACH(it, json_get(spec, "versions"))
        any_status = any_status || has_status(json_get(it.value, "subresources"));
    check_schema(common.schema, any_status, FIELD(p, "validation"), errors);
    check_scale(json_get(common.subresources, "scale"), FIELD(p, "subresources"), errors);
    check_columns(common.columns, FIELD(p, "additionalPrinterColumns"), errors);
    if (json_size(common.selectable) == 0)
        return;
    if (common.schema)
        check_selectable(common.selectable, json_get(common.schema, "openAPIV3Schema"),
                         FIELD(p, "selectableFields"), errors);
    else
        field_invalid_str(errors, FIELD(p, "selectableFields"), "",
                          "may only be set when validations.schema is included");
}
