#include "kube/selector.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "kube/object.h"
#include "kube/selector_internal.h"

struct selector *selector_new(enum selector_kind kind)
{
    struct selector *s = NEW0(struct selector);
    s->arena = arena_new();
    s->kind = kind;
    return s;
}

void selector_free(struct selector *s)
{
    if (!s)
        return;
    arena_free(s->arena);
    free(s);
}

/* ---- making ------------------------------------------------------------------------------------------------- */

/* The letter behind the backslash, 0 when c has no short escape. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\a':
        return 'a';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\v':
        return 'v';
    default:
        return 0;
    }
}

char *selector_quote(struct arena *a, const char *s)
{
    AUTO_BUF out = BUF_INIT(2 * MIB);
    size_t len = strlen(s);
    size_t valid = str_utf8_valid_len(s, len);
    buf_putc(&out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        char letter = short_escape(c);
        if (letter) {
            buf_printf(&out, "\\%c", letter);
        } else if (c < 0x20 || c == 0x7f || i == valid) {
            buf_printf(&out, "\\x%02x", c);
        } else {
            buf_putc(&out, (char)c);
        }
        if (i == valid)
            valid += 1 + str_utf8_valid_len(s + i + 1, len - i - 1);
    }
    buf_putc(&out, '"');
    return arena_strndup(a, buf_str(&out), out.len);
}

static int compare_strings(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static bool parse_number(const char *s, int64_t *ret)
{
    return str_to_int64(*s == '+' && s[1] != '-' && s[1] != '+' ? s + 1 : s, ret) == 0;
}

/* Several problems of one requirement are shown as "[first, second]". */
struct problems {
    struct buf text;
    size_t count;
};

static void add_problem(struct problems *p, const char *text)
{
    if (p->count++ > 0)
        buf_puts(&p->text, ", ");
    buf_puts(&p->text, text);
}

static void sort_values(struct requirement *r)
{
    if (r->count < 2)
        return;
    qsort(r->values, r->count, sizeof(*r->values), compare_strings);
    size_t kept = 1;
    for (size_t i = 1; i < r->count; i++)
        if (!STREQ(r->values[i], r->values[kept - 1]))
            r->values[kept++] = r->values[i];
    r->count = kept;
}

static void check_values(const struct requirement *r, int64_t *ret_number,
                         struct problems *problems)
{
    AUTO_ARENA a = arena_new();
    bool ordered = r->op == OPERATOR_LESS || r->op == OPERATOR_GREATER;
    for (size_t i = 0; ordered && i < r->count; i++) {
        if (!parse_number(r->values[i], ret_number))
            add_problem(
                problems,
                arena_printf(
                    a,
                    "values[%zu]: Invalid value: %s: for 'Gt', 'Lt' operators, the value must be an integer",
                    i, selector_quote(a, r->values[i])));
    }
    for (size_t i = 0; i < r->count; i++) {
        CLEANUP(error_cleanup) struct error *why = NULL;
        if (kube_validate_label_value(r->values[i], &why) < 0)
            add_problem(problems,
                        arena_printf(a, "values[%zu][%s]: Invalid value: %s: %s", i, r->key,
                                     selector_quote(a, r->values[i]), error_message(why)));
    }
}

int selector_add(struct selector *s, const struct requirement *r, struct error **err)
{
    struct requirement kept = *r;
    sort_values(&kept);
    if (s->kind == SELECTS_LABELS) {
        struct problems problems = { .text = BUF_INIT(64 * KIB) };
        check_values(&kept, &kept.number, &problems);
        int rc = 0;
        if (problems.count > 0)
            rc = error_set(err, ERROR_INVALID, problems.count > 1 ? "[%s]" : "%s",
                           buf_str(&problems.text));
        buf_done(&problems.text);
        if (rc < 0)
            return rc;
    }
    if ((s->count & (s->count - 1)) == 0) {
        struct requirement *grown =
            arena_alloc(s->arena, (s->count ? s->count * 2 : 1) * sizeof(*grown));
        if (s->count > 0)
            memcpy(grown, s->requirements, s->count * sizeof(*grown));
        s->requirements = grown;
    }
    s->requirements[s->count++] = kept;
    return 0;
}

static int compare_requirements(const void *x, const void *y)
{
    return strcmp(((const struct requirement *)x)->key, ((const struct requirement *)y)->key);
}

