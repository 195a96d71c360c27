#include "api/workspace.h"
#include "base/mem.h"
#include "base/str.h"
#include "unit.h"

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

static void fields_are_read(void **state)
{
    AUTO_ARENA a = arena_new();
    struct workspace ws;
    workspace_read(
        a,
        parse(
            a,
            "{'metadata':{'name':'w','namespace':'n','uid':'u','generation':3,'annotations':{'kaito.sh/runtime':'transformers'}},"
            "'resource':{'count':2,'instanceType':'t','labelSelector':{'matchLabels':{'apps':'x','kaito.sh/workspace':'other'},"
            "'matchExpressions':[{'key':'zone','operator':'In','values':['a']}]}},"
            "'inference':{'config':'c','preset':{'name':'Phi-4','presetOptions':{'modelAccessSecret':'s'}}}}"),
        &ws);
    assert_string_equal(ws.name, "w");
    assert_string_equal(ws.ns, "n");
    assert_int_equal(ws.generation, 3);
    assert_int_equal(ws.count, 2);
    assert_string_equal(ws.instance_type, "t");
    assert_string_equal(json_text(a, ws.node_labels), "{\"apps\":\"x\",\"zone\":\"a\"}");
    assert_int_equal(ws.reserved_labels, 1);
    assert_string_equal(ws.preset_name, "Phi-4");
    assert_string_equal(ws.config, "c");
    assert_string_equal(ws.access_secret, "s");
    assert_string_equal(ws.runtime, "transformers");
    assert_int_equal(workspace_check(&ws, NULL), 0);
}

static void an_empty_object_is_read(void **state)
{
    AUTO_ARENA a = arena_new();
    struct workspace ws;
    workspace_read(a, parse(a, "{}"), &ws);
    assert_int_equal(ws.count, 1);
    assert_string_equal(ws.preset_name, "");
    assert_int_equal(json_size(ws.node_labels), 0);
    struct error *err = NULL;
    int r = workspace_check(&ws, &err);
    assert_string_equal(error_reason(err), "InvalidName");
    assert_error(r, err, ERROR_INVALID, "metadata.name");
}

static void what_cannot_work_is_named(void **state)
{
    static const struct {
        const char *name;
        const char *rest;
        const char *reason;
        const char *part;
    } table[] = {
        { "w", "'inference':{'preset':{'name':'p'}}", NULL, NULL },
        { "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxy",
          "'inference':{'preset':{'name':'p'}}", NULL, NULL },
        { "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz",
          "'inference':{'preset':{'name':'p'}}", "InvalidName", "52" },
        { "1w", "'inference':{'preset':{'name':'p'}}", "InvalidName", "1w" },
        { "a.b", "'inference':{'preset':{'name':'p'}}", "InvalidName", "a.b" },
        { "w", "'inference':{}", "InvalidSpec", "neither a preset nor a template" },
        { "w", "'inference':{'preset':{'name':'p'},'template':{}}", "InvalidSpec", "both" },
        { "w", "'inference':{'preset':{'name':'p'}},'tuning':{}", "InvalidSpec", "two Workspaces" },
        { "w", "'resource':{'count':0},'inference':{'preset':{'name':'p'}}", "InvalidSpec",
          "resource.count" },
        { "w", "'tuning':{}", NULL, NULL },
        { "w",
          "'resource':{'labelSelector':{'matchExpressions':[{'key':'a','operator':'Exists'}]}},'inference':{'template':{}}",
          "InvalidSelector", "matchLabels" },
        { "w",
          "'resource':{'labelSelector':{'matchExpressions':[{'key':'a','operator':'In','values':['x','y']}]}},"
          "'inference':{'template':{}}",
          "InvalidSelector", "one value" },
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct workspace ws;
        workspace_read(a,
                       parse(a, arena_printf(a, "{'metadata':{'name':'%s'},%s}", table[i].name,
                                             table[i].rest)),
                       &ws);
        CLEANUP(error_cleanup) struct error *err = NULL;
        int r = workspace_check(&ws, &err);
        if (!table[i].reason) {
            if (r < 0)
                fail_msg("%s %s: %s", table[i].name, table[i].rest, error_message(err));
            continue;
        }
        assert_true(r < 0);
        assert_string_equal(error_reason(err), table[i].reason);
        if (!strstr(error_message(err), table[i].part))
            fail_msg("\"%s\" has no \"%s\"", error_message(err), table[i].part);
    }
}

static void load_balancer_words(void **state)
{
    static const struct {
        const char *value;
        enum load_balancer want;
    } table[] = {
        { "true", LOAD_BALANCER_YES },   { "True", LOAD_BALANCER_YES },
        { "TRUE", LOAD_BALANCER_YES },   { "1", LOAD_BALANCER_YES },
        { "false", LOAD_BALANCER_NO },   { "", LOAD_BALANCER_NO },
        { "0", LOAD_BALANCER_NO },       { "yes please", LOAD_BALANCER_UNCLEAR },
        { "on", LOAD_BALANCER_UNCLEAR },
    };
    AUTO_ARENA a = arena_new();
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct workspace ws;
        workspace_read(a,
                       parse(a,
                             arena_printf(a,
                                          "{'metadata':{'annotations':{'kaito.sh/enablelb':'%s'}}}",
                                          table[i].value)),
                       &ws);
        assert_int_equal(workspace_load_balancer(&ws), table[i].want);
    }
    struct workspace ws;
    workspace_read(a, parse(a, "{}"), &ws);
    assert_int_equal(workspace_load_balancer(&ws), LOAD_BALANCER_NO);
}

UNIT_TESTS(TEST(fields_are_read), TEST(an_empty_object_is_read), TEST(what_cannot_work_is_named),
           TEST(load_balancer_words))
