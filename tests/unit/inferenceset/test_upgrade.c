/* A newer base image: in place, with surge, in a maintenance window, and what does not move on. The
 * clock stands still until the test moves it. */
#include "base/str.h"
#include "kube/meta.h"
#include "set_world.h"

#define MINUTE (60 * NS_PER_S)

static struct clock_virtual clock_of_test;

static void start(struct set_world *w, const char *now)
{
    int64_t ns = 0;
    assert_int_equal(time_parse_rfc3339(now, &ns), 0);
    clock_virtual_init(&clock_of_test, ns);
    set_world_start(w);
    w->clock = &clock_of_test.clock;
    w->settings.gates.on[GATE_BASE_IMAGE_UPGRADE] = true;
    set_world_run(w);
}

static void advance(struct set_world *w, int64_t ns)
{
    clock_virtual_advance(&clock_of_test, ns);
    workqueue_poke(controller_queue(inference_set_controller_inner(w->sets)));
    set_world_settle(w);
}

/* Two replicas that run an earlier operator's image. */
static void old_set(struct set_world *w, const char *upgrade)
{
    struct json *set = set_world_parse(w, SET("is", "2"));
    json_set(w->a, json_get(set, "spec"), "autoUpgrade", set_world_parse(w, upgrade));
    assert_int_equal(kube_create(w->client, &KUBE_INFERENCE_SETS, NS, set, w->a, NULL, NULL), 0);
    set_world_wait_children(w, NS, "is", 2);
    JSON_FOREACH(it, set_world_children(w, NS, "is"))
        set_world_serve(w, NS, meta_name(it.value), IMAGE_OLD, true);
    set_world_settle(w);
}

static const char *image_of(struct set_world *w, const char *name)
{
    const struct json *set = set_world_get(w, &KUBE_STATEFULSETS, NS, name);
    return json_find_str(json_at(json_find(set, "spec", "template", "spec", "containers"), 0),
                         "image");
}

/* The one Workspace that was told to take the new image and has not; NULL: none. */
static const char *told(struct set_world *w)
{
    const char *found = NULL;
    JSON_FOREACH(it, set_world_children(w, NS, "is")) {
        const char *to = meta_label(it.value, "kaito.sh/upgrade-to-version");
        if (!to || STREQ(image_of(w, meta_name(it.value)), IMAGE_NOW))
            continue;
        assert_null(found); /* never two at once */
        assert_string_equal(to, "0.5.0");
        assert_non_null(meta_annotation(it.value, "kaito.sh/upgrade-start-time"));
        found = meta_name(it.value);
    }
    return found;
}

static int64_t drifted(struct set_world *w)
{
    return json_find_int(set_world_get(w, &KUBE_INFERENCE_SETS, NS, "is"), -1, "status",
                         "autoUpgrade", "numDriftedWorkspaces");
}

static const struct json *condition(struct set_world *w, const char *type)
{
    const struct json *set = set_world_get(w, &KUBE_INFERENCE_SETS, NS, "is");
    return condition_find(json_find(set, "status", "conditions"), type);
}

static void in_place_one_after_the_other(void **state)
{
    struct set_world w;
    start(&w, "2026-01-03T12:00:00Z");
    old_set(&w, "{'enabled':true,'strategy':'InPlace'}");
    for (int64_t left = 2; left > 0; left--) {
        assert_int_equal(drifted(&w), left);
        const char *name = told(&w);
        assert_non_null(name);
        set_world_serve(&w, NS, name, IMAGE_NOW, false); /* its pods are being replaced */
        set_world_settle(&w);
        assert_null(told(&w)); /* the other one waits for it */
        set_world_serve(&w, NS, name, NULL, true);
        set_world_settle(&w);
    }
    assert_null(told(&w));
    assert_int_equal(drifted(&w), 0);
    assert_string_equal(json_find_str(set_world_get(&w, &KUBE_INFERENCE_SETS, NS, "is"), "status",
                                      "autoUpgrade", "lastSuccessfulUpgradeTime"),
                        "2026-01-03T12:00:00Z");
    assert_int_equal(json_size(set_world_children(&w, NS, "is")), 2);
    set_world_stop(&w);
}

static void with_surge_an_old_one_goes_when_the_new_one_serves(void **state)
{
    struct set_world w;
    start(&w, "2026-01-03T12:00:00Z");
    old_set(&w, "{'enabled':true,'strategy':'Surge'}");
    for (int64_t left = 2; left > 0; left--) {
        const char *extra = NULL;
        assert_int_equal(json_size(set_world_children(&w, NS, "is")), 3);
        JSON_FOREACH(it, set_world_children(&w, NS, "is"))
            if (!set_world_get(&w, &KUBE_STATEFULSETS, NS, meta_name(it.value)))
                extra = meta_name(it.value);
        assert_non_null(extra);
        set_world_serve(&w, NS, extra, IMAGE_NOW, false);
        set_world_settle(&w);
        assert_int_equal(json_size(set_world_children(&w, NS, "is")), 3);
        assert_int_equal(drifted(&w), left);
        set_world_serve(&w, NS, extra, NULL, true);
        set_world_settle(&w);
        assert_non_null(set_world_get(&w, &KUBE_WORKSPACES, NS, extra));
    }
    assert_int_equal(json_size(set_world_children(&w, NS, "is")), 2);
    assert_int_equal(drifted(&w), 0);
    JSON_FOREACH(it, set_world_children(&w, NS, "is"))
        assert_string_equal(image_of(&w, meta_name(it.value)), IMAGE_NOW);
    set_world_stop(&w);
}

