/* Sets of fields, and values walked along their types. */
#include "apiserver/fields/managed.h"
#include "apiserver/types.h"
#include "base/rand.h"
#include "base/str.h"
#include "schema/schema.h"
#include "unit.h"

static struct arena *a;
static struct schema *schemas[16]; /* of the test that runs */
static size_t schema_count;

static int start(void **state)
{
    a = arena_new();
    return 0;
}

static int stop(void **state)
{
    while (schema_count)
        schema_free(schemas[--schema_count]);
    arena_free(a);
    return 0;
}

/* JSON with ' in the place of ". */
static struct json *parse(const char *text)
{
    struct json *v = NULL;
    struct error *err = NULL;
    char *json = str_replace(a, text, "'", "\"");
    if (json_parse(a, json, strlen(json), &v, &err) < 0)
        fail_msg("%s: %s", text, error_message(err));
    return v;
}

static struct field_set *set_of(const char *text)
{
    struct field_set *s = NULL;
    struct error *err = NULL;
    if (field_set_parse(a, parse(text), &s, &err) < 0)
        fail_msg("%s: %s", text, error_message(err));
    return s;
}

static void assert_json(const struct json *v, const char *text)
{
    const char *got = json_text(a, v), *want = json_text(a, parse(text));
    assert_string_equal(got, want);
}

#define assert_set(set, text) assert_json(field_set_json(a, (set)), (text))

/* ---- sets ---------------------------------------------------------------------------------------------------------- */

static void sets_are_read_and_written(void **state)
{
    assert_set(set_of("{}"), "{}");
    assert_set(set_of("{'f:b':{},'f:a':{'f:c':{}}}"), "{'f:a':{'f:c':{}},'f:b':{}}");
    assert_set(set_of("{'f:a':{'.':{},'f:c':{}}}"), "{'f:a':{'.':{},'f:c':{}}}");
    assert_set(set_of("{'f:a':{'.':{}}}"), "{'f:a':{}}");
    /* members first, then keys, values and indices, each in its order */
    assert_set(
        set_of("{'i:10':{},'i:2':{},'v:2':{},'v:\\'a\\'':{},'v:10':{},'k:{\\'b\\':1,\\'a\\':2}':{},"
               "'k:{\\'a\\':1}':{},'f:z':{}}"),
        "{'f:z':{},'k:{\\'a\\':1}':{},'k:{\\'a\\':2,\\'b\\':1}':{},'v:2':{},'v:10':{},'v:\\'a\\'':{},"
        "'i:2':{},'i:10':{}}");
    /* what nobody knows is left out, what is there twice is one */
    assert_set(set_of("{'x:y':{},'f:a':{}}"), "{'f:a':{}}");
    assert_set(set_of("{'v:1':{'f:a':{}},'v:1.0':{'f:b':{}}}"), "{'v:1':{'f:a':{},'f:b':{}}}");
}

static void what_is_no_set(void **state)
{
    static const char *const bad[] = { "[]",           "'a'",        "{'f':{}}",
                                       "{'fa':{}}",    "{'i:x':{}}", "{'v:{':{}}",
                                       "{'k:[1]':{}}", "{'f:a':1}",  "{'f:a':[]}" };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct field_set *s = NULL;
        struct error *err = NULL;
        if (field_set_parse(a, parse(bad[i]), &s, &err) == 0)
            fail_msg("%s is a set", bad[i]);
        assert_true(error_message(err)[0] != '\0');
        error_free(err);
    }
    struct json *deep = json_new_object(a);
    for (int i = 0; i < FIELD_SET_MAX_DEPTH + 1; i++) {
        struct json *around = json_new_object(a);
        json_set(a, around, "f:a", deep);
        deep = around;
    }
    struct field_set *s = NULL;
    assert_int_equal(field_set_parse(a, deep, &s, NULL), -ERROR_INVALID);
}

