/* Configurations as charts install them, as other operators leave them, and as they should be. */
#include "http/crypto.h"
#include "unit.h"
#include "webhook/internal.h"
#include "json/build.h"

#define HOOK (&WEBHOOK_WORKSPACE_HOOKS[0])

static struct json *parse(struct arena *a, const char *text)
{
    char *copy = arena_strdup(a, text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct json *v = NULL;
    struct error *err = NULL;
    if (json_parse(a, copy, strlen(copy), &v, &err) < 0)
        fail_msg("%s: %s", text, error_message(err));
    return v;
}

#define CONFIG(rules, more)                                                                        \
    "{'metadata':{'name':'validation.workspace.kaito.sh'},'webhooks':[{'name':"                    \
    "'validation.workspace.kaito.sh','clientConfig':{'service':{'name':'s','namespace':'n',"       \
    "'port':9443}},'rules':" rules more "}]}"
#define RULE(versions, resources, operations)                                                      \
    "{'apiGroups':['kaito.sh'],'apiVersions':" versions ",'resources':" resources                  \
    ",'operations':" operations ",'scope':'*'}"
#define CHART                                                                                      \
    CONFIG("[" RULE("['v1alpha1','v1beta1']", "['workspaces']", "['CREATE','UPDATE']") "]",        \
           ",'namespaceSelector':{}")

static struct json *owner(struct arena *a)
{
    return OBJ("metadata", OBJ("name", STR("n"), "uid", STR("u-1")));
}

static void what_the_chart_leaves_open_is_filled_in(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *next = config_correct(a, parse(a, CHART), HOOK, "PEM", owner(a));
    assert_non_null(next);
    const struct json *w = json_at(json_get(next, "webhooks"), 0);
    assert_string_equal(json_find_str(w, "clientConfig", "caBundle"), base64_encode(a, "PEM", 3));
    assert_string_equal(json_find_str(w, "clientConfig", "service", "path"),
                        "/validate/workspace.kaito.sh");
    assert_int_equal(json_size(json_get(w, "rules")), 1);
    assert_string_equal(json_text(a, json_get(w, "namespaceSelector")),
                        "{\"matchExpressions\":[{\"key\":\"webhooks.knative.dev/exclude\","
                        "\"operator\":\"DoesNotExist\"}]}");
    const struct json *ref = json_at(json_find(next, "metadata", "ownerReferences"), 0);
    assert_string_equal(json_find_str(ref, "kind"), "Namespace");
    assert_string_equal(json_find_str(ref, "uid"), "u-1");
    assert_null(config_correct(a, next, HOOK, "PEM", owner(a)));
    assert_null(config_correct(a, next, HOOK, "PEM", NULL));
    assert_non_null(config_correct(a, next, HOOK, "PEM2", NULL));
}

static void rules_that_cover_more_stay(void **state)
{
    static const char *const rules[] = {
        "[" RULE("['v1alpha1']", "['workspaces','workspaces/status']",
                 "['CREATE','UPDATE']") "," RULE("['v1beta1']",
                                                 "['workspaces','workspaces/status']",
                                                 "['CREATE','UPDATE']") "]",
        "[" RULE("['*']", "['*']", "['*']") "]",
        "[" RULE("['v1alpha1','v1beta1']", "['workspaces']",
                 "['CREATE']") "," RULE("['v1alpha1','v1beta1']", "['*/*']", "['UPDATE']") "]",
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        struct json *config = parse(a, arena_printf(a, CONFIG("%s", ""), rules[i]));
        struct json *next = config_correct(a, config, HOOK, "PEM", NULL);
        assert_true(json_equal(json_get(json_at(json_get(config, "webhooks"), 0), "rules"),
                               json_get(json_at(json_get(next, "webhooks"), 0), "rules")));
    }
}

static void rules_that_lack_something_are_replaced(void **state)
{
    static const char *const rules[] = {
        "null",
        "[]",
        "[" RULE("['v1beta1']", "['workspaces']", "['CREATE','UPDATE']") "]",
        "[" RULE("['v1alpha1','v1beta1']", "['workspaces']", "['CREATE']") "]",
        "[" RULE("['v1alpha1','v1beta1']", "['workspaces/status']", "['CREATE','UPDATE']") "]",
        "[" RULE("['v1alpha1','v1beta1']", "['ragengines']", "['CREATE','UPDATE']") "]",
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        struct json *config = parse(a, arena_printf(a, CONFIG("%s", ""), rules[i]));
        struct json *next = config_correct(a, config, HOOK, "PEM", NULL);
        const struct json *now = json_get(json_at(json_get(next, "webhooks"), 0), "rules");
        assert_int_equal(json_size(now), 2);
        assert_string_equal(json_string(json_at(json_get(json_at(now, 0), "apiVersions"), 0)),
                            "v1alpha1");
        assert_string_equal(json_string(json_at(json_get(json_at(now, 1), "apiVersions"), 0)),
                            "v1beta1");
        assert_null(config_correct(a, next, HOOK, "PEM", NULL));
    }
}

static void what_is_not_ours_stays(void **state)
{
    AUTO_ARENA a = arena_new();
    struct json *config =
        parse(a, CONFIG("[]", ",'failurePolicy':'Ignore','timeoutSeconds':3,'namespaceSelector':"
                              "{'matchExpressions':[{'key':'team','operator':'Exists'}]}"));
    json_append(json_get(config, "webhooks"), parse(a, "{'name':'somebody.elses.hook'}"));
    struct json *next = config_correct(a, config, HOOK, "PEM", NULL);
    const struct json *w = json_at(json_get(next, "webhooks"), 0);
    assert_string_equal(json_find_str(w, "failurePolicy"), "Ignore");
    assert_int_equal(json_find_int(w, 0, "timeoutSeconds"), 3);
    assert_int_equal(json_find_int(w, 0, "clientConfig", "service", "port"), 9443);
    assert_int_equal(json_size(json_find(w, "namespaceSelector", "matchExpressions")), 2);
    assert_string_equal(json_text(a, json_at(json_get(next, "webhooks"), 1)),
                        "{\"name\":\"somebody.elses.hook\"}");
    assert_null(json_find(next, "metadata", "ownerReferences"));
}

UNIT_TESTS(TEST(what_the_chart_leaves_open_is_filled_in), TEST(rules_that_cover_more_stay),
           TEST(rules_that_lack_something_are_replaced), TEST(what_is_not_ours_stays))
