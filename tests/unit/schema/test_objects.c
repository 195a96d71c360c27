/* Objects under schemas: what is dropped, filled in, and found wrong. */
#include "base/str.h"
#include "schema/schema.h"
#include "schema_test.h"

static struct schema *compile(struct arena *a, const char *text)
{
    struct field_errors errors = { .arena = a };
    struct schema *s = NULL;
    if (schema_compile(from_text(a, text), "s", &s, &errors) < 0)
        fail_msg("%s: %s", text, errors_text(&errors));
    return s;
}

/* ---- pruning and defaults -------------------------------------------------------------------- */

static const struct {
    const char *schema;
    const char *object;
    const char *after;
    const char *dropped; /* with spaces between */
} filled[] = {
    { "{'type':'object','properties':{'a':{'type':'string'}}}",
      "{'apiVersion':'v1','kind':'K','metadata':{'name':'n'},'a':'x','b':1}",
      "{'apiVersion':'v1','kind':'K','metadata':{'name':'n'},'a':'x'}", "b" },
    { "{'type':'object','properties':{'a':{'type':'array','items':{'type':'object','properties':{'b':{'type':'string'}}}}}}",
      "{'a':[{'b':'x','c':1},{'d':{}}]}", "{'a':[{'b':'x'},{}]}", "a[0].c a[1].d" },
    { "{'type':'object','properties':{'a':{'type':'object','additionalProperties':{'type':'object','properties':{'b':{'type':'string'}}}}}}",
      "{'a':{'x':{'b':'1','c':2}}}", "{'a':{'x':{'b':'1'}}}", "a.x.c" },
    { "{'type':'object','properties':{'a':{'type':'object','x-kubernetes-preserve-unknown-fields':true,'properties':{'b':{'type':'object','properties':{'c':{'type':'string'}}}}}}}",
      "{'a':{'any':{'thing':1},'b':{'c':'x','d':1}}}", "{'a':{'any':{'thing':1},'b':{'c':'x'}}}",
      "a.b.d" },
    { "{'type':'object','properties':{'a':{'type':'object','x-kubernetes-embedded-resource':true,'properties':{'spec':{'type':'object'}}}}}",
      "{'a':{'apiVersion':'v1','kind':'K','metadata':{'name':'n','x':1},'spec':{},'y':1}}",
      "{'a':{'apiVersion':'v1','kind':'K','metadata':{'name':'n'},'spec':{}}}",
      "a.metadata.x a.y" },
    /* defaults: on the way down, and instead of nulls that are not allowed */
    { "{'type':'object','properties':{'a':{'type':'object','default':{},'properties':{'b':{'type':'integer','default':3},'c':{'type':'string'}}}}}",
      "{}", "{'a':{'b':3}}", "" },
    { "{'type':'object','properties':{'a':{'type':'object','properties':{'b':{'type':'integer','default':3}}}}}",
      "{}", "{}", "" },
    { "{'type':'object','properties':{'a':{'type':'integer','default':3},'b':{'type':'integer','nullable':true,'default':4},'c':{'type':'integer'}}}",
      "{'a':null,'b':null,'c':null}", "{'a':3,'b':null}", "" },
    { "{'type':'object','properties':{'a':{'type':'array','items':{'type':'object','properties':{'b':{'type':'string','default':'x'}}}}}}",
      "{'a':[{},{'b':'y'},null]}", "{'a':[{'b':'x'},{'b':'y'},null]}", "" },
    { "{'type':'object','properties':{'a':{'type':'array','items':{'type':'integer','default':7}}}}",
      "{'a':[1,null,null]}", "{'a':[1,7,7]}", "" },
};

static void objects_are_pruned_and_filled_in(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(filled); i++) {
        struct schema *s = compile(a, filled[i].schema);
        struct json *obj = from_text(a, filled[i].object), *dropped = json_new_array(a);
        schema_prune(a, s, obj, dropped);
        schema_default(a, s, obj);
        assert_same_json(a, obj, filled[i].after);
        AUTO_BUF paths = BUF_INIT(KIB);
        JSON_FOREACH(it, dropped)
            buf_printf(&paths, "%s%s", it.index ? " " : "", json_string(it.value));
        assert_string_equal(buf_str(&paths), filled[i].dropped);
        schema_free(s);
    }
}

/* ---- validation ------------------------------------------------------------------------------ */

