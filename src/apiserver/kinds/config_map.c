/* ConfigMaps. */
#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "kube/meta.h"
#include "json/build.h"

#define DATA_MAX MIB

/* Bytes of base64 text without its padding. */
static size_t decoded_len(const struct json *v)
{
    const char *s = json_string(v);
    size_t len = json_string_len(v);
    while (len && s[len - 1] == '=')
        len--;
    return len * 3 / 4;
}

static void validate_update(const struct json *obj, const struct json *old,
                            struct field_errors *errors)
{
    static const char *const fields[] = { "data", "binaryData" };
    static const char why[] = "field is immutable when `immutable` is set";
    if (!json_find_bool(old, false, "immutable"))
        return;
    if (!json_find_bool(obj, false, "immutable"))
        field_forbidden(errors, FIELD(NULL, "immutable"), why);
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (!same_value(json_get(obj, fields[i]), json_get(old, fields[i])))
            field_forbidden(errors, FIELD(NULL, fields[i]), why);
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    const struct json *data = json_get(obj, "data"), *binary = json_get(obj, "binaryData");
    size_t total = 0;
    if (x->old)
        validate_update(obj, x->old, errors);
    JSON_FOREACH(it, data) {
        const struct field_path *p = FIELD_KEY(FIELD(NULL, "data"), it.key);
        check_text(it.key, rule_config_key, p, errors);
        if (json_get(binary, it.key))
            field_invalid_str(errors, p, it.key, "duplicate of key present in binaryData");
        total += json_string_len(it.value);
    }
    JSON_FOREACH(it, binary) {
        check_text(it.key, rule_config_key, FIELD_KEY(FIELD(NULL, "binaryData"), it.key), errors);
        total += decoded_len(it.value);
    }
    if (total > DATA_MAX)
        field_too_long(errors, FIELD(NULL, ""), DATA_MAX);
}

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, INT((int64_t)(json_size(json_get(obj, "data")) +
                                     json_size(json_get(obj, "binaryData")))));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Data", "string", "", 0, "Number of entries." },
    COLUMN_AGE,
};

const struct api_kind kind_config_map = {
    .resource = { "", "v1", "configmaps", "ConfigMap", true },
    .singular = "configmap",
    .list_kind = "ConfigMapList",
    .short_names = (const char *const[]){ "cm", NULL },
    .categories = (const char *const[]){ NULL },
    .builtin = true,
    .strategy = &(const struct api_strategy){ .validate = validate },
    .field_selectors = (const char *const[]){ NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
