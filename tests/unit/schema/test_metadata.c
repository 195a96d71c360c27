/* Metadata, paths, and values in messages. */
#include "base/str.h"
#include "kube/selector.h"
#include "schema/metadata.h"
#include "schema_test.h"

static const struct {
    const char *metadata;
    const char *errors; /* the first line of each, up to the second colon */
} created[] = {
    { "{'name':'a','namespace':'d'}", "" },
    { "{'namespace':'d'}", "metadata.name: Required value: name or generateName is required" },
    { "{'name':'A_b','namespace':'d'}", "metadata.name: Invalid value: 'A_b'" },
    { "{'name':'a','namespace':'D'}", "metadata.namespace: Invalid value: 'D'" },
    { "{'name':'a'}", "metadata.namespace: Required value" },
    { "{'name':'a-x','namespace':'d','generateName':'a-'}", "" },
    { "{'name':'ax','namespace':'d','generateName':'A-'}", "" },
    { "{'name':'ax','namespace':'d','generateName':'A_B'}",
      "metadata.generateName: Invalid value: 'A_B'" },
    { "{'name':'a','namespace':'d','generation':-1}", "metadata.generation: Invalid value: -1" },
    { "{'name':'a','namespace':'d','labels':{'a':'b','x.y/z':'','q':'no no'}}",
      "metadata.labels: Invalid value: 'no no'" },
    { "{'name':'a','namespace':'d','labels':{'/x':'y'}}", "metadata.labels: Invalid value: '/x'" },
    { "{'name':'a','namespace':'d','annotations':{'A/b':'any thing','c d':''}}",
      "metadata.annotations: Invalid value: 'c d'" },
    { "{'name':'a','namespace':'d','ownerReferences':[{'apiVersion':'v1','kind':'K','name':'n','uid':'u'}]}",
      "" },
    { "{'name':'a','namespace':'d','ownerReferences':[{'apiVersion':'a/b/c','kind':'','name':'','uid':''}]}",
      "metadata.ownerReferences.apiVersion: Invalid value: 'a/b/c'\n"
      "metadata.ownerReferences.kind: Invalid value: ''\n"
      "metadata.ownerReferences.name: Invalid value: ''\n"
      "metadata.ownerReferences.uid: Invalid value: ''" },
    { "{'name':'a','namespace':'d','ownerReferences':[{'apiVersion':'v1','kind':'K','name':'n','uid':'u','controller':true},{'apiVersion':'v1','kind':'K','name':'m','uid':'v','controller':true}]}",
      "metadata.ownerReferences: Invalid value: [{'apiVersion'" },
    { "{'name':'a','namespace':'d','finalizers':['a/b','no no']}",
      "metadata.finalizers: Invalid value: 'no no'" },
};

/* Each line up to its second colon. */
static const char *heads(struct arena *a, const char *text)
{
    AUTO_BUF out = BUF_INIT(MIB);
    size_t count = 0;
    char **lines = str_split(a, text, '\n', &count);
    for (size_t i = 0; i < count; i++) {
        const char *colon = strchr(lines[i], ':'), *second = colon ? strchr(colon + 1, ':') : NULL;
        size_t len = second ? (size_t)(second - lines[i]) : strlen(lines[i]);
        const char *third = second ? strchr(second + 1, ':') : NULL;
        if (third && !strncmp(colon, ": Invalid value: ", 17))
            len = (size_t)(third - lines[i]);
        if (!strncmp(colon ? colon : "", ": Required value", 16))
            len = strlen(lines[i]);
        buf_printf(&out, "%s%.*s", i ? "\n" : "", (int)len, lines[i]);
    }
    return arena_strdup(a, buf_str(&out));
}

static void metadata_is_judged(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(created); i++) {
        struct field_errors errors = { .arena = a };
        metadata_validate(from_text(a, created[i].metadata), true, kube_validate_dns1123_subdomain,
                          FIELD(NULL, "metadata"), &errors);
        const char *have = heads(a, errors_text(&errors));
        if (strcmp(have, created[i].errors) != 0)
            fail_msg("%s:\n%s", created[i].metadata, have);
    }
}

static void updates_keep_what_makes_an_object(void **state)
{
    static const char *const fixed[] = { "name", "namespace", "uid", "creationTimestamp",
                                         "deletionTimestamp" };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(fixed); i++) {
        struct json *old = from_text(
            a,
            "{'name':'a','namespace':'d','uid':'u','creationTimestamp':'t','deletionTimestamp':'t',"
            "'resourceVersion':'1'}");
        struct json *now = json_clone(a, old);
        struct field_errors errors = { .arena = a };
        metadata_validate_update(now, old, FIELD(NULL, "metadata"), &errors);
        assert_int_equal(errors.count, 0);
        json_set_str(a, now, fixed[i], "x");
        metadata_validate_update(now, old, FIELD(NULL, "metadata"), &errors);
        assert_string_equal(errors_text(&errors),
                            arena_printf(a, "metadata.%s: Invalid value: 'x': field is immutable",
                                         fixed[i]));
    }
}

static const struct {
    const char *selector;
    const char *errors;
} selectors[] = {
    { "{}", "" },
    { "{'matchLabels':{'a':'b'},'matchExpressions':[{'key':'a','operator':'In','values':['b']},{'key':'c','operator':'Exists'}]}",
      "" },
    { "{'matchExpressions':[{'key':'a','operator':'In'}]}",
      "s.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'" },
    { "{'matchExpressions':[{'key':'a','operator':'Exists','values':['b']}]}",
      "s.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or "
      "'DoesNotExist'" },
    { "{'matchExpressions':[{'key':'a','operator':'Like'}]}",
      "s.matchExpressions[0].operator: Invalid value: 'Like': not a valid selector operator" },
};

static void selectors_are_judged(void **state)
{
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(selectors); i++) {
        struct field_errors errors = { .arena = a };
        metadata_validate_selector(from_text(a, selectors[i].selector), FIELD(NULL, "s"), &errors);
        assert_string_equal(errors_text(&errors), selectors[i].errors);
    }
}

static void paths_and_values_have_texts(void **state)
{
    AUTO_ARENA a = arena_new();
    assert_string_equal(field_path_text(a, NULL), "<nil>");
    assert_string_equal(
        field_path_text(a, FIELD(FIELD_KEY(FIELD_AT(FIELD(FIELD(NULL, "spec"), "list"), 3), "x.y"),
                                 "z")),
        "spec.list[3][x.y].z");
    assert_string_equal(field_value_text(a, from_text(a, "'a\\nb'")), "\"a\\nb\"");
    assert_string_equal(field_value_text(a, from_text(a, "{'b':[1,null],'a':true}")),
                        "{\"a\":true,\"b\":[1,null]}");
    assert_string_equal(field_value_text(a, NULL), "null");
}

UNIT_TESTS(TEST(metadata_is_judged), TEST(updates_keep_what_makes_an_object),
           TEST(selectors_are_judged), TEST(paths_and_values_have_texts))
