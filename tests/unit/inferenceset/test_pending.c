/* What was made and deleted counts until the cache shows it. */
#include "inferenceset/pending.h"

#include <unistd.h>

#include "base/log.h"
#include "kube/meta.h"
#include "set_world.h"

#define KEY "default/is"

static struct json *make(struct set_world *w, const char *name)
{
    return set_world_create(
        w, &KUBE_WORKSPACES, NS,
        arena_printf(w->a,
                     "{'metadata':{'name':'%s'},'resource':{'labelSelector':{}},'inference':"
                     "{'preset':{'name':'phi-4'}}}",
                     name));
}

static bool settles(struct pending *p, struct informer *i)
{
    for (int n = 0; n < 1000; n++) {
        if (pending_settled(p, KEY, NS, i))
            return true;
        usleep(5000);
    }
    return false;
}

static void until_the_cache_shows_it(void **state)
{
    struct set_world w;
    struct clock_virtual clock;
    set_world_start(&w);
    clock_virtual_init(&clock, 0);
    struct pending *p = pending_new(&clock.clock);
    struct informer *i = informer_new(w.client, &KUBE_WORKSPACES, &(struct informer_options){ 0 });
    pending_add(p, KEY, "a", NULL);
    pending_add(p, "default/is-2", "b", NULL); /* another set's */
    assert_false(pending_settled(p, KEY, NS, i));
    const char *uid = meta_uid(make(&w, "a"));
    assert_false(pending_settled(p, KEY, NS, i)); /* the cache does not run yet */
    assert_int_equal(informer_start(i, NULL), 0);
    assert_int_equal(informer_wait_synced(i, 5000, NULL), 0);
    assert_true(pending_settled(p, KEY, NS, i));

    pending_add(p, KEY, "a", uid);
    assert_false(pending_settled(p, KEY, NS, i));
    set_world_delete(&w, &KUBE_WORKSPACES, NS, "a");
    assert_true(settles(p, i));
    /* made and gone before anybody looked: its going is what is seen */
    pending_add(p, KEY, "c", NULL);
    assert_false(pending_settled(p, KEY, NS, i));
    pending_drop(p, KEY, "c");
    assert_true(pending_settled(p, KEY, NS, i));
    /* a deletion is seen in another object of the name, too */
    pending_add(p, KEY, "a", uid);
    make(&w, "a");
    assert_true(settles(p, i));
    /* not for ever */
    pending_add(p, KEY, "lost", NULL);
    clock_virtual_advance(&clock, 299 * NS_PER_S);
    assert_false(pending_settled(p, KEY, NS, i));
    clock_virtual_advance(&clock, 2 * NS_PER_S);
    assert_true(pending_settled(p, KEY, NS, i));
    informer_stop(i);
    informer_free(i);
    pending_free(p);
    set_world_stop(&w);
}

/* Conflicts with the test's own writes are told. */
static void no_log(const char *line, size_t len, void *ctx) {}

/* Watches that are late by the time of many reconciles. */
static void a_late_cache_is_not_counted(void **state)
{
    struct set_world w;
    set_world_start(&w);
    log_set_sink(no_log, NULL);
    set_world_slow_watches(&w, 15);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "0"));
    for (int round = 0; round < 4; round++) {
        size_t wanted = round % 2 ? 1 : 5;
        set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL,
                        arena_printf(w.a, "{'spec':{'replicas':%zu}}", wanted));
        size_t least = 5, most = 0;
        for (int n = 0; n < 40; n++) {
            set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL,
                            arena_printf(w.a, "{'metadata':{'labels':{'n':'%d'}}}", n));
            size_t now = json_size(set_world_children(&w, NS, "is"));
            least = now < least ? now : least;
            most = now > most ? now : most;
        }
        set_world_wait_children(&w, NS, "is", wanted);
        set_world_settle(&w);
        assert_true(most <= 5);
        assert_true(round == 0 || least >= 1);
        assert_int_equal(json_size(set_world_children(&w, NS, "is")), wanted);
    }
    set_world_stop(&w);
}

/* The one that goes first: the youngest, then by name. */
static const char *first_to_go(struct set_world *w)
{
    const struct json *found = NULL;
    JSON_FOREACH(it, set_world_children(w, NS, "is")) {
        const char *made = json_find_str(it.value, "metadata", "creationTimestamp");
        if (!found || strcmp(made, json_find_str(found, "metadata", "creationTimestamp")) > 0)
            found = it.value;
    }
    return meta_name(found);
}

/* The one that was deleted became ready before; the cache hears of that first, and then it looks as
 * if another one should go. */
static void one_deletion_is_not_followed_by_another(void **state)
{
    struct set_world w;
    set_world_start(&w);
    log_set_sink(no_log, NULL);
    set_world_slow_watches(&w, 60);
    set_world_run(&w);
    set_world_create(&w, &KUBE_INFERENCE_SETS, NS, SET("is", "3"));
    set_world_wait_children(&w, NS, "is", 3);
    for (int i = 0; i < 5; i++)
        set_world_settle(&w);
    const char *goes = first_to_go(&w);
    set_world_patch(&w, &KUBE_INFERENCE_SETS, NS, "is", NULL, "{'spec':{'replicas':2}}");
    set_world_patch(
        &w, &KUBE_WORKSPACES, NS, goes, "status",
        "{'status':{'conditions':[{'type':'WorkspaceSucceeded','status':'True','reason':"
        "'r','message':'','lastTransitionTime':'2026-01-01T00:00:00Z'}]}}");
    size_t least = 3;
    for (int i = 0; i < 150; i++) {
        size_t now = json_size(set_world_children(&w, NS, "is"));
        least = now < least ? now : least;
        usleep(10000);
    }
    assert_int_equal(least, 2);
    set_world_stop(&w);
}

UNIT_TESTS(TEST(until_the_cache_shows_it), TEST(a_late_cache_is_not_counted),
           TEST(one_deletion_is_not_followed_by_another))