/* Of the root's only property, "a". */
static const struct {
    const char *schema;
    const char *value;
    const char *errors;
} values[] = {
    { "{'type':'string'}", "'x'", "" },
    { "{'type':'string'}", "1",
      "a: Invalid value: 'integer': a in body must be of type string: 'integer'" },
    { "{'type':'integer'}", "1.5",
      "a: Invalid value: 'number': a in body must be of type integer: 'number'" },
    { "{'type':'integer'}", "2.0", "" },
    { "{'type':'number'}", "2", "" },
    { "{'type':'boolean'}", "'true'",
      "a: Invalid value: 'string': a in body must be of type boolean: 'string'" },
    { "{'type':'object'}", "[]",
      "a: Invalid value: 'array': a in body must be of type object: 'array'" },
    { "{'type':'array','items':{'type':'string'}}", "{}",
      "a: Invalid value: 'object': a in body must be of type array: 'object'" },
    { "{'type':'string','nullable':true}", "null", "" },
    { "{'x-kubernetes-int-or-string':true}", "5", "" },
    { "{'x-kubernetes-int-or-string':true}", "'5%'", "" },
    { "{'x-kubernetes-int-or-string':true}", "true",
      "a: Invalid value: 'boolean': a in body must be of type integer,string: 'boolean'" },
    { "{'type':'string','enum':['x','y']}", "'z'",
      "a: Unsupported value: 'z': supported values: 'x', 'y'" },
    { "{'type':'integer','enum':[1,2]}", "3",
      "a: Unsupported value: 3: supported values: '1', '2'" },
    { "{'type':'string','minLength':2}", "'\xc3\xa9'",
      "a: Invalid value: '\xc3\xa9': a in body should be at least 2 chars long" },
    { "{'type':'string','maxLength':2}", "'\xc3\xa9\xc3\xa9'", "" },
    { "{'type':'string','maxLength':1}", "'ab'", "a: Too long: may not be more than 1 byte" },
    { "{'type':'string','pattern':'^b'}", "'ab'",
      "a: Invalid value: 'ab': a in body should match '^b'" },
    { "{'type':'string','format':'ipv4'}", "'x'",
      "a: Invalid value: 'x': a in body must be of type ipv4: 'x'" },
    { "{'type':'string','format':'int32'}", "'x'", "" },
    { "{'type':'integer','minimum':2}", "1",
      "a: Invalid value: 1: a in body should be greater than or equal to 2" },
    { "{'type':'integer','maximum':2,'exclusiveMaximum':true}", "2",
      "a: Invalid value: 2: a in body should be less than 2" },
    { "{'type':'number','multipleOf':0.5}", "0.7",
      "a: Invalid value: 0.7: a in body should be a multiple of 0.5" },
    { "{'type':'array','items':{'type':'integer'},'minItems':2}", "[1]",
      "a: Invalid value: 1: a in body should have at least 2 items" },
    { "{'type':'array','items':{'type':'integer'},'maxItems':1}", "[1,2]",
      "a: Too many: 2: must have at most 1 item" },
    { "{'type':'array','items':{'type':'integer'}}", "[1,'x']",
      "a[1]: Invalid value: 'string': a[1] in body must be of type integer: 'string'" },
    { "{'type':'object','minProperties':1,'additionalProperties':{'type':'string'}}", "{}",
      "a: Invalid value: 0: a in body should have at least 1 properties" },
    { "{'type':'object','maxProperties':1,'additionalProperties':{'type':'string'}}",
      "{'x':'1','y':'2'}", "a: Too many: 2: must have at most 1 item" },
    { "{'type':'object','additionalProperties':{'type':'string'}}", "{'x':1}",
      "a.x: Invalid value: 'integer': a.x in body must be of type string: 'integer'" },
    { "{'type':'object','properties':{'b':{'type':'string'},'c':{'type':'string'}},'required':['b','c']}",
      "{'c':'x'}", "a.b: Required value" },
    { "{'type':'array','x-kubernetes-list-type':'set','items':{'type':'string'}}", "['x','y','x']",
      "a[2]: Duplicate value: 'x'" },
    { "{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],'items':{'type':'object','required':['k'],'properties':{'k':{'type':'string'},'v':{'type':'integer'}}}}",
      "[{'k':'a'},{'k':'a','v':1}]", "a[1]: Duplicate value: {'k':'a'}" },
    { "{'type':'object','x-kubernetes-embedded-resource':true,'x-kubernetes-preserve-unknown-fields':true}",
      "{'apiVersion':'a/b/c'}",
      "a.apiVersion: Invalid value: 'a/b/c': unexpected GroupVersion string: a/b/c\na.kind: Required value" },
    /* combinations */
    { "{'type':'object','properties':{'b':{'type':'string'},'c':{'type':'string'}},'anyOf':[{'required':['b']},{'required':['c']}]}",
      "{}",
      "<nil>: Invalid value: '': 'a' must validate at least one schema (anyOf)\na.b: Required value" },
    { "{'type':'object','properties':{'b':{'type':'string'},'c':{'type':'string'}},'oneOf':[{'required':['b']},{'required':['c']}]}",
      "{'b':'x','c':'y'}",
      "<nil>: Invalid value: '': 'a' must validate one and only one schema (oneOf). Found 2 valid alternatives" },
    { "{'type':'integer','allOf':[{'minimum':1},{'maximum':5}]}", "7",
      "a: Invalid value: 7: a in body should be less than or equal to 5\n"
      "<nil>: Invalid value: '': 'a' must validate all the schemas (allOf)" },
    { "{'type':'integer','not':{'minimum':1}}", "7",
      "<nil>: Invalid value: '': 'a' must not validate the schema (not)" },
};

