/* The process dies at each write of a story, before it reaches the server and after: the next one
 * ends where an undisturbed one ends, and never makes a Workspace too many on the way. */
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "set_world.h"

struct story {
    const char *what;
    void (*before)(struct set_world *w); /* with a controller that works */
    void (*change)(struct set_world *w); /* what the doomed one reacts to */
    size_t most;                         /* Workspaces there may be at any time */
};

static void nothing(struct set_world *w) {}

static void create_three(struct set_world *w)
{
    set_world_create(w, &KUBE_INFERENCE_SETS, NS, SET("is", "3"));
}

static void have_one(struct set_world *w)
{
    set_world_create(w, &KUBE_INFERENCE_SETS, NS, SET("is", "1"));
    set_world_wait_children(w, NS, "is", 1);
    set_world_serve_all(w, NS, "is");
}

static void have_three(struct set_world *w)
{
    create_three(w);
    set_world_wait_children(w, NS, "is", 3);
    set_world_serve_all(w, NS, "is");
}

static void scale_to_three(struct set_world *w)
{
    set_world_patch(w, &KUBE_INFERENCE_SETS, NS, "is", "scale", "{'spec':{'replicas':3}}");
}

static void scale_to_one(struct set_world *w)
{
    set_world_patch(w, &KUBE_INFERENCE_SETS, NS, "is", "scale", "{'spec':{'replicas':1}}");
}

static void change_template(struct set_world *w)
{
    set_world_patch(w, &KUBE_INFERENCE_SETS, NS, "is", NULL,
                    "{'spec':{'template':{'inference':{'config':'c'}}}}");
}

static void change_preset(struct set_world *w)
{
    set_world_patch(w, &KUBE_INFERENCE_SETS, NS, "is", NULL,
                    "{'spec':{'template':{'inference':{'preset':{'name':'phi-4'}}}}}");
}

static void have_old(struct set_world *w)
{
    set_world_create(w, &KUBE_INFERENCE_SETS, NS, SET("is", "2"));
    set_world_wait_children(w, NS, "is", 2);
    JSON_FOREACH(it, set_world_children(w, NS, "is"))
        set_world_serve(w, NS, meta_name(it.value), IMAGE_OLD, true);
}

static void upgrade_in_place(struct set_world *w)
{
    set_world_patch(w, &KUBE_INFERENCE_SETS, NS, "is", NULL,
                    "{'spec':{'autoUpgrade':{'enabled':true}}}");
}

static void upgrade_with_surge(struct set_world *w)
{
    set_world_patch(w, &KUBE_INFERENCE_SETS, NS, "is", NULL,
                    "{'spec':{'autoUpgrade':{'enabled':true,'strategy':'Surge'}}}");
}

static void remove_set(struct set_world *w)
{
    set_world_delete(w, &KUBE_INFERENCE_SETS, NS, "is");
}

/* Everything that is there in the end, without what differs from run to run. */
static struct json *summary(struct set_world *w)
{
    struct arena *a = w->a;
    struct json *children = EMPTY_ARR(), *revisions = EMPTY_ARR();
    JSON_FOREACH(it, set_world_children(w, NS, "is"))
        json_append(children,
                    OBJ("labels", json_clone(a, json_find(it.value, "metadata", "labels")),
                        "resource", json_clone(a, json_get(it.value, "resource")), "inference",
                        json_clone(a, json_get(it.value, "inference"))));
    JSON_FOREACH(it, set_world_list(w, &KUBE_CONTROLLER_REVISIONS, NS, NULL))
        json_append(revisions, OBJ("name", STR(meta_name(it.value)), "revision",
                                   json_clone(a, json_get(it.value, "revision")), "annotations",
                                   json_clone(a, json_find(it.value, "metadata", "annotations"))));
    struct json *set = set_world_get(w, &KUBE_INFERENCE_SETS, NS, "is");
    json_del(json_find(set, "status", "autoUpgrade"), "lastSuccessfulUpgradeTime");
    JSON_FOREACH(it, json_find(set, "status", "conditions")) {
        json_del(it.value, "lastTransitionTime");
        if (str_eq(json_find_str(it.value, "status"), "False"))
            json_del(it.value, "message"); /* names the first that is not ready */
    }
    return OBJ("children", children, "revisions", revisions, "annotations",
               json_clone(a, json_find(set, "metadata", "annotations")), "finalizers",
               json_clone(a, json_find(set, "metadata", "finalizers")), "spec",
               json_clone(a, json_get(set, "spec")), "status",
               json_clone(a, json_get(set, "status")));
}

static void serve_until_quiet(struct set_world *w)
{
    for (int i = 0; i < 8; i++) {
        uint64_t before = apiserver_resource_version(w->server);
        set_world_serve_all(w, NS, "is");
        set_world_settle(w);
        if (apiserver_resource_version(w->server) == before)
            return;
    }
    fail_msg("it does not come to rest");
}

/* Returns how many writes the story took; *ret: how it ended. */
static unsigned play(const struct story *s, unsigned die_at, bool applied, char **ret)
{
    struct set_world w;
    set_world_start(&w);
    w.settings.gates.on[GATE_BASE_IMAGE_UPGRADE] = true;
    set_world_run(&w);
    s->before(&w);
    set_world_settle(&w);
    set_world_halt(&w);

    set_world_die_at(&w, die_at, applied);
    s->change(&w);
    set_world_run(&w);
    set_world_settle(&w);
    unsigned writes = set_world_writes(&w);
    assert_true(json_size(set_world_children(&w, NS, "is")) <= s->most);
    set_world_halt(&w);

    set_world_die_at(&w, 0, false);
    set_world_run(&w);
    set_world_settle(&w);
    assert_true(json_size(set_world_children(&w, NS, "is")) <= s->most);
    serve_until_quiet(&w);
    char *text = json_text(w.a, summary(&w));
    if (!*ret)
        *ret = mem_strdup(text);
    else if (!STREQ(*ret, text))
        fail_msg("%s, dead at write %u (%s): %s\n  and not %s", s->what, die_at,
                 applied ? "done" : "not done", text, *ret);
    set_world_stop(&w);
    return writes;
}

/* Each attempt of a dying process says that it failed. */
static void no_log(const char *line, size_t len, void *ctx) {}

static void the_next_process_ends_the_same(void **state)
{
    log_set_sink(no_log, NULL);
    static const struct story stories[] = {
        { "created with three", nothing, create_three, 3 },
        { "scaled to three", have_one, scale_to_three, 3 },
        { "scaled to one", have_three, scale_to_one, 3 },
        { "template changed", have_three, change_template, 3 },
        { "preset changed", have_three, change_preset, 3 },
        { "upgraded in place", have_old, upgrade_in_place, 2 },
        { "upgraded with surge", have_old, upgrade_with_surge, 3 },
        { "deleted", have_three, remove_set, 3 },
    };
    for (size_t i = 0; i < COUNT_OF(stories); i++) {
        AUTO_FREE char *undisturbed = NULL;
        unsigned writes = play(&stories[i], 0, false, &undisturbed);
        assert_true(writes >= 2);
        for (unsigned n = 1; n <= writes; n++)
            for (int applied = 0; applied <= 1; applied++)
                play(&stories[i], n, applied, &undisturbed);
    }
}

UNIT_TESTS(TEST(the_next_process_ends_the_same))