static void sets_are_combined(void **state)
{
    struct field_set *x = set_of("{'f:a':{},'f:b':{'.':{},'f:c':{}},'f:d':{'f:e':{}}}");
    struct field_set *y = set_of("{'f:b':{},'f:d':{'f:e':{},'f:f':{}}}");
    assert_set(field_set_union(a, x, y),
               "{'f:a':{},'f:b':{'.':{},'f:c':{}},'f:d':{'f:e':{},'f:f':{}}}");
    assert_set(field_set_intersection(a, x, y), "{'f:b':{},'f:d':{'f:e':{}}}");
    assert_set(field_set_difference(a, x, y), "{'f:a':{},'f:b':{'f:c':{}}}");
    assert_set(field_set_without(a, x, y), "{'f:a':{}}");
    assert_true(field_set_empty(field_set_difference(a, x, x)));
    assert_ptr_equal(field_set_union(a, x, NULL), x);
    assert_null(field_set_intersection(a, NULL, x));
}

static struct field_set *random_set(int depth)
{
    struct field_set *s = field_set_new(a);
    static const char *const names[] = { "a", "b", "c" };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        uint64_t dice = rand_u64() % 8;
        if (dice == 0)
            continue;
        struct field_entry *e = field_set_add(a, s, &STEP(names[i]));
        e->member = dice & 1;
        if (depth && dice & 2) {
            struct field_set *below = random_set(depth - 1);
            s->entries[s->count - 1].children = below;
        }
    }
    field_set_sort(a, s);
    return s;
}

/* x ∪ y = (x − y) ∪ (y − x) ∪ (x ∩ y), and what is written is read as it was. */
static void laws_of_sets(void **state)
{
    for (int i = 0; i < 2000; i++) {
        struct field_set *x = random_set(3), *y = random_set(3), *back = NULL;
        struct field_set *left = field_set_difference(a, x, y),
                         *right = field_set_difference(a, y, x);
        struct field_set *both = field_set_intersection(a, x, y);
        struct field_set *sum = field_set_union(a, field_set_union(a, left, right), both);
        assert_true(field_set_equal(sum, field_set_union(a, x, y)));
        assert_true(field_set_equal(field_set_union(a, x, y), field_set_union(a, y, x)));
        assert_true(field_set_empty(field_set_intersection(a, left, y)));
        assert_int_equal(field_set_parse(a, field_set_json(a, sum), &back, NULL), 0);
        assert_true(field_set_equal(back, sum));
    }
}

struct paths {
    const char *text;
};

static void note(void *ctx, const struct field_step *const *path, size_t n)
{
    struct paths *p = ctx;
    p->text = arena_printf(a, "%s%s ", p->text, field_steps_text(a, path, n));
}

static void paths_are_told(void **state)
{
    struct paths p = { "" };
    field_set_each(
        set_of(
            "{'f:a':{'f:b':{}},'f:c':{},'k:{\\'n\\':\\'x\\',\\'p\\':1}':{},'v:\\'y\\'':{},'i:3':{}}"),
        note, &p);
    assert_string_equal(p.text, ".c [n=\"x\",p=1] [=\"y\"] [3] .a.b ");
}

/* ---- types --------------------------------------------------------------------------------------------------------- */

static struct field_type pod(void)
{
    return field_type_of_kind(api_type_find("v1", "Pod"));
}

static struct field_type custom(const char *schema)
{
    struct field_errors errors = { .arena = a };
    struct schema *s = NULL;
    if (schema_compile(parse(schema), "", &s, &errors) < 0)
        fail_msg("%s", errors.items[0].message);
    assert_true(schema_count < COUNT_OF(schemas));
    schemas[schema_count++] = s;
    return field_type_of_schema(s);
}

#define POD                                                                                        \
    "{'metadata':{'labels':{'a':'b'},'finalizers':['x/y']},'spec':{'nodeSelector':{'a':'b'},"      \
    "'containers':[{'name':'c','ports':[{'containerPort':80}],'args':['x'],"                       \
    "'resources':{'limits':{'cpu':1}},'env':[{'name':'E','valueFrom':{'fieldRef':{'fieldPath':'f'}}}]}]}}"

static void fields_of_a_pod(void **state)
{
    struct field_set *s = NULL;
    assert_int_equal(fields_of(a, pod(), parse(POD), &s, NULL), 0);
    assert_set(
        s,
        "{'f:metadata':{'f:finalizers':{'v:\\'x/y\\'':{}},'f:labels':{'f:a':{}}},'f:spec':{"
        "'f:containers':{'k:{\\'name\\':\\'c\\'}':{'.':{},'f:args':{},'f:env':{'k:{\\'name\\':\\'E\\'}':{"
        "'.':{},'f:name':{},'f:valueFrom':{'f:fieldRef':{}}}},'f:name':{},'f:ports':{"
        "'k:{\\'containerPort\\':80,\\'protocol\\':\\'TCP\\'}':{'.':{},'f:containerPort':{}}},"
        "'f:resources':{'f:limits':{'f:cpu':{}}}}},'f:nodeSelector':{}}}");
}