static void values_are_judged_in_the_servers_words(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        struct schema *s = compile(a, arena_printf(a, "{'type':'object','properties':{'a':%s}}",
                                                   values[i].schema));
        struct field_errors errors = { .arena = a };
        schema_validate(s, from_text(a, arena_printf(a, "{'a':%s}", values[i].value)), NULL,
                        &errors);
        if (strcmp(errors_text(&errors), values[i].errors) != 0)
            fail_msg("%s %s:\n%s", values[i].schema, values[i].value, errors_text(&errors));
        schema_free(s);
    }
}

/* ---- updates --------------------------------------------------------------------------------- */

static const struct {
    const char *schema;
    const char *old;
    const char *now;
    const char *errors;
} updates[] = {
    /* what is wrong may stay as it is */
    { "{'type':'object','properties':{'b':{'type':'integer','maximum':5},'c':{'type':'string'}}}",
      "{'b':7,'c':'x'}", "{'b':7,'c':'y'}", "" },
    { "{'type':'object','properties':{'b':{'type':'integer','maximum':5}}}", "{'b':7}", "{'b':8}",
      "a.b: Invalid value: 8: a.b in body should be less than or equal to 5" },
    /* elements of plain lists cannot be recognised */
    { "{'type':'array','items':{'type':'integer','maximum':5}}", "[7]", "[7,1]",
      "a[0]: Invalid value: 7: a[0] in body should be less than or equal to 5" },
    { "{'type':'array','items':{'type':'integer','maximum':5}}", "[7]", "[7]", "" },
    /* those of lists with keys can */
    { "{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],'items':{'type':'object','required':['k'],'properties':{'k':{'type':'string'},'v':{'type':'integer','maximum':5}}}}",
      "[{'k':'a','v':7}]", "[{'k':'b','v':1},{'k':'a','v':7}]", "" },
    /* duplicates that were there may stay */
    { "{'type':'array','x-kubernetes-list-type':'set','items':{'type':'string'}}", "['x','x']",
      "['x','x','y']", "" },
    /* fields that the schema does not know make an object a changed one */
    { "{'type':'object','x-kubernetes-preserve-unknown-fields':true,'required':['b']}", "{'c':1}",
      "{'c':1}", "a.b: Required value" },
};

static void what_was_wrong_before_may_stay(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(updates); i++) {
        struct schema *s = compile(a, arena_printf(a, "{'type':'object','properties':{'a':%s}}",
                                                   updates[i].schema));
        struct field_errors errors = { .arena = a };
        schema_validate(s, from_text(a, arena_printf(a, "{'a':%s}", updates[i].now)),
                        from_text(a, arena_printf(a, "{'a':%s}", updates[i].old)), &errors);
        if (strcmp(errors_text(&errors), updates[i].errors) != 0)
            fail_msg("%s -> %s:\n%s", updates[i].old, updates[i].now, errors_text(&errors));
        schema_free(s);
    }
}