void selector_sort(struct selector *s)
{
    if (s->count > 1)
        qsort(s->requirements, s->count, sizeof(*s->requirements), compare_requirements);
}

/* ---- from a metav1.LabelSelector ---------------------------------------------------------------------------- */

static int add_checked(struct selector *s, const struct requirement *r, struct error **err)
{
    CLEANUP(error_cleanup) struct error *why = NULL;
    if (kube_validate_label_key(r->key, &why) < 0) {
        AUTO_ARENA a = arena_new();
        return error_set(err, ERROR_INVALID, "key: Invalid value: %s: %s",
                         selector_quote(a, r->key), error_message(why));
    }
    return selector_add(s, r, err);
}

static int add_expression(struct selector *s, const struct json *expression, struct error **err)
{
    static const struct {
        const char *name;
        enum operator op;
    } operators[] = {
        { "In", OPERATOR_IN },
        { "NotIn", OPERATOR_NOT_IN },
        { "Exists", OPERATOR_EXISTS },
        { "DoesNotExist", OPERATOR_NOT_EXISTS },
    };
    const char *name = json_find_str(expression, "operator");
    const char *key = json_find_str(expression, "key");
    const struct json *values = json_get(expression, "values");
    struct requirement r = { .key = arena_strdup(s->arena, key ? key : "") };
    size_t i = 0;
    while (i < COUNT_OF(operators) && !str_eq(name, operators[i].name))
        i++;
    if (i == COUNT_OF(operators)) {
        AUTO_ARENA a = arena_new();
        return error_set(err, ERROR_INVALID, "%s is not a valid label selector operator",
                         selector_quote(a, name ? name : ""));
    }
    r.op = operators[i].op;
    bool set = r.op == OPERATOR_IN || r.op == OPERATOR_NOT_IN;
    if (set && json_size(values) == 0)
        return error_set(
            err, ERROR_INVALID,
            "values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty");
    if (!set && json_size(values) > 0) {
        AUTO_ARENA a = arena_new();
        return error_set(
            err, ERROR_INVALID,
            "values: Invalid value: %s: values set must be empty for exists and does not exist",
            json_text(a, values));
    }
    r.values = arena_alloc(s->arena, (json_size(values) + 1) * sizeof(*r.values));
    JSON_FOREACH(it, values) {
        const char *value = json_string(it.value);
        r.values[r.count++] = arena_strdup(s->arena, value ? value : "");
    }
    return add_checked(s, &r, err);
}

int selector_from_object(const struct json *label_selector, struct selector **ret,
                         struct error **err)
{
    bool absent = json_is_null(label_selector);
    CLEANUP(selector_cleanup)
    struct selector *s = selector_new(absent ? SELECTS_NOTHING : SELECTS_LABELS);
    JSON_FOREACH(it, json_get(label_selector, "matchLabels")) {
        struct requirement r = { .key = arena_strdup(s->arena, it.key),
                                 .op = OPERATOR_EQUALS,
                                 .count = 1 };
        const char *value = json_string(it.value);
        r.values = arena_alloc(s->arena, sizeof(*r.values));
        r.values[0] = arena_strdup(s->arena, value ? value : "");
        int rc = add_checked(s, &r, err);
        if (rc < 0)
            return rc;
    }
    JSON_FOREACH(it, json_get(label_selector, "matchExpressions")) {
        int rc = add_expression(s, it.value, err);
        if (rc < 0)
            return rc;
    }
    selector_sort(s);
    *ret = TAKE_PTR(s);
    return 0;
}

/* ---- matching ----------------------------------------------------------------------------------------------- */

static bool has_value(const struct requirement *r, const char *value)
{
    if (r->count == 1)
        return STREQ(r->values[0], value);
    return r->count > 0 &&
           bsearch(&value, r->values, r->count, sizeof(*r->values), compare_strings);
}

/* value: NULL when the key is absent. */
static bool requirement_matches(const struct requirement *r, const char *value)
{
    int64_t number;
    switch (r->op) {
    case OPERATOR_EXISTS:
        return value;
    case OPERATOR_NOT_EXISTS:
        return !value;
    case OPERATOR_NOT_EQUALS:
    case OPERATOR_NOT_IN:
        return !value || !has_value(r, value);
    case OPERATOR_EQUALS:
    case OPERATOR_IN:
        return value && has_value(r, value);
    case OPERATOR_LESS:
        return value && parse_number(value, &number) && number < r->number;
    case OPERATOR_GREATER:
        return value && parse_number(value, &number) && number > r->number;
    }
    return false;
}

