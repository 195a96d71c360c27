/* T59: a hundred Workspaces while nothing changes: ten minutes without a write, and without a list. */
#include <stdlib.h>

#include "base/log.h"
#include "stage.h"

#define COUNT 100
#define MINUTES 10

static void create_many(struct stage *s, const char *inference)
{
    for (int i = 0; i < COUNT; i++)
        world_create(&s->w, &KUBE_WORKSPACES,
                     world_parse(&s->w,
                                 arena_printf(s->w.a,
                                              "{'apiVersion':'kaito.sh/v1beta1','kind':'Workspace',"
                                              "'metadata':{'name':'w%d'},'resource':"
                                              "{'labelSelector':{'matchLabels':{'apps':'x'}}},"
                                              "'inference':%s}",
                                              i, inference)));
}

static void all_are(struct stage *s, const char *state)
{
    for (int i = 0; i < COUNT; i++) {
        const char *name = arena_printf(s->w.a, "w%d", i);
        const struct json *ws = world_get(&s->w, &KUBE_WORKSPACES, NS, name);
        assert_string_equal(workspace_state(ws), state);
    }
}

static void nothing_happens(struct stage *s)
{
    assert_true(s->calls.writes > 0);
    unsigned writes = s->calls.writes;
    size_t lists = fault_transport_lists(&s->caches);
    unsigned calls = s->calls.seen;
    uint64_t version = apiserver_resource_version(s->w.server);
    for (int i = 0; i < MINUTES * 60; i++) {
        clock_virtual_advance(&s->clock, NS_PER_S);
        stage_step(s);
    }
    assert_int_equal(s->calls.writes, writes);
    assert_int_equal(fault_transport_lists(&s->caches), lists);
    assert_int_equal(s->calls.seen, calls);
    assert_int_equal(apiserver_resource_version(s->w.server), version);

    /* Nor after a restart. */
    stage_die(s);
    stage_live(s);
    assert_true(stage_settle(s));
    assert_int_equal(s->calls.writes, 0);
}

static void while_all_are_ready(void **state)
{
    struct stage s;
    stage_open(&s);
    world_add_node(&s.w, "box", "{'apps':'x'}");
    stage_live(&s);
    create_many(&s, "{'template':{'spec':{'containers':[{'name':'c','image':'nginx'}]}}}");
    assert_true(stage_settle(&s));
    all_are(&s, "Ready");
    nothing_happens(&s);
    stage_close(&s);
}

static void while_nodes_are_awaited(void **state)
{
    struct stage s;
    stage_open(&s);
    world_add_node(&s.w, "box", "{'apps':'y'}");
    stage_live(&s);
    create_many(&s, "{'template':{'spec':{'containers':[{'name':'c','image':'nginx'}]}}}");
    assert_true(stage_settle(&s));
    all_are(&s, "Pending");
    nothing_happens(&s);
    stage_close(&s);
}

static void while_pods_are_awaited(void **state)
{
    struct stage s;
    stage_open(&s);
    s.played = false;
    world_add_node(&s.w, "box", "{'apps':'x'}");
    stage_live(&s);
    create_many(&s, "{'template':{'spec':{'containers':[{'name':'c','image':'nginx'}]}}}");
    assert_true(stage_settle(&s));
    all_are(&s, "Pending");
    nothing_happens(&s);
    stage_close(&s);
}

static void while_the_model_is_missing(void **state)
{
    struct stage s;
    stage_open(&s);
    world_add_node(&s.w, "box", "{'apps':'x'}");
    stage_live(&s);
    create_many(&s, "{'preset':{'name':'gemma-3-270m'}}");
    assert_true(stage_settle(&s));
    all_are(&s, "Pending");
    nothing_happens(&s);
    stage_close(&s);
}

static void while_the_preset_is_unknown(void **state)
{
    struct stage s;
    stage_open(&s);
    s.w.settings.models_dir = NULL;
    world_add_node(&s.w, "box", "{'apps':'x'}");
    stage_live(&s);
    create_many(&s, "{'preset':{'name':'no-such-preset'}}");
    assert_true(stage_settle(&s));
    assert_int_equal(workqueue_next_due_ns(
                         controller_queue(workspace_controller_inner(s.controller))),
                     INT64_MAX);
    nothing_happens(&s);
    stage_close(&s);
}

static void drop_line(const char *line, size_t len, void *ctx) {}

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(while_all_are_ready), TEST(while_nodes_are_awaited),
                                        TEST(while_pods_are_awaited),
                                        TEST(while_the_model_is_missing),
                                        TEST(while_the_preset_is_unknown) };
    log_set_sink(drop_line, NULL);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