#define CUSTOM                                                                                                 \
    "{'type':'object','properties':{'spec':{'type':'object','properties':{"                                    \
    "'plain':{'type':'array','items':{'type':'string'}},"                                                      \
    "'set':{'type':'array','items':{'type':'string'},'x-kubernetes-list-type':'set'},"                         \
    "'map':{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],"                 \
    "'items':{'type':'object','required':['k'],'properties':{'k':{'type':'string'},'v':{'type':'integer'}}}}," \
    "'whole':{'type':'object','x-kubernetes-map-type':'atomic','additionalProperties':{'type':'string'}},"     \
    "'free':{'type':'object','x-kubernetes-preserve-unknown-fields':true}}}}}"

static void fields_of_a_custom_resource(void **state)
{
    struct field_set *s = NULL;
    struct json *v = parse(
        "{'apiVersion':'g/v1','metadata':{'labels':{'a':'b'}},'spec':{'plain':['a'],'set':['b','a'],"
        "'map':[{'k':'x','v':1}],'whole':{'a':'b'},'free':{'a':{'b':[1]},'c':{}}}}");
    assert_int_equal(fields_of(a, custom(CUSTOM), v, &s, NULL), 0);
    assert_set(
        s,
        "{'f:apiVersion':{},'f:metadata':{'f:labels':{'f:a':{}}},'f:spec':{'f:free':{'f:a':{'.':{},'f:b':{}},"
        "'f:c':{}},'f:map':{'k:{\\'k\\':\\'x\\'}':{'.':{},'f:k':{},'f:v':{}}},'f:plain':{},"
        "'f:set':{'v:\\'a\\'':{},'v:\\'b\\'':{}},'f:whole':{}}}");
}

static void assert_changes(struct field_type t, const char *from, const char *to,
                           const char *removed, const char *modified, const char *added)
{
    struct field_changes c;
    struct error *err = NULL;
    if (fields_compare(a, t, parse(from), parse(to), &c, &err) < 0)
        fail_msg("%s", error_message(err));
    assert_set(c.removed, removed);
    assert_set(c.modified, modified);
    assert_set(c.added, added);
}

static void values_are_compared(void **state)
{
    assert_changes(pod(), POD, POD, "{}", "{}", "{}");
    assert_changes(pod(), "{'metadata':{'labels':{'a':'1','b':'1'},'managedFields':[{}]}}",
                   "{'metadata':{'labels':{'a':'2','c':'1'}}}",
                   "{'f:metadata':{'f:labels':{'f:b':{}}}}",
                   "{'f:metadata':{'f:labels':{'f:a':{}}}}",
                   "{'f:metadata':{'f:labels':{'f:c':{}}}}");
    assert_changes(pod(), "{'spec':{'containers':null}}", "{'spec':{'containers':[{'name':'a'}]}}",
                   "{}", "{}",
                   "{'f:spec':{'f:containers':{'k:{\\'name\\':\\'a\\'}':{'.':{},'f:name':{}}}}}");
    assert_changes(
        pod(), "{'spec':{}}", "{'spec':{'volumes':[{'name':'a'}]}}", "{}", "{}",
        "{'f:spec':{'f:volumes':{'.':{},'k:{\\'name\\':\\'a\\'}':{'.':{},'f:name':{}}}}}");
    assert_changes(custom(CUSTOM), "{'spec':{'set':['a','a'],'plain':['a']}}",
                   "{'spec':{'set':['a'],'plain':['b']}}", "{'f:spec':{'f:set':{'v:\\'a\\'':{}}}}",
                   "{'f:spec':{'f:plain':{}}}", "{'f:spec':{'f:set':{'v:\\'a\\'':{}}}}");
    assert_changes(custom(CUSTOM), "{'spec':{'free':{'a':1}}}", "{'spec':{'free':{'a':{'b':1}}}}",
                   "{}", "{'f:spec':{'f:free':{'f:a':{}}}}",
                   "{'f:spec':{'f:free':{'f:a':{'f:b':{}}}}}");
}