static void only_while_the_window_is_open(void **state)
{
    struct set_world w;
    start(&w, "2026-01-02T20:00:00Z"); /* a Friday */
    old_set(&w, "{'enabled':true,'maintenanceWindow':{'schedule':'30 2 * * 6','duration':'1h'}}");
    assert_null(told(&w));
    assert_int_equal(drifted(&w), 2);
    advance(&w, 6 * 60 * MINUTE);
    assert_null(told(&w));
    advance(&w, 31 * MINUTE); /* 02:31 on Saturday */
    const char *first = told(&w);
    assert_non_null(first);
    set_world_serve(&w, NS, first, IMAGE_NOW, false);
    advance(&w, 2 * 60 * MINUTE); /* closed meanwhile; what was begun ends */
    set_world_serve(&w, NS, first, NULL, true);
    set_world_settle(&w);
    assert_null(told(&w));
    assert_int_equal(drifted(&w), 1);
    advance(&w, 7 * 24 * 60 * MINUTE - 2 * 60 * MINUTE); /* the next Saturday */
    assert_non_null(told(&w));
    set_world_stop(&w);
}

static void one_that_does_not_come_up_is_reported(void **state)
{
    struct set_world w;
    start(&w, "2026-01-03T12:00:00Z");
    old_set(&w, "{'enabled':true}");
    const char *name = told(&w);
    assert_non_null(name);
    set_world_serve(&w, NS, name, IMAGE_NOW, false);
    advance(&w, 50 * MINUTE);
    assert_null(condition(&w, "AutoUpgradeStalled"));
    advance(&w, 15 * MINUTE);
    set_world_wait(&w, &KUBE_INFERENCE_SETS, NS, "is", "AutoUpgradeStalled", "True",
                   "AutoUpgradeStalled", name);
    bool event = false;
    for (int i = 0; i < 50 && !event; i++) {
        set_world_settle(&w);
        JSON_FOREACH(it, set_world_list(&w, &KUBE_EVENTS, NS, NULL))
            event = event || str_eq(json_find_str(it.value, "reason"), "AutoUpgradeStalled");
    }
    assert_true(event);
    assert_null(told(&w));
    set_world_serve(&w, NS, name, NULL, true);
    set_world_settle(&w);
    assert_null(condition(&w, "AutoUpgradeStalled"));
    assert_non_null(told(&w));
    set_world_stop(&w);
}

static void a_schedule_that_is_none_is_reported(void **state)
{
    struct set_world w;
    start(&w, "2026-01-03T12:00:00Z");
    old_set(&w, "{'enabled':true,'maintenanceWindow':{'schedule':'at night'}}");
    set_world_wait(&w, &KUBE_INFERENCE_SETS, NS, "is", "AutoUpgradeStalled", "True", NULL,
                   "five fields");
    assert_null(told(&w));
    set_world_stop(&w);
}

static void no_surge_beyond_the_limit_of_nodes(void **state)
{
    struct set_world w;
    start(&w, "2026-01-03T12:00:00Z");
    old_set(&w, "{'enabled':false,'strategy':'Surge'}");
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL,
                    "{'spec':{'nodeCountLimit':2,'autoUpgrade':{'enabled':true}}}");
    set_world_wait(&w, &KUBE_INFERENCE_SETS, NS, "is", "AutoUpgradeStalled", "True", NULL,
                   "nodeCountLimit");
    assert_int_equal(json_size(set_world_children(&w, NS, "is")), 2);
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL, "{'spec':{'nodeCountLimit':3}}");
    set_world_wait_children(&w, NS, "is", 3);
    set_world_stop(&w);
}

static void without_the_gate_nothing_is_upgraded(void **state)
{
    struct set_world w;
    start(&w, "2026-01-03T12:00:00Z");
    set_world_halt(&w);
    w.settings.gates.on[GATE_BASE_IMAGE_UPGRADE] = false;
    set_world_run(&w);
    old_set(&w, "{'enabled':true}");
    assert_null(told(&w));
    assert_int_equal(drifted(&w), -1);
    set_world_stop(&w);
}

UNIT_TESTS(TEST(in_place_one_after_the_other),
           TEST(with_surge_an_old_one_goes_when_the_new_one_serves),
           TEST(only_while_the_window_is_open), TEST(one_that_does_not_come_up_is_reported),
           TEST(a_schedule_that_is_none_is_reported), TEST(no_surge_beyond_the_limit_of_nodes),
           TEST(without_the_gate_nothing_is_upgraded))
