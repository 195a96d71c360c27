/* Secrets: stringData goes into data, types require keys. */
#include <string.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/kinds/rules.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/crypto.h"
#include "kube/meta.h"
#include "json/build.h"

#define DATA_MAX MIB

/* A write-only convenience: plain text that wins over data. */
static void set_defaults(struct strategy_context *x, struct json *obj)
{
    struct arena *a = x->a;
    const struct json *plain = json_get(obj, "stringData");
    if (json_size(plain) > 0) {
        struct json *data = json_ensure_object(a, obj, "data");
        JSON_FOREACH(it, plain)
            json_set(a, data, it.key,
                     STR(base64_encode(a, json_string(it.value), json_string_len(it.value))));
    }
    json_del(obj, "stringData");
}

static void prepare(struct strategy_context *x, struct json *obj)
{
    if (x->old && str_empty(json_find_str(obj, "type")))
        json_set(x->a, obj, "type", json_clone(x->a, json_get(x->old, "type")));
}

static size_t decoded_len(const struct json *v)
{
    const char *s = json_string(v);
    size_t len = json_string_len(v);
    while (len && s[len - 1] == '=')
        len--;
    return len * 3 / 4;
}

/* ---- types ----------------------------------------------------------------------------------- */

static void require(const struct json *data, const char *key, struct field_errors *errors)
{
    if (!json_get(data, key))
        field_required(errors, FIELD_KEY(FIELD(NULL, "data"), key), NO_DETAIL);
}

/* Whether a text that is no JSON stops in the middle of a string, an array or an object. */
static bool is_cut_off(const char *s, size_t len)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '"')
            quoted = !quoted;
        else if (quoted)
            i += s[i] == '\\';
        else if (s[i] == '{' || s[i] == '[')
            depth++;
        else if (s[i] == '}' || s[i] == ']')
            depth -= depth > 0;
    }
    return len == 0 || quoted || depth > 0;
}

/* The value of the key must be a JSON object. */
static void require_json(const struct json *data, const char *key, struct field_errors *errors)
{
    const struct field_path *p = FIELD_KEY(FIELD(NULL, "data"), key);
    const char *text = json_find_str(data, key);
    if (!text) {
        field_required(errors, p, NO_DETAIL);
        return;
    }
    struct arena *a = errors->arena;
    char *bytes = NULL;
    size_t len = 0;
    CLEANUP(error_cleanup) struct error *err = NULL;
    struct json *v = NULL;
    if (base64_decode(a, text, strlen(text), &bytes, &len) < 0 ||
        json_parse(a, bytes, len, &v, &err) < 0) {
        const char *first =
            is_cut_off(bytes, len)
                ? "unexpected end of JSON input"
                : arena_printf(a, "invalid character '%c' looking for beginning of value",
                               bytes[0]);
        field_invalid_str(errors, p, "<secret contents redacted>", "%s", first);
    } else if (!json_is_object(v)) {
        field_invalid_str(errors, p, "<secret contents redacted>",
                          "json: cannot unmarshal %s into Go value of type map[string]interface {}",
                          json_is_number(v) ? "number"
                          : json_is_bool(v) ? "bool"
                                            : json_type_name(json_type(v)));
    }
}

static void validate_type(const struct json *obj, struct field_errors *errors)
{
    const struct json *data = json_get(obj, "data");
    const char *type = json_find_str(obj, "type");
    if (str_eq(type, "kubernetes.io/service-account-token")) {
        if (str_empty(meta_annotation(obj, "kubernetes.io/service-account.name")))
            field_required(errors,
                           FIELD_KEY(FIELD(FIELD(NULL, "metadata"), "annotations"),
                                     "kubernetes.io/service-account.name"),
                           NO_DETAIL);
    } else if (str_eq(type, "kubernetes.io/dockercfg")) {
        require_json(data, ".dockercfg", errors);
    } else if (str_eq(type, "kubernetes.io/dockerconfigjson")) {
        require_json(data, ".dockerconfigjson", errors);
    } else if (str_eq(type, "kubernetes.io/basic-auth")) {
        if (!json_get(data, "username") && !json_get(data, "password")) {
            require(data, "username", errors);
            require(data, "password", errors);
        }
    } else if (str_eq(type, "kubernetes.io/ssh-auth")) {
        if (json_string_len(json_get(data, "ssh-privatekey")) == 0)
            field_required(errors, FIELD_KEY(FIELD(NULL, "data"), "ssh-privatekey"), NO_DETAIL);
    } else if (str_eq(type, "kubernetes.io/tls")) {
        require(data, "tls.crt", errors);
        require(data, "tls.key", errors);
    }
}

static void validate_update(const struct json *obj, const struct json *old,
                            struct field_errors *errors)
{
    static const char why[] = "field is immutable when `immutable` is set";
    check_immutable(json_get(obj, "type"), json_get(old, "type"), FIELD(NULL, "type"), errors);
    if (!json_find_bool(old, false, "immutable"))
        return;
    if (!json_find_bool(obj, false, "immutable"))
        field_forbidden(errors, FIELD(NULL, "immutable"), why);
    if (!same_value(json_get(obj, "data"), json_get(old, "data")))
        field_forbidden(errors, FIELD(NULL, "data"), why);
}

static void validate(struct strategy_context *x, const struct json *obj,
                     struct field_errors *errors)
{
    size_t total = 0;
    if (x->old)
        validate_update(obj, x->old, errors);
    JSON_FOREACH(it, json_get(obj, "data")) {
        check_text(it.key, rule_config_key, FIELD_KEY(FIELD(NULL, "data"), it.key), errors);
        total += decoded_len(it.value);
    }
    if (total > DATA_MAX)
        field_too_long(errors, FIELD(NULL, "data"), DATA_MAX);
    validate_type(obj, errors);
}

/* ---- table ----------------------------------------------------------------------------------- */

static void cells(struct arena *a, const struct json *obj, int64_t now_wall_ns, struct json *cells)
{
    json_append(cells, STR(meta_name(obj)));
    json_append(cells, cell_text(a, json_find_str(obj, "type"), ""));
    json_append(cells, INT((int64_t)json_size(json_get(obj, "data"))));
    json_append(cells, cell_object_age(a, obj, now_wall_ns));
}

static const struct table_column columns[] = {
    COLUMN_NAME,
    { "Type", "string", "", 0, "What the secret is for." },
    { "Data", "string", "", 0, "Number of entries." },
    COLUMN_AGE,
};

const struct api_kind kind_secret = {
    .resource = { "", "v1", "secrets", "Secret", true },
    .singular = "secret",
    .list_kind = "SecretList",
    .short_names = (const char *const[]){ NULL },
    .categories = (const char *const[]){ NULL },
    .builtin = true,
    .strategy = &(const struct api_strategy){ .set_defaults = set_defaults,
                                              .prepare = prepare,
                                              .validate = validate },
    .field_selectors = (const char *const[]){ "type", NULL },
    .columns = columns,
    .column_count = COUNT_OF(columns),
    .cells = cells,
};
