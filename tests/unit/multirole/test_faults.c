/* The process dies at each write, before it reaches the server and after: the next one ends where
 * an undisturbed one ends. */
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/meta.h"
#include "set_world.h"

static void no_log(const char *line, size_t len, void *ctx) {}

static struct json *specs(struct set_world *w, const struct kube_resource *r)
{
    struct arena *a = w->a;
    struct json *list = EMPTY_ARR();
    JSON_FOREACH(it, set_world_list(w, r, NS, NULL))
        json_append(list,
                    OBJ("labels", json_clone(a, json_find(it.value, "metadata", "labels")),
                        "finalizers", json_clone(a, json_find(it.value, "metadata", "finalizers")),
                        "spec", json_clone(a, json_get(it.value, "spec"))));
    return list;
}

static char *summary(struct set_world *w)
{
    struct arena *a = w->a;
    return json_text(a,
                     OBJ("roles", specs(w, &KUBE_MULTI_ROLE_INFERENCES), "sets",
                         specs(w, &KUBE_INFERENCE_SETS), "pools", specs(w, &KUBE_HELM_RELEASES),
                         "repositories", specs(w, &KUBE_OCI_REPOSITORIES), "workspaces",
                         INT((int64_t)json_size(set_world_list(w, &KUBE_WORKSPACES, NS, NULL)))));
}

/* Created, or with `remove` deleted after that. Returns how many writes it took. */
static unsigned play(bool remove, unsigned die_at, bool applied, char **ret)
{
    struct set_world w;
    set_world_start(&w);
    w.settings.gates.on[GATE_MULTI_ROLE] = w.settings.gates.on[GATE_GATEWAY_API] = true;
    set_world_serve_kind(&w, &KUBE_OCI_REPOSITORIES);
    set_world_serve_kind(&w, &KUBE_HELM_RELEASES);
    set_world_create(
        &w, &KUBE_MULTI_ROLE_INFERENCES, NS,
        "{'metadata':{'name':'m'},'spec':{'labelSelector':{'matchLabels':{'apps':'m'}},"
        "'model':{'name':'phi-4'},'roles':[{'type':'prefill','replicas':1},"
        "{'type':'decode','replicas':1}]}}");
    if (remove) {
        set_world_run(&w);
        set_world_wait_children(&w, NS, "m-decode", 1);
        set_world_settle(&w);
        set_world_halt(&w);
        set_world_delete(&w, &KUBE_MULTI_ROLE_INFERENCES, NS, "m");
    }
    set_world_die_at(&w, die_at, applied);
    set_world_run(&w);
    set_world_settle(&w);
    unsigned writes = set_world_writes(&w);
    set_world_halt(&w);
    set_world_die_at(&w, 0, false);
    set_world_run(&w);
    set_world_settle(&w);
    set_world_settle(&w);
    char *text = summary(&w);
    if (!*ret)
        *ret = mem_strdup(text);
    else if (!STREQ(*ret, text))
        fail_msg("dead at write %u (%s): %s\n  and not %s", die_at, applied ? "done" : "not done",
                 text, *ret);
    set_world_stop(&w);
    return writes;
}

static void the_next_process_ends_the_same(void **state)
{
    log_set_sink(no_log, NULL);
    for (int remove = 0; remove <= 1; remove++) {
        AUTO_FREE char *undisturbed = NULL;
        unsigned writes = play(remove, 0, false, &undisturbed);
        assert_true(writes >= 4);
        for (unsigned n = 1; n <= writes; n++)
            for (int applied = 0; applied <= 1; applied++)
                play(remove, n, applied, &undisturbed);
    }
}

UNIT_TESTS(TEST(the_next_process_ends_the_same))