static void a_status_is_judged_alone(void **state)
{
    AUTO_ARENA a = arena_new();
    struct schema *s = compile(
        a,
        "{'type':'object','properties':{'spec':{'type':'string'},'status':{'type':'object','properties':"
        "{'n':{'type':'integer'}},'required':['n']}}}");
    struct field_errors errors = { .arena = a };
    schema_validate_status(s, from_text(a, "{'spec':1,'status':{'n':'x'}}"), NULL, &errors);
    assert_string_equal(
        errors_text(&errors),
        "status.n: Invalid value: 'string': n in body must be of type integer: 'string'");
    errors.count = 0;
    schema_validate_status(s, from_text(a, "{'spec':1}"), NULL, &errors);
    assert_int_equal(errors.count, 0);
    schema_free(s);
}

/* A schema with rules says so when an object is too wrong for them. */
static void rules_need_an_object_of_the_right_shape(void **state)
{
    AUTO_ARENA a = arena_new();
    struct schema *s = compile(
        a,
        "{'type':'object','x-kubernetes-validations':[{'rule':'self.a > 1'}],'properties':{'a':{'type':'integer'}}}");
    struct field_errors errors = { .arena = a };
    schema_validate(s, from_text(a, "{'a':'x'}"), NULL, &errors);
    assert_int_equal(errors.count, 2);
    assert_non_null(strstr(errors_text(&errors), "some validation rules were not checked"));
    schema_free(s);
}

static void errors_are_kept_within_bounds(void **state)
{
    AUTO_ARENA a = arena_new();
    struct schema *s =
        compile(a,
                "{'type':'object','properties':{'a':{'type':'array','items':{'type':'integer'}}}}");
    struct json *list = json_new_array(a), *obj = json_new_object(a);
    for (int i = 0; i < 5000; i++)
        json_append(list, json_new_string(a, "x"));
    json_set(a, obj, "a", list);
    struct field_errors errors = { .arena = a };
    schema_validate(s, obj, NULL, &errors);
    assert_true(errors.count > 100 && errors.count <= FIELD_ERRORS_MAX);
    schema_free(s);
}

/* ---- rules ----------------------------------------------------------------------------------- */

#define RULED                                                                                      \
    "{'type':'object','properties':{'spec':{'type':'object','x-kubernetes-validations':[{'rule':"  \
    "'!has(self.low) || !has(self.high) || self.low <= self.high','message':'low above high'}],"   \
    "'properties':{'low':{'type':'integer'},'high':{'type':'integer'},'name':{'type':'string',"    \
    "'x-kubernetes-validations':[{'rule':'self == oldSelf','message':'cannot change'}]},"          \
    "'list':{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],"    \
    "'items':{'type':'object','required':['k'],'properties':{'k':{'type':'string'},'v':{'type':"   \
    "'integer','x-kubernetes-validations':[{'rule':'self >= oldSelf'}]}}}}}}}}"

static void rules_are_asked_of_what_changed(void **state)
{
    static const char *const rows[][3] = {
        { "{'spec':{'low':1,'high':2}}", "", "" },
        { "{'spec':{'low':3,'high':2}}", "", "spec: Invalid value: low above high" },
        { "{'spec':{'low':3,'high':2,'x':1}}", "{'spec':{'low':3,'high':2,'x':1}}", "" },
        { "{'spec':{'name':'a'}}", "", "" },
        { "{'spec':{'name':'a'}}", "{'spec':{}}", "" },
        { "{'spec':{'name':'b'}}", "{'spec':{'name':'a'}}",
          "spec.name: Invalid value: 'b': cannot change" },
        { "{'spec':{'list':[{'k':'new','v':1},{'k':'a','v':1}]}}",
          "{'spec':{'list':[{'k':'a','v':2}]}}",
          "spec.list[1].v: Invalid value: 1: failed rule: self >= oldSelf" },
        { "{'spec':{'list':[{'k':'new','v':1},{'k':'a','v':3}]}}",
          "{'spec':{'list':[{'k':'a','v':2}]}}", "" },
    };
    AUTO_ARENA a = arena_new();
    struct schema *s = compile(a, RULED);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct field_errors errors = { .arena = a };
        struct json *old = rows[i][1][0] ? from_text(a, rows[i][1]) : NULL;
        schema_validate(s, from_text(a, rows[i][0]), old, &errors);
        assert_string_equal(errors_text(&errors), rows[i][2]);
    }
    schema_free(s);
}

UNIT_TESTS(TEST(rules_are_asked_of_what_changed), TEST(objects_are_pruned_and_filled_in),
           TEST(values_are_judged_in_the_servers_words), TEST(what_was_wrong_before_may_stay),
           TEST(a_status_is_judged_alone), TEST(rules_need_an_object_of_the_right_shape),
           TEST(errors_are_kept_within_bounds))
