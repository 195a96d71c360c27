/* x-kubernetes-validations: rules in the Common Expression Language, compiled with the schema and
 * asked of each value that they stand at. What did not change since the object was stored is not
 * asked again. */
#include <string.h>

#include "base/str.h"
#include "schema/schema_internal.h"
#include "json/build.h"

/* ---- types for the compiler ------------------------------------------------------------------ */

/* A node that says nothing about what is in its values. */
static const void *as_type(const struct schema_node *n)
{
    bool open = !n || n->int_or_string || n->embedded || n->preserve_unknown ||
                (!n->types && n->property_count == 0);
    return open ? NULL : n;
}

static const void *member_type(const void *type, const char *name, bool *ret_known)
{
    const struct schema_node *n = type;
    const struct schema_node *member = schema_property_find(n, name);
    if (member)
        return as_type(member);
    *ret_known = n->additional_allowed || n->additional;
    return as_type(n->additional);
}

static const void *element_type(const void *type)
{
    const struct schema_node *n = type;
    return as_type(n->types & TYPE_ARRAY ? n->items : NULL);
}

static const struct cel_program *compile(struct arena *a, const struct schema_node *n,
                                         const char *text, const char **ret_fault)
{
    struct cel_types types = {
        .self = as_type(n),
        .member = member_type,
        .element = element_type,
    };
    const struct cel_program *program = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (!str_empty(text) && cel_compile(a, text, &types, &program, &err) < 0)
        *ret_fault = arena_printf(a, "compilation failed: %s", error_message(err));
    return program;
}

void schema_rules_fill(struct schema_node *n, struct arena *a, const struct json *json)
{
    const struct json *rules = json_get(json, "x-kubernetes-validations");
    n->rules = arena_zalloc(a, (json_size(rules) + 1) * sizeof(*n->rules));
    JSON_FOREACH(it, rules) {
        struct schema_rule *rule = &n->rules[n->rule_count++];
        const struct json *copy = json_clone(a, it.value);
        rule->text = json_find_str(copy, "rule");
        rule->message = json_find_str(copy, "message");
        rule->reason = json_find_str(copy, "reason");
        rule->field_path = json_find_str(copy, "fieldPath");
        rule->program = compile(a, n, rule->text, &rule->fault);
        rule->message_program =
            compile(a, n, json_find_str(copy, "messageExpression"), &rule->message_fault);
        if (json_find_bool(copy, false, "optionalOldSelf"))
            rule->fault = "optionalOldSelf is not supported by this server";
    }
}

/* ---- when a CRD is created ------------------------------------------------------------------- */

/* As the API server shows the value: the rule, under the names of its Go fields. */
static const char *rule_text(struct arena *a, const struct json *rule)
{
    static const struct {
        const char *key, *shown;
        bool pointer; /* null when absent, else "" */
    } fields[] = {
        { "rule", "Rule", false },
        { "message", "Message", false },
        { "messageExpression", "MessageExpression", false },
        { "reason", "Reason", true },
        { "fieldPath", "FieldPath", false },
        { "optionalOldSelf", "OptionalOldSelf", true },
    };
    struct json *shown = EMPTY_OBJ();
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        struct json *v = json_clone(a, json_get(rule, fields[i].key));
        json_set(a, shown, fields[i].shown, v ? v : fields[i].pointer ? NUL() : STR(""));
    }
    return json_text(a, shown);
}

/* `lost`: the list in which values cannot be told from what they were before; NULL: none. */
static void check_own(const struct schema_node *n, const struct json *json,
                      const struct field_path *p, const struct field_path *lost,
                      struct field_errors *errors)
{
    const struct field_path *list = FIELD(p, "x-kubernetes-validations");
    for (size_t i = 0; i < n->rule_count; i++) {
        const struct schema_rule *rule = &n->rules[i];
        const struct json *value = json_at(json_get(json, "x-kubernetes-validations"), i);
        const char *shown = rule_text(errors->arena, value);
        const struct field_path *at = FIELD_AT(list, i);
        if (rule->fault)
            field_invalid_raw(errors, FIELD(at, "rule"), shown, "%s", rule->fault);
        else if (rule->program && cel_uses_old_self(rule->program) && lost)
            field_invalid_raw(
                errors, FIELD(at, "rule"),
                field_quote(errors->arena, rule->text, strlen(rule->text)),
                "oldSelf cannot be used on the uncorrelatable portion of the schema within %s",
                field_path_text(errors->arena, lost));
        if (rule->message_fault)
            field_invalid_raw(errors, FIELD(at, "messageExpression"), shown, "%s",
                              rule->message_fault);
    }
}