static void assert_merged(struct field_type t, const char *under, const char *over,
                          const char *want)
{
    struct json *out = NULL;
    struct error *err = NULL;
    if (fields_merge(a, t, parse(under), parse(over), &out, &err) < 0)
        fail_msg("%s", error_message(err));
    if (!json_equal(out, parse(want)))
        fail_msg("%s over %s is %s", over, under, json_text(a, out));
}

static void assert_sets_merged(const char *under, const char *over, const char *want)
{
    assert_merged(custom(CUSTOM), arena_printf(a, "{'spec':{'set':%s}}", under),
                  arena_printf(a, "{'spec':{'set':%s}}", over),
                  arena_printf(a, "{'spec':{'set':%s}}", want));
}

static void values_are_merged(void **state)
{
    assert_merged(
        pod(), "{'spec':{'containers':[{'name':'a','image':'i'},{'name':'b'}]}}",
        "{'spec':{'containers':[{'name':'b','image':'j'},{'name':'c'}]}}",
        "{'spec':{'containers':[{'name':'a','image':'i'},{'name':'b','image':'j'},{'name':'c'}]}}");
    assert_merged(pod(), "{'spec':{'nodeSelector':{'a':'b'}}}",
                  "{'spec':{'nodeSelector':{'c':'d'}}}", "{'spec':{'nodeSelector':{'c':'d'}}}");
    assert_merged(pod(), "{'metadata':{'labels':{'a':'b'}}}", "{'metadata':{'labels':null}}",
                  "{'metadata':{'labels':{'a':'b'}}}");
    assert_merged(pod(), "{'metadata':{}}", "{'metadata':{'labels':{}}}",
                  "{'metadata':{'labels':{}}}");
    assert_sets_merged("['a','b','c']", "['c','a']", "['b','c','a']");
    assert_sets_merged("['a','b','c','d']", "['d','x','b']", "['a','c','d','x','b']");
    assert_sets_merged("['a','b']", "['x','y']", "['a','b','x','y']");
    assert_sets_merged("['a','b','a']", "['b','a']", "['b','a']");
    assert_sets_merged("null", "['b','a']", "['b','a']");
    struct json *out = NULL;
    assert_int_equal(fields_merge(a, custom(CUSTOM), parse("{}"),
                                  parse("{'spec':{'set':['a','a']}}"), &out, NULL),
                     -ERROR_INVALID);
}

static void fields_are_taken_away(void **state)
{
    struct json *v = parse(
        "{'metadata':{'labels':{'a':'b'}},'spec':{'set':['a','b'],'map':[{'k':'x','v':1},{'k':'y'}]}}");
    assert_json(fields_remove(
                    a, custom(CUSTOM), v,
                    set_of(
                        "{'f:metadata':{'f:labels':{'f:a':{}}},'f:spec':{'f:set':{'v:\\'a\\'':{}},"
                        "'f:map':{'k:{\\'k\\':\\'x\\'}':{'f:v':{}},'k:{\\'k\\':\\'y\\'}':{}}}}")),
                "{'metadata':{'labels':null},'spec':{'set':['b'],'map':[{'k':'x'}]}}");
    assert_set(fields_with_parents(a, custom(CUSTOM),
                                   set_of("{'f:spec':{'f:map':{'k:{\\'k\\':\\'x\\'}':{'f:v':{}}},"
                                          "'f:free':{'f:a':{'f:b':{}}}}}")),
               "{'f:spec':{'.':{},'f:free':{'.':{},'f:a':{'f:b':{}}},"
               "'f:map':{'.':{},'k:{\\'k\\':\\'x\\'}':{'f:v':{}}}}}");
}

static void sets_follow_their_types(void **state)
{
    assert_set(
        fields_reconcile(
            a, custom(CUSTOM),
            set_of(
                "{'f:spec':{'f:plain':{'v:\\'a\\'':{}},'f:whole':{'f:a':{}},'f:set':{'v:\\'a\\'':{}}}}")),
        "{'f:spec':{'f:plain':{},'f:set':{'v:\\'a\\'':{}},'f:whole':{}}}");
}