bool selector_empty(const struct selector *s)
{
    return s->kind != SELECTS_NOTHING && s->count == 0;
}

bool selector_matches_labels(const struct selector *s, const struct json *labels)
{
    for (size_t i = 0; i < s->count; i++)
        if (!requirement_matches(&s->requirements[i],
                                 json_string(json_get(labels, s->requirements[i].key))))
            return false;
    return s->kind != SELECTS_NOTHING;
}

bool selector_matches_object(const struct selector *s, const struct kube_object *o)
{
    for (size_t i = 0; i < s->count; i++)
        if (!requirement_matches(&s->requirements[i], kube_object_label(o, s->requirements[i].key)))
            return false;
    return s->kind != SELECTS_NOTHING;
}

/* The text of a field as selectors compare it. `scratch` holds numbers. */
static const char *field_text(const struct json *obj, const char *path, char scratch[32])
{
    const struct json *v = obj;
    while (v) {
        size_t len = strcspn(path, ".");
        v = json_get_n(v, path, len);
        if (!path[len])
            break;
        path += len + 1;
    }
    switch (json_type(v)) {
    case JSON_STRING:
        return json_string(v);
    case JSON_BOOL:
        return json_bool(v, false) ? "true" : "false";
    case JSON_INT:
        snprintf(scratch, 32, "%lld", (long long)json_int(v, 0));
        return scratch;
    default:
        return "";
    }
}

bool selector_matches_fields(const struct selector *s, const struct json *obj)
{
    for (size_t i = 0; i < s->count; i++) {
        char scratch[32];
        if (!requirement_matches(&s->requirements[i],
                                 field_text(obj, s->requirements[i].key, scratch)))
            return false;
    }
    return s->kind != SELECTS_NOTHING;
}

/* ---- looking inside ----------------------------------------------------------------------------------------- */

size_t selector_count(const struct selector *s)
{
    return s->count;
}

static const char *const operator_names[] = {
    [OPERATOR_EQUALS] = "=",     [OPERATOR_NOT_EQUALS] = "!=", [OPERATOR_IN] = "in",
    [OPERATOR_NOT_IN] = "notin", [OPERATOR_EXISTS] = "exists", [OPERATOR_NOT_EXISTS] = "!",
    [OPERATOR_LESS] = "<",       [OPERATOR_GREATER] = ">",
};

void selector_get(const struct selector *s, size_t i, const char **ret_key, const char **ret_op,
                  const char **ret_value)
{
    const struct requirement *r = &s->requirements[i];
    if (ret_key)
        *ret_key = r->key;
    if (ret_op)
        *ret_op = operator_names[r->op];
    if (ret_value)
        *ret_value = r->count > 0 ? r->values[0] : NULL;
}

static void append_escaped(struct buf *out, const char *value)
{
    for (; *value; value++) {
        if (strchr("\\,=", *value))
            buf_putc(out, '\\');
        buf_putc(out, *value);
    }
}

static void append_requirement(struct buf *out, const struct selector *s,
                               const struct requirement *r)
{
    switch (r->op) {
    case OPERATOR_NOT_EXISTS:
        buf_printf(out, "!%s", r->key);
        return;
    case OPERATOR_EXISTS:
        buf_puts(out, r->key);
        return;
    case OPERATOR_IN:
    case OPERATOR_NOT_IN:
        buf_printf(out, "%s %s (", r->key, operator_names[r->op]);
        for (size_t i = 0; i < r->count; i++)
            buf_printf(out, "%s%s", i > 0 ? "," : "", r->values[i]);
        buf_putc(out, ')');
        return;
    default:
        buf_printf(out, "%s%s", r->key, operator_names[r->op]);
        if (s->kind == SELECTS_FIELDS)
            append_escaped(out, r->values[0]);
        else
            buf_puts(out, r->values[0]);
    }
}

char *selector_text(struct arena *a, const struct selector *s)
{
    AUTO_BUF out = BUF_INIT(4 * MIB);
    for (size_t i = 0; i < s->count; i++) {
        if (i > 0)
            buf_putc(&out, ',');
        append_requirement(&out, s, &s->requirements[i]);
    }
    return arena_strndup(a, buf_str(&out), out.len);
}