void schema_check_rules(const struct schema_node *n, const struct json *json,
                        const struct field_path *p, const struct field_path *lost,
                        struct field_errors *errors)
{
    check_own(n, json, p, lost, errors);
    JSON_FOREACH(it, json_get(json, "properties"))
        schema_check_rules(schema_property_find(n, it.key), it.value,
                           FIELD_KEY(FIELD(p, "properties"), it.key), lost, errors);
    if (n->additional)
        schema_check_rules(n->additional, json_get(json, "additionalProperties"),
                           FIELD(p, "additionalProperties"), lost, errors);
    if (n->items)
        schema_check_rules(n->items, json_get(json, "items"), FIELD(p, "items"),
                           lost || n->list_type == LIST_MAP ? lost : p, errors);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static const char *message_of(struct arena *a, const struct schema_rule *rule, const struct json *v,
                              const struct json *old)
{
    const struct json *made = NULL;
    if (rule->message_program && cel_eval(a, rule->message_program, v, old, &made, NULL) == 0 &&
        json_is_string(made) && *str_trim(a, json_string(made)) && !strchr(json_string(made), '\n'))
        return json_string(made);
    if (!str_empty(rule->message))
        return str_trim(a, rule->message);
    return arena_printf(a, "failed rule: %s", str_trim(a, rule->text));
}

/* The field below the value that the rule names, as ".name" and "['name']" in a row. */
static const struct field_path *field_of(struct arena *a, const struct schema_rule *rule,
                                         const struct field_path *p)
{
    const char *at = rule->field_path;
    while (at && *at) {
        bool quoted = str_has_prefix(at, "['");
        const char *from = at + (quoted ? 2 : *at == '.');
        size_t len = quoted ? strcspn(from, "'") : strcspn(from, ".[");
        struct field_path *next = arena_alloc(a, sizeof(*next));
        *next = (struct field_path){ .up = p, .name = arena_strndup(a, from, len) };
        p = next;
        at = from + len;
        if (quoted)
            at += strspn(at, "']");
        else if (len == 0)
            break;
    }
    return p;
}

/* The value is shown when it is a scalar. */
static void add_failure(const struct schema_rule *rule, const struct json *v, const char *message,
                        const struct field_path *p, struct field_errors *errors)
{
    struct arena *a = errors->arena;
    const struct field_path *at = field_of(a, rule, p);
    if (str_eq(rule->reason, "FieldValueForbidden"))
        field_forbidden(errors, at, "%s", message);
    else if (str_eq(rule->reason, "FieldValueRequired"))
        field_required(errors, at, "%s", message);
    else if (str_eq(rule->reason, "FieldValueDuplicate"))
        field_duplicate(errors, at, v);
    else if (json_is_object(v) || json_is_array(v))
        field_errors_add(errors, "FieldValueInvalid", field_path_text(a, at), "Invalid value: %s",
                         message);
    else
        field_invalid(errors, at, v, "%s", message);
}

/* What the API server says of a rule that cannot be evaluated. */
static const char *fault_text(struct arena *a, const struct schema_rule *rule, const char *fault)
{
    const char *which = str_empty(rule->message) ? rule->text : rule->message;
    if (str_has_prefix(fault, "no such overload"))
        return arena_printf(a,
                            "'%s': call arguments did not match a supported operator, function or "
                            "macro signature for rule: %s",
                            fault, which);
    if (str_has_prefix(fault, "operation cancelled"))
        return arena_printf(
            a,
            "'%s': no further validation rules will be run due to call cost exceeds "
            "limit for rule: %s",
            fault, which);
    return arena_printf(a, "%s evaluating rule: %s", fault, which);
}

static void ask(const struct schema_node *n, const struct schema_rule *rule, const struct json *v,
                const struct json *old, const struct field_path *p, struct field_errors *errors)
{
    if (!rule->program || (cel_uses_old_self(rule->program) && !old))
        return;
    AUTO_ARENA a = arena_new();
    const struct json *result = NULL;
    CLEANUP(error_cleanup) struct error *err = NULL;
    if (cel_eval(a, rule->program, v, old, &result, &err) < 0)
        field_invalid_str(errors, p, n->type_text ? n->type_text : "", "%s",
                          fault_text(a, rule, error_message(err)));
    else if (!json_bool(result, false))
        add_failure(rule, v, message_of(a, rule, v, old), p, errors);
}

/* The element of the stored list that has the same keys; NULL: none, or elements have no identity.
 */
static const struct json *before_of(const struct schema_node *n, const struct json *old,
                                    const struct json *element)
{
    if (n->list_type != LIST_MAP)
        return NULL;
    JSON_FOREACH(it, old) {
        bool same = true;
        for (size_t i = 0; i < n->list_keys.count && same; i++)
            same = json_equal(json_get(it.value, n->list_keys.items[i]),
                              json_get(element, n->list_keys.items[i]));
        if (same)
            return it.value;
    }
    return NULL;
}

void schema_validate_rules(const struct schema_node *n, const struct json *v,
                           const struct json *old, const struct field_path *p,
                           struct field_errors *errors)
{
    if (!n->has_rules || json_is_null(v) || (old && json_equal(v, old)))
        return;
    for (size_t i = 0; i < n->rule_count; i++)
        ask(n, &n->rules[i], v, old, p, errors);
    if (json_is_array(v) && n->items) {
        JSON_FOREACH(it, v)
            schema_validate_rules(n->items, it.value, before_of(n, old, it.value),
                                  FIELD_AT(p, it.index), errors);
        return;
    }
    JSON_FOREACH(it, v) {
        const struct schema_node *property = schema_property_find(n, it.key);
        const struct json *before = json_is_object(old) ? json_get(old, it.key) : NULL;
        if (property)
            schema_validate_rules(property, it.value, before, FIELD(p, it.key), errors);
        else if (n->additional)
            schema_validate_rules(n->additional, it.value, before, FIELD_KEY(p, it.key), errors);
    }
}