static void assert_problem(struct field_type t, const char *v, const char *want)
{
    CLEANUP(error_cleanup) struct error *err = NULL;
    assert_int_equal(fields_check(a, t, parse(v), false, &err), -ERROR_INVALID);
    assert_string_equal(error_message(err), want);
}

static void values_that_are_not_of_their_type(void **state)
{
    assert_int_equal(fields_check(a, pod(), parse(POD), false, NULL), 0);
    assert_problem(pod(), "{'spec':{'contaners':[]}}",
                   ".spec.contaners: field not declared in schema");
    assert_problem(pod(), "{'spec':{'priority':'high'}}",
                   ".spec.priority: expected numeric (int or float), got string");
    assert_problem(
        pod(), "{'spec':{'hostname':1,'hostNetwork':'x'}}",
        "errors:\n  .spec.hostname: expected string, got &value.valueUnstructured{Value:1}\n"
        "  .spec.hostNetwork: expected boolean, got &{x}");
    assert_problem(custom(CUSTOM), "{'spec':{'set':['a','a']}}",
                   ".spec.set: duplicate entries for key [=\"a\"]");
    assert_problem(
        custom(CUSTOM), "{'spec':{'map':[{'v':1}]}}",
        ".spec.map: element 0: associative list with keys has an element that omits all key fields [\"k\"] "
        "(and doesn't have default values for any key fields)");
    assert_int_equal(fields_check(a, custom(CUSTOM), parse("{'spec':{'set':['a','a']}}"), true,
                                  NULL),
                     0);
}

/* ---- managers ------------------------------------------------------------------------------------------------------ */

static void managers_are_written_in_their_order(void **state)
{
    struct managed m;
    struct json *v = parse(
        "[{'manager':'b','operation':'Update','apiVersion':'v1','time':'2020-01-01T00:00:02Z','fieldsType':'FieldsV1','fieldsV1':{'f:a':{}}},"
        "{'manager':'c','operation':'Update','apiVersion':'v1','time':'2020-01-01T00:00:01Z','fieldsType':'FieldsV1','fieldsV1':{'f:a':{}}},"
        "{'manager':'a','operation':'Update','apiVersion':'v1','time':'2020-01-01T00:00:02Z','fieldsType':'FieldsV1','fieldsV1':{'f:a':{}},'subresource':'status'},"
        "{'manager':'z','operation':'Apply','apiVersion':'v1','time':'2020-01-01T00:00:09Z','fieldsType':'FieldsV1','fieldsV1':{'f:a':{}}},"
        "{'manager':'z','operation':'Apply','apiVersion':'v2','fieldsType':'FieldsV1','fieldsV1':{'f:b':{}}}]");
    assert_int_equal(managed_parse(a, v, &m, NULL), 0);
    assert_json(
        managed_json(a, &m),
        "[{'manager':'z','operation':'Apply','apiVersion':'v2','fieldsType':'FieldsV1','fieldsV1':{'f:b':{}}},"
        "{'manager':'c','operation':'Update','apiVersion':'v1','time':'2020-01-01T00:00:01Z','fieldsType':'FieldsV1','fieldsV1':{'f:a':{}}},"
        "{'manager':'a','operation':'Update','apiVersion':'v1','time':'2020-01-01T00:00:02Z','fieldsType':'FieldsV1','fieldsV1':{'f:a':{}},'subresource':'status'},"
        "{'manager':'b','operation':'Update','apiVersion':'v1','time':'2020-01-01T00:00:02Z','fieldsType':'FieldsV1','fieldsV1':{'f:a':{}}}]");
    assert_true(managed_is_reset(parse("[]")) && managed_is_reset(parse("[{}]")));
    assert_false(managed_is_reset(NULL) || managed_is_reset(parse("[{},{}]")) ||
                 managed_is_reset(parse("[{'manager':'a'}]")));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

UNIT_TESTS(T(sets_are_read_and_written), T(what_is_no_set), T(sets_are_combined), T(laws_of_sets),
           T(paths_are_told), T(fields_of_a_pod), T(fields_of_a_custom_resource),
           T(values_are_compared), T(values_are_merged), T(fields_are_taken_away),
           T(sets_follow_their_types), T(values_that_are_not_of_their_type),
           T(managers_are_written_in_their_order))
